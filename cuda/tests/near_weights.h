// near_weights.h - the CPU's made-up weights and numbers in near memory.
#pragma once
#include "../../native/tests/weights.h"
#include "near.h"

namespace fixture {

struct NearWeights {
    Near<uint8_t> bytes;  // at the same distance from an even address as the CPU's
    Tensor tensor;

    NearWeights(Type type, uint32_t rows, uint32_t columns, std::mt19937 &random) {
        Weights weights(type, rows, columns, random);
        bytes.assign(weights.bytes.begin(), weights.bytes.end());
        tensor = weights.tensor;
        tensor.data = bytes.data() + (bytes.size() - rows * weight_row_bytes(type, columns));
    }
    NearWeights(const NearWeights &) = delete;
};

inline Near<float> near_normals(uint64_t count, std::mt19937 &random, float spread = 1) {
    std::vector<float> numbers = normals(count, random, spread);
    return {numbers.begin(), numbers.end()};
}

}  // namespace fixture

// weights.h - weight tensors made up at random, of every type, and the sizes that kernels trip on.
#pragma once
#include <cstdlib>
#include <random>
#include <vector>

#include "../dequantize.h"
#include "near.h"

namespace fixture {

using namespace specache;

constexpr Type weight_types[] = {Type::f32,  Type::f16,  Type::bf16,
                                 Type::q8_0, Type::q4_0, Type::q4_1,
                                 Type::q4_k, Type::q5_k, Type::q6_k};
// Around a vector, a block, three blocks and a panel's columns; also numbers of rows.
constexpr uint32_t odd_sizes[] = {1, 31, 32, 33, 95, 256, 257};

// A row of blocks has whole blocks.
inline uint32_t columns_for(Type type, uint32_t columns) {
    uint32_t whole = block_values(type);
    return in_blocks(type) ? (columns + whole - 1) / whole * whole : columns;
}

inline Near<float> normals(uint64_t count, std::mt19937 &random, float spread = 1) {
    std::normal_distribution<float> normal(0, spread);
    Near<float> numbers(count);
    for (float &x : numbers) x = normal(random);
    return numbers;
}

// Where a block's fp16 scale lies, and the least number's behind it.
constexpr uint32_t scales_at(Type type) { return type == Type::q6_k ? q6_k_d : 0; }

struct Weights {
    Near<uint8_t> bytes;  // [offset] unused, then [rows][columns] of the type, and no more
    Tensor tensor;

    // Blocks lie one byte off, since a file gives them no alignment.
    Weights(Type type, uint32_t rows, uint32_t columns, std::mt19937 &random) {
        uint64_t row = weight_row_bytes(type, columns), offset = in_blocks(type) ? 1 : 0;
        bytes.resize(offset + rows * row);
        for (uint8_t &byte : bytes) byte = uint8_t(random());
        uint8_t *data = bytes.data() + offset;
        std::normal_distribution<float> normal(0, .1f);
        if (in_blocks(type)) {  // any quants, sensible scales
            for (uint8_t *at = data; at < data + rows * row; at += block_bytes(type)) {
                uint16_t scales[2] = {float_to_half(normal(random)), float_to_half(normal(random))};
                std::memcpy(at + scales_at(type), scales, has_least(type) ? 4 : 2);
            }
        } else {
            for (uint64_t i = 0; i < uint64_t(rows) * columns; i++) {
                store_number(type, data, i, normal(random));
            }
        }
        tensor = {data, type, rows, columns};
    }
    Weights(const Weights &) = delete;

    // What is added to the scaled integer of a weight.
    float least(uint32_t row, uint32_t column) const {
        if (!has_least(tensor.type)) return 0;
        uint64_t bytes = weight_row_bytes(tensor.type, tensor.columns);
        const uint8_t *block = block_of(
            tensor.type, static_cast<const uint8_t *>(tensor.data) + row * bytes, column);
        float m = half_to_float(load_unaligned<uint16_t>(block + 2));
        if (tensor.type == Type::q4_1) return m;
        return -m * float(part_scale(block + 4, part_of(tensor.type, column)).least);
    }

    std::vector<float> row(uint32_t row) const {
        std::vector<float> numbers(tensor.columns);
        const uint8_t *data = static_cast<const uint8_t *>(tensor.data);
        dequantize_row(tensor.type, data + row * weight_row_bytes(tensor.type, tensor.columns),
                       tensor.columns, numbers.data());
        return numbers;
    }
};

}  // namespace fixture

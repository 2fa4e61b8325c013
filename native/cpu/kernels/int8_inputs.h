// int8_inputs.h - inputs of a decode product as 8 bits: 64 neighbouring columns are a pair, two
// blocks of weights, or two parts of a K-quant's block, and have 16 lanes of four columns each.
#pragma once
#include "../../quantize.h"
#include "project.h"

namespace specache::SPECACHE_ISA {

constexpr uint32_t pair_columns = 2 * part_values;

struct alignas(64) InputPair {
    int8_t integers[pair_columns];
    int32_t start[lanes];  // -128 times each lane's sum of integers
    float scale[lanes];    // each lane's
    float sums[lanes];     // each lane's sum of integers, scaled
};

static inline uint32_t pairs_of(uint32_t columns) {
    return (columns + pair_columns - 1) / pair_columns;
}

// in: [columns]; out: [pairs_of(columns)]. Where a pair has one part the other is zeros.
static inline void quantize(const float *in, uint32_t columns, InputPair *out) {
    for (uint32_t p = 0; p < pairs_of(columns); p++) {
        InputPair &pair = out[p];
        float scales[2] = {};
        std::memset(pair.integers, 0, sizeof pair.integers);
        for (uint32_t half = 0; half < 2; half++) {
            uint32_t column = p * pair_columns + half * part_values;
            if (column == columns) break;
            scales[half] = quantize_part(in + column, pair.integers + half * part_values);
        }
        for (uint32_t lane = 0; lane < lanes; lane++) {
            int32_t sum = 0;
            for (uint32_t i = 0; i < 4; i++) sum += pair.integers[4 * lane + i];
            pair.start[lane] = -128 * sum;
            pair.scale[lane] = scales[lane / 8];
            pair.sums[lane] = scales[lane / 8] * float(sum);
        }
    }
}

}  // namespace specache::SPECACHE_ISA

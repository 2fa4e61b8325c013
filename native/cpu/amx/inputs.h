// inputs.h - the inputs of a matrix product as tiles B: 16 of them are columns, each third of their
// numbers has a tile.
#pragma once
#include <algorithm>

#include "columns.h"
#include "thirds.h"

namespace specache::SPECACHE_ISA {

constexpr uint32_t input_numbers = input_thirds * tile_numbers;

// All inputs of a product.
struct Inputs {
    uint32_t groups;  // of 16
    uint32_t parts;   // of a row
    uint16_t *tiles;  // [groups][parts][input_thirds][tile_numbers]
    float *sums;      // [groups][parts][16] of the columns of a part
    uint64_t part(uint32_t group, uint32_t part) const { return uint64_t(group) * parts + part; }
};

// `columns` numbers of an input, of the order of tiles, as the sum of three bf16 each; their sum.
template <Type type>
static inline float split(const float *in, uint32_t columns, __m512i *thirds) {
    static constexpr auto places = [] {  // of the high halves of 32 floats
        struct {
            uint16_t of[part_values];
        } made{};
        for (uint32_t i = 0; i < part_values; i++) {
            made.of[i] = uint16_t(2 * (column_at(type, i) % part_values) + 1);
        }
        return made;
    }();
    const __m512i order = _mm512_loadu_si512(places.of);
    Floats x[2];
    for (uint32_t half = 0; half < 2; half++) {
        uint32_t left = columns > lanes * half ? columns - lanes * half : 0;
        __mmask16 there = left >= lanes ? 0xFFFF : __mmask16((1u << left) - 1);
        x[half] = (Floats)_mm512_maskz_loadu_ps(there, in + lanes * half);
    }
    float sum = sum_of(x[0] + x[1]);
    for (uint32_t third = 0; third < input_thirds; third++) {
        __m512i low = (__m512i)next_third(x[0]), high = (__m512i)next_third(x[1]);
        thirds[third * lanes] = _mm512_maskz_permutex2var_epi16(0xFFFFFFFF, low, order, high);
    }
    return sum;
}

template <Type type>
static inline void split_group(const Project &project, const Inputs &inputs, uint32_t group) {
    uint32_t columns = project.weights.columns, first = group * lanes;
    uint32_t count = std::min(lanes, project.count - first);
    for (uint32_t part = 0; part < inputs.parts; part++) {
        __m512i thirds[input_thirds][lanes] = {};
        float sums[lanes] = {};
        uint32_t column = part * part_columns(type);
        for (uint32_t i = 0; i < count; i++) {
            sums[i] = split<type>(project.in + uint64_t(first + i) * columns + column,
                                  std::min(part_columns(type), columns - column), thirds[0] + i);
        }
        uint64_t at = inputs.part(group, part);
        std::memcpy(inputs.sums + at * lanes, sums, sizeof sums);
        for (uint32_t third = 0; third < input_thirds; third++) transpose(thirds[third]);
        std::memcpy(inputs.tiles + at * input_numbers, thirds, sizeof thirds);
    }
}

// Of a thread that gives work out, from one call to the next.
struct InputScratch {
    Inputs inputs;
    Type type = Type::f32;
    std::vector<uint16_t> tiles;
    std::vector<float> sums;
};

template <Type type>
static inline Inputs split_inputs(Stream &stream, const Project &project, InputScratch &scratch) {
    Inputs &inputs = scratch.inputs;
    if (project.again && scratch.type == type) return inputs;
    scratch.type = type;
    inputs.parts = (project.weights.columns + part_columns(type) - 1) / part_columns(type);
    inputs.groups = (project.count + lanes - 1) / lanes;
    uint64_t parts = uint64_t(inputs.groups) * inputs.parts;
    inputs.tiles = grown_aligned(scratch.tiles, parts * input_numbers);
    inputs.sums = grown_aligned(scratch.sums, parts * lanes);
    parallel_until_cancelled(stream, inputs.groups, [&](uint32_t group) {
        split_group<type>(project, inputs, group);
    });
    return inputs;
}

}  // namespace specache::SPECACHE_ISA

// project.h - what decode's matrix products share, whatever their inputs are: pieces of rows, what
// a core asks memory for, and where a sum goes.
#pragma once
#include <algorithm>

#include "../threads.h"
#include "weights.h"

namespace specache::SPECACHE_ISA {

constexpr uint32_t rows_at_a_time = 16;  // of a thread's piece in decode

// Bytes behind those at work that a core asks memory for: left to itself it looks no further ahead
// than the few blocks whose products it has begun, and a row of weights ends before the hardware
// knows its stream.
constexpr uint32_t bytes_ahead = 3072;

template <Type type>
static inline void prefetch_block(const uint8_t *block) {
    for (uint32_t byte = 0; byte < block_bytes(type); byte += 64) {
        __builtin_prefetch(block + bytes_ahead + byte);
    }
}

static inline void put(const Project &project, uint32_t input, uint32_t row, float sum) {
    float &out = project.out[uint64_t(input) * project.weights.rows + row];
    float bias = project.bias != nullptr ? project.bias[row] : 0;
    out = (project.accumulate ? out : 0) + (sum + bias);
}

// The bytes of a row.
static inline const uint8_t *row_at(const Tensor &weights, uint32_t row) {
    return static_cast<const uint8_t *>(weights.data) +
           row * weight_row_bytes(weights.type, weights.columns);
}

// Inputs of several sequences that meet what is unpacked of a row once, where registers are many:
// unpacking it is half of the work with four.
#if defined(__AVX512F__)
constexpr uint32_t inputs_held = 8;
#else
constexpr uint32_t inputs_held = 4;
#endif

// Calls dot<rows, inputs>(row, input) for neighbouring rows with neighbouring inputs, two rows at a
// time where registers hold their `Sums` vectors of each product.
template <uint32_t Sums, uint32_t Inputs, class Dot>
static inline void dot_rows(uint32_t row, uint32_t rows, uint32_t input, const Dot &dot) {
    uint32_t end = row + rows;
    if constexpr (2 * Sums * Inputs <= sums_held) {
        for (; row + 2 <= end; row += 2) dot.template operator()<2, Inputs>(row, input);
    }
    for (; row < end; row++) dot.template operator()<1, Inputs>(row, input);
}

// Rows of a piece with all inputs: its weights stay in a core's cache while all inputs meet them.
template <uint32_t Sums, class Dot>
static inline void dot_piece(uint32_t count, uint32_t row, uint32_t rows, const Dot &dot) {
    constexpr uint32_t most = std::min(4u, sums_held / Sums);
    uint32_t c = 0;
    if constexpr (inputs_held > most) {
        for (; c + inputs_held <= count; c += inputs_held) {
            dot_rows<Sums, inputs_held>(row, rows, c, dot);
        }
    }
    for (; c + most <= count; c += most) dot_rows<Sums, most>(row, rows, c, dot);
    if constexpr (most == 4) {
        if (count - c == 3) dot_rows<Sums, 3>(row, rows, c, dot);
        if (count - c == 2) dot_rows<Sums, 2>(row, rows, c, dot);
    }
    if (count - c == 1) dot_rows<Sums, 1>(row, rows, c, dot);
}

// Calls body(row, rows) for each piece, on all threads.
template <class Body>
static inline void for_pieces(Stream &stream, uint32_t rows, Body body) {
    uint32_t pieces = (rows + rows_at_a_time - 1) / rows_at_a_time;
    parallel_until_cancelled(stream, pieces, [&](uint32_t piece) {
        uint32_t row = piece * rows_at_a_time;
        body(row, rows - row < rows_at_a_time ? rows - row : rows_at_a_time);
    });
}

}  // namespace specache::SPECACHE_ISA

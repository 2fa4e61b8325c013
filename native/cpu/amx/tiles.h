// tiles.h - AMX's tiles as the matrix product uses them: 16 rows of weights meet up to 16 columns.
//
//   A [16][32] bf16       a part of 16 rows of weights: whole numbers of a block
//   B [16][16][2] bf16    the same part, by pairs, of 16 columns
//   C [16][16] f32        A B
//
// A number of 24 bits is the sum of three bf16 of 8 bits each, and a block's whole numbers have no
// more than 8: all products are exact, and only their sums round.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "../kernels/weights.h"

namespace specache::SPECACHE_ISA {

constexpr uint32_t tile_rows = 16;
constexpr uint32_t tile_floats = tile_rows * lanes;            // of C
constexpr uint32_t tile_numbers = tile_rows * 2 * lanes;       // bf16 of A or B
constexpr uint64_t tile_stride = 64;                           // bytes of a row

// Columns of a part: those that share a scale.
inline constexpr uint32_t part_columns(Type type) {
    return type == Type::q6_k ? part_values / 2 : part_values;
}

// A thread's tiles: 0 and 1 are C, 2 and 3 A, 4 to 7 B; of parts of 32 columns all are alike, and
// attention takes 0 to 3 for C. Setting them up takes as long as unpacking hundreds of weights, so
// a thread keeps them from one piece of work to the next.
class Tiles {
public:
    static void hold(uint32_t columns) {  // of a part
        if (held == columns) return;
        held = columns;
        struct {
            uint8_t palette, start, reserved[14];
            uint16_t row_bytes[16];
            uint8_t rows[16];
        } config{};
        config.palette = 1;
        for (uint32_t tile = 0; tile < 8; tile++) {
            bool of_weights = tile == 2 || tile == 3;
            config.row_bytes[tile] = uint16_t(of_weights ? columns * 2 : tile_stride);
            config.rows[tile] = uint8_t(tile < 4 ? tile_rows : columns / 2);
        }
        _tile_loadconfig(&config);
    }
    // The thread's, which is the host's: between two calls they may be others'.
    static void release() {
        if (held != 0) _tile_release();
        held = 0;
    }

private:
    static inline thread_local uint32_t held = 0;
};

// products [2][16][16] of two tiles a, each with the sum of three tiles b, the last first. Tiles b
// are read from the second-level cache: that two products share them is half of what they cost.
static inline void multiply(const uint16_t *a0, const uint16_t *a1, const uint16_t *b,
                            float *product0, float *product1) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_loadd(2, a0, tile_stride);
    _tile_loadd(3, a1, tile_stride);
    _tile_loadd(6, b + 2 * tile_numbers, tile_stride);
    _tile_dpbf16ps(0, 2, 6);
    _tile_dpbf16ps(1, 3, 6);
    _tile_loadd(5, b + tile_numbers, tile_stride);
    _tile_dpbf16ps(0, 2, 5);
    _tile_dpbf16ps(1, 3, 5);
    _tile_loadd(4, b, tile_stride);
    _tile_dpbf16ps(0, 2, 4);
    _tile_dpbf16ps(1, 3, 4);
    _tile_stored(0, product0, tile_stride);
    _tile_stored(1, product1, tile_stride);
}

// Rows become columns: 32 bits of row r, lane c go to row c, lane r.
static inline void transpose(__m512i *rows) {
    SPECACHE_UNROLL
    for (uint32_t step = 1; step <= 2; step *= 2) {  // within four lanes
        SPECACHE_UNROLL
        for (uint32_t r = 0; r < tile_rows; r++) {
            if (r & step) continue;
            __m512i a = rows[r], b = rows[r + step];
            if (step == 1) {
                rows[r] = _mm512_maskz_unpacklo_epi32(0xFFFF, a, b);
                rows[r + step] = _mm512_maskz_unpackhi_epi32(0xFFFF, a, b);
            } else {
                rows[r] = _mm512_maskz_unpacklo_epi64(0xFF, a, b);
                rows[r + step] = _mm512_maskz_unpackhi_epi64(0xFF, a, b);
            }
        }
    }
    // Now row 4 i + j holds, in its fours of lanes q, lane 4 q + place(j) of rows 4 i to 4 i + 3:
    // the places of 0 to 3 are 0, 2, 1, 3.
    __m512i out[tile_rows];
    SPECACHE_UNROLL
    for (uint32_t j = 0; j < 4; j++) {
        __m512i a = rows[j], b = rows[4 + j], c = rows[8 + j], d = rows[12 + j];
        __m512i ab = _mm512_maskz_shuffle_i32x4(0xFFFF, a, b, 0x88);   // q 0 2 of a, 0 2 of b
        __m512i cd = _mm512_maskz_shuffle_i32x4(0xFFFF, c, d, 0x88);
        __m512i ab2 = _mm512_maskz_shuffle_i32x4(0xFFFF, a, b, 0xDD);  // q 1 3
        __m512i cd2 = _mm512_maskz_shuffle_i32x4(0xFFFF, c, d, 0xDD);
        uint32_t place = (j & 1) << 1 | j >> 1;
        out[place] = _mm512_maskz_shuffle_i32x4(0xFFFF, ab, cd, 0x88);
        out[8 + place] = _mm512_maskz_shuffle_i32x4(0xFFFF, ab, cd, 0xDD);
        out[4 + place] = _mm512_maskz_shuffle_i32x4(0xFFFF, ab2, cd2, 0x88);
        out[12 + place] = _mm512_maskz_shuffle_i32x4(0xFFFF, ab2, cd2, 0xDD);
    }
    std::memcpy(rows, out, sizeof out);
}

// Scratch from the first number on that begins a line of the cache, as rows of tiles do.
constexpr uint64_t line = 64;
template <class T>
static inline T *aligned(std::vector<T> &scratch) {
    auto at = reinterpret_cast<uintptr_t>(scratch.data());
    return reinterpret_cast<T *>((at + line - 1) / line * line);
}
template <class T>
static inline T *grown_aligned(std::vector<T> &scratch, uint64_t count) {
    grown(scratch, count + line / sizeof(T));
    return aligned(scratch);
}

}  // namespace specache::SPECACHE_ISA

// pieces.cuh - rows of every stored type, eight numbers at a time.
#pragma once
#include <cuda_fp16.h>

#include "../native/dequantize.h"
#include "../native/numbers.h"
#include "block.cuh"

namespace specache::cuda {

constexpr uint32_t piece_values = 8;  // of a row, that a thread takes at once

__host__ __device__ constexpr bool in_nibbles(Type type) {
    return type == Type::q4_0 || type == Type::q4_1;
}

// Eight numbers of a row in two runs of four: the row's next eight, but with nibbles the low ones
// and the high ones of four bytes, which lie 16 columns apart.
struct Piece {
    alignas(16) float numbers[piece_values];
};
template <Type type> __device__ uint32_t piece_column(uint32_t piece) {
    return in_nibbles(type) ? piece / 4 * block_values + piece % 4 * 4 : piece * piece_values;
}
template <Type type> constexpr uint32_t second_run = in_nibbles(type) ? 16 : 4;

template <class Vector> __device__ Vector load(const void *from) {
    return *static_cast<const Vector *>(from);
}
// Four bytes of a block, whose address is even.
__device__ inline uint32_t load_word(const uint8_t *from) {
    return load<uint16_t>(from) | uint32_t(load<uint16_t>(from + 2)) << 16;
}
__device__ inline float load_half(const uint8_t *from) {
    return __half2float(__ushort_as_half(load<uint16_t>(from)));
}
__device__ inline float byte_of(uint32_t word, uint32_t i) { return float(int8_t(word >> 8 * i)); }
__device__ inline int32_t nibble_of(uint32_t word, uint32_t i) { return word >> 4 * i & 15; }

// What dequantize_number gives, in few loads. Numbers without blocks leave the caches first, since
// up to 4 inputs load each once; blocks end within what the next load has too.
template <Type type> __device__ Piece load_piece(const uint8_t *row, uint32_t piece) {
    Piece result;
    float *numbers = result.numbers;
    const uint8_t *block = row + uint64_t(piece / 4) * block_bytes(type);
    if constexpr (type == Type::f32) {
        const uint8_t *from = row + uint64_t(piece) * sizeof(float[piece_values]);
        *reinterpret_cast<float4 *>(numbers) = load_once<float4>(from);
        *reinterpret_cast<float4 *>(numbers + 4) = load_once<float4>(from + sizeof(float4));
    } else if constexpr (type == Type::f16 || type == Type::bf16) {
        uint4 words = load_once<uint4>(row + uint64_t(piece) * sizeof words);
        const uint32_t pairs[] = {words.x, words.y, words.z, words.w};
        for (uint32_t i = 0; i < piece_values; i++) {
            uint16_t bits = uint16_t(pairs[i / 2] >> i % 2 * 16);
            numbers[i] = type == Type::f16 ? __half2float(__ushort_as_half(bits))
                                           : bf16_to_float(bits);
        }
    } else if constexpr (type == Type::q8_0) {
        float scale = load_half(block);
        for (uint32_t half = 0; half < 2; half++) {
            uint32_t word = load_word(block + 2 + piece % 4 * 8 + half * 4);
            for (uint32_t i = 0; i < 4; i++) numbers[4 * half + i] = scale * byte_of(word, i);
        }
    } else {
        float scale = load_half(block), least = type == Type::q4_1 ? load_half(block + 2) : 0;
        uint32_t word = load_word(block + (type == Type::q4_0 ? 2 : 4) + piece % 4 * 4);
        for (uint32_t i = 0; i < piece_values; i++) {
            int32_t nibble = nibble_of(word, i % 4 * 2 + i / 4);
            numbers[i] = type == Type::q4_0 ? scale * float(nibble - 8)
                                            : fmaf(scale, float(nibble), least);
        }
    }
    return result;
}

// A number of a row, or of a block the integer that its scale multiplies: with q4_1, whose least
// number is another's share, nibble - 8 too.
template <Type type> __device__ float unscaled_number(const uint8_t *row, uint32_t column) {
    const uint8_t *block = row + uint64_t(column / block_values) * block_bytes(type);
    uint32_t i = column % block_values;
    if constexpr (!in_blocks(type)) return dequantize_number(type, block, i);
    if constexpr (type == Type::q8_0) return float(int8_t(block[2 + i]));
    const uint8_t *nibbles = block + (type == Type::q4_0 ? 2 : 4);
    return float((i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4) - 8);
}

}  // namespace specache::cuda

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
    return in_nibbles(type) ? piece / 4 * part_values + piece % 4 * 4 : piece * piece_values;
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

// A K-quant's part: eight of its integers as they are stored, half of them a word, and as bytes.
template <Type type> constexpr uint32_t k_words = type == Type::q4_k ? 2 : 4;
template <Type type>
__device__ void load_k_words(uint32_t (&words)[k_words<type>], const uint8_t *block, uint32_t part,
                             uint32_t first) {
    PartPlace place = part_place(type, part);
    const uint8_t *nibbles = block + place.nibbles + first, *high = block + place.high + first;
    if constexpr (type == Type::q6_k) {
        for (uint32_t w = 0; w < 2; w++) {
            words[w] = load_word(nibbles + 4 * w);
            words[2 + w] = load_word(high + 4 * w);
        }
    } else {
        uint2 two = load<uint2>(nibbles);
        words[0] = two.x, words[1] = two.y;
        if constexpr (type == Type::q5_k) {
            uint2 bits = load<uint2>(high);
            words[2] = bits.x, words[3] = bits.y;
        }
    }
}
// Integer i of the eight is byte i % 4 of word i / 4; q6_k's is 32 too large.
template <Type type>
__device__ uint32_t k_bytes(const uint32_t (&words)[k_words<type>], uint32_t part, uint32_t w) {
    PartPlace place = part_place(type, part);
    uint32_t bytes = words[w] >> place.nibble_shift & 0x0F0F0F0Fu;
    if constexpr (type != Type::q4_k) {
        bytes |= (words[2 + w] >> place.high_shift & high_mask(type) * 0x01010101u) << 4;
    }
    return bytes;
}
// Byte i as a float: 2^23 + n, exactly, less 2^23 and what is above.
__device__ inline float k_number(uint32_t bytes, uint32_t i, float above) {
    return __uint_as_float(__byte_perm(bytes, 0x4B000000u, 0x7650 + i)) - (8388608.0f + above);
}

// The scale of q4_k and q5_k's part and what is added, from a block's first 16 bytes.
__device__ inline float2 k_scale(uint4 head, uint32_t part) {
    uint32_t shift = part % 4 * 8;
    uint32_t first = head.y >> shift, second = head.z >> shift, third = head.w >> shift;
    uint32_t scale = part < 4 ? first & 63 : (third & 15) | (first >> 6 & 3) << 4;
    uint32_t least = part < 4 ? second & 63 : (third >> 4 & 15) | (second >> 6 & 3) << 4;
    float d = __half2float(__ushort_as_half(uint16_t(head.x)));
    float m = __half2float(__ushort_as_half(uint16_t(head.x >> 16)));
    return {d * float(scale), -m * float(least)};
}

template <Type type>
__device__ void load_k_piece(Piece &result, const uint8_t *row, uint32_t piece) {
    uint32_t column = piece * piece_values, part = part_of(type, column);
    const uint8_t *block = block_of(type, row, column);
    uint32_t words[k_words<type>];
    load_k_words<type>(words, block, part, column % part_values);
    float2 scale;
    if constexpr (type == Type::q6_k) {
        int8_t of_part = int8_t(block[q6_k_scales + column % block_values(type) / 16]);
        scale.x = load_half(block + q6_k_d) * float(of_part);
    } else {
        scale = k_scale(load<uint4>(block), part);
    }
    for (uint32_t i = 0; i < piece_values; i++) {
        uint32_t bytes = k_bytes<type>(words, part, i / 4);
        if constexpr (type == Type::q6_k) result.numbers[i] = scale.x * k_number(bytes, i % 4, 32);
        else result.numbers[i] = fmaf(scale.x, k_number(bytes, i % 4, 0), scale.y);
    }
}

// What dequantize_number gives, in few loads. Numbers without blocks leave the caches first, since
// up to 4 inputs load each once; blocks end within what the next load has too.
template <Type type> __device__ Piece load_piece(const uint8_t *row, uint32_t piece) {
    Piece result;
    float *numbers = result.numbers;
    const uint8_t *block = row + uint64_t(piece / 4) * block_bytes(type);
    if constexpr (is_k_quant(type)) {
        load_k_piece<type>(result, row, piece);
    } else if constexpr (type == Type::f32) {
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

// The middle of the integers of types whose least number is another's share.
template <Type type> constexpr int32_t middle = !has_least(type) ? 0 : type == Type::q5_k ? 16 : 8;

// A number of a row, or of a block what a scale of 32 columns multiplies: the integer less the
// middle; in q6_k, whose parts have two scales, the scale's and the integer's product.
template <Type type> __device__ float unscaled_number(const uint8_t *row, uint32_t column) {
    if constexpr (!in_blocks(type)) return dequantize_number(type, row, column);
    const uint8_t *block = block_of(type, row, column);
    uint32_t i = column % block_values(type);
    int32_t number = block_integer(type, block, i) - middle<type>;
    if constexpr (type == Type::q6_k) number *= int8_t(block[q6_k_scales + i / 16]);
    return float(number);
}

}  // namespace specache::cuda

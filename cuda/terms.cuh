// terms.cuh - numbers of any stored type as sums of bf16 numbers, for tensor cores. A term has 8
// bits: a float is the sum of three, fp16 of two; bf16 and integers up to 8 bits are one.
#pragma once
#include "pieces.cuh"

namespace specache::cuda {

template <Type type> constexpr uint32_t terms_of =
    type == Type::f32 ? 3 : type == Type::f16 || type == Type::q6_k ? 2 : 1;
template <Type type> constexpr uint32_t words_of =  // of a piece as it is stored
    type == Type::f32 ? 8 : type == Type::q8_0 ? 2 : in_nibbles(type) ? 1
    : is_k_quant(type) ? k_words<type> : 4;

// Eight numbers as terms, the largest first: pairs of bf16, the first of a pair in the low half.
template <uint32_t terms> struct Terms {
    uint4 of[terms];
};

// Two numbers rounded to bf16.
__device__ inline uint32_t pack(float low, float high) {
#if __CUDA_ARCH__ >= 800
    uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
#else
    return float_to_bf16(low) | uint32_t(float_to_bf16(high)) << 16;
#endif
}

// Above 3.38e38, where the first term rounds to an infinity, the others are none: the sums become
// NaN, which the engine refuses. Below 2^-110 the third term has no bits left.
template <uint32_t terms> __device__ Terms<terms> split(const float (&numbers)[piece_values]) {
    Terms<terms> result;
    uint32_t words[terms][piece_values / 2];
#pragma unroll
    for (uint32_t i = 0; i < piece_values / 2; i++) {
        float low = numbers[2 * i], high = numbers[2 * i + 1];
#pragma unroll
        for (uint32_t t = 0; t < terms; t++) {
            uint32_t both = words[t][i] = pack(low, high);
            low -= __uint_as_float(both << 16);
            high -= __uint_as_float(both & 0xFFFF0000u);
        }
    }
#pragma unroll
    for (uint32_t t = 0; t < terms; t++) {
        result.of[t] = make_uint4(words[t][0], words[t][1], words[t][2], words[t][3]);
    }
    return result;
}

// n - middle of two integers below 128 in 16 bits each: bf16 0x4300 + n is 128 + n.
template <uint32_t middle> __device__ uint32_t integer_pair(uint32_t integers) {
    uint32_t both = integers | 0x43004300u;
#if __CUDA_ARCH__ >= 800
    constexpr uint32_t one = 0x3F803F80u, minus = 0xC300C300u + middle * 0x10001u;
    asm("fma.rn.bf16x2 %0, %0, %1, %2;" : "+r"(both) : "r"(one), "r"(minus));
    return both;
#else
    constexpr float minus = 128 + middle;
    return pack(__uint_as_float(both << 16) - minus, __uint_as_float(both & 0xFFFF0000u) - minus);
#endif
}
__device__ inline uint32_t nibble_pair(uint32_t nibbles) {
    return integer_pair<8>(nibbles & 0x000F000Fu);
}
// Bytes 0 and 1, or 2 and 3, in 16 bits each.
__device__ inline uint32_t low_bytes(uint32_t word) { return __byte_perm(word, 0, 0x4140); }
__device__ inline uint32_t high_bytes(uint32_t word) { return __byte_perm(word, 0, 0x4342); }

// What unscaled_number gives of eight integers of a K-quant's part; scale: of q6_k.
template <Type type>
__device__ Terms<terms_of<type>> terms_from_part(const uint32_t (&words)[words_of<type>],
                                                 uint32_t part, int32_t scale) {
    uint32_t low = k_bytes<type>(words, part, 0), high = k_bytes<type>(words, part, 1);
    if constexpr (type == Type::q6_k) {
        float numbers[piece_values];
#pragma unroll
        for (uint32_t i = 0; i < piece_values; i++) {
            numbers[i] = k_number(i < 4 ? low : high, i % 4, 32) * float(scale);
        }
        return split<terms_of<type>>(numbers);
    } else {
        constexpr uint32_t centre = middle<type>;
        return {{make_uint4(integer_pair<centre>(low_bytes(low)),
                            integer_pair<centre>(high_bytes(low)),
                            integer_pair<centre>(low_bytes(high)),
                            integer_pair<centre>(high_bytes(high)))}};
    }
}

template <Type type>
__device__ Terms<terms_of<type>> terms_from(const uint32_t (&words)[words_of<type>]) {
    if constexpr (in_nibbles(type)) {
        uint32_t first = low_bytes(words[0]), second = high_bytes(words[0]);
        return {{make_uint4(nibble_pair(first), nibble_pair(second), nibble_pair(first >> 4),
                            nibble_pair(second >> 4))}};
    } else if constexpr (type == Type::bf16) {
        return {{make_uint4(words[0], words[1], words[2], words[3])}};
    } else {
        float numbers[piece_values];
#pragma unroll
        for (uint32_t i = 0; i < piece_values; i++) {
            if constexpr (type == Type::f32) {
                numbers[i] = __uint_as_float(words[i]);
            } else if constexpr (type == Type::f16) {
                uint16_t bits = uint16_t(words[i / 2] >> i % 2 * 16);
                numbers[i] = __half2float(__ushort_as_half(bits));
            } else {  // 2^23 + 128 + n, exactly
                uint32_t above = words[i / 4] ^ 0x80808080u;  // n + 128 in each byte
                uint32_t bits = __byte_perm(above, 0x4B000000u, 0x7650 + i % 4);
                numbers[i] = __uint_as_float(bits) - 8388736.0f;
            }
        }
        return split<terms_of<type>>(numbers);
    }
}

}  // namespace specache::cuda

// simd.h - vectors of 16 floats on every instruction set, so that the order of a sum is the same
// everywhere. avx2.h and neon.h make them of narrower registers; elsewhere GCC does.
//
// Everything lives in the instruction set's own namespace: this file is compiled once for each.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../numbers.h"

#if defined(SPECACHE_NEON)
#include "neon.h"
#elif defined(__AVX2__) && !defined(__AVX512F__)
#include "avx2.h"
#else
#if defined(__AVX512F__)
#include <immintrin.h>
#endif
#define SPECACHE_UNROLL  // the compiler sees to it

namespace specache::SPECACHE_ISA {

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));
typedef int8_t Bytes __attribute__((vector_size(16)));
typedef uint8_t Octets __attribute__((vector_size(16)));

constexpr uint32_t lanes = 16;
// Running sums of a kernel's innermost loop: AVX-512 has 32 registers.
constexpr uint32_t sums_held = 16;

// Whole numbers, widened. GCC 12 converts vectors of bytes and halves one number at a time.
static inline Ints ints_of(Bytes x) {
#if defined(__AVX512F__)
    return (Ints)_mm512_maskz_cvtepi8_epi32(0xFFFF, (__m128i)x);
#else
    return __builtin_convertvector(x, Ints);
#endif
}
static inline Ints ints_of(Octets x) {
#if defined(__AVX512F__)
    return (Ints)_mm512_maskz_cvtepu8_epi32(0xFFFF, (__m128i)x);
#else
    return __builtin_convertvector(x, Ints);
#endif
}
static inline Words words_of(Halves x) {
#if defined(__AVX512F__)
    return (Words)_mm512_maskz_cvtepu16_epi32(0xFFFF, (__m256i)x);
#else
    return __builtin_convertvector(x, Words);
#endif
}
static inline Floats floats_of(Ints x) { return __builtin_convertvector(x, Floats); }
template <class Small>
static inline Floats floats_of(Small x) {
    return __builtin_convertvector(ints_of(x), Floats);
}

static inline Floats load(const float *from) {
    Floats x;
    std::memcpy(&x, from, sizeof x);
    return x;
}
static inline void store(float *to, Floats x) { std::memcpy(to, &x, sizeof x); }
static inline Ints load(const int32_t *from) {
    Ints x;
    std::memcpy(&x, from, sizeof x);
    return x;
}
static inline Floats spread(float x) { return x - Floats{}; }
static inline Floats select(Ints holds, Floats x, Floats y) { return holds ? x : y; }
static inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }

// Lanes i and (i + half) % 16 change places.
template <uint32_t half>
static inline Floats halves_swapped(Floats x) {
    if constexpr (half == 8) {
        return __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    } else if constexpr (half == 4) {
        return __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    } else if constexpr (half == 2) {
        return __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    } else {
        return __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    }
}

// Each of four numbers in four neighbouring lanes.
static inline Floats quarters_at(const float *from) {
    Floats once{};
    std::memcpy(&once, from, 4 * sizeof *from);
    return __builtin_shufflevector(once, once, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
}

// The first half of one, the second of the other.
static inline Floats halves_joined(Floats x, Floats y) {
    return __builtin_shufflevector(x, y, 0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31);
}

// Halves are added to halves: ((8) + (8)) -> 4 -> 2 -> 1, the same tree everywhere.
static inline float sum_of(Floats x) {
    x += halves_swapped<8>(x);
    x += halves_swapped<4>(x);
    x += halves_swapped<2>(x);
    return (x + halves_swapped<1>(x))[0];
}
static inline float largest_of(Floats x) {
    x = larger(x, halves_swapped<8>(x));
    x = larger(x, halves_swapped<4>(x));
    x = larger(x, halves_swapped<2>(x));
    return larger(x, halves_swapped<1>(x))[0];
}

// Bit i: lane i is not below `least`.
static inline uint32_t not_below(Floats x, float least) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)x, (__m512)spread(least), _CMP_GE_OQ);
#else
    uint32_t bits = 0;
    for (uint32_t i = 0; i < lanes; i++) bits |= uint32_t(x[i] >= least) << i;
    return bits;
#endif
}

// sum_of() each of 16 vectors, with the same tree.
static inline Floats sums_of(const Floats *x) {
    Floats eight[8], four[4], two[2];
    for (uint32_t i = 0; i < 8; i++) {
        Floats a = x[i], b = x[i + 8];
        eight[i] =
            __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
            __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30,
                                    31);
    }
    for (uint32_t i = 0; i < 4; i++) {
        Floats a = eight[i], b = eight[i + 4];
        four[i] =
            __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26,
                                    27) +
            __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30,
                                    31);
    }
    for (uint32_t i = 0; i < 2; i++) {
        Floats a = four[i], b = four[i + 2];
        two[i] =
            __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28,
                                    29) +
            __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30,
                                    31);
    }
    Floats a = two[0], b = two[1];
    return __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14,
                                   30) +
           __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15,
                                   31);
}

// 2^n of whole n from -126 to 127.
static inline Floats power_of_two(Floats n) {
    return (Floats)((__builtin_convertvector(n, Ints) + 127) << 23);
}

static inline float half_at(const uint8_t *from) {
    uint16_t half;
    std::memcpy(&half, from, 2);
#if defined(__F16C__)
    return _cvtsh_ss(half);
#else
    return half_to_float(half);
#endif
}

// Adds w to the lanes whose bit of the mask is set.
static inline Floats masked_add(Floats sum, uint32_t mask, Floats w) {
#if defined(__AVX512F__)
    return (Floats)_mm512_mask_add_ps((__m512)sum, __mmask16(mask), (__m512)sum, (__m512)w);
#else
    const Ints bit = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    Ints set = ((int32_t(mask) - Ints{}) & bit) != 0;
    return sum + (Floats)(set & (Ints)w);
#endif
}

// 16 numbers of a row, widened.
static inline Floats widen(Type type, const uint8_t *from) {
    if (type == Type::f32) return load(reinterpret_cast<const float *>(from));
    Halves bits;
    std::memcpy(&bits, from, sizeof bits);
    if (type == Type::bf16) return (Floats)(words_of(bits) << 16);
#if defined(__AVX512F__)
    return (Floats)_mm512_maskz_cvtph_ps(0xFFFF, (__m256i)bits);
#else
    Floats wide{};
    for (uint32_t i = 0; i < lanes; i++) wide[i] = half_to_float(bits[i]);
    return wide;
#endif
}

}  // namespace specache::SPECACHE_ISA
#endif

namespace specache::SPECACHE_ISA {

// e^x for x <= 0, relative error below 2e-7; exactly 0 from -87.3 down (the least normal number).
// x = n ln 2 + r, |r| <= ln 2 / 2; ln 2 in two parts, the first short enough for n times it to be
// exact; e^r by the polynomial 1 + r + r^2 (..) of degree 6 whose largest relative error is least,
// 3.1e-9 (fitted by reweighted least squares).
static inline Floats exponential(Floats x) {
    Floats clamped = larger(x, spread(-87.3f));
    Floats n =
        (clamped * 1.44269504f + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23 rounds to integers
    Floats r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
    Floats p = spread(0.001381454f);
    p = p * r + 0.008368745f;
    p = p * r + 0.04166839f;
    p = p * r + 0.16666521f;
    p = p * r + 0.49999994f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
#if defined(__AVX512F__)
    __mmask16 normal = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(-87.3f), _CMP_GE_OQ);
    return (Floats)_mm512_maskz_scalef_ps(normal, (__m512)p, (__m512)n);  // p 2^n
#else
    return select(x < -87.3f, Floats{}, p * power_of_two(n));
#endif
}
static inline float exponential(float x) { return exponential(spread(x))[0]; }

// 16 bytes, widened.
static inline Floats bytes_at(const uint8_t *from) {
    Octets bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return floats_of(bytes);
}
static inline Floats signed_bytes_at(const int8_t *from) {
    Bytes bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return floats_of(bytes);
}

// head_dim is a multiple of 8, so a row ends in a whole vector or in half of one.
static inline void widen_row(Type type, const uint8_t *from, uint32_t count, float *to) {
    uint32_t bytes = type_bytes(type), i = 0;
    for (; i + lanes <= count; i += lanes) store(to + i, widen(type, from + i * bytes));
    for (; i < count; i++) to[i] = load_number(type, from, i);
}

// Dot product of `count` numbers of a row with floats: 16 running sums, then the tree.
static inline float dot_row(Type type, const uint8_t *row, const float *with, uint32_t count) {
    Floats sum{};
    uint32_t bytes = type_bytes(type), i = 0;
    for (; i + lanes <= count; i += lanes) sum += widen(type, row + i * bytes) * load(with + i);
    float total = sum_of(sum);
    for (; i < count; i++) total += load_number(type, row, i) * with[i];
    return total;
}

// sums[count] += weight * row.
static inline void add_row(Type type, const uint8_t *row, float weight, uint32_t count,
                           float *sums) {
    uint32_t bytes = type_bytes(type), i = 0;
    for (; i + lanes <= count; i += lanes) {
        store(sums + i, load(sums + i) + weight * widen(type, row + i * bytes));
    }
    for (; i < count; i++) sums[i] += weight * load_number(type, row, i);
}

// Scratch that only grows: after the first step nothing is allocated.
template <class T>
static inline T *grown(std::vector<T> &scratch, uint64_t count) {
    if (scratch.size() < count) scratch.resize(count);
    return scratch.data();
}

}  // namespace specache::SPECACHE_ISA

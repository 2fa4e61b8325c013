// simd.h - vectors of 16 floats on every instruction set: GCC splits them where registers are
// narrower, so the order of a sum is the same everywhere.
//
// Everything lives in the instruction set's own namespace: this file is compiled three times.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../numbers.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace specache::SPECACHE_ISA {

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));

constexpr uint32_t lanes = 16;

static inline Floats load(const float *from) {
    Floats x;
    std::memcpy(&x, from, sizeof x);
    return x;
}
static inline void store(float *to, Floats x) { std::memcpy(to, &x, sizeof x); }
static inline Floats spread(float x) { return x - Floats{}; }
static inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }

// Halves are added to halves: ((8) + (8)) -> 4 -> 2 -> 1, the same tree everywhere.
static inline float sum_of(Floats x) {
    float lane[lanes];
    store(lane, x);
    for (uint32_t half = lanes / 2; half > 0; half /= 2) {
        for (uint32_t i = 0; i < half; i++) lane[i] += lane[i + half];
    }
    return lane[0];
}
static inline float largest_of(Floats x) {
    float lane[lanes];
    store(lane, x);
    float largest = lane[0];
    for (float value : lane) largest = value > largest ? value : largest;
    return largest;
}

// e^x for x <= 0, relative error below 2e-7; exactly 0 from -87.3 down (the least normal number).
// x = n ln 2 + r, |r| <= ln 2 / 2; ln 2 in two parts, the first short enough for n times it to be
// exact; e^r by its Taylor series to r^7 / 7!, whose next term is below 5e-9.
static inline Floats exponential(Floats x) {
    Floats clamped = larger(x, spread(-87.3f));
    Floats n =
        (clamped * 1.44269504f + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23 rounds to integers
    Floats r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
    Floats p = spread(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
    Floats result = p * (Floats)power;
    return x < -87.3f ? Floats{} : result;
}
static inline float exponential(float x) { return exponential(spread(x))[0]; }

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
    if (type == Type::bf16) return (Floats)(__builtin_convertvector(bits, Words) << 16);
#if defined(__AVX512F__)
    return (Floats)_mm512_maskz_cvtph_ps(0xFFFF, (__m256i)bits);
#elif defined(__F16C__)
    float wide[lanes];
    _mm256_storeu_ps(wide,
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from))));
    _mm256_storeu_ps(wide + 8, _mm256_cvtph_ps(_mm_loadu_si128(
                                   reinterpret_cast<const __m128i *>(from + 16))));
    return load(wide);
#else
    Floats wide{};
    for (uint32_t i = 0; i < lanes; i++) wide[i] = half_to_float(bits[i]);
    return wide;
#endif
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

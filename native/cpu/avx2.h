// avx2.h - vectors of 16 numbers as two registers of AVX2, and what simd.h's other half says of
// them. As in neon.h: a vector of 64 bytes would be kept in memory, two of 32 stay in registers.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "../numbers.h"

namespace specache::SPECACHE_ISA {

typedef float Eight __attribute__((vector_size(32)));
typedef int32_t EightInts __attribute__((vector_size(32)));
typedef int8_t Bytes __attribute__((vector_size(16)));
typedef uint8_t Octets __attribute__((vector_size(16)));

// Before a loop over queries, as in neon.h.
#define SPECACHE_UNROLL _Pragma("GCC unroll 4")

constexpr uint32_t lanes = 16;
// Of 16 registers 8 hold sums: the rest is for what is added to them.
constexpr uint32_t sums_held = 4;

struct Ints {  // lanes 0..7, 8..15
    EightInts low, high;
};
struct Floats {
    Eight low, high;
    float operator[](uint32_t i) const { return i < 8 ? low[i] : high[i - 8]; }
};

static inline Floats operator+(Floats x, Floats y) { return {x.low + y.low, x.high + y.high}; }
static inline Floats operator-(Floats x, Floats y) { return {x.low - y.low, x.high - y.high}; }
static inline Floats operator*(Floats x, Floats y) { return {x.low * y.low, x.high * y.high}; }
static inline Floats operator/(Floats x, Floats y) { return {x.low / y.low, x.high / y.high}; }
static inline Floats spread(float x) {
    Eight eight = (Eight)_mm256_set1_ps(x);
    return {eight, eight};
}
static inline Floats operator+(Floats x, float y) { return x + spread(y); }
static inline Floats operator-(Floats x, float y) { return x - spread(y); }
static inline Floats operator*(Floats x, float y) { return x * spread(y); }
static inline Floats operator/(Floats x, float y) { return x / spread(y); }
static inline Floats operator+(float x, Floats y) { return spread(x) + y; }
static inline Floats operator*(float x, Floats y) { return spread(x) * y; }
static inline Floats operator-(Floats x) { return {-x.low, -x.high}; }
template <class Number>
static inline Floats &operator+=(Floats &x, Number y) { return x = x + y; }
template <class Number>
static inline Floats &operator-=(Floats &x, Number y) { return x = x - y; }
template <class Number>
static inline Floats &operator*=(Floats &x, Number y) { return x = x * y; }

// All bits of a lane are set where it holds.
static inline Ints operator>(Floats x, Floats y) { return {x.low > y.low, x.high > y.high}; }
static inline Ints operator>(Floats x, float y) { return x > spread(y); }
static inline Ints operator<(Floats x, float y) { return spread(y) > x; }
static inline Floats select(Ints holds, Floats x, Floats y) {
    return {holds.low ? x.low : y.low, holds.high ? x.high : y.high};
}
static inline Floats larger(Floats x, Floats y) { return select(x > y, x, y); }

static inline Floats load(const float *from) {
    return {(Eight)_mm256_loadu_ps(from), (Eight)_mm256_loadu_ps(from + 8)};
}
static inline void store(float *to, Floats x) {
    _mm256_storeu_ps(to, (__m256)x.low);
    _mm256_storeu_ps(to + 8, (__m256)x.high);
}

static inline Eight eight_floats(__m256i x) { return (Eight)_mm256_cvtepi32_ps(x); }
static inline Ints load(const int32_t *from) {
    return {(EightInts)_mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)),
            (EightInts)_mm256_loadu_si256(reinterpret_cast<const __m256i *>(from + 8))};
}
static inline Floats floats_of(Ints x) {
    return {eight_floats((__m256i)x.low), eight_floats((__m256i)x.high)};
}
static inline Floats floats_of(Bytes x) {
    __m128i bytes = (__m128i)x;
    return {eight_floats(_mm256_cvtepi8_epi32(bytes)),
            eight_floats(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes)))};
}
static inline Floats floats_of(Octets x) {
    __m128i bytes = (__m128i)x;
    return {eight_floats(_mm256_cvtepu8_epi32(bytes)),
            eight_floats(_mm256_cvtepu8_epi32(_mm_unpackhi_epi64(bytes, bytes)))};
}

// Lanes i and (i + half) % 16 change places, within 2 * half neighbours.
template <uint32_t half>
static inline Floats halves_swapped(Floats x) {
    if constexpr (half == 8) return {x.high, x.low};
    auto swapped = [](Eight eight) {
        __m256 of = (__m256)eight;
        if constexpr (half == 4) return (Eight)_mm256_permute2f128_ps(of, of, 0x01);
        return (Eight)_mm256_permute_ps(of, half == 2 ? 0x4E : 0xB1);
    };
    return {swapped(x.low), swapped(x.high)};
}

// Each of four numbers in four neighbouring lanes.
static inline Floats quarters_at(const float *from) {
    auto two = [](const float *x) {
        return (Eight)_mm256_setr_m128(_mm_set1_ps(x[0]), _mm_set1_ps(x[1]));
    };
    return {two(from), two(from + 2)};
}

// The first half of one, the second of the other.
static inline Floats halves_joined(Floats x, Floats y) { return {x.low, y.high}; }

// Halves are added to halves: ((8) + (8)) -> 4 -> 2 -> 1, the same tree everywhere.
static inline float sum_of(Floats x) {
    __m256 eight = (__m256)(x.low + x.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
static inline float largest_of(Floats x) {
    Eight eight = x.low > x.high ? x.low : x.high;
    __m128 four = _mm_max_ps(_mm256_castps256_ps128((__m256)eight),
                             _mm256_extractf128_ps((__m256)eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// Bit i: lane i is not below `least`.
static inline uint32_t not_below(Floats x, float least) {
    __m256 limit = _mm256_set1_ps(least);
    auto bits = [&](Eight eight) {
        return uint32_t(_mm256_movemask_ps(_mm256_cmp_ps((__m256)eight, limit, _CMP_GE_OQ)));
    };
    return bits(x.low) | bits(x.high) << 8;
}

// sum_of() each of 16 vectors, with the same tree.
static inline Floats sums_of(const Floats *x) {
    // Of two vectors four lanes each; then two of four vectors, one of eight.
    auto fours = [](Floats p, Floats q) {
        __m256 a = (__m256)(p.low + p.high), b = (__m256)(q.low + q.high);
        return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20),
                             _mm256_permute2f128_ps(a, b, 0x31));
    };
    auto twos = [](__m256 a, __m256 b) {
        return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xEE));
    };
    auto ones = [](__m256 a, __m256 b) {
        return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xDD));
    };
    auto eight = [&](const Floats *of) {  // of four in the lower half, of four in the upper
        return (Eight)ones(twos(fours(of[0], of[4]), fours(of[1], of[5])),
                           twos(fours(of[2], of[6]), fours(of[3], of[7])));
    };
    return {eight(x), eight(x + 8)};
}

// 2^n of whole n from -126 to 127.
static inline Floats power_of_two(Floats n) {
    auto of = [](Eight eight) {
        __m256i whole = _mm256_cvtps_epi32((__m256)eight);
        return (Eight)_mm256_slli_epi32(_mm256_add_epi32(whole, _mm256_set1_epi32(127)), 23);
    };
    return {of(n.low), of(n.high)};
}

static inline float half_at(const uint8_t *from) {
    uint16_t half;
    std::memcpy(&half, from, sizeof half);
    return _cvtsh_ss(half);
}

// Adds w, which is finite, to the lanes whose bit of the mask is set: a fused product with 1 or 0.
// The mask as such numbers is made once for all sums that it is added to.
static inline Floats masked_add(Floats sum, uint32_t mask, Floats w) {
    const __m256i low = {0x200000001, 0x800000004, 0x2000000010, 0x8000000040};
    auto ones = [&](__m256i bits) {
        __m256i of = _mm256_and_si256(_mm256_set1_epi32(int32_t(mask)), bits);
        return (Eight)_mm256_and_ps((__m256)_mm256_cmpeq_epi32(of, bits), _mm256_set1_ps(1));
    };
    return {ones(low) * w.low + sum.low, ones(_mm256_slli_epi32(low, 8)) * w.high + sum.high};
}

// 16 numbers of a row, widened.
static inline Floats widen(Type type, const uint8_t *from) {
    if (type == Type::f32) return load(reinterpret_cast<const float *>(from));
    __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from));
    __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from + 16));
    if (type == Type::bf16) {
        auto wide = [](__m128i bits) {
            return (Eight)_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16);
        };
        return {wide(low), wide(high)};
    }
    return {(Eight)_mm256_cvtph_ps(low), (Eight)_mm256_cvtph_ps(high)};
}

}  // namespace specache::SPECACHE_ISA

// whole_inputs.h - inputs of a decode product as whole numbers of 24 bits, so that their products
// with a block's whole numbers are exact: what they sum to depends on no order.
//
// 32 neighbouring inputs share a unit, a power of two: each is a whole number of units, of three
// digits of 8 bits with a sign, d0 + 256 d1 + 65536 d2. So the largest keeps 22 bits or more, and
// no input moves by more than its 8,355,711th part: a float32 sum loses as much.
#pragma once
#include <bit>
#include <limits>

#include "weights.h"

#if defined(__AVX512VNNI__)
namespace specache::SPECACHE_ISA {

constexpr uint32_t digits = 3;
constexpr uint32_t largest_whole = 127 * 65536 + 127 * 256 + 127;  // of three digits

// What is added to a block's whole numbers, so that none is below 0: the instruction wants weights
// without a sign.
inline constexpr int32_t raised_by(Type type) {
    return type == Type::q8_0 ? 128 : type == Type::q6_k ? 32 : type == Type::q4_0 ? 8 : 0;
}

// Runs of columns of a part that have a scale of their own.
inline constexpr uint32_t runs_of(Type type) { return type == Type::q6_k ? 2 : 1; }

struct alignas(64) WholePart {  // 32 inputs
    int32_t quads[digits][part_values / 4];  // four neighbours' digits, a byte each
    int32_t start[2][digits];  // [run] -raised_by times a digit's sum
    float unit;                // a power of two, 0 or a NaN
    float sum;                 // of all 32
};

template <class Join>
static inline int32_t joined(Ints x, Join join) {
    x = join(x, (Ints)halves_swapped<8>((Floats)x));
    x = join(x, (Ints)halves_swapped<4>((Floats)x));
    x = join(x, (Ints)halves_swapped<2>((Floats)x));
    return join(x, (Ints)halves_swapped<1>((Floats)x))[0];
}
static inline int32_t whole_sum(Ints x) {
    return joined(x, [](Ints a, Ints b) { return a + b; });
}

// A part's unit. Numbers that are all below 2^-100 count as zeros. Where one is a NaN or an
// infinity, the unit is a NaN.
static inline float unit_of(Floats low, Floats high, float &inverse) {
    auto larger_of = [](Ints a, Ints b) { return a > b ? a : b; };
    Ints bits = (Ints)low & 0x7FFFFFFF, others = (Ints)high & 0x7FFFFFFF;
    uint32_t most = uint32_t(joined(larger_of(bits, others), larger_of));
    inverse = 0;
    if (most >= 0x7F800000u) return std::numeric_limits<float>::quiet_NaN();
    if (most < std::bit_cast<uint32_t>(0x1p-100f)) return 0;
    // The largest, as 24 bits of a float, is twice as many units. Where that is above twice the
    // largest whole number, which `carry` brings to 2^24, the unit is the next.
    constexpr uint32_t carry = (1u << 24) - 1 - 2 * largest_whole;
    uint32_t exponent = (most + carry) >> 23;
    inverse = std::bit_cast<float>((276 - exponent) << 23);
    return std::bit_cast<float>((exponent - 22) << 23);
}

template <Type type>
static inline void make_whole(const float *in, WholePart &part) {
    Floats x[2] = {load(in), load(in + lanes)};
    float inverse;
    part.unit = unit_of(x[0], x[1], inverse);
    Ints whole[2], of_digit[digits][2];
    for (uint32_t half = 0; half < 2; half++) {
        Floats units = inverse == 0 ? Floats{} : x[half] * inverse;
        whole[half] = (Ints)_mm512_maskz_cvtps_epi32(0xFFFF, (__m512)units);
    }
    part.sum = part.unit * float(whole_sum(whole[0] + whole[1]));
    for (uint32_t digit = 0; digit < digits; digit++) {
        for (uint32_t half = 0; half < 2; half++) {
            Ints &number = whole[half], last = (Ints)((Words)number << 24) >> 24;
            __m128i bytes = _mm512_maskz_cvtepi32_epi8(0xFFFF, (__m512i)number);
            std::memcpy(part.quads[digit] + half * 4, &bytes, sizeof bytes);
            of_digit[digit][half] = last;
            number = (number - last) >> 8;
        }
    }
    if constexpr (raised_by(type) != 0) {
        for (uint32_t digit = 0; digit < digits; digit++) {
            Ints low = of_digit[digit][0], high = of_digit[digit][1];
            if constexpr (runs_of(type) == 1) low += high;
            part.start[0][digit] = -raised_by(type) * whole_sum(low);
            if constexpr (runs_of(type) == 1) continue;
            part.start[1][digit] = -raised_by(type) * whole_sum(high);
        }
    }
}

}  // namespace specache::SPECACHE_ISA
#endif

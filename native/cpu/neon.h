// neon.h - vectors of 16 numbers as four registers of NEON, and what simd.h's other half says of
// them. GCC keeps one vector of 64 bytes in memory where registers have 16, so that every sum of a
// loop would be stored and loaded in each turn; four vectors of 16 bytes stay in registers.
//
// Only what every CPU of ARMv8.0 has: half precision is widened, and products are fused, by its
// base.
#pragma once
#include <arm_neon.h>

#include <cstdint>
#include <cstring>

#include "../numbers.h"

// Before a loop over queries: unrolled late, GCC would keep its sums in memory.
#define SPECACHE_UNROLL _Pragma("GCC unroll 4")

namespace specache::SPECACHE_ISA {

typedef float Four __attribute__((vector_size(16)));
typedef int32_t FourInts __attribute__((vector_size(16)));
typedef int8_t Bytes __attribute__((vector_size(16)));
typedef uint8_t Octets __attribute__((vector_size(16)));

constexpr uint32_t lanes = 16;
// Of 32 registers 16 hold sums: the rest is for what is added to them.
constexpr uint32_t sums_held = 4;

struct Ints {  // lanes 0..3, 4..7, 8..11, 12..15
    FourInts a, b, c, d;
};
struct Floats {
    Four a, b, c, d;
    float operator[](uint32_t i) const {
        return i < 4 ? a[i] : i < 8 ? b[i - 4] : i < 12 ? c[i - 8] : d[i - 12];
    }
};

static inline Floats operator+(Floats x, Floats y) {
    return {x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d};
}
static inline Floats operator-(Floats x, Floats y) {
    return {x.a - y.a, x.b - y.b, x.c - y.c, x.d - y.d};
}
static inline Floats operator*(Floats x, Floats y) {
    return {x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d};
}
static inline Floats operator/(Floats x, Floats y) {
    return {x.a / y.a, x.b / y.b, x.c / y.c, x.d / y.d};
}
static inline Floats spread(float x) {
    Four four = x - Four{};
    return {four, four, four, four};
}
static inline Floats operator+(Floats x, float y) { return x + spread(y); }
static inline Floats operator-(Floats x, float y) { return x - spread(y); }
static inline Floats operator*(Floats x, float y) { return x * spread(y); }
static inline Floats operator/(Floats x, float y) { return x / spread(y); }
static inline Floats operator+(float x, Floats y) { return spread(x) + y; }
static inline Floats operator*(float x, Floats y) { return spread(x) * y; }
static inline Floats operator-(Floats x) { return {-x.a, -x.b, -x.c, -x.d}; }
template <class Number>
static inline Floats &operator+=(Floats &x, Number y) { return x = x + y; }
template <class Number>
static inline Floats &operator-=(Floats &x, Number y) { return x = x - y; }
template <class Number>
static inline Floats &operator*=(Floats &x, Number y) { return x = x * y; }

// All bits of a lane are set where it holds.
static inline Ints operator>(Floats x, Floats y) {
    return {x.a > y.a, x.b > y.b, x.c > y.c, x.d > y.d};
}
static inline Ints operator>(Floats x, float y) { return x > spread(y); }
static inline Ints operator<(Floats x, float y) { return spread(y) > x; }
static inline Floats select(Ints holds, Floats x, Floats y) {
    return {holds.a ? x.a : y.a, holds.b ? x.b : y.b, holds.c ? x.c : y.c, holds.d ? x.d : y.d};
}
static inline Floats larger(Floats x, Floats y) { return select(x > y, x, y); }

static inline Floats load(const float *from) {
    return {vld1q_f32(from), vld1q_f32(from + 4), vld1q_f32(from + 8), vld1q_f32(from + 12)};
}
static inline void store(float *to, Floats x) {
    vst1q_f32(to, x.a);
    vst1q_f32(to + 4, x.b);
    vst1q_f32(to + 8, x.c);
    vst1q_f32(to + 12, x.d);
}

static inline Ints load(const int32_t *from) {
    return {vld1q_s32(from), vld1q_s32(from + 4), vld1q_s32(from + 8), vld1q_s32(from + 12)};
}
static inline Floats floats_of(Ints x) {
    return {vcvtq_f32_s32(x.a), vcvtq_f32_s32(x.b), vcvtq_f32_s32(x.c), vcvtq_f32_s32(x.d)};
}
static inline Floats floats_of(Bytes x) {
    int8x16_t bytes = (int8x16_t)x;
    int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))};
}
static inline Floats floats_of(Octets x) {
    uint8x16_t bytes = (uint8x16_t)x;
    uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_high_u8(bytes);
    return {vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_high_u16(low)),
            vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_high_u16(high))};
}

// Lanes i and (i + half) % 16 change places, within 2 * half neighbours.
template <uint32_t half>
static inline Floats halves_swapped(Floats x) {
    if constexpr (half == 8) return {x.c, x.d, x.a, x.b};
    else if constexpr (half == 4) return {x.b, x.a, x.d, x.c};
    else if constexpr (half == 2) {
        return {vextq_f32(x.a, x.a, 2), vextq_f32(x.b, x.b, 2), vextq_f32(x.c, x.c, 2),
                vextq_f32(x.d, x.d, 2)};
    } else {
        return {vrev64q_f32(x.a), vrev64q_f32(x.b), vrev64q_f32(x.c), vrev64q_f32(x.d)};
    }
}

// Each of four numbers in four neighbouring lanes.
static inline Floats quarters_at(const float *from) {
    return {vdupq_n_f32(from[0]), vdupq_n_f32(from[1]), vdupq_n_f32(from[2]), vdupq_n_f32(from[3])};
}

// The first half of one, the second of the other.
static inline Floats halves_joined(Floats x, Floats y) { return {x.a, x.b, y.c, y.d}; }

// Halves are added to halves: ((8) + (8)) -> 4 -> 2 -> 1, the same tree everywhere.
static inline float sum_of(Floats x) {
    Four four = (x.a + x.c) + (x.b + x.d);
    Four two = four + vextq_f32(four, four, 2);
    return two[0] + two[1];
}
static inline float largest_of(Floats x) {
    auto of = [](Four p, Four q) { return p > q ? p : q; };
    Four four = of(of(x.a, x.c), of(x.b, x.d));
    Four two = of(four, vextq_f32(four, four, 2));
    return two[0] > two[1] ? two[0] : two[1];
}

// Bit i: lane i is not below `least`.
static inline uint32_t not_below(Floats x, float least) {
    const uint32x4_t bits = {1, 2, 4, 8};
    float32x4_t limit = vdupq_n_f32(least);
    uint32x4_t a = vandq_u32(vcgeq_f32(x.a, limit), bits);
    uint32x4_t b = vandq_u32(vcgeq_f32(x.b, limit), vshlq_n_u32(bits, 4));
    uint32x4_t c = vandq_u32(vcgeq_f32(x.c, limit), vshlq_n_u32(bits, 8));
    uint32x4_t d = vandq_u32(vcgeq_f32(x.d, limit), vshlq_n_u32(bits, 12));
    return vaddvq_u32(vorrq_u32(vorrq_u32(a, b), vorrq_u32(c, d)));
}

// sum_of() each of 16 vectors, with the same tree.
static inline Floats sums_of(const Floats *x) {
    Floats eight[8], four[4], two[2];
    for (uint32_t i = 0; i < 8; i++) {
        Floats p = x[i], q = x[i + 8];
        eight[i] = {p.a + p.c, p.b + p.d, q.a + q.c, q.b + q.d};
    }
    for (uint32_t i = 0; i < 4; i++) {
        Floats p = eight[i], q = eight[i + 4];
        four[i] = {p.a + p.b, q.a + q.b, p.c + p.d, q.c + q.d};
    }
    auto pairs = [](Four p, Four q) {
        return (Four)vzip1q_u64((uint64x2_t)p, (uint64x2_t)q) +
               (Four)vzip2q_u64((uint64x2_t)p, (uint64x2_t)q);
    };
    for (uint32_t i = 0; i < 2; i++) {
        Floats p = four[i], q = four[i + 2];
        two[i] = {pairs(p.a, q.a), pairs(p.b, q.b), pairs(p.c, q.c), pairs(p.d, q.d)};
    }
    auto ones = [](Four p, Four q) { return vtrn1q_f32(p, q) + vtrn2q_f32(p, q); };
    Floats p = two[0], q = two[1];
    return {ones(p.a, q.a), ones(p.b, q.b), ones(p.c, q.c), ones(p.d, q.d)};
}

// 2^n of whole n from -126 to 127.
static inline Floats power_of_two(Floats n) {
    auto of = [](Four four) {
        return (Four)vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(four), vdupq_n_s32(127)), 23);
    };
    return {of(n.a), of(n.b), of(n.c), of(n.d)};
}

static inline float half_at(const uint8_t *from) {
    __fp16 half;
    std::memcpy(&half, from, sizeof half);
    return float(half);
}

// Adds w, which is finite, to the lanes whose bit of the mask is set: w times 1 or 0 and the sum
// are rounded once. The mask as ones and zeroes is made once for all sums that it is added to.
static inline Floats masked_add(Floats sum, uint32_t mask, Floats w) {
    const uint32x4_t bits = {1, 2, 4, 8}, one = vreinterpretq_u32_f32(vdupq_n_f32(1));
    uint32x4_t all = vdupq_n_u32(mask);
    auto factor = [&](uint32x4_t bit) {
        return vreinterpretq_f32_u32(vandq_u32(vtstq_u32(all, bit), one));
    };
    return {vfmaq_f32(sum.a, w.a, factor(bits)),
            vfmaq_f32(sum.b, w.b, factor(vshlq_n_u32(bits, 4))),
            vfmaq_f32(sum.c, w.c, factor(vshlq_n_u32(bits, 8))),
            vfmaq_f32(sum.d, w.d, factor(vshlq_n_u32(bits, 12)))};
}

// 16 numbers of a row, widened.
static inline Floats widen(Type type, const uint8_t *from) {
    if (type == Type::f32) return load(reinterpret_cast<const float *>(from));
    uint16x8_t low = vreinterpretq_u16_u8(vld1q_u8(from));
    uint16x8_t high = vreinterpretq_u16_u8(vld1q_u8(from + 16));
    if (type == Type::bf16) {
        auto wide = [](uint32x4_t bits) { return vreinterpretq_f32_u32(bits); };
        return {wide(vshll_n_u16(vget_low_u16(low), 16)), wide(vshll_high_n_u16(low, 16)),
                wide(vshll_n_u16(vget_low_u16(high), 16)), wide(vshll_high_n_u16(high, 16))};
    }
    float16x8_t first = vreinterpretq_f16_u16(low), second = vreinterpretq_f16_u16(high);
    return {vcvt_f32_f16(vget_low_f16(first)), vcvt_high_f32_f16(first),
            vcvt_f32_f16(vget_low_f16(second)), vcvt_high_f32_f16(second)};
}

}  // namespace specache::SPECACHE_ISA

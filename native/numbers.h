// numbers.h - 16-bit numbers as floats and back, in plain integer arithmetic: the same on every
// CPU. Internal linkage: see rotation.h.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

#include "kernels.h"

namespace specache {

SPECACHE_BOTH static inline float bf16_to_float(uint16_t bits) {
    return std::bit_cast<float>(uint32_t(bits) << 16);
}

// Nearest, ties to even; a NaN stays one, whatever its low bits.
SPECACHE_BOTH static inline uint16_t float_to_bf16(float value) {
    uint32_t bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return uint16_t(bits >> 16 | 0x40u);
    return uint16_t((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

SPECACHE_BOTH static inline float half_to_float(uint16_t half) {
    uint32_t sign = uint32_t(half & 0x8000u) << 16, rest = half & 0x7FFFu;
    if (rest >= 0x7C00u) return std::bit_cast<float>(sign | 0x7F800000u | (rest & 0x3FFu) << 13);
    if (rest >= 0x0400u) return std::bit_cast<float>(sign | ((rest << 13) + 0x38000000u));
    float subnormal = float(rest) * 0x1p-24f;  // exact
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(subnormal));
}

// Nearest, ties to even; from 65,520 on infinity.
SPECACHE_BOTH static inline uint16_t float_to_half(float value) {
    uint32_t bits = std::bit_cast<uint32_t>(value), sign = bits >> 16 & 0x8000u;
    uint32_t rest = bits & 0x7FFFFFFFu;
    if (rest > 0x7F800000u) return uint16_t(sign | 0x7E00u);
    if (rest >= 0x477FF000u) return uint16_t(sign | 0x7C00u);
    if (rest < 0x38800000u) {  // below 2^-14: a multiple of 2^-24, which adding 0.5 rounds to
        float rounded = std::bit_cast<float>(rest) + 0.5f;
        return uint16_t(sign | (std::bit_cast<uint32_t>(rounded) - 0x3F000000u));
    }
    return uint16_t(sign | ((rest + 0xFFFu + (rest >> 13 & 1u) - 0x38000000u) >> 13));
}

SPECACHE_BOTH static inline float load_number(Type type, const void *base, uint64_t index) {
    if (type == Type::f32) return static_cast<const float *>(base)[index];
    uint16_t bits = static_cast<const uint16_t *>(base)[index];
    return type == Type::f16 ? half_to_float(bits) : bf16_to_float(bits);
}

SPECACHE_BOTH static inline void store_number(Type type, void *base, uint64_t index, float value) {
    if (type == Type::f32) static_cast<float *>(base)[index] = value;
    else static_cast<uint16_t *>(base)[index] =
        type == Type::f16 ? float_to_half(value) : float_to_bf16(value);
}

}  // namespace specache

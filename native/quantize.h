// quantize.h - inputs of a matrix product rounded to 8 bits, 32 neighbours at a time: what
// `activations: "int8"` means. No sum, so that every instruction set rounds alike.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "dequantize.h"

namespace specache {

// Whether weights of the type meet inputs of 8 bits; others have inputs as they are.
inline constexpr bool has_int8(Type type) { return in_blocks(type); }

// in, out: [32]; in[i] is about the returned scale * out[i], |out[i]| <= 127, ties to even. Where
// one is a NaN or an infinity the scale is a NaN. Numbers that are all below 2^-100 count as zeros,
// since 127 over the largest must be finite.
static inline float quantize_part(const float *in, int8_t *out) {
    uint32_t largest = 0;  // bits of the largest magnitude
    for (uint32_t i = 0; i < part_values; i++) {
        uint32_t bits = std::bit_cast<uint32_t>(in[i]) & 0x7FFFFFFFu;
        largest = bits > largest ? bits : largest;
    }
    float most = std::bit_cast<float>(largest);
    if (largest >= 0x7F800000u || most < 0x1p-100f) {
        for (uint32_t i = 0; i < part_values; i++) out[i] = 0;
        return largest >= 0x7F800000u ? std::numeric_limits<float>::quiet_NaN() : 0;
    }
    float inverse = 127 / most;
    for (uint32_t i = 0; i < part_values; i++) {
        out[i] = int8_t(std::nearbyintf(in[i] * inverse));
    }
    return most / 127;
}

}  // namespace specache

// dequantize.h - one row of a weight tensor as floats, one number at a time: the plain truth that
// the kernels' own loaders are tested against.
//
// Blocks are llama.cpp's: 32 values of a row, little-endian, no padding, at any alignment.
//   q8_0, 34 bytes: fp16 d, i8 [32]; value i is d * q[i]
//   q4_0, 18 bytes: fp16 d, u8 [16]; value i < 16 is d * (low nibble of byte i - 8), value i + 16
//     takes the high nibble
//   q4_1, 20 bytes: fp16 d, fp16 m, u8 [16]; value i is d * nibble + m, nibbles as in q4_0
// Those of K-quants have 256 values, 8 parts of 32. i is the value's place in its part p:
//   q4_k, 144 bytes: fp16 d, fp16 m, u8 [12], u8 [4][32]; the value is d * scale * q - m * least,
//     where q is a nibble of byte i of run p / 2, the low one if p is even; scale and least have 6
//     bits: those of part p < 4 are the low bits of bytes p and p + 4 of the 12; of part p + 4 the
//     low 4 bits are the nibbles of byte p + 8, the high ones the top 2 bits of the same two bytes
//   q5_k, 176 bytes: as q4_k, but before the nibbles u8 [32], whose byte i holds q's bit 4 as bit p
//   q6_k, 210 bytes: u8 [2][64], u8 [2][32], i8 [16] scale, fp16 d; the value is
//     d * scale[2 p + i / 16] * (q - 32); q's nibble is in byte i + p % 2 * 32 of run p / 4, the
//     low one if p % 4 < 2; its bits 4 and 5 are bits 2 (p % 4) and above of byte i of the second
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels.h"
#include "numbers.h"

namespace specache {

constexpr uint32_t part_values = 32;  // a block, or one of the 8 parts of a K-quant's

SPECACHE_BOTH inline constexpr bool in_blocks(Type type) { return type >= Type::q8_0; }
SPECACHE_BOTH inline constexpr bool is_k_quant(Type type) { return type >= Type::q4_k; }
// Whether a second number, beside the scale's, is added to each.
SPECACHE_BOTH inline constexpr bool has_least(Type type) {
    return type == Type::q4_1 || type == Type::q4_k || type == Type::q5_k;
}

SPECACHE_BOTH inline constexpr uint32_t block_values(Type type) {
    return is_k_quant(type) ? 8 * part_values : part_values;
}

// Bytes of a block; of the 32 numbers that stand in for one where a type has no blocks.
SPECACHE_BOTH inline constexpr uint32_t block_bytes(Type type) {
    switch (type) {
        case Type::f32: return 4 * part_values;
        case Type::f16: return 2 * part_values;
        case Type::bf16: return 2 * part_values;
        case Type::q8_0: return 2 + part_values;
        case Type::q4_0: return 2 + part_values / 2;
        case Type::q4_1: return 4 + part_values / 2;
        case Type::q4_k: return 4 + 12 + 128;
        case Type::q5_k: return 4 + 12 + 32 + 128;
        case Type::q6_k: return 128 + 64 + 16 + 2;
    }
    return 0;
}

// Bytes of one row; `columns` is a multiple of block_values for types with blocks.
SPECACHE_BOTH inline uint64_t weight_row_bytes(Type type, uint32_t columns) {
    return uint64_t(columns) * block_bytes(type) / block_values(type);
}

// The block of a row that holds a column, and which of its parts does.
SPECACHE_BOTH inline const uint8_t *block_of(Type type, const uint8_t *row, uint32_t column) {
    return row + uint64_t(column / block_values(type)) * block_bytes(type);
}
SPECACHE_BOTH inline uint32_t part_of(Type type, uint32_t column) {
    return column % block_values(type) / part_values;
}

// Internal linkage in all that follows: files compiled for several instruction sets include this,
// and the linker must not give one of them another's version.
template <class Number>
SPECACHE_BOTH static inline Number load_unaligned(const uint8_t *from) {
    Number number;
    std::memcpy(&number, from, sizeof number);
    return number;
}

// Where the parts of a K-quant's integers lie: the nibbles of value 0 of part p, and their higher
// bits, each with how far a byte is shifted down.
struct PartPlace {
    uint32_t nibbles, nibble_shift;  // bytes from the block's start, bits
    uint32_t high, high_shift;
};
SPECACHE_BOTH static inline constexpr PartPlace part_place(Type type, uint32_t p) {
    if (type == Type::q6_k) {
        return {p / 4 * 64 + p % 2 * 32, p % 4 / 2 * 4, 128 + p / 4 * 32, p % 4 * 2};
    }
    return {(type == Type::q4_k ? 16u : 48u) + p / 2 * 32, p % 2 * 4, 16, p};
}
SPECACHE_BOTH static inline constexpr uint32_t high_mask(Type type) {
    return type == Type::q6_k ? 3 : type == Type::q5_k ? 1 : 0;
}
constexpr uint32_t q6_k_scales = 192, q6_k_d = 208;  // bytes from the block's start

// The 6 bits each of a part's scale and least, q4_k and q5_k. bytes: the block's 12.
struct PartScale {
    uint32_t scale, least;
};
SPECACHE_BOTH static inline PartScale part_scale(const uint8_t *bytes, uint32_t p) {
    if (p < 4) return {bytes[p] & 63u, bytes[p + 4] & 63u};
    uint32_t low = bytes[p + 4];
    return {(low & 15u) | bytes[p - 4] >> 6 << 4, low >> 4 | bytes[p] >> 6 << 4};
}

// What the scale and, in K-quants, the part's scale multiply: an integer of up to 8 bits.
SPECACHE_BOTH static inline int32_t block_integer(Type type, const uint8_t *block, uint32_t i) {
    if (type == Type::q8_0) return int8_t(block[2 + i]);
    if (!is_k_quant(type)) {
        const uint8_t *nibbles = block + (type == Type::q4_0 ? 2 : 4);
        int32_t nibble = i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4;
        return type == Type::q4_0 ? nibble - 8 : nibble;
    }
    PartPlace place = part_place(type, i / part_values);
    uint32_t at = i % part_values;
    int32_t q = block[place.nibbles + at] >> place.nibble_shift & 15;
    if (type == Type::q4_k) return q;
    q |= int32_t(block[place.high + at] >> place.high_shift & high_mask(type)) << 4;
    return type == Type::q6_k ? q - 32 : q;
}

// Products of scales and integers have 23 bits at most, so that q4_1, q4_k and q5_k round once, as
// they add, and the others never.
SPECACHE_BOTH static inline float dequantize_number(Type type, const uint8_t *row,
                                                    uint32_t column) {
    const uint8_t *block = block_of(type, row, column);
    uint32_t i = column % block_values(type);
    if (type == Type::f32) return load_unaligned<float>(block + 4 * i);
    if (type == Type::f16) return half_to_float(load_unaligned<uint16_t>(block + 2 * i));
    if (type == Type::bf16) return bf16_to_float(load_unaligned<uint16_t>(block + 2 * i));
    float q = float(block_integer(type, block, i));
    if (type == Type::q6_k) {
        float scale = float(int8_t(block[q6_k_scales + i / 16]));
        return half_to_float(load_unaligned<uint16_t>(block + q6_k_d)) * scale * q;
    }
    float d = half_to_float(load_unaligned<uint16_t>(block));
    if (!has_least(type)) return d * q;
    float m = half_to_float(load_unaligned<uint16_t>(block + 2));
    if (type == Type::q4_1) return d * q + m;
    PartScale part = part_scale(block + 4, i / part_values);
    return d * float(part.scale) * q - m * float(part.least);
}

// row: the bytes of one row; out: [columns].
static inline void dequantize_row(Type type, const void *row, uint32_t columns, float *out) {
    const uint8_t *bytes = static_cast<const uint8_t *>(row);
    for (uint32_t i = 0; i < columns; i++) out[i] = dequantize_number(type, bytes, i);
}

}  // namespace specache

// dequantize.h - one row of a weight tensor as floats, one number at a time: the plain truth that
// the kernels' own loaders are tested against.
//
// Blocks are llama.cpp's: 32 values of a row, little-endian, no padding, at any alignment.
//   q8_0, 34 bytes: fp16 d, i8 [32]; value i is d * q[i]
//   q4_0, 18 bytes: fp16 d, u8 [16]; value i < 16 is d * (low nibble of byte i - 8), value i + 16
//     takes the high nibble
//   q4_1, 20 bytes: fp16 d, fp16 m, u8 [16]; value i is d * nibble + m, nibbles as in q4_0
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels.h"
#include "numbers.h"

namespace specache {

constexpr uint32_t block_values = 32;

SPECACHE_BOTH inline constexpr bool in_blocks(Type type) {
    return type == Type::q8_0 || type == Type::q4_0 || type == Type::q4_1;
}

// Bytes of a block; of the 32 numbers that stand in for one where a type has no blocks.
SPECACHE_BOTH inline constexpr uint32_t block_bytes(Type type) {
    switch (type) {
        case Type::f32: return 4 * block_values;
        case Type::f16: return 2 * block_values;
        case Type::bf16: return 2 * block_values;
        case Type::q8_0: return 2 + block_values;
        case Type::q4_0: return 2 + block_values / 2;
        case Type::q4_1: return 4 + block_values / 2;
    }
    return 0;
}

// Bytes of one row; `columns` is a multiple of 32 for types with blocks.
SPECACHE_BOTH inline uint64_t weight_row_bytes(Type type, uint32_t columns) {
    return uint64_t(columns) * block_bytes(type) / block_values;
}

// Internal linkage in all that follows: files compiled for several instruction sets include this,
// and the linker must not give one of them another's version.
template <class Number>
SPECACHE_BOTH static inline Number load_unaligned(const uint8_t *from) {
    Number number;
    std::memcpy(&number, from, sizeof number);
    return number;
}

SPECACHE_BOTH static inline float dequantize_number(Type type, const uint8_t *block, uint32_t i) {
    if (type == Type::f32) return load_unaligned<float>(block + 4 * i);
    if (type == Type::f16) return half_to_float(load_unaligned<uint16_t>(block + 2 * i));
    if (type == Type::bf16) return bf16_to_float(load_unaligned<uint16_t>(block + 2 * i));
    float d = half_to_float(load_unaligned<uint16_t>(block));
    if (type == Type::q8_0) return d * float(int8_t(block[2 + i]));
    const uint8_t *nibbles = block + (type == Type::q4_0 ? 2 : 4);
    int32_t nibble = i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4;
    if (type == Type::q4_0) return d * float(nibble - 8);
    return d * float(nibble) + half_to_float(load_unaligned<uint16_t>(block + 2));
}

// row: the bytes of one row; out: [columns].
static inline void dequantize_row(Type type, const void *row, uint32_t columns, float *out) {
    const uint8_t *bytes = static_cast<const uint8_t *>(row);
    for (uint32_t i = 0; i < columns; i++) {
        const uint8_t *block = bytes + uint64_t(i / block_values) * block_bytes(type);
        out[i] = dequantize_number(type, block, i % block_values);
    }
}

}  // namespace specache

// weights.h - weights of each stored format as vectors of floats; blocks as native/dequantize.h
// says.
#pragma once
#include "../../dequantize.h"
#include "../simd.h"

namespace specache::SPECACHE_ISA {

typedef int8_t Bytes __attribute__((vector_size(16)));
typedef uint8_t Octets __attribute__((vector_size(16)));

struct Pair {  // 32 neighbouring columns
    Floats low, high;
};

static inline float half_of(const uint8_t *from) {
    uint16_t half;
    std::memcpy(&half, from, 2);
#if defined(__F16C__)
    return _cvtsh_ss(half);
#else
    return half_to_float(half);
#endif
}

// By way of integers: straight from bytes GCC 12 converts one number at a time.
template <class Vector>
static inline Floats floats_of(Vector bytes) {
    return __builtin_convertvector(__builtin_convertvector(bytes, Ints), Floats);
}

// The 32 columns from `block` on: a block of the types that have blocks.
template <Type type>
static inline Pair load_block(const uint8_t *block) {
    if constexpr (type == Type::q8_0) {
        Bytes low, high;
        std::memcpy(&low, block + 2, 16);
        std::memcpy(&high, block + 18, 16);
        float d = half_of(block);
        return {d * floats_of(low), d * floats_of(high)};
    } else if constexpr (type == Type::q4_0 || type == Type::q4_1) {
        Octets nibbles;
        std::memcpy(&nibbles, block + (type == Type::q4_0 ? 2 : 4), 16);
        float d = half_of(block);
        Floats low = floats_of(nibbles & 15), high = floats_of(nibbles >> 4);
        if constexpr (type == Type::q4_0) return {d * (low - 8.0f), d * (high - 8.0f)};
        float m = half_of(block + 2);
        return {d * low + m, d * high + m};
    } else {
        return {widen(type, block), widen(type, block + 16 * type_bytes(type))};
    }
}

// `count` columns of a row from `column` on (a multiple of 32) as floats.
template <Type type>
static inline void widen_weights(const uint8_t *row, uint32_t column, uint32_t count, float *out) {
    const uint8_t *block = row + uint64_t(column / block_values) * block_bytes(type);
    uint32_t i = 0;
    for (; i + block_values <= count; i += block_values, block += block_bytes(type)) {
        Pair pair = load_block<type>(block);
        store(out + i, pair.low);
        store(out + i + lanes, pair.high);
    }
    for (; i < count; i++) out[i] = dequantize_number(type, block, i % block_values);
}

// Calls body with the type as a constant.
template <class Body>
static inline void with_type(Type type, Body body) {
    switch (type) {
    case Type::f32: return body.template operator()<Type::f32>();
    case Type::f16: return body.template operator()<Type::f16>();
    case Type::bf16: return body.template operator()<Type::bf16>();
    case Type::q8_0: return body.template operator()<Type::q8_0>();
    case Type::q4_0: return body.template operator()<Type::q4_0>();
    case Type::q4_1: return body.template operator()<Type::q4_1>();
    }
}

}  // namespace specache::SPECACHE_ISA

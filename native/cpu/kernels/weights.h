// weights.h - weights of each stored format as vectors of floats; blocks as native/dequantize.h
// says.
#pragma once
#include <type_traits>
#include <utility>

#include "../../dequantize.h"
#include "../simd.h"

namespace specache::SPECACHE_ISA {

struct Pair {  // 32 neighbouring columns
    Floats low, high;
};

// Two neighbouring halves, each in all lanes.
static inline Pair halves_at(const uint8_t *from) {
#if defined(__AVX512F__)
    int32_t both;
    std::memcpy(&both, from, sizeof both);
    __m512 numbers = _mm512_maskz_cvtph_ps(0xFFFF, _mm256_set1_epi32(both));
    return {(Floats)_mm512_maskz_moveldup_ps(0xFFFF, numbers),
            (Floats)_mm512_maskz_movehdup_ps(0xFFFF, numbers)};
#else
    return {spread(half_at(from)), spread(half_at(from + 2))};
#endif
}

// scale * nibble + least of 16 bytes' low nibbles, or of their high ones. AVX-512 looks the numbers
// up: they are 16.
template <uint32_t shift>
static inline Floats scaled_nibbles(Octets bytes, Floats scale, Floats least) {
#if defined(__AVX512F__)
    const Floats nibbles = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    Floats numbers = scale * nibbles + least;
    // The permutation reads four bits of each index and no more.
    return (Floats)_mm512_maskz_permutexvar_ps(0xFFFF, (__m512i)(ints_of(bytes) >> int32_t(shift)),
                                               (__m512)numbers);
#else
    return scale * floats_of(Octets(bytes >> uint8_t(shift) & 15)) + least;
#endif
}

// Part `part` of a K-quant's block.
template <Type type>
static inline Pair load_part(const uint8_t *block, uint32_t part) {
    PartPlace place = part_place(type, part);
    Octets nibbles[2], high[2];
    std::memcpy(nibbles, block + place.nibbles, sizeof nibbles);
    if constexpr (type == Type::q4_k) {
        PartScale numbers = part_scale(block + 4, part);
        Pair of_block = halves_at(block);
        Floats scale = of_block.low * float(numbers.scale);
        Floats least = of_block.high * -float(numbers.least);
        if (place.nibble_shift == 0) {
            return {scaled_nibbles<0>(nibbles[0], scale, least),
                    scaled_nibbles<0>(nibbles[1], scale, least)};
        }
        return {scaled_nibbles<4>(nibbles[0], scale, least),
                scaled_nibbles<4>(nibbles[1], scale, least)};
    }
    std::memcpy(high, block + place.high, sizeof high);
    Floats q[2];
    for (uint32_t half = 0; half < 2; half++) {
        Octets integers = nibbles[half] >> uint8_t(place.nibble_shift) & 15;
        integers |= (high[half] >> uint8_t(place.high_shift) & uint8_t(high_mask(type))) << 4;
        q[half] = floats_of(integers);
    }
    if constexpr (type == Type::q6_k) {
        float d = half_at(block + q6_k_d);
        const uint8_t *scales = block + q6_k_scales + 2 * part;
        float low = d * float(int8_t(scales[0])), above = d * float(int8_t(scales[1]));
        return {low * (q[0] - 32.0f), above * (q[1] - 32.0f)};
    }
    PartScale numbers = part_scale(block + 4, part);
    float scale = half_at(block) * float(numbers.scale);
    float least = half_at(block + 2) * float(numbers.least);
    return {scale * q[0] - least, scale * q[1] - least};
}

// 32 columns: part `part` of a block of the types that have blocks.
template <Type type>
static inline Pair load_block(const uint8_t *block, uint32_t part) {
    if constexpr (is_k_quant(type)) {
        return load_part<type>(block, part);
    } else if constexpr (type == Type::q8_0) {
        Bytes low, high;
        std::memcpy(&low, block + 2, 16);
        std::memcpy(&high, block + 18, 16);
        float d = half_at(block);
        return {d * floats_of(low), d * floats_of(high)};
    } else if constexpr (type == Type::q4_0 || type == Type::q4_1) {
        Octets nibbles;
        std::memcpy(&nibbles, block + (type == Type::q4_0 ? 2 : 4), 16);
        Pair numbers = halves_at(block);  // of q4_0 only the first is one
        if constexpr (type == Type::q4_0) numbers.high = -8 * numbers.low;
        return {scaled_nibbles<0>(nibbles, numbers.low, numbers.high),
                scaled_nibbles<4>(nibbles, numbers.low, numbers.high)};
    } else {
        return {widen(type, block), widen(type, block + 16 * type_bytes(type))};
    }
}

// Calls body with the number of each part of a block as a constant.
template <Type type, class Body>
static inline void with_parts(Body body) {
    constexpr uint32_t parts = block_values(type) / part_values;
    [&]<uint32_t... part>(std::integer_sequence<uint32_t, part...>) {
        (body(std::integral_constant<uint32_t, part>{}), ...);
    }(std::make_integer_sequence<uint32_t, parts>{});
}

// `count` columns of a row from `column` on (a multiple of 32) as floats.
template <Type type>
static inline void widen_weights(const uint8_t *row, uint32_t column, uint32_t count, float *out) {
    uint32_t i = 0;
    for (; i + part_values <= count; i += part_values) {
        uint32_t at = column + i;
        Pair pair = load_block<type>(block_of(type, row, at), part_of(type, at));
        store(out + i, pair.low);
        store(out + i + lanes, pair.high);
    }
    for (; i < count; i++) out[i] = dequantize_number(type, row, column + i);
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
    case Type::q4_k: return body.template operator()<Type::q4_k>();
    case Type::q5_k: return body.template operator()<Type::q5_k>();
    case Type::q6_k: return body.template operator()<Type::q6_k>();
    }
}

}  // namespace specache::SPECACHE_ISA

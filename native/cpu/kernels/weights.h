// weights.h - weights of each stored format as vectors of floats; blocks as native/dequantize.h
// says.
#pragma once
#include <type_traits>
#include <utility>

#include "../../dequantize.h"
#include "../simd.h"

namespace specache::SPECACHE_ISA {

// Of what is unpacked once for a block: GCC splits them where registers are narrower.
typedef uint32_t Words __attribute__((vector_size(64)));
typedef int8_t Bytes64 __attribute__((vector_size(64)));

// 32 bytes, and again.
static inline Words words_twice(const uint8_t *from) {
    uint32_t __attribute__((vector_size(32))) once;
    std::memcpy(&once, from, sizeof once);
    return __builtin_shufflevector(once, once, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);
}

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

// What the parts of a block share, made once for all of them. Other types read their blocks as they
// are.
template <Type type>
struct Unpacked {
    explicit Unpacked(const uint8_t *) {}
};

// Scales of q4_k and q5_k, then negated leasts, of parts 0 to 7.
static inline Floats part_numbers(const uint8_t *block) {
    uint32_t words[3], parts[4];  // bytes of part p: scales in 0 and 1, leasts in 2 and 3
    std::memcpy(words, block + 4, sizeof words);
    parts[0] = words[0] & 0x3F3F3F3Fu;
    parts[1] = (words[2] & 0x0F0F0F0Fu) | (words[0] >> 2 & 0x30303030u);
    parts[2] = words[1] & 0x3F3F3F3Fu;
    parts[3] = (words[2] >> 4 & 0x0F0F0F0Fu) | (words[1] >> 2 & 0x30303030u);
    Octets bytes;
    std::memcpy(&bytes, parts, sizeof bytes);
    Pair of_block = halves_at(block);
    Floats both = halves_joined(of_block.low, -of_block.high);
    return both * floats_of(bytes);
}

template <>
struct Unpacked<Type::q4_k> {
    float numbers[lanes];
    explicit Unpacked(const uint8_t *block) { store(numbers, part_numbers(block)); }
};

template <>
struct Unpacked<Type::q5_k> {
    float numbers[lanes];
    uint8_t integers[8 * part_values];  // [part][32]
    explicit Unpacked(const uint8_t *block) {
        const Words low = {0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4};
        const Words first = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
        store(numbers, part_numbers(block));
        Words high = words_twice(block + 16);
        for (uint32_t run = 0; run < 4; run++) {
            Words bits = high >> (first + 2 * run) & 0x01010101u;
            Words both = words_twice(block + 48 + 32 * run) >> low & 0x0F0F0F0Fu;
            both |= bits << 4;
            std::memcpy(integers + 64 * run, &both, sizeof both);
        }
    }
};

template <>
struct Unpacked<Type::q6_k> {
    float scales[2 * lanes];           // [part][2], and room for whole vectors of them
    int8_t integers[8 * part_values];  // [part][32]
    explicit Unpacked(const uint8_t *block) {
        // Bits 4 and 5 of parts 0 to 3 of a half are bits 0, 2, 4 and 6 on of its `high`.
        const Words up = {4, 4, 4, 4, 4, 4, 4, 4, 2, 2, 2, 2, 2, 2, 2, 2};
        const Words down = {0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2};
        Bytes eighths;
        std::memcpy(&eighths, block + q6_k_scales, sizeof eighths);
        store(scales, half_at(block + q6_k_d) * floats_of(eighths));
        for (uint32_t half = 0; half < 2; half++) {
            Words nibbles, high = words_twice(block + 128 + 32 * half);
            std::memcpy(&nibbles, block + 64 * half, sizeof nibbles);
            Words first = (nibbles & 0x0F0F0F0Fu) | (high << up & 0x30303030u);
            Words second = (nibbles >> 4 & 0x0F0F0F0Fu) | (high >> down & 0x30303030u);
            Bytes64 centred[2] = {(Bytes64)first - int8_t(32), (Bytes64)second - int8_t(32)};
            std::memcpy(integers + 128 * half, centred, sizeof centred);
        }
    }
};

// Part `part` of a K-quant's block.
template <Type type>
static inline Pair load_part(const Unpacked<type> &unpacked, const uint8_t *block, uint32_t part) {
    if constexpr (type == Type::q6_k) {
        const int8_t *q = unpacked.integers + part * part_values;
        return {unpacked.scales[2 * part] * signed_bytes_at(q),
                unpacked.scales[2 * part + 1] * signed_bytes_at(q + lanes)};
    } else {
        float scale = unpacked.numbers[part], least = unpacked.numbers[8 + part];
        if constexpr (type == Type::q5_k) {
            const uint8_t *q = unpacked.integers + part * part_values;
            return {scale * bytes_at(q) + least, scale * bytes_at(q + lanes) + least};
        } else {
            PartPlace place = part_place(type, part);
            Octets nibbles[2];
            std::memcpy(nibbles, block + place.nibbles, sizeof nibbles);
            Floats scales = spread(scale), leasts = spread(least);
            if (place.nibble_shift == 0) {
                return {scaled_nibbles<0>(nibbles[0], scales, leasts),
                        scaled_nibbles<0>(nibbles[1], scales, leasts)};
            }
            return {scaled_nibbles<4>(nibbles[0], scales, leasts),
                    scaled_nibbles<4>(nibbles[1], scales, leasts)};
        }
    }
}

// 32 columns: part `part` of a block of the types that have blocks.
template <Type type>
static inline Pair load_block(const Unpacked<type> &unpacked, const uint8_t *block,
                              uint32_t part) {
    if constexpr (is_k_quant(type)) {
        return load_part<type>(unpacked, block, part);
    } else if constexpr (type == Type::q8_0) {
        Bytes low, high;
        std::memcpy(&low, block + 2, 16);
        std::memcpy(&high, block + 18, 16);
        Floats d = halves_at(block).low;
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

// `count` columns of a row from `column` on as floats; the first begins a block.
template <Type type>
static inline void widen_weights(const uint8_t *row, uint32_t column, uint32_t count, float *out) {
    uint32_t i = 0;
    for (; i + block_values(type) <= count; i += block_values(type)) {
        const uint8_t *block = block_of(type, row, column + i);
        Unpacked<type> unpacked(block);
        with_parts<type>([&](auto part) {
            Pair pair = load_block<type>(unpacked, block, part);
            store(out + i + part * part_values, pair.low);
            store(out + i + part * part_values + lanes, pair.high);
        });
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

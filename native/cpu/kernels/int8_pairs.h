// int8_pairs.h - rows of weights with inputs of 8 bits, a pair at a time, on CPUs whose vectors of
// 64 bytes are one register or several that stay registers, and on any other.
#pragma once
#include "int8_inputs.h"

namespace specache::SPECACHE_ISA {

typedef uint32_t Words4 __attribute__((vector_size(16)));

struct WeightPair {
    Bytes64 integers;  // with a least of 8 bits without a sign, else with one
    Floats scale, least;
};

// Each lane's sum of four products.
template <Type type>
static inline Ints products(const Bytes64 &weights, const InputPair &inputs) {
    [[maybe_unused]] constexpr bool with_sign = !has_least(type);
#if defined(__AVX512F__)
    __m512i integers = _mm512_load_si512(inputs.integers);
    // The instruction wants weights without a sign: 128 more, which `start` takes away.
    if (with_sign) {
        return (Ints)_mm512_dpbusd_epi32((__m512i)load(inputs.start),
                                         (__m512i)(weights ^ int8_t(-128)), integers);
    }
    return (Ints)_mm512_dpbusd_epi32(_mm512_setzero_si512(), (__m512i)weights, integers);
#elif defined(SPECACHE_NEON)
    // Weights without a sign are below 32. A product fits 16 bits.
    auto four = [&](uint32_t first) {
        int8x16_t w = vld1q_s8(reinterpret_cast<const int8_t *>(&weights) + first);
        int8x16_t x = vld1q_s8(inputs.integers + first);
        int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x)));
        return vpaddq_s32(low, vpaddlq_s16(vmull_high_s8(w, x)));
    };
    return {four(0), four(16), four(32), four(48)};
#else
    int32_t sums[lanes] = {};
    for (uint32_t i = 0; i < pair_columns; i++) {
        int32_t weight = with_sign ? weights[i] : uint8_t(weights[i]);
        sums[i / 4] += weight * inputs.integers[i];
    }
    return load(sums);
#endif
}

// Nibbles of 16 bytes, the low ones first, then of another 16.
static inline Words nibbles_of(const uint8_t *first, const uint8_t *second) {
    const Words shifts = {0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4};
    Words4 a, b;
    std::memcpy(&a, first, sizeof a);
    std::memcpy(&b, second, sizeof b);
    auto both = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
    Words twice =
        __builtin_shufflevector(both, both, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7);
    return twice >> shifts & 0x0F0F0F0Fu;
}

// Two blocks; `second` may be the first one again, whose inputs are zeros.
template <Type type>
static inline WeightPair blocks_pair(const uint8_t *first, const uint8_t *second) {
    WeightPair pair;
    if constexpr (type == Type::q4_1) {
        Pair a = halves_at(first), b = halves_at(second);
        pair.scale = halves_joined(a.low, b.low);
        pair.least = halves_joined(a.high, b.high);
        pair.integers = (Bytes64)nibbles_of(first + 4, second + 4);
        return pair;
    }
    uint32_t both = uint32_t(load_unaligned<uint16_t>(second)) << 16 |
                    load_unaligned<uint16_t>(first);
    Pair scales = halves_at(reinterpret_cast<const uint8_t *>(&both));
    pair.scale = halves_joined(scales.low, scales.high);
    if constexpr (type == Type::q4_0) {
        pair.integers = (Bytes64)nibbles_of(first + 2, second + 2) - int8_t(8);
    } else {
        int64_t __attribute__((vector_size(32))) a, b;
        std::memcpy(&a, first + 2, sizeof a);
        std::memcpy(&b, second + 2, sizeof b);
        pair.integers = (Bytes64)__builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
    }
    return pair;
}

// Parts 2 p and 2 p + 1 of a K-quant's block.
template <Type type>
static inline WeightPair parts_pair(const Unpacked<type> &unpacked,
                                    const uint8_t *block, uint32_t p) {
    WeightPair pair;
    if constexpr (type == Type::q6_k) {
        pair.scale = quarters_at(unpacked.scales + 4 * p);
        std::memcpy(&pair.integers, unpacked.integers + p * pair_columns, pair_columns);
        return pair;
    } else {
        const float *scales = unpacked.numbers + 2 * p, *leasts = scales + 8;
        pair.scale = halves_joined(spread(scales[0]), spread(scales[1]));
        pair.least = halves_joined(spread(leasts[0]), spread(leasts[1]));
        if constexpr (type == Type::q5_k) {
            std::memcpy(&pair.integers, unpacked.integers + p * pair_columns, pair_columns);
        } else {
            const Words shifts = {0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4};
            pair.integers =
                (Bytes64)(words_twice(block + 16 + 32 * p) >> shifts & 0x0F0F0F0Fu);
        }
        return pair;
    }
}

// Rows [row, row + Rows) with inputs [first, first + Inputs) of [count][pairs].
template <Type type, uint32_t Rows, uint32_t Inputs>
static void dot(const Project &project, const InputPair *inputs, uint32_t row, uint32_t first) {
    uint32_t columns = project.weights.columns, pairs = pairs_of(columns), p = 0;
    uint64_t row_bytes = weight_row_bytes(type, columns);
    inputs += uint64_t(first) * pairs;
    Floats sums[Rows][Inputs] = {};
    auto add = [&](uint32_t r, const WeightPair &weights) {
        for (uint32_t c = 0; c < Inputs; c++) {
            const InputPair &pair = inputs[uint64_t(c) * pairs + p];
            Floats whole = floats_of(products<type>(weights.integers, pair));
            sums[r][c] += weights.scale * load(pair.scale) * whole;
            if constexpr (has_least(type)) sums[r][c] += weights.least * load(pair.sums);
        }
    };
    const uint8_t *block = row_at(project.weights, row);  // of the first row
    if constexpr (is_k_quant(type)) {
        for (; p < pairs; block += block_bytes(type)) {
            const Unpacked<type> unpacked[2] = {Unpacked<type>(block),
                                                Unpacked<type>(block + (Rows - 1) * row_bytes)};
            for (uint32_t r = 0; r < Rows; r++) prefetch_block<type>(block + r * row_bytes);
            for (uint32_t part = 0; part < 4; part++, p++) {
                for (uint32_t r = 0; r < Rows; r++) {
                    add(r, parts_pair<type>(unpacked[r], block + r * row_bytes, part));
                }
            }
        }
    } else {
        for (; p < pairs; p++, block += 2 * block_bytes(type)) {
            bool whole = (p + 1) * pair_columns <= columns;
            for (uint32_t r = 0; r < Rows; r++) {
                const uint8_t *at = block + r * row_bytes;
                prefetch_block<type>(at);
                prefetch_block<type>(at + block_bytes(type));
                add(r, blocks_pair<type>(at, whole ? at + block_bytes(type) : at));
            }
        }
    }
    for (uint32_t r = 0; r < Rows; r++) {
        for (uint32_t c = 0; c < Inputs; c++) put(project, first + c, row + r, sum_of(sums[r][c]));
    }
}

}  // namespace specache::SPECACHE_ISA

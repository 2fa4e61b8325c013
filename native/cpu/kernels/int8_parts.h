// int8_parts.h - rows of weights with inputs of 8 bits, on CPUs with AVX2 and no more: a register
// holds the 32 columns of a part. Pairs and lanes are those of int8_inputs.h, and sums are made in
// int8_pairs.h's order: an output's bits are the same.
#pragma once
#include "int8_inputs.h"

namespace specache::SPECACHE_ISA {

struct PartWeights {   // of 32 columns
    __m256i integers;  // with a least of 8 bits without a sign, else with one
    __m256 scale, least;
};

static inline __m256i integers_at(const void *from) {
    return _mm256_loadu_si256(static_cast<const __m256i *>(from));
}

static inline __m256 half_in_all(const uint8_t *from) { return _mm256_set1_ps(half_at(from)); }

// Nibbles of 32 bytes.
static inline __m256i nibbles_of(__m256i bytes, uint32_t shift) {
    __m256i low = shift == 0 ? bytes : _mm256_srli_epi16(bytes, 4);
    return _mm256_and_si256(low, _mm256_set1_epi8(15));
}

// A block of 32 columns.
template <Type type>
static inline PartWeights weights_of_block(const uint8_t *block) {
    PartWeights part = {{}, half_in_all(block), _mm256_setzero_ps()};
    if constexpr (type == Type::q8_0) {
        part.integers = integers_at(block + 2);
    } else {
        __m128i bytes;
        std::memcpy(&bytes, block + (type == Type::q4_0 ? 2 : 4), sizeof bytes);
        __m128i high = _mm_srli_epi16(bytes, 4);
        part.integers = _mm256_and_si256(_mm256_set_m128i(high, bytes), _mm256_set1_epi8(15));
        if constexpr (type == Type::q4_1) part.least = half_in_all(block + 2);
        else part.integers = _mm256_sub_epi8(part.integers, _mm256_set1_epi8(8));
    }
    return part;
}

// What the parts of a K-quant's block share.
template <Type type>
struct PartNumbers {
    float numbers[lanes];  // scales, then leasts, as part_numbers() says; q6_k: [part][2] scales
    explicit PartNumbers(const uint8_t *block) {
        if constexpr (type == Type::q6_k) {
            Bytes eighths;
            std::memcpy(&eighths, block + q6_k_scales, sizeof eighths);
            store(numbers, half_at(block + q6_k_d) * floats_of(eighths));
        } else {
            store(numbers, part_numbers(block));
        }
    }
};

// A part of a K-quant's block.
template <Type type, uint32_t part>
static inline PartWeights weights_of_part(const PartNumbers<type> &shared, const uint8_t *block) {
    constexpr PartPlace place = part_place(type, part);
    const float *numbers = shared.numbers;
    __m256i low = nibbles_of(integers_at(block + place.nibbles), place.nibble_shift);
    if constexpr (type == Type::q6_k) {
        // What a byte gets of its neighbour by the shift is masked away.
        __m256i high = _mm256_srli_epi16(integers_at(block + place.high), place.high_shift);
        high = _mm256_slli_epi16(_mm256_and_si256(high, _mm256_set1_epi8(3)), 4);
        __m128 first = _mm_set1_ps(numbers[2 * part]), second = _mm_set1_ps(numbers[2 * part + 1]);
        __m256i centred = _mm256_sub_epi8(_mm256_or_si256(low, high), _mm256_set1_epi8(32));
        return {centred, _mm256_set_m128(second, first), _mm256_setzero_ps()};
    }
    if constexpr (type == Type::q5_k) {
        __m256i fifth = _mm256_srli_epi16(integers_at(block + 16), place.high_shift);
        fifth = _mm256_slli_epi16(_mm256_and_si256(fifth, _mm256_set1_epi8(1)), 4);
        low = _mm256_or_si256(low, fifth);
    }
    return {low, _mm256_set1_ps(numbers[part]), _mm256_set1_ps(numbers[8 + part])};
}

// One row's sums with neighbouring inputs: of an even part lanes 0 to 7, of an odd one 8 to 15.
template <Type type, uint32_t Inputs>
struct PartSums {
    const InputPair *inputs;  // [Inputs][pairs]
    uint64_t pairs;
    __m256 of_half[2][Inputs];

    PartSums(const InputPair *inputs_in, uint64_t pairs_in) : inputs(inputs_in), pairs(pairs_in) {
        for (auto &half : of_half) {
            for (__m256 &each : half) each = _mm256_setzero_ps();
        }
    }
    void meet(uint32_t pair, uint32_t half, const PartWeights &weights) {
        for (uint32_t c = 0; c < Inputs; c++) {
            const InputPair &in = inputs[c * pairs + pair];
            __m256i x = integers_at(in.integers + half * part_values), w = weights.integers;
            // Sums of two products fit 16 bits: 2 * 128 * 127.
            __m256i two = has_least(type)
                              ? _mm256_maddubs_epi16(w, x)
                              : _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
            __m256i four = _mm256_madd_epi16(two, _mm256_set1_epi16(1));
            __m256 scale = _mm256_mul_ps(weights.scale, _mm256_load_ps(in.scale + 8 * half));
            __m256 &sum = of_half[half][c];
            sum = _mm256_add_ps(sum, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(four)));
            if constexpr (has_least(type)) {
                __m256 least = _mm256_mul_ps(weights.least, _mm256_load_ps(in.sums + 8 * half));
                sum = _mm256_add_ps(sum, least);
            }
        }
    }
    float sum(uint32_t c) const {
        return sum_of(Floats{(Eight)of_half[0][c], (Eight)of_half[1][c]});
    }
};

template <Type type, uint32_t Inputs>
static void dot_row(const Project &project, const InputPair *inputs, uint32_t row, uint32_t first) {
    uint32_t columns = project.weights.columns, pairs = pairs_of(columns);
    const uint8_t *block = row_at(project.weights, row);
    PartSums<type, Inputs> sums(inputs + uint64_t(first) * pairs, pairs);
    if constexpr (is_k_quant(type)) {
        for (uint32_t p = 0; p < pairs; p += 4, block += block_bytes(type)) {
            prefetch_block<type>(block);
            PartNumbers<type> shared(block);
            with_parts<type>([&](auto part) {
                sums.meet(p + part / 2, part % 2, weights_of_part<type, part>(shared, block));
            });
        }
    } else {
        for (uint32_t p = 0; p < pairs; p++, block += 2 * block_bytes(type)) {
            // Where a pair has one part, the other's inputs are zeros.
            bool whole = (p + 1) * pair_columns <= columns;
            const uint8_t *second = whole ? block + block_bytes(type) : block;
            prefetch_block<type>(block);
            prefetch_block<type>(second);
            sums.meet(p, 0, weights_of_block<type>(block));
            sums.meet(p, 1, weights_of_block<type>(second));
        }
    }
    for (uint32_t c = 0; c < Inputs; c++) put(project, first + c, row, sums.sum(c));
}

// Rows [row, row + Rows) with inputs [first, first + Inputs) of [count][pairs].
template <Type type, uint32_t Rows, uint32_t Inputs>
static void dot(const Project &project, const InputPair *inputs, uint32_t row, uint32_t first) {
    for (uint32_t r = 0; r < Rows; r++) dot_row<type, Inputs>(project, inputs, row + r, first);
}

}  // namespace specache::SPECACHE_ISA

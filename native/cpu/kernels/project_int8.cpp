// project_int8.cpp - decode's matrix products with inputs of 8 bits: products of integers are
// exact, and what scales them is rounded alike on every instruction set.
//
// 64 neighbouring columns are a pair: two blocks, or two parts of a K-quant's block. A pair has 16
// lanes of four columns each. A row's sum has 16 lanes too, to which each pair adds
// (scale of the weights * scale of the inputs) * products, pair after pair. It is compiled without
// fused products (ffi/build.ts).
#include "../../quantize.h"
#include "../kernels.h"
#include "project.h"

namespace specache::SPECACHE_ISA {
namespace {

constexpr uint32_t pair_columns = 2 * part_values;
typedef uint32_t Words4 __attribute__((vector_size(16)));

struct alignas(64) InputPair {
    int8_t integers[pair_columns];
    int32_t start[lanes];  // -128 times each lane's sum of integers
    float scale[lanes];    // each lane's
    float sums[lanes];     // each lane's sum of integers, scaled
};

struct WeightPair {
    Bytes64 integers;  // with a least of 8 bits without a sign, else with one
    Floats scale, least;
};

uint32_t pairs_of(uint32_t columns) { return (columns + pair_columns - 1) / pair_columns; }

// in: [columns]; out: [pairs_of(columns)]. Where a pair has one part the other is zeros.
void quantize(const float *in, uint32_t columns, InputPair *out) {
    for (uint32_t p = 0; p < pairs_of(columns); p++) {
        InputPair &pair = out[p];
        float scales[2] = {};
        std::memset(pair.integers, 0, sizeof pair.integers);
        for (uint32_t half = 0; half < 2; half++) {
            uint32_t column = p * pair_columns + half * part_values;
            if (column == columns) break;
            scales[half] = quantize_part(in + column, pair.integers + half * part_values);
        }
        for (uint32_t lane = 0; lane < lanes; lane++) {
            int32_t sum = 0;
            for (uint32_t i = 0; i < 4; i++) sum += pair.integers[4 * lane + i];
            pair.start[lane] = -128 * sum;
            pair.scale[lane] = scales[lane / 8];
            pair.sums[lane] = scales[lane / 8] * float(sum);
        }
    }
}

// Each lane's sum of four products.
template <Type type>
Ints products(const Bytes64 &weights, const InputPair &inputs) {
    [[maybe_unused]] constexpr bool with_sign = !has_least(type);
#if defined(__AVX512F__)
    __m512i integers = _mm512_load_si512(inputs.integers);
    // The instruction wants weights without a sign: 128 more, which `start` takes away.
    if (with_sign) {
        return (Ints)_mm512_dpbusd_epi32((__m512i)load(inputs.start),
                                         (__m512i)(weights ^ int8_t(-128)), integers);
    }
    return (Ints)_mm512_dpbusd_epi32(_mm512_setzero_si512(), (__m512i)weights, integers);
#elif defined(__AVX2__)
    // Sums of two products fit 16 bits: 2 * 128 * 127.
    auto four = [&](uint32_t first) {
        __m256i w, x;
        std::memcpy(&w, reinterpret_cast<const uint8_t *>(&weights) + first, sizeof w);
        std::memcpy(&x, inputs.integers + first, sizeof x);
        __m256i two = with_sign ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                                : _mm256_maddubs_epi16(w, x);
        return (EightInts)_mm256_madd_epi16(two, _mm256_set1_epi16(1));
    };
    return {four(0), four(32)};
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
Words nibbles_of(const uint8_t *first, const uint8_t *second) {
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
WeightPair blocks_pair(const uint8_t *first, const uint8_t *second) {
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
WeightPair parts_pair(const Unpacked<type> &unpacked, const uint8_t *block, uint32_t p) {
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
void dot(const Project &project, const InputPair *inputs, uint32_t row, uint32_t first) {
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

}  // namespace

void project_int8(Stream &stream, const Project &project) {
    static thread_local std::vector<InputPair> scratch;
    uint32_t columns = project.weights.columns, pairs = pairs_of(columns);
    InputPair *inputs = grown(scratch, uint64_t(project.count) * pairs);  // [count][pairs]
    for (uint32_t c = 0; c < project.count; c++) {
        quantize(project.in + uint64_t(c) * columns, columns, inputs + uint64_t(c) * pairs);
    }
    with_type(project.weights.type, [&]<Type type>() {
        if constexpr (has_int8(type)) {
            for_pieces(stream, project.weights.rows, [&](uint32_t row, uint32_t count) {
                dot_piece<1>(project.count, row, count,
                             [&]<uint32_t Rows, uint32_t Inputs>(uint32_t first, uint32_t input) {
                                 dot<type, Rows, Inputs>(project, inputs, first, input);
                             });
            });
        }
    });
}

}  // namespace specache::SPECACHE_ISA

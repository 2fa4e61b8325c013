// whole_pairs.h - rows of weights with inputs of whole numbers, on CPUs with AVX2 and no more: an
// instruction multiplies 16 columns by a digit and adds neighbours up.
//
// 32 neighbouring inputs share a unit, a power of two: each is a whole number of units, of two
// digits, low + 4096 high. The largest is 2^22 units or more, so that no input moves by more than
// its 2^23rd part: a float32 sum loses as much.
#pragma once
#include <bit>
#include <limits>

#include "project.h"

namespace specache::SPECACHE_ISA {

constexpr uint32_t digit_bits = 12;

struct alignas(32) WholePart {  // 32 inputs
    int16_t low[part_values];   // -2048 to 2047
    int16_t high[part_values];  // -2048 to 2048
    float unit;                 // a power of two, 0 or a NaN
    float sum;                  // of all 32
    float none[2];              // a vector of four is read from `unit` on
};

static inline __m256i sixteen_at(const void *from) {
    return _mm256_loadu_si256(static_cast<const __m256i *>(from));
}

// 16 bytes, each as 16 bits.
static inline __m256i widened_at(const uint8_t *from) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from)));
}

// A part's unit. Numbers that are all below 2^-100 count as zeros. Where one is a NaN or an
// infinity, the unit is a NaN.
static inline float unit_of(const float *in, float &inverse) {
    __m256i most = _mm256_setzero_si256(), sign = _mm256_set1_epi32(INT32_MAX);
    for (uint32_t i = 0; i < part_values; i += 8) {
        most = _mm256_max_epi32(most, _mm256_and_si256(sixteen_at(in + i), sign));
    }
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xB1));
    uint32_t bits = uint32_t(_mm_cvtsi128_si32(four)), exponent = bits >> 23;
    inverse = 0;
    if (exponent == 255) return std::numeric_limits<float>::quiet_NaN();
    if (bits < std::bit_cast<uint32_t>(0x1p-100f)) return 0;
    inverse = std::bit_cast<float>((276 - exponent) << 23);
    return std::bit_cast<float>((exponent - 22) << 23);
}

template <Type>
static inline void make_whole(const float *in, WholePart &part) {
    float inverse;
    part.unit = unit_of(in, inverse);
    part.none[0] = part.none[1] = 0;
    __m256i sum = _mm256_setzero_si256();
    for (uint32_t i = 0; i < part_values; i += 16) {
        __m256i low[2], high[2];
        for (uint32_t half = 0; half < 2; half++) {
            __m256 units = _mm256_mul_ps(_mm256_loadu_ps(in + i + 8 * half),
                                         _mm256_set1_ps(inverse));
            // Without a unit an infinity times 0 may be there: none of the digits matters.
            __m256i whole = _mm256_cvtps_epi32(units);
            sum = _mm256_add_epi32(sum, whole);
            low[half] = _mm256_srai_epi32(_mm256_slli_epi32(whole, 32 - digit_bits),
                                          32 - digit_bits);
            high[half] = _mm256_srai_epi32(_mm256_sub_epi32(whole, low[half]), digit_bits);
        }
        auto put_digits = [&](int16_t *to, const __m256i *of) {
            __m256i packed = _mm256_packs_epi32(of[0], of[1]);  // quarters 0, 2, 1, 3
            _mm256_store_si256(reinterpret_cast<__m256i *>(to + i),
                               _mm256_permute4x64_epi64(packed, 0xD8));
        };
        put_digits(part.low, low);
        put_digits(part.high, high);
    }
    EightInts lanes_of = (EightInts)sum;
    int64_t whole = 0;
    for (uint32_t lane = 0; lane < 8; lane++) whole += lanes_of[lane];
    part.sum = part.unit * float(whole);
}

// Sums of neighbouring columns' products with a vector of weights at column `at` of a part, or with
// all two: below 2^31 for weights of 6 bits. Those of 8 bits are added up as floats.
template <Type type, uint32_t vectors>
static inline Eight products(const __m256i *weights, const WholePart &part, uint32_t at) {
    __m256i low = _mm256_madd_epi16(weights[0], sixteen_at(part.low + at));
    __m256i high = _mm256_madd_epi16(weights[0], sixteen_at(part.high + at));
    if constexpr (vectors == 2) {
        low = _mm256_add_epi32(low, _mm256_madd_epi16(weights[1], sixteen_at(part.low + at + 16)));
        high = _mm256_add_epi32(high,
                                _mm256_madd_epi16(weights[1], sixteen_at(part.high + at + 16)));
    }
    if constexpr (type == Type::q8_0) {
        return (Eight)_mm256_fmadd_ps(_mm256_cvtepi32_ps(high), _mm256_set1_ps(1 << digit_bits),
                                      _mm256_cvtepi32_ps(low));
    }
    return eight_floats(_mm256_add_epi32(_mm256_slli_epi32(high, digit_bits), low));
}

// One row's sums with neighbouring inputs.
template <Type type, uint32_t Inputs>
struct RowSums {
    const WholePart *inputs;  // [parts][count], the first of them
    uint32_t count;
    __m256 whole[Inputs];
    __m128 least[Inputs];  // in lane 1

    RowSums(const WholePart *inputs_in, uint32_t count_in) : inputs(inputs_in), count(count_in) {
        for (__m256 &each : whole) each = _mm256_setzero_ps();
        for (__m128 &each : least) each = _mm_setzero_ps();
    }
    // 16 columns of part p from `at` on, or all 32; numbers: their scale, and the part's least.
    template <uint32_t vectors>
    void meet(uint32_t p, const __m256i *weights, __m128 numbers, uint32_t at = 0) {
        for (uint32_t c = 0; c < Inputs; c++) {
            const WholePart &part = inputs[uint64_t(p) * count + c];
            __m128 both = _mm_mul_ps(numbers, _mm_load_ps(&part.unit));
            whole[c] = _mm256_fmadd_ps((__m256)products<type, vectors>(weights, part, at),
                                       _mm256_broadcastss_ps(both), whole[c]);
            if constexpr (has_least(type)) least[c] = _mm_add_ps(least[c], both);
        }
    }
    float sum(uint32_t c) const {
        float all = sum_of(Floats{(Eight)whole[c], Eight{}});
        return has_least(type) ? all + _mm_cvtss_f32(_mm_movehdup_ps(least[c])) : all;
    }
};

// Two neighbouring halves in lanes 0 and 1.
static inline __m128 two_halves_at(const uint8_t *from) {
    int32_t both;
    std::memcpy(&both, from, sizeof both);
    return _mm_cvtph_ps(_mm_cvtsi32_si128(both));
}

static inline __m256i nibbles(__m256i bytes, uint32_t shift) {
    return shift == 0 ? _mm256_and_si256(bytes, _mm256_set1_epi16(15))
                      : _mm256_srli_epi16(bytes, 4);
}

// A block of 32 columns.
template <Type type, class Sums>
static inline void meet_block(const uint8_t *block, uint32_t p, Sums &sums) {
    __m256i weights[2];
    if constexpr (type == Type::q8_0) {
        for (uint32_t half = 0; half < 2; half++) {
            __m128i bytes;
            std::memcpy(&bytes, block + 2 + 16 * half, sizeof bytes);
            weights[half] = _mm256_cvtepi8_epi16(bytes);
        }
    } else {
        __m256i bytes = widened_at(block + (type == Type::q4_0 ? 2 : 4));
        for (uint32_t half = 0; half < 2; half++) {
            weights[half] = nibbles(bytes, 4 * half);
            if constexpr (type == Type::q4_0) {
                weights[half] = _mm256_sub_epi16(weights[half], _mm256_set1_epi16(8));
            }
        }
    }
    sums.template meet<2>(p, weights, two_halves_at(block));
}

// A block of q4_k or q5_k: two parts share 32 bytes of nibbles.
template <Type type, class Sums>
static inline void meet_k4(const uint8_t *block, uint32_t first, Sums &sums) {
    float numbers[8][2];  // [part]: scale, least
    Floats of_parts = part_numbers(block);
    for (uint32_t half = 0; half < 2; half++) {
        auto of = [&](Eight eight) { return _mm256_extractf128_ps((__m256)eight, 1); };
        __m128 scales = (__m128)_mm256_castps256_ps128((__m256)of_parts.low);
        __m128 leasts = (__m128)_mm256_castps256_ps128((__m256)of_parts.high);
        if (half == 1) scales = of(of_parts.low), leasts = of(of_parts.high);
        _mm_storeu_ps(numbers[4 * half], _mm_unpacklo_ps(scales, leasts));
        _mm_storeu_ps(numbers[4 * half + 2], _mm_unpackhi_ps(scales, leasts));
    }
    __m256i fifth[2] = {};
    if constexpr (type == Type::q5_k) {
        for (uint32_t half = 0; half < 2; half++) fifth[half] = widened_at(block + 16 + 16 * half);
    }
    with_parts<type>([&](auto part) {
        constexpr PartPlace place = part_place(type, part);
        __m256i weights[2];
        for (uint32_t half = 0; half < 2; half++) {
            __m256i bytes = widened_at(block + place.nibbles + 16 * half);
            weights[half] = nibbles(bytes, place.nibble_shift);
            if constexpr (type == Type::q5_k) {
                __m256i bit = _mm256_and_si256(_mm256_srli_epi16(fifth[half], place.high_shift),
                                               _mm256_set1_epi16(1));
                weights[half] = _mm256_or_si256(weights[half], _mm256_slli_epi16(bit, 4));
            }
        }
        __m128 both = (__m128)_mm_load_sd(reinterpret_cast<const double *>(numbers[part]));
        sums.template meet<2>(first + part, weights, both);
    });
}

// A block of q6_k, whose 16 columns have a scale.
template <class Sums>
static inline void meet_q6(const uint8_t *block, uint32_t first, Sums &sums) {
    float scales[lanes];
    Bytes eighths;
    std::memcpy(&eighths, block + q6_k_scales, sizeof eighths);
    store(scales, half_at(block + q6_k_d) * floats_of(eighths));
    with_parts<Type::q6_k>([&](auto part) {
        constexpr PartPlace place = part_place(Type::q6_k, part);
        for (uint32_t half = 0; half < 2; half++) {
            __m256i low = nibbles(widened_at(block + place.nibbles + 16 * half),
                                  place.nibble_shift);
            __m256i high = _mm256_and_si256(
                _mm256_srli_epi16(widened_at(block + place.high + 16 * half), place.high_shift),
                _mm256_set1_epi16(3));
            __m256i weights = _mm256_sub_epi16(_mm256_or_si256(low, _mm256_slli_epi16(high, 4)),
                                               _mm256_set1_epi16(32));
            __m128 scale = _mm_load_ss(scales + 2 * part + half);
            sums.template meet<1>(first + part, &weights, scale, 16 * half);
        }
    });
}

template <Type type, uint32_t Inputs>
static void dot_whole(const Project &project, const WholePart *inputs, uint32_t row,
                      uint32_t first) {
    const Tensor &weights = project.weights;
    const uint8_t *block = row_at(weights, row);
    RowSums<type, Inputs> sums(inputs + first, project.count);
    constexpr uint32_t parts = block_values(type) / part_values;
    for (uint32_t p = 0; p < weights.columns / part_values; p += parts) {
        prefetch_block<type>(block);
        if constexpr (type == Type::q6_k) meet_q6(block, p, sums);
        else if constexpr (is_k_quant(type)) meet_k4<type>(block, p, sums);
        else meet_block<type>(block, p, sums);
        block += block_bytes(type);
    }
    for (uint32_t c = 0; c < Inputs; c++) put(project, first + c, row, sums.sum(c));
}

// Rows from `row` on, 16 or what is left.
template <Type type>
static void multiply_rows(const Project &project, const WholePart *inputs, uint32_t row) {
    uint32_t end = std::min(row + lanes, project.weights.rows), c = 0;
    auto meet = [&]<uint32_t Inputs>() {
        for (uint32_t r = row; r < end; r++) dot_whole<type, Inputs>(project, inputs, r, c);
        c += Inputs;
    };
    while (c + 4 <= project.count) meet.template operator()<4>();
    if (project.count - c == 3) meet.template operator()<3>();
    if (project.count - c == 2) meet.template operator()<2>();
    if (project.count - c == 1) meet.template operator()<1>();
}

}  // namespace specache::SPECACHE_ISA

// scores.h - the integer scores of a page: I_j = sum of the 8-bit query's levels times token j's
// codes (DESIGN section 8). They are exact, so that every instruction set gives the same ones.
//
// Four planes of 64 tokens are 64 nibbles; a table of 16 partial sums turns each into a number by a
// byte shuffle. AVX-512 looks four tables up at once, by the permutation of 64 bytes of VBMI: four
// neighbouring bytes are one token's nibbles, whose numbers a dot product of VNNI adds up. NEON
// looks two tables up at once: neighbouring bytes are one token's nibbles, whose numbers are added
// to 16 bits in pairs. Its dot products would add four numbers, of look-ups twice as wide: as many
// instructions, of which CPUs run fewer at a time.
#pragma once
#include <algorithm>

#include "../../codes.h"
#include "../simd.h"

namespace specache::SPECACHE_ISA {

constexpr uint32_t tables_max = 256 * 2 / 4;
constexpr uint32_t tables_at_once = 4;  // of a query whose tables are more, the last add nothing

// What is added to each partial sum.
#if defined(__AVX2__) && !defined(__AVX512VBMI__)
constexpr uint8_t table_raised = 128;
#else
constexpr uint8_t table_raised = 0;
#endif

struct Tables {  // of one query: partial sums over four planes, raised
    alignas(64) int8_t sums[tables_max][16];
};

// levels [dim]: those of CodedQuery.
static inline void fill_tables(const int16_t *levels, uint32_t dim, uint32_t bits, Tables &tables) {
    // Entry e of a table adds the number of plane i where its bit i is set, and else subtracts it.
    constexpr Octets negated[4] = {
        {255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0},
        {255, 255, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0},
        {255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0},
        {255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0}};
    uint32_t channels = 4 / bits, count = dim / channels;
    for (uint32_t t = 0; t < count; t++) {
        const int16_t *n = levels + t * channels;
        Octets sum = Octets{} + table_raised;  // of 8 bits, which wrap and come back
        for (uint32_t i = 0; i < 4; i++) {
            int number = bits == 1 ? n[i] : n[i / 2] * (i % 2 == 0 ? 2 : 1);
            Octets plane = Octets{} + uint8_t(number);
            sum += (plane ^ negated[i]) - negated[i];
        }
        std::memcpy(tables.sums[t], &sum, sizeof sum);
    }
    uint32_t whole = (count + tables_at_once - 1) / tables_at_once * tables_at_once;
    std::memset(tables.sums[count], table_raised, (whole - count) * sizeof tables.sums[0]);
}

#if defined(__AVX512VBMI__) && defined(__AVX512VNNI__)
// The nibbles of four tables as indices into their 64 sums, byte 4 j + i token j's in table i;
// parts [4] of 16 tokens. Reads 128 bytes, also behind the last table: codes go on there.
static inline void unpack(const uint8_t *keys, __m512i *parts) {
    alignas(64) static constexpr auto places = [] {
        struct { uint8_t of[2][64]; } made{};
        for (uint32_t half = 0; half < 2; half++) {
            for (uint32_t at = 0; at < 64; at++) {
                made.of[half][at] = uint8_t(at % 4 * 32 + half * 16 + at / 4);
            }
        }
        return made;
    }();
    const __m512i nibble = _mm512_set1_epi8(15), table = _mm512_set1_epi32(0x30201000);
    __m512i low = _mm512_loadu_si512(keys), high = _mm512_loadu_si512(keys + 64);
    for (uint32_t half = 0; half < 2; half++) {
        __m512i of = _mm512_load_si512(places.of[half]);
        __m512i bytes = _mm512_permutex2var_epi8(low, of, high);
        // (bytes & nibble) | table
        parts[half] = _mm512_ternarylogic_epi64(bytes, nibble, table, 0xEA);
        __m512i upper = _mm512_srli_epi16(bytes, 4);
        parts[half + 2] = _mm512_ternarylogic_epi64(upper, nibble, table, 0xEA);
    }
}

// scores [Queries][64] of a page's keys. ask() may ask for a part of what is read later.
template <uint32_t Queries, class Ask>
static inline void integer_scores(const Tables *const *queries, const uint8_t *keys, Ask ask,
                                  uint32_t tables, int32_t (*scores)[page_tokens]) {
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sums[Queries][4];
    for (auto &query : sums) {
        for (__m512i &sum : query) sum = _mm512_setzero_si512();
    }
    for (uint32_t t = 0; t < tables; t += tables_at_once) {
        __m512i parts[4];
        ask();
        unpack(keys + t * 32, parts);
        for (uint32_t q = 0; q < Queries; q++) {
            __m512i table = _mm512_load_si512(queries[q]->sums[t]);
            for (uint32_t p = 0; p < 4; p++) {
                __m512i values = _mm512_maskz_permutexvar_epi8(~0ull, parts[p], table);
                sums[q][p] = _mm512_dpbusd_epi32(sums[q][p], ones, values);
            }
        }
    }
    for (uint32_t q = 0; q < Queries; q++) {
        for (uint32_t p = 0; p < 4; p++) _mm512_storeu_si512(scores[q] + p * 16, sums[q][p]);
    }
}
#elif defined(__AVX2__)
// Else GCC adds numbers of several tables to each other first, in twice the registers there are.
static inline void added_now(__m256i &sum) { asm("" : "+x"(sum)); }

// A table's numbers of 32 tokens, two in 16 bits: their sums, which wrap, and those of the upper
// bytes alone, of which none is below 0, say both. Registers hold the sums of two queries.
template <uint32_t Queries, class Ask>
static inline void integer_scores_of(const Tables *const *queries, const uint8_t *keys, Ask ask,
                                     uint32_t tables, int32_t (*scores)[page_tokens]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i both[Queries][2], upper[Queries][2];  // of tokens 0 to 31, 32 to 63
    for (uint32_t q = 0; q < Queries; q++) {
        for (uint32_t half = 0; half < 2; half++) {
            both[q][half] = upper[q][half] = _mm256_setzero_si256();
        }
    }
    auto add = [&](uint32_t t) {
        __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(keys + t * 32));
        const __m256i indices[2] = {_mm256_and_si256(bytes, nibble),
                                    _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble)};
        for (uint32_t q = 0; q < Queries; q++) {
            __m256i table = _mm256_broadcastsi128_si256(
                _mm_load_si128(reinterpret_cast<const __m128i *>(queries[q]->sums[t])));
            for (uint32_t half = 0; half < 2; half++) {
                __m256i numbers = _mm256_shuffle_epi8(table, indices[half]);
                both[q][half] = _mm256_add_epi16(both[q][half], numbers);
                upper[q][half] = _mm256_add_epi16(upper[q][half], _mm256_srli_epi16(numbers, 8));
                added_now(both[q][half]);
                added_now(upper[q][half]);
            }
        }
    };
    uint32_t t = 0;
    for (; t + tables_at_once <= tables; t += tables_at_once) {
        ask();
        SPECACHE_UNROLL
        for (uint32_t i = 0; i < tables_at_once; i++) add(t + i);
    }
    for (; t < tables; t++) add(t);
    const __m256i raised = _mm256_set1_epi16(int16_t(table_raised * tables));
    for (uint32_t q = 0; q < Queries; q++) {
        for (uint32_t half = 0; half < 2; half++) {
            __m256i odd = upper[q][half];
            __m256i even = _mm256_sub_epi16(both[q][half], _mm256_slli_epi16(odd, 8));
            even = _mm256_sub_epi16(even, raised);
            odd = _mm256_sub_epi16(odd, raised);
            __m256i low = _mm256_unpacklo_epi16(even, odd);   // tokens 0..7, 16..23
            __m256i high = _mm256_unpackhi_epi16(even, odd);  // tokens 8..15, 24..31
            auto put = [&](uint32_t token, __m128i eight) {
                _mm256_storeu_si256(
                    reinterpret_cast<__m256i *>(scores[q] + half * 32 + token),
                    _mm256_cvtepi16_epi32(eight));
            };
            put(0, _mm256_castsi256_si128(low));
            put(8, _mm256_castsi256_si128(high));
            put(16, _mm256_extracti128_si256(low, 1));
            put(24, _mm256_extracti128_si256(high, 1));
        }
    }
}

template <uint32_t Queries, class Ask>
static inline void integer_scores(const Tables *const *queries, const uint8_t *keys, Ask ask,
                                  uint32_t tables, int32_t (*scores)[page_tokens]) {
    constexpr uint32_t first = std::min(2u, Queries);
    integer_scores_of<first>(queries, keys, ask, tables, scores);
    if constexpr (Queries > first) {
        integer_scores_of<Queries - first>(queries + first, keys, [] {}, tables, scores + first);
    }
}
#elif defined(SPECACHE_NEON)
// The nibbles of two tables as indices into their 32 sums, byte 2 j + i token j's in table i; parts
// [4] of 8 tokens, from token 32 on the high nibbles.
template <uint32_t half>
static inline void unpack(const uint8_t *keys, uint8x16_t *parts) {
    const uint8x16_t nibble = vdupq_n_u8(15), second = vdupq_n_u8(16);
    uint8x16_t of[4];  // 16 tokens each of the first table, then of the second
    for (uint32_t i = 0; i < 4; i++) {
        uint8x16_t bytes = vld1q_u8(keys + i * 16);
        if constexpr (half == 0) of[i] = vandq_u8(bytes, nibble);
        else of[i] = vshrq_n_u8(bytes, 4);
        if (i >= 2) of[i] = vorrq_u8(of[i], second);
    }
    for (uint32_t i = 0; i < 2; i++) {
        parts[2 * i] = vzip1q_u8(of[i], of[i + 2]);
        parts[2 * i + 1] = vzip2q_u8(of[i], of[i + 2]);
    }
}

template <uint32_t half, uint32_t Queries, class Ask>
static inline void integer_scores_of(const Tables *const *queries, const uint8_t *keys, Ask ask,
                                     uint32_t tables, int32_t (*scores)[page_tokens]) {
    int16x8_t sums[Queries][4];  // at most 128 tables of |127|
    for (auto &query : sums) {
        for (int16x8_t &sum : query) sum = vdupq_n_s16(0);
    }
    for (uint32_t t = 0; t < tables; t += 2) {
        uint8x16_t parts[4];
        if (half == 0 && t % 4 == 0) ask();
        unpack<half>(keys + t * 32, parts);
        for (uint32_t q = 0; q < Queries; q++) {
            int8x16x2_t both = vld1q_s8_x2(queries[q]->sums[t]);
            for (uint32_t p = 0; p < 4; p++) {
                sums[q][p] = vpadalq_s8(sums[q][p], vqtbl2q_s8(both, parts[p]));
            }
        }
    }
    for (uint32_t q = 0; q < Queries; q++) {
        for (uint32_t p = 0; p < 4; p++) {
            int32_t *to = scores[q] + half * 32 + p * 8;
            vst1q_s32(to, vmovl_s16(vget_low_s16(sums[q][p])));
            vst1q_s32(to + 4, vmovl_high_s16(sums[q][p]));
        }
    }
}

// Of half a page at a time registers hold the sums of four queries.
template <uint32_t Queries, class Ask>
static inline void integer_scores(const Tables *const *queries, const uint8_t *keys, Ask ask,
                                  uint32_t tables, int32_t (*scores)[page_tokens]) {
    integer_scores_of<0, Queries>(queries, keys, ask, tables, scores);
    integer_scores_of<1, Queries>(queries, keys, ask, tables, scores);
}
#else
template <uint32_t Queries, class Ask>
static inline void integer_scores(const Tables *const *queries, const uint8_t *keys, Ask,
                                  uint32_t tables, int32_t (*scores)[page_tokens]) {
    for (uint32_t q = 0; q < Queries; q++) {
        int16_t sums[page_tokens] = {};  // at most 128 tables of |127|
        for (uint32_t t = 0; t < tables; t++) {
            const int8_t *table = queries[q]->sums[t];
            for (uint32_t j = 0; j < 32; j++) {
                uint8_t byte = keys[t * 32 + j];
                sums[j] = int16_t(sums[j] + table[byte & 15]);
                sums[j + 32] = int16_t(sums[j + 32] + table[byte >> 4]);
            }
        }
        std::copy(sums, sums + page_tokens, scores[q]);
    }
}
#endif

}  // namespace specache::SPECACHE_ISA

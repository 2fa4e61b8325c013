// columns.h - a part of 16 rows of weights as tile A: its whole numbers, and what scales them.
#pragma once
#include <bit>

#include "tiles.h"

namespace specache::SPECACHE_ISA {

// The column, of a part's, that place i of A and B holds. Any order will do, so nibbles are taken
// as they lie in 32 bits of a block: of all fours of bytes 0 and 2, then 1 and 3.
inline constexpr uint32_t column_at(Type type, uint32_t i) {
    uint32_t pair = i / 2, high = i % 2;
    if (type == Type::q8_0) return pair + 16 * high;
    if (type == Type::q4_k || type == Type::q5_k) return pair % 8 * 4 + pair / 8 + 2 * high;
    if (type != Type::q4_0 && type != Type::q4_1) return i;
    // Columns from 16 on are the high nibbles of the same bytes.
    return pair / 8 * 16 + pair % 4 * 4 + pair / 4 % 2 + 2 * high;
}

// 16 neighbouring rows of weights.
struct RowRun {
    const uint8_t *first;
    uint64_t row_bytes;
    const uint8_t *row(uint32_t r) const { return first + r * row_bytes; }
    // 32 bits of each row, `byte` behind its begin.
    Words words(uint64_t byte) const {
        const Ints lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        return (Words)_mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xFFFF,
                                                  (__m512i)(lane * int32_t(row_bytes)),
                                                  first + byte, 1);
    }
};

// bf16 of i - centre. A permutation looks at five bits of an index: for nibbles, whose fifth bit is
// another's, the numbers are there twice.
template <uint32_t count>
static inline __m512i whole_numbers() {
    static constexpr auto numbers = [] {
        struct {
            alignas(64) uint16_t of[2 * lanes];
        } made{};
        for (uint32_t i = 0; i < 2 * lanes; i++) {
            float number = float(i % count) - float(count / 2);
            made.of[i] = uint16_t(std::bit_cast<uint32_t>(number) >> 16);
        }
        return made;
    }();
    return _mm512_load_si512(numbers.of);
}

// 32 nibbles of 16 bytes as bf16 less 8.
static inline __m512i nibbles(const uint8_t *bytes) {
    const Words shifts = {0, 0, 0, 0, 8, 8, 8, 8, 4, 4, 4, 4, 12, 12, 12, 12};
    __m128i once;
    std::memcpy(&once, bytes, sizeof once);
    Words four = (Words)_mm512_maskz_broadcast_i32x4(0xFFFF, once);
    return _mm512_maskz_permutexvar_epi16(0xFFFFFFFF, (__m512i)(four >> shifts),
                                          whole_numbers<16>());
}

// `count` numbers, 16 or 32, at a bit of each of 32 bytes, as bf16 less count / 2.
template <uint32_t count>
static inline __m512i bits_at(const uint8_t *bytes, uint32_t bit) {
    const Words shifts = {0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8};
    return _mm512_maskz_permutexvar_epi16(0xFFFFFFFF,
                                          (__m512i)(words_twice(bytes) >> (shifts + bit)),
                                          whole_numbers<count>());
}

// 32 signed bytes as bf16: the high halves of their floats, whose low ones are zero.
static inline __m512i signed_bytes(const uint8_t *bytes) {
    Bytes low, high;
    std::memcpy(&low, bytes, sizeof low);
    std::memcpy(&high, bytes + lanes, sizeof high);
    return (__m512i)((Words)floats_of(low) >> 16 | (Words)floats_of(high));
}

// 16 of them.
static inline __m256i few_signed_bytes(const int8_t *bytes) {
    Words high = (Words)signed_bytes_at(bytes) >> 16;
    return _mm512_maskz_cvtepi32_epi16(0xFFFF, (__m512i)high);
}

static inline Floats low_halves(Words words) {
    return (Floats)_mm512_maskz_cvtph_ps(0xFFFF,
                                         _mm512_maskz_cvtepi32_epi16(0xFFFF, (__m512i)words));
}

constexpr uint32_t parts_at_a_time = 4;  // all that a group meets stays in the first-level cache

// Parts of a run of rows.
struct alignas(64) Columns {
    uint16_t tiles[parts_at_a_time * tile_numbers];  // A: whole numbers
    float scales[parts_at_a_time * tile_rows];       // what a row's are multiplied by
    float leasts[parts_at_a_time * tile_rows];       // what is added to each then
    template <class Numbers>  // 32 or 16
    void put(uint32_t part, uint32_t row, const Numbers &numbers) {
        std::memcpy(tiles + part * tile_numbers + row * part_values, &numbers, sizeof numbers);
    }
};

// A part of blocks of 32.
template <Type type>
static inline void fill_block(const RowRun &run, uint64_t byte, uint32_t part, Columns &columns) {
    for (uint32_t r = 0; r < tile_rows; r++) {
        const uint8_t *block = run.row(r) + byte;
        if constexpr (type == Type::q8_0) columns.put(part, r, signed_bytes(block + 2));
        else columns.put(part, r, nibbles(block + (type == Type::q4_0 ? 2 : 4)));
    }
    Words words = run.words(byte);
    Floats d = low_halves(words);
    store(columns.scales + part * tile_rows, d);
    if constexpr (type == Type::q4_1) {
        store(columns.leasts + part * tile_rows, low_halves(words >> 16) + 8 * d);
    }
}

// A part of a row of a K-quant, which is of its block `of`.
template <Type type>
static inline void fill_part(const Unpacked<type> &unpacked, const uint8_t *block, uint32_t of,
                             uint32_t part, uint32_t row, Columns &columns) {
    uint32_t at = part * tile_rows + row;
    if constexpr (type == Type::q6_k) {
        columns.put(part, row, few_signed_bytes(unpacked.integers + of * lanes));
        columns.scales[at] = unpacked.scales[of];
        return;
    } else {
        constexpr uint32_t count = type == Type::q4_k ? 16 : 32;
        PartPlace place = part_place(type, of);
        if constexpr (type == Type::q4_k) {
            columns.put(part, row, bits_at<16>(block + place.nibbles, place.nibble_shift));
        } else {
            columns.put(part, row, bits_at<32>(unpacked.integers + of * part_values, 0));
        }
        columns.scales[at] = unpacked.numbers[of];
        columns.leasts[at] = unpacked.numbers[8 + of] + count / 2 * unpacked.numbers[of];
    }
}

// Parts [part, part + parts) of a run; `numbers` columns are left from the first on.
template <Type type>
static inline void fill(const RowRun &run, uint32_t part, uint32_t parts, uint32_t numbers,
                        Columns &columns) {
    if constexpr (is_k_quant(type)) {
        constexpr uint32_t of_block = block_values(type) / part_columns(type);
        for (uint32_t r = 0; r < tile_rows; r++) {
            const uint8_t *block = run.row(r) + uint64_t(part / of_block) * block_bytes(type);
            Unpacked<type> unpacked(block);
            for (uint32_t p = 0; p < parts; p++) {
                fill_part<type>(unpacked, block, (part + p) % of_block, p, r, columns);
            }
        }
    } else {
        for (uint32_t p = 0; p < parts; p++) {
            uint64_t byte = uint64_t(part + p) * block_bytes(type);
            if constexpr (in_blocks(type)) {
                fill_block<type>(run, byte, p, columns);
                continue;
            }
            uint32_t left = numbers - p * part_values;
            __mmask32 there = left >= part_values ? 0xFFFFFFFF : (1u << left) - 1;
            for (uint32_t r = 0; r < tile_rows; r++) {
                columns.put(p, r, _mm512_maskz_loadu_epi16(there, run.row(r) + byte));
            }
        }
    }
}

}  // namespace specache::SPECACHE_ISA

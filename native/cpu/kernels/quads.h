// quads.h - 16 rows of weights side by side: a quad is four columns' whole numbers of all 16, one
// byte each, as a dot product of VNNI takes them.
#pragma once
#include "whole_inputs.h"

#if defined(__AVX512VNNI__)
namespace specache::SPECACHE_ISA {

constexpr uint32_t quads = part_values / 4;  // of a part

// A part of 16 rows.
struct Quads {
    Words of[quads];  // [quad]: row r's columns 4 quad to 4 quad + 3, raised, in lane r
    Floats scale[2];  // of each run, a row's in its lane
    Floats least;
};

// Of four vectors of four words each in 16 bytes: out[k] has, in its own 16 bytes, word k of each.
static inline void turn(const __m512i *rows, Words *out) {
    __m512i low = _mm512_maskz_unpacklo_epi32(0xFFFF, rows[0], rows[1]);
    __m512i high = _mm512_maskz_unpackhi_epi32(0xFFFF, rows[0], rows[1]);
    __m512i low2 = _mm512_maskz_unpacklo_epi32(0xFFFF, rows[2], rows[3]);
    __m512i high2 = _mm512_maskz_unpackhi_epi32(0xFFFF, rows[2], rows[3]);
    out[0] = (Words)_mm512_maskz_unpacklo_epi64(0xFF, low, low2);
    out[1] = (Words)_mm512_maskz_unpackhi_epi64(0xFF, low, low2);
    out[2] = (Words)_mm512_maskz_unpacklo_epi64(0xFF, high, high2);
    out[3] = (Words)_mm512_maskz_unpackhi_epi64(0xFF, high, high2);
}

// 16 neighbouring rows. What is read lies a row apart, which no core foresees: so as many lines as
// are read are asked for of the 16 rows that follow, to the second level and in memory's order.
struct SixteenRows {
    const uint8_t *first;
    uint64_t row_bytes;
    // 4 bytes of each row, `byte` behind its begin.
    Words word(uint64_t byte) const {
        const Ints lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        ask(byte, 0);
        return (Words)_mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xFFFF,
                                                  (__m512i)(lane * int32_t(row_bytes)),
                                                  first + byte, 1);
    }
    // 16 bytes of each: four words.
    void read(uint64_t byte, Words *words) const {
        __m512i rows[4];
        for (uint32_t i = 0; i < 4; i++) {  // rows i, 4 + i, 8 + i and 12 + i
            ask(byte, i);
            rows[i] = _mm512_castsi128_si512(sixteen_at(byte, i));
            rows[i] = _mm512_mask_broadcast_i32x4(rows[i], 0x00F0, sixteen_at(byte, 4 + i));
            rows[i] = _mm512_mask_broadcast_i32x4(rows[i], 0x0F00, sixteen_at(byte, 8 + i));
            rows[i] = _mm512_mask_broadcast_i32x4(rows[i], 0xF000, sixteen_at(byte, 12 + i));
        }
        turn(rows, words);
    }
    // 32 bytes of each: eight words.
    void read_twice(uint64_t byte, Words *words) const {
        __m512i rows[8];
        Words turned[8];
        for (uint32_t i = 0; i < 8; i++) {  // rows 0 to 3, then 8 to 11, each with the fourth next
            uint32_t row = i / 4 * 8 + i % 4;
            ask(byte, i);
            rows[i] = _mm512_castsi256_si512(thirty_two_at(byte, row));
            rows[i] = _mm512_mask_broadcast_i64x4(rows[i], 0xF0, thirty_two_at(byte, row + 4));
        }
        turn(rows, turned);
        turn(rows + 4, turned + 4);
        for (uint32_t i = 0; i < 4; i++) {
            // Rows 0 to 7, and 8 to 15.
            __m512i low = (__m512i)turned[i], high = (__m512i)turned[4 + i];
            words[i] = (Words)_mm512_maskz_shuffle_i32x4(0xFFFF, low, high, 0x88);
            words[4 + i] = (Words)_mm512_maskz_shuffle_i32x4(0xFFFF, low, high, 0xDD);
        }
    }

private:
    const uint8_t *at(uint64_t byte, uint32_t row) const { return first + row * row_bytes + byte; }
    __m128i sixteen_at(uint64_t byte, uint32_t row) const {
        return _mm_loadu_si128(reinterpret_cast<const __m128i *>(at(byte, row)));
    }
    __m256i thirty_two_at(uint64_t byte, uint32_t row) const {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(at(byte, row)));
    }
    void ask(uint64_t byte, uint32_t line) const {
        __builtin_prefetch(at(lanes * byte, lanes) + line * 64, 0, 2);
    }
};

// The lower halves of each lane as floats.
static inline Floats halves_of(Words words) {
    return (Floats)_mm512_maskz_cvtph_ps(0xFFFF,
                                         _mm512_maskz_cvtepi32_epi16(0xFFFF, (__m512i)words));
}

constexpr uint32_t low_nibbles = 0x0F0F0F0Fu;

// A block of 32 columns. Calls meet(part of the block, quads).
template <Type type, class Meet>
static inline void unpack(const SixteenRows &rows, uint64_t byte, Meet meet) {
    Quads out;
    Words numbers = rows.word(byte);
    out.scale[0] = halves_of(numbers);
    if constexpr (type == Type::q8_0) {
        rows.read_twice(byte + 2, out.of);
        for (Words &quad : out.of) quad ^= 0x80808080u;
    } else {
        Words bytes[4];
        rows.read(byte + (type == Type::q4_0 ? 2 : 4), bytes);
        for (uint32_t i = 0; i < 4; i++) {
            out.of[i] = bytes[i] & low_nibbles;
            out.of[4 + i] = bytes[i] >> 4 & low_nibbles;
        }
        if constexpr (type == Type::q4_1) out.least = halves_of(numbers >> 16);
    }
    meet(0, out);
}

// A block of q4_k or q5_k: 8 parts, two of which share 32 bytes.
template <Type type, class Meet>
static inline void unpack_k4(const SixteenRows &rows, uint64_t byte, Meet meet) {
    Words head[4], fifth[quads];
    rows.read(byte, head);
    if constexpr (type == Type::q5_k) rows.read_twice(byte + 16, fifth);
    Floats d = halves_of(head[0]), least = -halves_of(head[0] >> 16);
    // Bytes of part p: scales in 0 and 1, leasts in 2 and 3, as part_numbers() has them of a row.
    const Words numbers[4] = {
        head[1] & 0x3F3F3F3Fu, (head[3] & low_nibbles) | (head[1] >> 2 & 0x30303030u),
        head[2] & 0x3F3F3F3Fu, (head[3] >> 4 & low_nibbles) | (head[2] >> 2 & 0x30303030u)};
    auto number = [&](uint32_t which, uint32_t part) {
        return floats_of((Ints)(numbers[2 * which + part / 4] >> 8 * (part % 4) & 0xFFu));
    };
    for (uint32_t pair = 0; pair < 4; pair++) {
        Words bytes[quads];
        uint64_t at = byte + (type == Type::q5_k ? 48 : 16) + 32 * pair;
        rows.read_twice(at, bytes);
        for (uint32_t part = 2 * pair; part < 2 * pair + 2; part++) {
            Quads out;
            for (uint32_t i = 0; i < quads; i++) {
                out.of[i] = bytes[i] >> 4 * (part % 2) & low_nibbles;
                if constexpr (type == Type::q5_k) {
                    out.of[i] |= (fifth[i] >> part & 0x01010101u) << 4;
                }
            }
            out.scale[0] = d * number(0, part);
            out.least = least * number(1, part);
            meet(part, out);
        }
    }
}

// A block of q6_k: of a half's four parts, 0 and 2 share 32 bytes of nibbles, and so do 1 and 3;
// bits 4 and 5 of all are in 32 bytes. 16 columns have a scale.
template <class Meet>
static inline void unpack_q6(const SixteenRows &rows, uint64_t byte, Meet meet) {
    Words eighths[4];  // [16] scales of a byte
    rows.read(byte + q6_k_scales, eighths);
    Floats d = halves_of(rows.word(byte + q6_k_d - 2) >> 16);  // no byte behind the block is read
    auto scale = [&](uint32_t run) {
        return d * floats_of((Ints)(eighths[run / 4] << (24 - 8 * (run % 4))) >> 24);
    };
    for (uint32_t half = 0; half < 2; half++) {
        Words high[quads];
        rows.read_twice(byte + 128 + 32 * half, high);
        for (uint32_t shared = 0; shared < 2; shared++) {
            Words bytes[quads];
            rows.read_twice(byte + 64 * half + 32 * shared, bytes);
            for (uint32_t part = shared; part < 4; part += 2) {
                Quads out;
                for (uint32_t i = 0; i < quads; i++) {
                    out.of[i] = (bytes[i] >> 4 * (part / 2) & low_nibbles) |
                                (high[i] >> 2 * part & 0x03030303u) << 4;
                }
                uint32_t all = 4 * half + part;
                out.scale[0] = scale(2 * all);
                out.scale[1] = scale(2 * all + 1);
                meet(all, out);
            }
        }
    }
}

}  // namespace specache::SPECACHE_ISA
#endif

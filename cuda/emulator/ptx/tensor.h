// tensor.h - matrix products of a warp and the loads that feed them.
//
// In every shape here a register holds 32 bits of a row of A or of a column of B ("a word"). With
// g = lane / 4 and t = lane % 4: A's registers hold rows g and g + 8 (where A has 16 rows) at word
// t, then both at word t + 4; B's hold column g at words t, t + 4; C and D hold row g at columns
// 2t and 2t + 1, then row g + 8.
#pragma once
#include "warp.h"

namespace emulator::ptx {

template <class H> double dot_halves(uint32_t a, uint32_t b) {
    double low = double(widen(H{uint16_t(a)})) * double(widen(H{uint16_t(b)}));
    return low + double(widen(H{uint16_t(a >> 16)})) * double(widen(H{uint16_t(b >> 16)}));
}
// One word's products, by the element types of A and B.
template <class A, class B> struct Dot {
    using Sum = int32_t;
    using Wide = uint32_t;  // wraps
    static Wide of(uint32_t a, uint32_t b) { return dp4a<A, B>(a, b, 0); }
};
template <> struct Dot<f16, f16> {
    using Sum = float;
    using Wide = double;  // rounded once, at the end
    static Wide of(uint32_t a, uint32_t b) { return dot_halves<f16>(a, b); }
};
template <> struct Dot<bf16, bf16> {
    using Sum = float;
    using Wide = double;
    static Wide of(uint32_t a, uint32_t b) { return dot_halves<bf16>(a, b); }
};
template <> struct Dot<float, float> {  // tf32: the lower 13 bits do not count
    using Sum = float;
    using Wide = double;
    static Wide of(uint32_t a, uint32_t b) {
        constexpr uint32_t kept = ~0x1fffu;
        return double(as<float>(a & kept)) * double(as<float>(b & kept));
    }
};

template <class A, class B, int a_words, int b_words> struct Product {
    using Sum = typename Dot<A, B>::Sum;
    using Wide = typename Dot<A, B>::Wide;
    static constexpr int blocks = a_words / b_words;  // of 8 rows
    Sum at[2 * blocks];                               // D

    // `words`: A's registers, then B's.
    Product(Payload words, const Sum (&c)[2 * blocks], Site site) {
        const Meeting &all = meet(~0u, words, site);
        if (all.come != ~0u) fail(site, "mma by lanes %08x: the warp is not whole", all.come);
        int row = int(current->lane / 4), column = int(current->lane % 4) * 2;
        for (int i = 0; i < 2 * blocks; i++) {
            Wide sum = Wide(c[i]);
            for (int word = 0; word < 4 * b_words; word++) {
                const uint32_t *left = all.lanes[row * 4 + word % 4].words;
                const uint32_t *right = all.lanes[(column + i % 2) * 4 + word % 4].words;
                int a = i / 2 + word / 4 * blocks, b = a_words + word / 4;
                sum += Dot<A, B>::of(left[a], right[b]);
            }
            at[i] = Sum(sum);
        }
    }
};

// ldmatrix: `count` matrices of 8 rows of 16 bytes; lane 8 i + j says where row j of matrix i is.
template <int count, bool transposed> struct Rows {
    uint32_t at[count];

    Rows(uint64_t row, Site site) {
        if (row % 16 != 0) fail(site, "ldmatrix: row %#lx is not at a multiple of 16", row);
        const Meeting &all = meet(~0u, offer(row), site);
        if (all.come != ~0u) fail(site, "ldmatrix by lanes %08x: not whole", all.come);
        unsigned group = current->lane / 4, place = current->lane % 4;
        for (unsigned i = 0; i < count; i++) {
            auto read = [&](unsigned from, unsigned element) {
                uint64_t address = all.lanes[8 * i + from].words[0] + 2 * element;
                return uint32_t(*static_cast<uint16_t *>(shared_place(address, 2, site)));
            };
            at[i] = transposed ? read(2 * place, group) | read(2 * place + 1, group) << 16
                               : read(group, 2 * place) | read(group, 2 * place + 1) << 16;
        }
    }
};

}  // namespace emulator::ptx

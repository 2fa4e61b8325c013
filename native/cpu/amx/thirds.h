// thirds.h - floats as the sum of three bf16: 24 bits are three times 8, so nothing is lost.
#pragma once
#include "tiles.h"

namespace specache::SPECACHE_ISA {

constexpr uint32_t input_thirds = 3;

// The high halves of x are a third; what is left of x remains.
static inline Words next_third(Floats &x) {
    Words high = (Words)x & 0xFFFF0000u;
    x -= (Floats)high;
    return high;
}

// 32 numbers as a row of three tiles A, one behind the other.
static inline void split_in_order(const float *in, uint16_t *row) {
    static constexpr auto places = [] {  // of the high halves
        struct {
            uint16_t of[part_values];
        } made{};
        for (uint32_t i = 0; i < part_values; i++) made.of[i] = uint16_t(2 * i + 1);
        return made;
    }();
    const __m512i order = _mm512_loadu_si512(places.of);
    Floats low = load(in), high = load(in + lanes);
    for (uint32_t third = 0; third < input_thirds; third++) {
        __m512i a = (__m512i)next_third(low), b = (__m512i)next_third(high);
        _mm512_store_si512(row + third * tile_numbers,
                           _mm512_maskz_permutex2var_epi16(0xFFFFFFFF, a, order, b));
    }
}

}  // namespace specache::SPECACHE_ISA

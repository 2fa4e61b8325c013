// query.h - the 8-bit query (DESIGN section 8): the same integers on every device for the same q,
// so that the integer scores are equal too.
#pragma once
#include <cmath>

#include "rotation.h"

namespace specache {

struct CodedQuery {
    float rotated[256];   // [head_dim] Hq, unrounded: the centre's part uses it
    int16_t levels[256];  // [head_dim] n_i = rint((Hq)_i / unit)
    float unit;
};

// A table is the channels of four planes. Its entries are sums of level times code (up to 1 at one
// bit, 3 at two) and must fit 8 bits: 125 + 4 / 2 and 3 (41 + 2 / 2) are both below 128.
static inline void find_levels(CodedQuery &coded, uint32_t head_dim, uint32_t key_bits) {
    uint32_t channels = 4 / key_bits;
    float largest = 0;
    for (uint32_t first = 0; first < head_dim; first += channels) {
        float sum = 0;
        for (uint32_t i = first; i < first + channels; i++) sum += std::fabs(coded.rotated[i]);
        largest = sum > largest ? sum : largest;
    }
    coded.unit = largest > 0 ? largest / (key_bits == 1 ? 125.0f : 41.0f) : 1.0f;
    if (!(coded.unit > 0)) coded.unit = 1.0f;  // a subnormal sum: the levels are all zero or one
    for (uint32_t i = 0; i < head_dim; i++) {
        coded.levels[i] = int16_t(std::nearbyintf(coded.rotated[i] / coded.unit));
    }
}

static inline CodedQuery code_query(const float *query, uint32_t head_dim, uint32_t key_bits) {
    CodedQuery coded;
    for (uint32_t i = 0; i < head_dim; i++) coded.rotated[i] = query[i];
    rotate_forward(coded.rotated, head_dim);
    find_levels(coded, head_dim, key_bits);
    return coded;
}

}  // namespace specache

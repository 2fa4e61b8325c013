// values.h - weighted sums of a page's coded values, kept in the codes' own space until the end.
//
// With weight p_j of token j, x_j = H^T c' + s_j T^-1 sum over planes (+-1) w e_channel, so
//   sum p_j x_j = H^T [sum p_j c'] + T^-1 [per plane: 2 (sum over set bits p_j s_j) - sum p_j s_j].
// Only the set bits are added here: a masked add for 16 planes of a token.
#pragma once
#include "../../codes.h"
#include "../../scratch.h"
#include "../kernels.h"
#include "../simd.h"

namespace specache::SPECACHE_ISA {

// Sums of one query over some pages: places in value_sum_floats() floats.
struct ValueSums {
    float *sum;      // [1] of all weights
    float *largest;  // [1] the logit that weights are relative to
    float *total;    // [1] sum of p_j s_j
    float *zero;     // [value_groups_max] paper: sum of p_j z_j of a group
    float *dense;    // [head_dim] rotated centres; exact rows and mode full: values
    float *set;      // [planes, whole vectors] sums over set bits
};
inline ValueSums value_sums(float *at, uint32_t head_dim) {
    uint32_t channels = (head_dim + vector_floats - 1) / vector_floats * vector_floats;
    float *dense = at + 2 * vector_floats;
    return {at, at + 1, at + 2, at + vector_floats, dense, dense + channels};
}

// weights: [64] of one page of each of up to four queries.
void add_page_values(const HeadCode &code, const CodeLayout &layout, const uint8_t *codes,
                     uint32_t head_dim, uint32_t queries, const float *const *weights,
                     const ValueSums *sums);

// The output of the sums, rotated back, added to out [head_dim].
void finish_values(const HeadCode &code, uint32_t head_dim, const ValueSums &sums, float *out);

// to += share * from.
static inline void add_sums(const ValueSums &to, const ValueSums &from, float share, uint32_t dim,
                            uint32_t planes) {
    *to.sum += share * *from.sum;
    *to.total += share * *from.total;
    for (uint32_t i = 0; i < value_groups_max; i++) to.zero[i] += share * from.zero[i];
    for (uint32_t i = 0; i < dim; i++) to.dense[i] += share * from.dense[i];
    for (uint32_t i = 0; i < planes; i++) to.set[i] += share * from.set[i];
}

// What a piece's sums are multiplied by. A factor that float does not hold belongs to weights that
// it does not hold either.
static inline float share_of(const ValueSums &sums, float largest) {
    float above = *sums.largest - largest;
    if (above <= 0) return exponential(above);
    return above < 88 ? std::exp(above) : 0;
}

}  // namespace specache::SPECACHE_ISA

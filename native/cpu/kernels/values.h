// values.h - weighted sums of a page's coded values, kept in the codes' own space until the end.
//
// With weight p_j of token j, x_j = H^T c' + s_j T^-1 sum over planes (+-1) w e_channel, so
//   sum p_j x_j = H^T [sum p_j c'] + T^-1 [per plane: 2 (sum over set bits p_j s_j) - sum p_j s_j].
// Only the set bits are added here: a masked add for 16 planes of a token.
#pragma once
#include "../../codes.h"
#include "../kernels.h"
#include "../simd.h"

namespace specache::SPECACHE_ISA {

constexpr uint32_t planes_max = 4 * 256;
constexpr uint32_t groups_max = 8;  // of the paper's channels: 256 / 32

// Sums of one query over some pages.
struct ValueSums {
    float sum;                 // of all weights, exact rows' included where they are added
    float centre[256];         // [head_dim] rotated centres; exact rows' values go to `rows`
    float rows[256];           // [head_dim]
    float set[planes_max];     // [planes, whole vectors] sums over set bits
    float total[groups_max];   // sum of p_j s_j (paper: entry 0 is not used)
    float zero[groups_max];    // paper: sum of p_j z_j of a group
};

// weights: [64] of one page.
void add_page_values(const HeadCode &code, const CodeLayout &layout, const uint8_t *codes,
                     uint32_t head_dim, const float *weights, ValueSums &sums);

// The output of the sums, rotated back, added to out [head_dim].
void finish_values(const HeadCode &code, uint32_t head_dim, const ValueSums &sums, float *out);

}  // namespace specache::SPECACHE_ISA

#include "values.h"

#include <algorithm>

#include "rotate.h"
#include "rows.h"

namespace specache::SPECACHE_ISA {
namespace {

// Mask of a vector of 16 planes; where not `Whole` a token's last vector may have one byte.
template <bool Whole>
uint32_t mask_of(const uint8_t *token, uint32_t stride, uint32_t vector) {
    uint32_t at = vector * 2;
    if (!Whole) return token[at] | (at + 1 < stride ? uint32_t(token[at + 1]) << 8 : 0u);
    uint16_t mask;
    std::memcpy(&mask, token + at, 2);
    return mask;
}

// Adds the set bits of `Vectors` vectors of planes from `first` on; a token's mask is read once for
// all queries.
template <uint32_t Vectors, bool Whole, uint32_t Queries>
void add_set(const uint8_t *values, uint32_t stride, uint32_t first,
             const float (*weights)[page_tokens], const ValueSums *sums) {
    Floats sum[Queries][Vectors];
    SPECACHE_UNROLL
    for (uint32_t q = 0; q < Queries; q++) {
        for (uint32_t v = 0; v < Vectors; v++) sum[q][v] = load(sums[q].set + (first + v) * lanes);
    }
    for (uint32_t j = 0; j < page_tokens; j++) {
        uint32_t masks[Vectors];
        for (uint32_t v = 0; v < Vectors; v++) {
            masks[v] = mask_of<Whole>(values + j * stride, stride, first + v);
        }
        SPECACHE_UNROLL
        for (uint32_t q = 0; q < Queries; q++) {
            Floats weight = spread(weights[q][j]);
            for (uint32_t v = 0; v < Vectors; v++) {
                sum[q][v] = masked_add(sum[q][v], masks[v], weight);
            }
        }
    }
    SPECACHE_UNROLL
    for (uint32_t q = 0; q < Queries; q++) {
        for (uint32_t v = 0; v < Vectors; v++) store(sums[q].set + (first + v) * lanes, sum[q][v]);
    }
}

template <uint32_t Queries>
void add_set_bits(const uint8_t *values, uint32_t stride, uint32_t first, uint32_t vectors,
                  const float (*weights)[page_tokens], const ValueSums *sums) {
    if constexpr (sums_held >= 16) {  // NEON keeps a mask as ones and zeroes, in registers too
        for (; vectors >= 4 && (first + 4) * 2 <= stride; first += 4, vectors -= 4) {
            add_set<4, true, Queries>(values, stride, first, weights, sums);
        }
    }
    constexpr uint32_t most = std::min(2u, sums_held / Queries);
    for (; vectors >= most && (first + most) * 2 <= stride; first += most, vectors -= most) {
        add_set<most, true, Queries>(values, stride, first, weights, sums);
    }
    for (; vectors >= 1; first++, vectors--) {
        add_set<1, false, Queries>(values, stride, first, weights, sums);
    }
}

template <uint32_t Queries>
void add_rotated(const HeadCode &code, const CodeLayout &layout, const uint8_t *codes,
                 uint32_t head_dim, const float *const *weights, const ValueSums *sums) {
    alignas(64) float scaled[Queries][page_tokens];
    Floats mass[Queries] = {}, total[Queries] = {}, most{};
    float scale = half_at(codes + layout.value_parameters + 2);
    for (uint32_t j = 0; j < page_tokens; j += lanes) {
        Floats token = spread(scale);
        if (code.value_bits != 0) {
            token = token * bytes_at(codes + layout.value_scales + j) / 255.0f;
        }
        for (uint32_t q = 0; q < Queries; q++) {
            Floats weight = load(weights[q] + j), product = weight * token;
            store(scaled[q] + j, product);
            most = larger(most, weight);
            mass[q] += weight;
            total[q] += product;
        }
    }
    // No larger bound: weights are beside the block's largest logit, which may be that of a chosen
    // token whose row says far less, and then the small ones are all that is left.
    if (largest_of(most) == 0) return;
    float centre[Queries], centre_scale = half_at(codes + layout.value_parameters);
    for (uint32_t q = 0; q < Queries; q++) {
        *sums[q].total += sum_of(total[q]);
        float sum = sum_of(mass[q]);
        *sums[q].sum += sum;
        centre[q] = sum * centre_scale;
    }
    const int8_t *levels = reinterpret_cast<const int8_t *>(codes + layout.value_centre);
    uint32_t i = 0;
    for (; i + lanes <= head_dim; i += lanes) {
        Floats level = signed_bytes_at(levels + i);
        for (uint32_t q = 0; q < Queries; q++) {
            store(sums[q].dense + i, load(sums[q].dense + i) + centre[q] * level);
        }
    }
    for (; i < head_dim; i++) {
        for (uint32_t q = 0; q < Queries; q++) sums[q].dense[i] += centre[q] * float(levels[i]);
    }
    uint32_t vectors = (code.value_planes + lanes - 1) / lanes;
    add_set_bits<Queries>(codes + layout.values, layout.value_stride, 0, vectors, scaled, sums);
}

// A group is 32 or 64 channels, and a plane's first channel is that of its vector only where
// head_dim is a multiple of 16; elsewhere planes are added one by one.
void add_paper(const HeadCode &code, const CodeLayout &layout, const uint8_t *codes,
               uint32_t head_dim, const float *weights, const ValueSums &sums) {
    uint32_t groups = (head_dim + code.group - 1) / code.group;
    const uint8_t *parameters = codes + layout.value_parameters;
    Floats mass{};
    for (uint32_t j = 0; j < page_tokens; j += lanes) mass += load(weights + j);
    *sums.sum += sum_of(mass);
    for (uint32_t group = 0; group < groups; group++) {
        float scaled[1][page_tokens];
        for (uint32_t j = 0; j < page_tokens; j++) {
            sums.zero[group] += weights[j] * half_at(parameters + (j * groups + group) * 4);
            scaled[0][j] = weights[j] * half_at(parameters + (j * groups + group) * 4 + 2);
        }
        uint32_t begin = group * code.group, end = std::min(head_dim, begin + code.group);
        for (uint32_t bit = 0; bit < code.value_bits; bit++) {
            uint32_t plane = bit * head_dim + begin, last = bit * head_dim + end;
            if (head_dim % lanes == 0) {
                add_set_bits<1>(codes + layout.values, layout.value_stride, plane / lanes,
                                (last - plane) / lanes, scaled, &sums);
                continue;
            }
            for (; plane < last; plane++) {
                for (uint32_t j = 0; j < page_tokens; j++) {
                    uint8_t byte = codes[layout.values + j * layout.value_stride + plane / 8];
                    if (byte >> plane % 8 & 1) sums.set[plane] += scaled[0][j];
                }
            }
        }
    }
}

void finish_paper(const HeadCode &code, uint32_t head_dim, const ValueSums &sums, float *out) {
    for (uint32_t i = 0; i < head_dim; i++) {
        float value = sums.zero[i / code.group] + sums.set[i];
        if (code.value_bits == 2) value += 2 * sums.set[head_dim + i];
        out[i] += value;
    }
}

}  // namespace

void add_page_values(const HeadCode &code, const CodeLayout &layout, const uint8_t *codes,
                     uint32_t head_dim, uint32_t queries, const float *const *weights,
                     const ValueSums *sums) {
    if (code.rule == Rule::paper) {
        for (uint32_t q = 0; q < queries; q++) {
            add_paper(code, layout, codes, head_dim, weights[q], sums[q]);
        }
        return;
    }
    by_queries(queries, [&]<uint32_t Queries>(uint32_t first) {
        add_rotated<Queries>(code, layout, codes, head_dim, weights + first, sums + first);
    });
}

void finish_values(const HeadCode &code, uint32_t head_dim, const ValueSums &sums, float *out) {
    if (code.rule == Rule::paper) return finish_paper(code, head_dim, sums, out);
    float y[256] = {}, rotated[256];
    auto signed_sum = [&](uint32_t plane) { return 2 * sums.set[plane] - *sums.total; };
    std::copy(sums.dense, sums.dense + head_dim, rotated);
    if (code.value_bits != 0) {
        for (uint32_t i = 0; i < head_dim; i++) {
            rotated[i] += code.value_bits == 1 ? signed_sum(i)
                                               : 2 * signed_sum(i) + signed_sum(head_dim + i);
        }
    } else {
        for (uint32_t p = 0; p < code.value_planes; p++) {
            y[code.plane_channel[p]] += code.plane_weight[p] * signed_sum(p);
        }
        for (uint32_t i = 0; i < head_dim; i++) {  // T^-1 = T^T: the basis is orthonormal
            if (y[i] == 0) continue;               // a channel without a plane
            add_row(Type::f32, reinterpret_cast<const uint8_t *>(code.value_basis + i * head_dim),
                    y[i], head_dim, out);
        }
    }
    rotate_row_back(rotated, head_dim);
    for (uint32_t i = 0; i < head_dim; i++) out[i] += rotated[i];
}

}  // namespace specache::SPECACHE_ISA

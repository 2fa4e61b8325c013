#include "values.h"

#include <algorithm>

#include "../../rotation.h"

namespace specache::SPECACHE_ISA {
namespace {

Floats bytes_at(const uint8_t *from) {
    typedef uint8_t Bytes __attribute__((vector_size(16)));
    Bytes bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return __builtin_convertvector(__builtin_convertvector(bytes, Ints), Floats);
}

float half_at(const uint8_t *from) {
    uint16_t half;
    std::memcpy(&half, from, 2);
    return half_to_float(half);
}

// Mask of a vector of 16 planes; where not `Whole` a token's last vector may have one byte.
template <bool Whole>
uint32_t mask_of(const uint8_t *token, uint32_t stride, uint32_t vector) {
    uint32_t at = vector * 2;
    if (!Whole) return token[at] | (at + 1 < stride ? uint32_t(token[at + 1]) << 8 : 0u);
    uint16_t mask;
    std::memcpy(&mask, token + at, 2);
    return mask;
}

// Adds the set bits of `Vectors` vectors of planes from `first` on, weights [64] each.
template <uint32_t Vectors, bool Whole>
void add_set(const uint8_t *values, uint32_t stride, uint32_t first, const float *weights,
             float *set) {
    Floats sum[Vectors];
    for (uint32_t v = 0; v < Vectors; v++) sum[v] = load(set + (first + v) * lanes);
    for (uint32_t j = 0; j < page_tokens; j++) {
        Floats weight = spread(weights[j]);
        for (uint32_t v = 0; v < Vectors; v++) {
            uint32_t mask = mask_of<Whole>(values + j * stride, stride, first + v);
            sum[v] = masked_add(sum[v], mask, weight);
        }
    }
    for (uint32_t v = 0; v < Vectors; v++) store(set + (first + v) * lanes, sum[v]);
}

void add_set_bits(const uint8_t *values, uint32_t stride, uint32_t first, uint32_t vectors,
                  const float *weights, float *set) {
    for (; vectors >= 8 && (first + 8) * 2 <= stride; first += 8, vectors -= 8) {
        add_set<8, true>(values, stride, first, weights, set);
    }
    for (; vectors >= 2 && (first + 2) * 2 <= stride; first += 2, vectors -= 2) {
        add_set<2, true>(values, stride, first, weights, set);
    }
    for (; vectors >= 1; first++, vectors--) {
        add_set<1, false>(values, stride, first, weights, set);
    }
}

void add_rotated(const HeadCode &code, const CodeLayout &layout, const uint8_t *codes,
                 uint32_t head_dim, const float *weights, const ValueSums &sums) {
    float scaled[page_tokens];
    Floats mass{}, total{};
    float scale = half_at(codes + layout.value_parameters + 2);
    for (uint32_t j = 0; j < page_tokens; j += lanes) {
        Floats token = spread(scale), weight = load(weights + j);
        if (code.value_bits != 0) {
            token = token * bytes_at(codes + layout.value_scales + j) / 255.0f;
        }
        store(scaled + j, weight * token);
        mass += weight;
        total += weight * token;
    }
    *sums.total += sum_of(total);
    float centre = sum_of(mass) * half_at(codes + layout.value_parameters);
    const int8_t *levels = reinterpret_cast<const int8_t *>(codes + layout.value_centre);
    for (uint32_t i = 0; i < head_dim; i++) sums.dense[i] += centre * float(levels[i]);
    uint32_t vectors = (code.value_planes + lanes - 1) / lanes;
    add_set_bits(codes + layout.values, layout.value_stride, 0, vectors, scaled, sums.set);
}

// A group is 32 or 64 channels, and a plane's first channel is that of its vector only where
// head_dim is a multiple of 16; elsewhere planes are added one by one.
void add_paper(const HeadCode &code, const CodeLayout &layout, const uint8_t *codes,
               uint32_t head_dim, const float *weights, const ValueSums &sums) {
    uint32_t groups = (head_dim + code.group - 1) / code.group;
    const uint8_t *parameters = codes + layout.value_parameters;
    for (uint32_t group = 0; group < groups; group++) {
        float scaled[page_tokens];
        for (uint32_t j = 0; j < page_tokens; j++) {
            sums.zero[group] += weights[j] * half_at(parameters + (j * groups + group) * 4);
            scaled[j] = weights[j] * half_at(parameters + (j * groups + group) * 4 + 2);
        }
        uint32_t begin = group * code.group, end = std::min(head_dim, begin + code.group);
        for (uint32_t bit = 0; bit < code.value_bits; bit++) {
            uint32_t plane = bit * head_dim + begin, last = bit * head_dim + end;
            if (head_dim % lanes == 0) {
                add_set_bits(codes + layout.values, layout.value_stride, plane / lanes,
                             (last - plane) / lanes, scaled, sums.set);
                continue;
            }
            for (; plane < last; plane++) {
                for (uint32_t j = 0; j < page_tokens; j++) {
                    uint8_t byte = codes[layout.values + j * layout.value_stride + plane / 8];
                    if (byte >> plane % 8 & 1) sums.set[plane] += scaled[j];
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
                     uint32_t head_dim, const float *weights, const ValueSums &sums) {
    if (code.rule == Rule::paper) add_paper(code, layout, codes, head_dim, weights, sums);
    else add_rotated(code, layout, codes, head_dim, weights, sums);
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
            for (uint32_t k = 0; k < head_dim; k++) {
                out[k] += y[i] * code.value_basis[i * head_dim + k];
            }
        }
    }
    rotate_back(rotated, head_dim);
    for (uint32_t i = 0; i < head_dim; i++) out[i] += rotated[i];
}

}  // namespace specache::SPECACHE_ISA

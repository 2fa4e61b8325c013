// codes.cpp - coding and decoding of a page in plain loops and double precision.
#include "codes.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "../numbers.h"
#include "../rotation.h"

namespace specache {
namespace {

// Steps of a uniform quantiser of a unit Gaussian with 1..4 bits (Max 1960).
constexpr double gaussian_step[5] = {0, 1.596, 0.9957, 0.586, 0.335};

using Rows = std::vector<std::vector<double>>;  // [64][head_dim]

double half_at(const uint8_t *from) {
    uint16_t half;
    std::memcpy(&half, from, 2);
    return half_to_float(half);
}
double put_half(uint8_t *to, double value) {
    uint16_t half = float_to_half(float(value));
    std::memcpy(to, &half, 2);
    return half_to_float(half);
}
double put_half_above(uint8_t *to, double value) {
    uint16_t half = float_to_half(float(value));
    if (half_to_float(half) < value) half++;
    std::memcpy(to, &half, 2);
    return half_to_float(half);
}

Rows load_rows(const Shape &shape, const uint8_t *rows, bool values) {
    Rows x(page_tokens, std::vector<double>(shape.head_dim));
    for (uint32_t j = 0; j < page_tokens; j++) {
        for (uint32_t i = 0; i < shape.head_dim; i++) {
            uint64_t at = uint64_t(j) * 2 * shape.head_dim + (values ? shape.head_dim : 0) + i;
            x[j][i] = load_number(shape.kv_type, rows, at);
        }
    }
    return x;
}

std::vector<double> encode_centre(const Rows &x, uint32_t first, uint8_t *levels, uint8_t *scale) {
    std::vector<double> centre(x[0].size());
    for (uint32_t j = first; j < page_tokens; j++) {
        for (size_t i = 0; i < centre.size(); i++) centre[i] += x[j][i] / (page_tokens - first);
    }
    rotate_forward(centre.data(), uint32_t(centre.size()));
    double largest = 0;
    for (double c : centre) largest = std::max(largest, std::fabs(c));
    double step = put_half_above(scale, largest / 127);
    for (size_t i = 0; i < centre.size(); i++) {
        double n = step > 0 ? std::clamp(std::nearbyint(centre[i] / step), -127.0, 127.0) : 0;
        levels[i] = uint8_t(int8_t(n));
        centre[i] = step * n;
    }
    return centre;
}

// y = T (x - H^T c').
Rows residuals(const Rows &x, std::vector<double> centre, const float *basis) {
    uint32_t dim = uint32_t(centre.size());
    rotate_back(centre.data(), dim);
    Rows y = x;
    for (std::vector<double> &row : y) {
        for (uint32_t i = 0; i < dim; i++) row[i] -= centre[i];
        if (basis == nullptr) {
            rotate_forward(row.data(), dim);
            continue;
        }
        std::vector<double> turned(dim);
        for (uint32_t i = 0; i < dim; i++) {
            for (uint32_t k = 0; k < dim; k++) turned[i] += double(basis[i * dim + k]) * row[k];
        }
        row = turned;
    }
    return y;
}

std::vector<double> encode_scales(const Rows &y, uint32_t first, uint32_t bits, uint8_t *scales,
                                  uint8_t *largest) {
    std::vector<double> wanted(page_tokens);
    for (uint32_t j = first; j < page_tokens; j++) {
        double sum = 0;
        for (double v : y[j]) sum += bits == 1 ? std::fabs(v) : v * v;
        double mean = sum / double(y[j].size());
        wanted[j] = bits == 1 ? mean : gaussian_step[2] / 2 * std::sqrt(mean);
    }
    double top = put_half_above(largest, *std::max_element(wanted.begin(), wanted.end()));
    for (uint32_t j = 0; j < page_tokens; j++) {
        scales[j] = top > 0 ? uint8_t(std::min(std::nearbyint(wanted[j] / top * 255), 255.0)) : 0;
        wanted[j] = top * scales[j] / 255;
    }
    return wanted;
}

void set_plane(const CodeLayout &layout, uint8_t *codes, uint32_t token, uint32_t plane) {
    codes[layout.values + token * layout.value_stride + plane / 8] |= uint8_t(1 << plane % 8);
}

bool plane_of(const CodeLayout &layout, const uint8_t *codes, uint32_t token, uint32_t plane) {
    return codes[layout.values + token * layout.value_stride + plane / 8] >> plane % 8 & 1;
}

// The level of 2 bits: -3 -1 1 3, of 1 bit: -1 1.
int level_of(double y, double scale, uint32_t bits) {
    if (bits == 1) return y > 0 ? 1 : -1;
    int high = y > 0 ? 2 : -2;
    return high + (y - high * scale > 0 ? 1 : -1);
}

void encode_rotated_keys(const Rows &x, const HeadCode &code, const CodeLayout &layout,
                         uint32_t first, uint8_t *codes) {
    uint32_t dim = uint32_t(x[0].size()), bits = code.key_bits, channels = 4 / bits;
    auto centre = encode_centre(x, first, codes + layout.key_centre, codes + layout.key_parameters);
    Rows y = residuals(x, centre, nullptr);
    auto scales = encode_scales(y, first, bits, codes + layout.key_scales,
                                codes + layout.key_parameters + 2);
    for (uint32_t j = first; j < page_tokens; j++) {
        for (uint32_t i = 0; i < dim; i++) {
            int level = level_of(y[j][i], scales[j], bits);
            uint32_t planes =
                bits == 1 ? level > 0 : (level > 0) | (level == 3 || level == -1) << 1;
            uint32_t shift = i % channels * bits + (j < 32 ? 0 : 4);
            codes[layout.keys + i / channels * 32 + j % 32] |= uint8_t(planes << shift);
        }
    }
}

void encode_hadamard_values(const Rows &x, const HeadCode &code, const CodeLayout &layout,
                            uint32_t first, uint8_t *codes) {
    uint32_t dim = uint32_t(x[0].size());
    auto centre =
        encode_centre(x, first, codes + layout.value_centre, codes + layout.value_parameters);
    Rows y = residuals(x, centre, nullptr);
    auto scales = encode_scales(y, first, code.value_bits, codes + layout.value_scales,
                                codes + layout.value_parameters + 2);
    for (uint32_t j = first; j < page_tokens; j++) {
        for (uint32_t i = 0; i < dim; i++) {
            int level = level_of(y[j][i], scales[j], code.value_bits);
            if (level > 0) set_plane(layout, codes, j, i);
            if (level == 3 || level == -1) {
                if (code.value_bits == 2) set_plane(layout, codes, j, dim + i);
            }
        }
    }
}

void encode_profile_values(const Rows &x, const HeadCode &code, const CodeLayout &layout,
                           uint32_t first, uint8_t *codes) {
    uint32_t dim = uint32_t(x[0].size());
    auto centre =
        encode_centre(x, first, codes + layout.value_centre, codes + layout.value_parameters);
    Rows y = residuals(x, centre, code.value_basis);
    double measured = 0, planned = 0;
    for (uint32_t i = 0; i < dim; i++) {
        uint32_t planes = 0;
        double least = INFINITY;
        for (uint32_t p = 0; p < code.value_planes; p++) {
            if (code.plane_channel[p] != i) continue;
            planes++;
            least = std::min(least, double(code.plane_weight[p]));
        }
        if (planes == 0) continue;
        double sigma = 2 * least / gaussian_step[std::min(planes, 4u)];
        for (uint32_t j = first; j < page_tokens; j++) {
            measured += y[j][i] * y[j][i];
            planned += sigma * sigma;
        }
    }
    double scale = put_half(codes + layout.value_parameters + 2,
                            planned > 0 ? std::sqrt(measured / planned) : 0);
    for (uint32_t j = first; j < page_tokens && scale > 0; j++) {
        for (uint32_t p = 0; p < code.value_planes; p++) {
            double &v = y[j][code.plane_channel[p]], step = scale * double(code.plane_weight[p]);
            if (v > 0) set_plane(layout, codes, j, p);
            v -= v > 0 ? step : -step;
        }
    }
}

// One group of the paper's rule.
struct Quarter {
    double zero, scale;
    Quarter(const std::vector<double> &x, uint32_t bits, uint8_t *parameters) {
        double least = *std::min_element(x.begin(), x.end());
        double largest = *std::max_element(x.begin(), x.end()), span = largest - least;
        zero = put_half(parameters, bits == 1 ? (3 * least + largest) / 4 : least);
        scale = put_half(parameters + 2, bits == 1 ? span / 2 : span / 3);
    }
    uint32_t code(double x, uint32_t bits) const {
        double top = bits == 1 ? 1 : 3;
        return scale > 0 ? uint32_t(std::clamp(std::nearbyint((x - zero) / scale), 0.0, top)) : 0;
    }
};

void encode_paper(const Rows &keys, const Rows &values, const HeadCode &code,
                  const CodeLayout &layout, uint32_t first, uint8_t *codes) {
    uint32_t dim = uint32_t(keys[0].size()), key_groups = page_tokens / code.group;
    for (uint32_t i = 0; i < dim; i++) {
        for (uint32_t group = 0; group < key_groups; group++) {
            std::vector<double> x;
            uint32_t begin = std::max(first, group * code.group), end = (group + 1) * code.group;
            for (uint32_t j = begin; j < end; j++) x.push_back(keys[j][i]);
            Quarter quarter(x, code.key_bits,
                            codes + layout.key_parameters + (i * key_groups + group) * 4);
            for (uint32_t j = begin; j < end; j++) {
                uint32_t of = quarter.code(keys[j][i], code.key_bits);
                for (uint32_t bit = 0; bit < code.key_bits; bit++) {
                    uint8_t *mask = codes + layout.keys + (uint64_t(bit) * dim + i) * 8;
                    mask[j / 8] |= uint8_t((of >> bit & 1) << j % 8);
                }
            }
        }
    }
    uint32_t groups = (dim + code.group - 1) / code.group;
    for (uint32_t j = first; j < page_tokens; j++) {
        for (uint32_t group = 0; group < groups; group++) {
            uint32_t begin = group * code.group, end = std::min(dim, begin + code.group);
            Quarter quarter({values[j].begin() + begin, values[j].begin() + end}, code.value_bits,
                            codes + layout.value_parameters + (j * groups + group) * 4);
            for (uint32_t i = begin; i < end; i++) {
                uint32_t of = quarter.code(values[j][i], code.value_bits);
                for (uint32_t bit = 0; bit < code.value_bits; bit++) {
                    if (of >> bit & 1) set_plane(layout, codes, j, bit * dim + i);
                }
            }
        }
    }
}

}  // namespace

void reference_encode(Stream &, const Encode &encode) {
    const Shape &shape = encode.shape;
    for (uint32_t head = 0; head < shape.kv_heads; head++) {
        const HeadCode &code = encode.codes_of[head];
        CodeLayout layout = code_layout(code, shape.head_dim);
        const uint8_t *rows = encode.rows + uint64_t(head) * page_tokens * row_bytes(shape);
        Rows keys = load_rows(shape, rows, false), values = load_rows(shape, rows, true);
        uint32_t first = encode.first ? sink_tokens : 0;
        uint8_t *codes = code.page(encode.page);
        std::memset(codes, 0, layout.bytes);
        if (code.rule == Rule::paper) {
            encode_paper(keys, values, code, layout, first, codes);
            continue;
        }
        encode_rotated_keys(keys, code, layout, first, codes);
        if (code.value_bits != 0) encode_hadamard_values(values, code, layout, first, codes);
        else encode_profile_values(values, code, layout, first, codes);
    }
}

namespace {

void decode_paper(const HeadCode &code, const CodeLayout &layout, const uint8_t *codes,
                  uint32_t dim, uint32_t j, double *key, double *value) {
    uint32_t key_groups = page_tokens / code.group, groups = (dim + code.group - 1) / code.group;
    for (uint32_t i = 0; i < dim; i++) {
        const uint8_t *of_key =
            codes + layout.key_parameters + (i * key_groups + j / code.group) * 4;
        const uint8_t *of_value =
            codes + layout.value_parameters + (j * groups + i / code.group) * 4;
        key[i] = half_at(of_key);
        value[i] = half_at(of_value);
        for (uint32_t bit = 0; bit < code.key_bits; bit++) {
            const uint8_t *mask = codes + layout.keys + (uint64_t(bit) * dim + i) * 8;
            if (mask[j / 8] >> j % 8 & 1) key[i] += half_at(of_key + 2) * (1 << bit);
        }
        for (uint32_t bit = 0; bit < code.value_bits; bit++) {
            if (plane_of(layout, codes, j, bit * dim + i))
                value[i] += half_at(of_value + 2) * (1 << bit);
        }
    }
}

// Planes in the basis's space, times the token's scale.
std::vector<double> planes_of(const HeadCode &code, const CodeLayout &layout, const uint8_t *codes,
                              uint32_t dim, uint32_t j) {
    std::vector<double> y(dim);
    double scale = half_at(codes + layout.value_parameters + 2);
    if (code.value_bits != 0) scale *= codes[layout.value_scales + j] / 255.0;
    for (uint32_t p = 0; p < code.value_planes; p++) {
        double weight = code.value_bits == 0 ? double(code.plane_weight[p])
                        : code.value_bits == 2 && p < dim ? 2 : 1;
        uint32_t channel = code.value_bits == 0 ? code.plane_channel[p] : p % dim;
        y[channel] += (plane_of(layout, codes, j, p) ? scale : -scale) * weight;
    }
    return y;
}

void decode_rotated(const HeadCode &code, const CodeLayout &layout, const uint8_t *codes,
                    uint32_t dim, uint32_t j, double *key, double *value) {
    double scale = half_at(codes + layout.key_parameters + 2) * codes[layout.key_scales + j] / 255;
    std::vector<double> y = planes_of(code, layout, codes, dim, j), turned(dim);
    for (uint32_t i = 0; i < dim; i++) {
        key[i] = half_at(codes + layout.key_parameters) * int8_t(codes[layout.key_centre + i]) +
                 scale * reference_key_level(code, layout, codes, j, i);
        value[i] =
            half_at(codes + layout.value_parameters) * int8_t(codes[layout.value_centre + i]);
        if (code.value_bits != 0) value[i] += y[i];
    }
    rotate_back(key, dim);
    rotate_back(value, dim);
    if (code.value_bits != 0) return;
    for (uint32_t i = 0; i < dim; i++) {
        for (uint32_t k = 0; k < dim; k++) value[k] += y[i] * double(code.value_basis[i * dim + k]);
    }
}

}  // namespace

int reference_key_level(const HeadCode &code, const CodeLayout &layout, const uint8_t *codes,
                        uint32_t token, uint32_t channel) {
    uint32_t channels = 4 / code.key_bits;
    uint8_t byte = codes[layout.keys + channel / channels * 32 + token % 32];
    uint32_t planes = byte >> (channel % channels * code.key_bits + (token < 32 ? 0 : 4));
    if (code.key_bits == 1) return planes & 1 ? 1 : -1;
    return (planes & 1 ? 2 : -2) + (planes & 2 ? 1 : -1);
}

void reference_decode(const HeadCode &code, uint32_t head_dim, const uint8_t *codes, double *keys,
                      double *values) {
    CodeLayout layout = code_layout(code, head_dim);
    for (uint32_t j = 0; j < page_tokens; j++) {
        double *key = keys + uint64_t(j) * head_dim, *value = values + uint64_t(j) * head_dim;
        if (code.rule == Rule::paper) decode_paper(code, layout, codes, head_dim, j, key, value);
        else decode_rotated(code, layout, codes, head_dim, j, key, value);
    }
}

}  // namespace specache

// encode.cpp - a page's rows to codes (DESIGN section 4, METHOD section 7 of the design notes):
// centre and sign planes of the residual in a basis, or the paper's quarter points.
#include <algorithm>

#include "../../codes.h"
#include "../../rotation.h"
#include "../kernels.h"
#include "../simd.h"
#include "../threads.h"

namespace specache::SPECACHE_ISA {
namespace {

// Half the step of a uniform quantiser of a unit Gaussian with 1..4 bits, times two (Max 1960).
constexpr float gaussian_step[5] = {0, 1.596f, 0.9957f, 0.586f, 0.335f};

// A channel's 64 tokens lie side by side: four vectors, to which all that follows is done alike.
struct Page {
    alignas(64) float x[256][page_tokens];  // [channel][token] keys or values, then residuals
    uint32_t first;                         // tokens before it are sinks: not coded
};
constexpr uint32_t vectors = page_tokens / lanes;

void put_half(uint8_t *to, float value) {
    uint16_t half = float_to_half(value);
    std::memcpy(to, &half, 2);
}
float get_half(const uint8_t *from) {
    uint16_t half;
    std::memcpy(&half, from, 2);
    return half_to_float(half);
}
// The least fp16 that is not below, so that what it scales never exceeds its range.
float half_above(float value) {
    uint16_t half = float_to_half(value);
    if (half_to_float(half) < value && half < 0x7BFF) half++;
    return half_to_float(half);
}

// Centre of the page, rotated, 8 bits: c' = scale n. Returns it decoded in `centre`.
void encode_centre(const Page &page, uint32_t dim, uint8_t *levels, uint8_t *scale_at,
                   float *centre) {
    for (uint32_t i = 0; i < dim; i++) {
        double sum = 0;
        for (uint32_t j = page.first; j < page_tokens; j++) sum += double(page.x[i][j]);
        centre[i] = float(sum / (page_tokens - page.first));
    }
    rotate_forward(centre, dim);
    float largest = 0;
    for (uint32_t i = 0; i < dim; i++) largest = std::max(largest, std::fabs(centre[i]));
    float scale = half_above(largest / 127);
    put_half(scale_at, scale);
    for (uint32_t i = 0; i < dim; i++) {
        float level = scale > 0 ? std::nearbyintf(centre[i] / scale) : 0;
        int8_t n = int8_t(std::clamp(level, -127.0f, 127.0f));
        levels[i] = uint8_t(n);
        centre[i] = scale * float(n);
    }
}

// rotate_forward() of all tokens at once.
void rotate_page(Page &page, uint32_t dim) {
    for (uint32_t v = 0; v < vectors; v++) {
        Floats column[256];
        for (uint32_t i = 0; i < dim; i++) column[i] = load(page.x[i] + v * lanes);
        rotate_forward(column, dim);
        for (uint32_t i = 0; i < dim; i++) store(page.x[i] + v * lanes, column[i]);
    }
}

// y = H (x - c), in place; c is given rotated.
void residuals(Page &page, uint32_t dim, const float *centre) {
    rotate_page(page, dim);
    for (uint32_t i = 0; i < dim; i++) {
        for (uint32_t j = 0; j < page_tokens; j++) page.x[i][j] -= centre[i];
    }
}

// y = T (x - c) of the channels that have a plane, in place.
void profile_residuals(Page &page, uint32_t dim, const float *centre, const HeadCode &code,
                       const float *square) {
    float c[256];
    std::copy(centre, centre + dim, c);
    rotate_back(c, dim);
    for (uint32_t i = 0; i < dim; i++) {
        for (uint32_t j = 0; j < page_tokens; j++) page.x[i][j] -= c[i];
    }
    for (uint32_t v = 0; v < vectors; v++) {
        Floats column[256];
        for (uint32_t i = 0; i < dim; i++) column[i] = load(page.x[i] + v * lanes);
        for (uint32_t i = 0; i < dim; i++) {
            if (square[i] == 0) continue;
            const float *row = code.value_basis + i * dim;
            Floats sums[4] = {};
            for (uint32_t k = 0; k < dim; k += 4) {
                for (uint32_t part = 0; part < 4; part++) {
                    sums[part] += row[k + part] * column[k + part];
                }
            }
            store(page.x[i] + v * lanes, (sums[0] + sums[1]) + (sums[2] + sums[3]));
        }
    }
}

// One scale a token, u8 in 255ths of the page's largest. Returns them decoded.
void encode_scales(const Page &page, uint32_t dim, uint32_t bits, uint8_t *scales,
                   uint8_t *largest_at, float *decoded) {
    float wanted[page_tokens] = {}, largest = 0;
    for (uint32_t i = 0; i < dim; i++) {
        const float *y = page.x[i];
        for (uint32_t j = 0; j < page_tokens; j++) {
            wanted[j] += bits == 1 ? std::fabs(y[j]) : y[j] * y[j];
        }
    }
    for (uint32_t j = 0; j < page_tokens; j++) {
        wanted[j] = j < page.first ? 0
                    : bits == 1    ? wanted[j] / float(dim)
                                   : gaussian_step[2] / 2 * std::sqrt(wanted[j] / float(dim));
        largest = std::max(largest, wanted[j]);
    }
    float top = half_above(largest);
    put_half(largest_at, top);
    for (uint32_t j = 0; j < page_tokens; j++) {
        float level = top > 0 ? std::nearbyintf(wanted[j] / top * 255) : 0;
        scales[j] = uint8_t(std::min(level, 255.0f));
        decoded[j] = top * float(scales[j]) / 255;
    }
}

// The planes of a channel at the tokens' scales s: bit 0 has the largest weight. 2 bits: levels
// -3 -1 1 3. Tokens that are not coded have none.
void sign_planes(const Page &page, uint32_t channel, const float *scales, uint32_t bits,
                 uint8_t *planes) {
    const float *y = page.x[channel];
    for (uint32_t j = 0; j < page_tokens; j++) {
        uint32_t high = y[j] > 0;
        float rest = y[j] - (high ? 2 : -2) * scales[j];
        planes[j] = uint8_t(bits == 1 ? high : high | uint32_t(rest > 0) << 1);
    }
    std::fill(planes, planes + page.first, uint8_t(0));
}

void encode_keys(Page &page, const HeadCode &code, const CodeLayout &layout, uint32_t dim,
                 uint8_t *to) {
    float centre[256], scales[page_tokens];
    encode_centre(page, dim, to + layout.key_centre, to + layout.key_parameters, centre);
    residuals(page, dim, centre);
    encode_scales(page, dim, code.key_bits, to + layout.key_scales, to + layout.key_parameters + 2,
                  scales);
    uint32_t channels = 4 / code.key_bits;  // of a table
    for (uint32_t i = 0; i < dim; i += channels) {
        uint8_t nibbles[page_tokens] = {}, planes[page_tokens];
        for (uint32_t c = 0; c < channels; c++) {
            sign_planes(page, i + c, scales, code.key_bits, planes);
            for (uint32_t j = 0; j < page_tokens; j++) {
                nibbles[j] = uint8_t(nibbles[j] | planes[j] << c * code.key_bits);
            }
        }
        uint8_t *table = to + layout.keys + i / channels * 32;
        for (uint32_t j = 0; j < 32; j++) table[j] = uint8_t(nibbles[j] | nibbles[j + 32] << 4);
    }
}

void set_plane(uint8_t *token, uint32_t plane) { token[plane / 8] |= uint8_t(1u << plane % 8); }

// Sets the tokens' plane where `bit` of `planes` is set.
void set_planes(const CodeLayout &layout, uint8_t *to, uint32_t plane, const uint8_t *planes,
                uint32_t bit) {
    uint8_t *byte = to + layout.values + plane / 8;
    for (uint32_t j = 0; j < page_tokens; j++) {
        byte[j * layout.value_stride] |= uint8_t((planes[j] >> bit & 1) << plane % 8);
    }
}

void encode_values(Page &page, const HeadCode &code, const CodeLayout &layout, uint32_t dim,
                   uint8_t *to) {
    float centre[256], scales[page_tokens];
    encode_centre(page, dim, to + layout.value_centre, to + layout.value_parameters, centre);
    residuals(page, dim, centre);
    encode_scales(page, dim, code.value_bits, to + layout.value_scales,
                  to + layout.value_parameters + 2, scales);
    std::memset(to + layout.values, 0, layout.value_stride * page_tokens);
    for (uint32_t i = 0; i < dim; i++) {
        uint8_t planes[page_tokens];
        sign_planes(page, i, scales, code.value_bits, planes);
        set_planes(layout, to, i, planes, 0);
        if (code.value_bits == 2) set_planes(layout, to, dim + i, planes, 1);
    }
}

// The mean square that the planes of each channel were made for: sigma^2, sigma = 2 w / step, w the
// least of n weights.
void planned_squares(const HeadCode &code, uint32_t dim, float *square) {
    uint32_t planes[256] = {};
    float least[256] = {};
    for (uint32_t p = 0; p < code.value_planes; p++) {
        uint32_t channel = code.plane_channel[p];
        float weight = code.plane_weight[p];
        least[channel] = planes[channel]++ == 0 ? weight : std::min(least[channel], weight);
    }
    for (uint32_t i = 0; i < dim; i++) {
        float sigma = planes[i] == 0 ? 0 : 2 * least[i] / gaussian_step[std::min(planes[i], 4u)];
        square[i] = sigma * sigma;
    }
}

// Values in a profile's basis: static weights, one scale for the page.
void encode_profile_values(Page &page, const HeadCode &code, const CodeLayout &layout,
                           uint32_t dim, uint8_t *to) {
    float centre[256], square[256] = {};  // zeros for GCC, which sees no loop over all of dim
    encode_centre(page, dim, to + layout.value_centre, to + layout.value_parameters, centre);
    planned_squares(code, dim, square);
    profile_residuals(page, dim, centre, code, square);
    double measured = 0, planned = 0;
    for (uint32_t i = 0; i < dim; i++) {
        if (square[i] == 0) continue;
        double sum = 0;
        for (uint32_t j = page.first; j < page_tokens; j++) {
            sum += double(page.x[i][j]) * double(page.x[i][j]);
        }
        measured += sum;
        planned += double(square[i]) * (page_tokens - page.first);
    }
    put_half(to + layout.value_parameters + 2,
             planned > 0 ? float(std::sqrt(measured / planned)) : 0);
    float scale = get_half(to + layout.value_parameters + 2);
    std::memset(to + layout.values, 0, layout.value_stride * page_tokens);
    for (uint32_t p = 0; p < code.value_planes && scale > 0; p++) {
        // Weights of a channel come in descending order and halve: each bit halves the error.
        float *y = page.x[code.plane_channel[p]], step = scale * code.plane_weight[p];
        uint8_t planes[page_tokens];
        for (uint32_t j = 0; j < page_tokens; j++) {
            planes[j] = y[j] > 0;
            y[j] -= y[j] > 0 ? step : -step;
        }
        std::fill(planes, planes + page.first, uint8_t(0));
        set_planes(layout, to, p, planes, 0);
    }
}

// The paper's rule for one group: zero and scale in fp16, codes by the decoded ones, clamped (the
// group's largest is exactly half a level above the top code and would round up to 2).
struct Quarter {
    float zero, scale;
    Quarter(float least, float largest, uint32_t bits, uint8_t *parameters) {
        float span = largest - least;
        put_half(parameters, bits == 1 ? (3 * least + largest) / 4 : least);
        put_half(parameters + 2, bits == 1 ? span / 2 : span / 3);
        zero = get_half(parameters);
        scale = get_half(parameters + 2);
    }
    uint32_t code(float x, uint32_t bits) const {
        if (!(scale > 0)) return 0;
        return uint32_t(
            std::clamp(std::nearbyintf((x - zero) / scale), 0.0f, bits == 1 ? 1.0f : 3.0f));
    }
};

void encode_paper_keys(const Page &page, const HeadCode &code, const CodeLayout &layout,
                       uint32_t dim, uint8_t *to) {
    uint32_t groups = page_tokens / code.group;
    for (uint32_t i = 0; i < dim; i++) {
        uint64_t masks[2] = {};
        for (uint32_t group = 0; group < groups; group++) {
            uint32_t end = (group + 1) * code.group, begin = std::max(page.first, end - code.group);
            float least = page.x[i][begin], largest = least;
            for (uint32_t j = begin; j < end; j++) {
                least = std::min(least, page.x[i][j]);
                largest = std::max(largest, page.x[i][j]);
            }
            Quarter quarter(least, largest, code.key_bits,
                            to + layout.key_parameters + (i * groups + group) * 4);
            for (uint32_t j = begin; j < end; j++) {
                uint32_t bits = quarter.code(page.x[i][j], code.key_bits);
                masks[0] |= uint64_t(bits & 1) << j;
                masks[1] |= uint64_t(bits >> 1) << j;
            }
        }
        for (uint32_t bit = 0; bit < code.key_bits; bit++) {
            std::memcpy(to + layout.keys + (uint64_t(bit) * dim + i) * 8, &masks[bit], 8);
        }
    }
}

void encode_paper_values(const Page &page, const HeadCode &code, const CodeLayout &layout,
                         uint32_t dim, uint8_t *to) {
    uint32_t groups = (dim + code.group - 1) / code.group;
    std::memset(to + layout.values, 0, layout.value_stride * page_tokens);
    std::memset(to + layout.value_parameters, 0, page_tokens * groups * 4);
    for (uint32_t j = page.first; j < page_tokens; j++) {
        uint8_t *token = to + layout.values + j * layout.value_stride;
        for (uint32_t group = 0; group < groups; group++) {
            uint32_t begin = group * code.group, end = std::min(dim, begin + code.group);
            float least = page.x[begin][j], largest = least;
            for (uint32_t i = begin; i < end; i++) {
                least = std::min(least, page.x[i][j]);
                largest = std::max(largest, page.x[i][j]);
            }
            Quarter quarter(least, largest, code.value_bits,
                            to + layout.value_parameters + (j * groups + group) * 4);
            for (uint32_t i = begin; i < end; i++) {
                uint32_t bits = quarter.code(page.x[i][j], code.value_bits);
                if (bits & 1) set_plane(token, i);
                if (bits & 2) set_plane(token, dim + i);
            }
        }
    }
}

void load_page(Page &page, const Shape &shape, const uint8_t *rows, bool values) {
    uint32_t half = shape.head_dim * type_bytes(shape.kv_type);
    for (uint32_t j = 0; j < page_tokens; j++) {
        float row[256];
        widen_row(shape.kv_type, rows + j * 2 * half + (values ? half : 0), shape.head_dim, row);
        for (uint32_t i = 0; i < shape.head_dim; i++) page.x[i][j] = row[i];
    }
}

}  // namespace

void encode(Stream &stream, const Encode &encode) {
    const Shape &shape = encode.shape;
    uint32_t dim = shape.head_dim;
    parallel(stream, shape.kv_heads, [&](uint32_t head) {
        const HeadCode &code = encode.codes_of[head];
        CodeLayout layout = code_layout(code, dim);
        const uint8_t *rows = encode.rows + uint64_t(head) * page_tokens * row_bytes(shape);
        uint8_t *to = code.page(encode.page);
        static thread_local Page page;
        page.first = encode.first ? sink_tokens : 0;
        load_page(page, shape, rows, false);
        if (code.rule == Rule::paper) encode_paper_keys(page, code, layout, dim, to);
        else encode_keys(page, code, layout, dim, to);
        load_page(page, shape, rows, true);
        if (code.rule == Rule::paper) encode_paper_values(page, code, layout, dim, to);
        else if (code.value_bits != 0) encode_values(page, code, layout, dim, to);
        else encode_profile_values(page, code, layout, dim, to);
    });
}

}  // namespace specache::SPECACHE_ISA

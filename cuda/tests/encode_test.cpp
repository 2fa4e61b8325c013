// encode_test.cpp - a page's codes made by the CUDA device against the reference's.
#include <cmath>
#include <cstring>

#include "../../native/reference/codes.h"
#include "layers.h"

using namespace specache;
using fixture::Layer;
using fixture::Options;

namespace {

constexpr uint8_t untouched = 0xA5;  // what Layer::encode() fills codes with

Kernels cuda_encode() {
    Kernels kernels = reference_kernels;
    kernels.encode = cuda::encode;
    return kernels;
}

struct Decoded {
    std::vector<double> keys, values;
    Decoded(const HeadCode &code, uint32_t dim, const uint8_t *codes)
        : keys(page_tokens * dim), values(keys.size()) {
        reference_decode(code, dim, codes, keys.data(), values.data());
    }
};

double square(double x) { return x * x; }

// Of a page in one head: tokens that the two codes decode differently, sinks (not coded) included.
uint32_t differing_tokens(const Layer &layer, const HeadCode &code, const uint8_t *codes,
                          const uint8_t *truth) {
    uint32_t dim = layer.shape.head_dim;
    Decoded ours(code, dim, codes), theirs(code, dim, truth);
    uint32_t differ = 0;
    for (uint32_t j = 0; j < page_tokens; j++) {
        double apart = 0;
        for (uint32_t c = j * dim; c < (j + 1) * dim; c++) {
            apart += square(ours.keys[c] - theirs.keys[c]) +
                     square(ours.values[c] - theirs.values[c]);
        }
        differ += !(std::sqrt(apart) <= one_level(layer, code, truth));
    }
    return differ;
}

// Of a page in one head: tokens with a bit behind the last plane, where codes have zeros.
uint32_t padded_tokens(const Layer &layer, const HeadCode &code, const uint8_t *codes) {
    CodeLayout layout = code_layout(code, layer.shape.head_dim);
    uint32_t padded = 0;
    for (uint32_t j = 0; code.value_planes % 8 != 0 && j < page_tokens; j++) {
        const uint8_t *token = codes + layout.values + j * layout.value_stride;
        padded += token[code.value_planes / 8] >> code.value_planes % 8 != 0;
    }
    return padded;
}

// Scales of a page's centres and of its tokens are sums and largest values, which no rounding of
// one number moves by more than a unit of fp16.
bool same_scales(const HeadCode &code, uint32_t dim, const uint8_t *codes, const uint8_t *truth) {
    CodeLayout layout = code_layout(code, dim);
    for (uint32_t at : {layout.key_parameters, layout.value_parameters}) {
        for (uint32_t i = 0; code.rule == Rule::rotated && i < 2; i++) {
            double wanted = double(load_number(Type::f16, truth + at, i));
            double got = double(load_number(Type::f16, codes + at, i));
            if (!(std::fabs(got - wanted) <= std::fabs(wanted) / 512 + 0x1p-23)) return false;
        }
    }
    return true;
}

// The mean squared error of what a page's codes decode to.
double error_of(const Layer &layer, uint32_t page, uint32_t head, const uint8_t *codes) {
    uint32_t dim = layer.shape.head_dim;
    Decoded decoded(layer.codes_of[head], dim, codes);
    double error = 0;
    for (uint32_t at = page == 0 ? sink_tokens * dim : 0; at < page_tokens * dim; at++) {
        const uint8_t *row = layer.row_of(page * page_tokens + at / dim, head);
        error += square(decoded.keys[at] - load_number(layer.shape.kv_type, row, at % dim)) +
                 square(decoded.values[at] - load_number(layer.shape.kv_type, row, dim + at % dim));
    }
    return error / (page_tokens * dim);
}

// Encodes by both, and looks at every byte outside of codes and every token inside.
void check_codes(Layer &layer) {
    layer.encode(reference_kernels);
    const std::vector<uint8_t> truth(layer.codes.begin(), layer.codes.end());
    layer.encode(cuda_encode());
    uint32_t dim = layer.shape.head_dim, differ = 0, outside = 0;
    std::vector<bool> inside(truth.size());
    for (uint32_t head = 0; head < layer.kv_heads; head++) {
        const HeadCode &code = layer.codes_of[head];
        for (uint32_t page = 0; page < layer.pages; page++) {
            const uint8_t *codes = layer.places[head * layer.pages_max + page];
            uint64_t at = uint64_t(codes - layer.codes.data());
            uint32_t bytes = code_layout(code, dim).bytes;
            std::fill_n(inside.begin() + std::ptrdiff_t(at), bytes, true);
            CHECK(padded_tokens(layer, code, codes) == 0);
            if (!layer.options.constant) {
                CHECK(same_scales(code, dim, codes, &truth[at]));
                differ += differing_tokens(layer, code, codes, &truth[at]);
                continue;
            }
            // Equal rows may all lie within rounding of a threshold: then either code is right.
            CHECK(error_of(layer, page, head, codes) <=
                  1.01 * error_of(layer, page, head, &truth[at]) + 1e-6);
        }
    }
    for (uint64_t i = 0; i < truth.size(); i++) {
        outside += !inside[i] && layer.codes[i] != untouched;
    }
    CHECK(outside == 0);
    // A number within rounding of a threshold may fall either way: far fewer than one token in
    // fifty has one.
    CHECK(differ * 50 <= layer.kv_heads * layer.pages * page_tokens);
}

Options options_of(Rule rule, uint32_t dim, Type type, uint32_t key_bits, uint32_t value_bits) {
    Options options;
    options.rule = rule;
    options.head_dim = dim;
    options.kv_type = type;
    options.key_bits = key_bits;
    options.value_bits = value_bits;
    options.group = 1;
    options.inputs = 1;
    options.position = 127;  // the page with sinks and one without, both whole
    return options;
}

}  // namespace

TEST("CUDA encode() with Hadamard values decodes to what the reference's codes decode to") {
    const Type types[] = {Type::f32, Type::f16, Type::bf16};
    const uint32_t dims[] = {24, 64, 80, 128, 256};
    for (uint32_t i = 0; i < 5; i++) {
        uint32_t key_bits = i % 2 + 1, value_bits = (i / 2 + 1) % 2 + 1;
        Layer layer(options_of(Rule::rotated, dims[i], types[i % 3], key_bits, value_bits));
        check_codes(layer);
    }
}

TEST("CUDA encode() with a profile decodes to what the reference's codes decode to") {
    const Type types[] = {Type::f32, Type::f16, Type::bf16};
    const uint32_t dims[] = {64, 80, 128};
    for (uint32_t i = 0; i < 3; i++) {
        Layer layer(options_of(Rule::rotated, dims[i], types[i], (i + 1) % 2 + 1, 0));
        check_codes(layer);
    }
}

TEST("CUDA encode() by the paper's rule decodes to what the reference's codes decode to") {
    const Type types[] = {Type::f32, Type::f16, Type::bf16};
    const uint32_t dims[] = {24, 64, 80, 256};
    for (uint32_t i = 0; i < 4; i++) {
        Options options = options_of(Rule::paper, dims[i], types[i % 3], i % 2 + 1, i / 2 + 1);
        options.scale_group = i == 0 || i == 3 ? 64 : 32;
        Layer layer(options);
        check_codes(layer);
    }
}

TEST("CUDA encode() codes each head in its own way, also where pages are further apart") {
    Layer layer(options_of(Rule::rotated, 64, Type::bf16, 2, 2));
    HeadCode &other = layer.codes_of[1];
    other.key_bits = 1;
    check_codes(layer);
    other.value_bits = 0;
    other.value_planes = uint32_t(layer.profile.channels.size());
    check_codes(layer);
    other = layer.code;
    other.rule = Rule::none;  // nothing of this head is coded
    layer.encode(cuda_encode());
    for (uint64_t i = layer.codes.size() / 2; i < layer.codes.size(); i++) {
        CHECK(layer.codes[i] == untouched);
    }
}

TEST("CUDA encode() of a page of equal rows is as near to them as the reference") {
    for (uint32_t value_bits : {0u, 1u, 2u}) {
        for (Rule rule : {Rule::rotated, Rule::paper}) {
            if (rule == Rule::paper && value_bits == 0) continue;
            Options options = options_of(rule, 24, Type::f32, value_bits == 0 ? 2 : value_bits,
                                         value_bits);
            options.constant = true;
            Layer layer(options);
            check_codes(layer);
        }
    }
}

TEST("CUDA encode() turns rows of head_dims with an odd factor as the reference does") {
    uint32_t made = 0;
    for (uint32_t dim : {40u, 96u, 192u, 248u}) {
        Layer layer(options_of(Rule::rotated, dim, Type::bf16, made % 2 + 1, made % 3));
        check_codes(layer);
        made++;
    }
}

TEST("CUDA encode() of rows whose scales are subnormal decodes to what the reference's do") {
    for (Rule rule : {Rule::rotated, Rule::paper}) {
        for (Type type : {Type::f16, Type::f32}) {
            Layer layer(options_of(rule, 24, type, 2, 2));
            fixture::shrink_rows(layer, type == Type::f16 ? 0x1p-14f : 0x1p-9f);
            check_codes(layer);
        }
    }
}

TEST("CUDA encode() keeps the sinks, which are far larger, out of the other tokens' scales") {
    for (uint32_t value_bits : {0u, 2u}) {
        Layer layer(options_of(Rule::rotated, 64, Type::bf16, 2, value_bits));
        for (uint32_t at = 0; at < layer.kv_heads * sink_tokens; at++) {
            uint8_t *row = &layer.rows[uint64_t(layer.row_of(at / 2, at % 2) - layer.rows.data())];
            for (uint32_t i = 0; i < 128; i++) {
                store_number(Type::bf16, row, i, 50 * load_number(Type::bf16, row, i));
            }
        }
        check_codes(layer);
    }
}

TEST("CUDA encode() by the paper's rule has a group's least number as its zero, bit for bit") {
    Options options = options_of(Rule::paper, 64, Type::f16, 2, 2);
    options.scale_group = 32;
    Layer layer(options);
    auto least = [](uint32_t at) { return uint16_t(0x0400 - 64 + at % 128); };  // to and from 2^-14
    for (uint32_t token = 0; token < 2 * page_tokens; token++) {
        for (uint32_t at = 0; at < 2 * layer.kv_heads; at++) {  // each head's two groups of values
            auto *row = reinterpret_cast<uint16_t *>(
                &layer.rows[uint64_t(layer.row_of(token, at / 2) - layer.rows.data())]);
            uint16_t *values = row + 64 + at % 2 * 32;
            for (uint32_t i = 0; i < 32; i++) values[i] = uint16_t(0x0500 + 7 * i);
            values[token % 32] = least(token);
        }
    }
    layer.encode(cuda_encode());
    uint32_t differ = 0;
    for (uint32_t token = sink_tokens; token < 2 * page_tokens; token++) {
        for (uint32_t at = 0; at < 2 * layer.kv_heads; at++) {
            const uint8_t *codes = layer.places[at / 2 * layer.pages_max + token / page_tokens];
            uint32_t number = (token % page_tokens * 2 + at % 2) * 2;
            uint16_t zero;
            std::memcpy(&zero, codes + layer.layout.value_parameters + number * 2, 2);
            differ += zero != least(token);
        }
    }
    CHECK(differ == 0);
}

// bounds.h - how far a layer's logits and outputs may be from the reference's.
#pragma once
#include "fixture.h"
#include "tolerances.h"

namespace fixture {

inline double norm_of(const float *x, uint32_t count) {
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += double(x[i]) * double(x[i]);
    return std::sqrt(sum);
}

// The largest norm of a key, and of a coded one: its residual is at most doubled.
inline double largest_key(const Layer &layer) {
    double largest = 0;
    std::vector<float> key(layer.shape.head_dim);
    for (uint32_t token = 0; token < layer.pages * page_tokens; token++) {
        for (uint32_t i = 0; i < key.size(); i++) {
            key[i] = load_number(layer.shape.kv_type, layer.row_of(token, 0), i);
        }
        largest = std::max(largest, norm_of(key.data(), uint32_t(key.size())));
    }
    return 2 * largest;
}

inline double logits_off(const Layer &layer) {
    double query = 0;
    for (uint32_t i = 0; i < layer.queries.size(); i += layer.shape.head_dim) {
        query = std::max(query, norm_of(&layer.queries[i], layer.shape.head_dim));
    }
    return tolerance::logit(layer.shape.head_dim, query * largest_key(layer),
                            double(layer.shape.scale));
}

inline double largest_value(const Layer &layer) {
    double largest = 0;
    for (uint32_t token = 0; token < layer.pages * page_tokens; token++) {
        for (uint32_t i = 0; i < layer.shape.head_dim; i++) {
            largest = std::max(largest, std::fabs(double(load_number(
                layer.shape.kv_type, layer.row_of(token, 1), layer.shape.head_dim + i))));
        }
    }
    return largest;
}

// How far two decodings of a page may be apart where no sign differs: one level of the centre and
// one of a token's scale may have rounded the other way. `code` is the head's.
inline double one_level(const Layer &layer, const HeadCode &code, const uint8_t *codes) {
    if (code.rule == Rule::paper) return 1e-3 * largest_key(layer);  // one bit of fp16
    CodeLayout layout = code_layout(code, layer.shape.head_dim);
    auto scale = [&](uint32_t at, uint64_t i) {
        return double(load_number(Type::f16, codes + at, i));
    };
    double dim = std::sqrt(double(layer.shape.head_dim));
    return scale(layout.key_parameters, 0) + scale(layout.key_parameters, 1) / 255 * 3 * dim +
           scale(layout.value_parameters, 0) + scale(layout.value_parameters, 1) / 255 * 3 * dim;
}

}  // namespace fixture

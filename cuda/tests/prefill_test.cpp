// prefill_test.cpp - the CUDA device's prefill attention against the reference, whole and in parts.
#include "layers.h"

using namespace specache;
using fixture::Layer;
using fixture::Near;

namespace {

// Outputs of queries of the layer's last tokens, the pages given `step` at a time.
Near<float> prefilled(Layer &layer, bool reference, const Near<float> &queries, uint32_t step) {
    uint32_t heads = layer.shape.query_heads, row = heads * layer.shape.head_dim;
    uint32_t tokens = uint32_t(queries.size()) / row;
    Near<float> outputs(queries.size()), sums(tokens * heads * (layer.shape.head_dim + 2));
    for (uint32_t page = 0; page < layer.pages; page += step) {
        PrefillAttend attend{layer.shape, queries.data(), layer.resident.data() + page,
                             sums.data(), tokens, layer.options.position + 1 - tokens, page,
                             std::min(step, layer.pages - page), page == 0};
        (reference ? reference_prefill_attend : cuda::prefill_attend)(layer.stream, attend);
    }
    PrefillFinish finish{layer.shape, sums.data(), outputs.data(), tokens};
    (reference ? reference_prefill_finish : cuda::prefill_finish)(layer.stream, finish);
    fixture::finish_near();
    return outputs;
}

// Attention of the layer's last tokens by the reference and by CUDA, in one call and in several.
void compare(Layer &layer, uint32_t tokens, float factor = 1) {
    const fixture::Options &options = layer.options;
    uint32_t dim = options.head_dim;
    Near<float> queries(tokens * layer.shape.query_heads * dim);
    std::normal_distribution<float> normal;
    for (float &x : queries) x = factor * normal(layer.random);
    Near<float> truth = prefilled(layer, true, queries, 100);
    Near<float> once = prefilled(layer, false, queries, 100);
    double off = tolerance::output(options.position + 1, dim,
                                   3 * double(factor) * logits_off(layer), largest_value(layer));
    double worst = 0;
    for (size_t i = 0; i < truth.size(); i++) {
        worst = test::larger(worst, std::fabs(double(truth[i]) - double(once[i])));
    }
    CHECK_NEAR(worst, 0.0, off);
    if (layer.pages > 1) CHECK(prefilled(layer, false, queries, 1) == once);
}

}  // namespace

TEST("CUDA prefill_attend() gives the reference's outputs, the same bits in one call or several") {
    for (const fixture::Options &options : fixture::odd_layers()) {
        Layer layer(options);
        compare(layer, std::min(options.position + 1, 5u));
    }
}

TEST("CUDA prefill_attend() gives the reference's outputs of a chunk that spans three pages") {
    fixture::Options options;
    options.head_dim = 24;
    options.position = 139;
    options.group = options.inputs = 1;
    options.rule = Rule::none;
    Layer layer(options);
    compare(layer, 76);
}

TEST("CUDA prefill_attend() gives the reference's outputs of chunks of every size") {
    for (uint32_t tokens = 1; tokens <= 9; tokens++) {
        fixture::Options options;
        options.head_dim = 24;
        options.position = 70;
        options.group = options.inputs = 1;
        options.rule = Rule::none;
        Layer layer(options);
        compare(layer, tokens);
    }
}

TEST("CUDA prefill_attend() gives the reference's outputs of logits whose exponentials overflow") {
    fixture::Options options;
    options.rule = Rule::none;
    options.position = 200;
    for (float factor : {60.0f, 2000.0f}) {
        Layer layer(options);
        compare(layer, 5, factor);
    }
}

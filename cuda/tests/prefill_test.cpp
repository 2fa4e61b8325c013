// prefill_test.cpp - the CUDA device's prefill attention against the reference, whole and in parts.
#include "layers.h"

using namespace specache;
using fixture::Layer;
using fixture::Near;

namespace {

// Outputs of queries of the layer's last tokens, the pages given `step` at a time. The first `skip`
// numbers are no queries.
Near<float> prefilled(Layer &layer, bool reference, const Near<float> &queries, uint32_t step,
                      uint32_t skip = 0) {
    uint32_t heads = layer.shape.query_heads, row = heads * layer.shape.head_dim;
    uint32_t tokens = uint32_t(queries.size() - skip) / row;
    Near<float> outputs(queries.size() - skip), sums(tokens * heads * (layer.shape.head_dim + 2));
    for (uint32_t page = 0; page < layer.pages; page += step) {
        PrefillAttend attend{layer.shape, queries.data() + skip, layer.resident.data() + page,
                             sums.data(), tokens, layer.options.position + 1 - tokens, page,
                             std::min(step, layer.pages - page), page == 0};
        (reference ? reference_prefill_attend : cuda::prefill_attend)(layer.stream, attend);
    }
    PrefillFinish finish{layer.shape, sums.data(), outputs.data(), tokens};
    (reference ? reference_prefill_finish : cuda::prefill_finish)(layer.stream, finish);
    fixture::finish_near();
    return outputs;
}

Near<float> queries_of(Layer &layer, uint32_t tokens, float factor = 1) {
    Near<float> queries(tokens * layer.shape.query_heads * layer.shape.head_dim);
    std::normal_distribution<float> normal;
    for (float &x : queries) x = factor * normal(layer.random);
    return queries;
}

// Attention of the layer's last tokens by the reference and by CUDA, in one call and in several.
void compare(Layer &layer, uint32_t tokens, float factor = 1) {
    const fixture::Options &options = layer.options;
    uint32_t dim = options.head_dim;
    Near<float> queries = queries_of(layer, tokens, factor);
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

TEST("CUDA prefill_attend() gives the reference's outputs around as many queries as a block has") {
    const uint32_t dims[] = {64, 80, 128, 256}, pairs[] = {63, 64, 65, 129};
    for (uint32_t i = 0; i < 24; i++) {
        fixture::Options options;
        options.head_dim = dims[i % 4];
        options.group = i % 8 + 1;
        options.kv_type = Type(i % 3);
        options.inputs = 1;
        options.rule = Rule::none;
        uint32_t tokens = (pairs[i / 2 % 4] + options.group - 1) / options.group;
        options.position = tokens - 1 + i % 5 * 29;  // chunks begin anywhere in a page
        Layer layer(options);
        compare(layer, tokens);
    }
}

TEST("how a prompt is cut and where its queries lie change no bit of CUDA prefill_attend()") {
    for (uint32_t i = 0; i < 6; i++) {
        fixture::Options options;
        options.head_dim = i < 3 ? 80 : 192;
        options.group = i + 1;
        options.kv_type = Type(i % 3);
        options.inputs = 1;
        options.position = 130 + i;
        options.rule = Rule::none;
        Layer layer(options);
        Near<float> queries = queries_of(layer, 75);
        Near<float> all = prefilled(layer, false, queries, 100);
        for (uint32_t tokens : {1u, 30u, 67u}) {
            size_t count = tokens * layer.shape.query_heads * options.head_dim;
            Near<float> part(queries.end() - int64_t(count), queries.end());
            Near<float> last(all.end() - int64_t(count), all.end());
            CHECK(prefilled(layer, false, part, 100) == last);
            part.insert(part.begin(), 0.0f);  // no longer at a multiple of 16 bytes
            CHECK(prefilled(layer, false, part, 100, 1) == last);
        }
    }
}

namespace {

// Sums of a page of 64 tokens, [64][head_dim + 2], one query each, after rows made by key(token,
// channel) and value 1.
template <class Key> Near<float> page_sums(const Near<float> &queries, uint32_t dim, Key key) {
    fixture::Options options;
    options.head_dim = dim;
    options.group = options.inputs = 1;
    options.position = page_tokens - 1;
    options.kv_type = Type::f32;
    options.rule = Rule::none;
    Layer layer(options);
    for (uint32_t at = 0; at < page_tokens * Layer::kv_heads; at++) {
        float *row = reinterpret_cast<float *>(layer.rows.data() + at * layer.row);
        for (uint32_t i = 0; i < dim; i++) row[i] = key(at % page_tokens, i), row[dim + i] = 1;
    }
    Near<float> sums(page_tokens * Layer::kv_heads * (dim + 2));
    cuda::prefill_attend(layer.stream, {layer.shape, queries.data(), layer.resident.data(),
                                        sums.data(), page_tokens, 0, 0, 1, true});
    fixture::finish_near();
    return sums;
}

}  // namespace

// The weight of the token before a query's own is about a half and has all bits of a float: a sum
// of values 1 that differs from the sum of weights has lost some.
TEST("CUDA prefill_attend() weights values with all bits of the weights") {
    constexpr uint32_t dim = 24, vectors = page_tokens * Layer::kv_heads;
    Near<float> queries(vectors * dim);
    for (uint32_t at = 0; at < vectors; at++) queries[at * dim] = 1;
    Near<float> sums = page_sums(queries, dim, [](uint32_t token, uint32_t channel) {
        return channel == 0 ? 3.5f * float(token) + 0.037f * float(token % 7) : 0.0f;
    });
    for (uint32_t at = 0; at < vectors; at++) {
        const float *kept = &sums[at * (dim + 2)];
        for (uint32_t i = 0; i < dim; i++) {
            CHECK_NEAR(kept[i], kept[dim + 1], tolerance::sum(8, double(kept[dim + 1])));
        }
    }
}

TEST("CUDA prefill_attend() makes logits of all bits of the queries") {
    constexpr uint32_t dim = 80, vectors = page_tokens * Layer::kv_heads;
    std::mt19937 random(19);
    Near<float> queries(vectors * dim);
    std::normal_distribution<float> normal;
    for (uint32_t at = 0; at < vectors; at++) queries[at * dim + at * 3 % dim] = normal(random);
    Near<float> sums = page_sums(queries, dim, [](uint32_t, uint32_t) { return 1.0f; });
    for (uint32_t at = 0; at < vectors; at++) {
        double logit = double(queries[at * dim + at * 3 % dim]) / std::sqrt(double(dim));
        // The scale, its product, the product's sum, and as much by tensor cores.
        CHECK_NEAR(sums[at * (dim + 2) + dim], logit, tolerance::sum(4, std::fabs(logit)));
    }
}

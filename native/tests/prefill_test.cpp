// prefill_test.cpp - exact attention of a chunk by every kernel table, against the reference.
#include <bit>
#include <cmath>
#include <memory>

#include "bounds.h"
#include "fixture.h"
#include "known_layers.h"
#include "tables.h"
#include "test.h"
#include "tolerances.h"

using namespace specache;
using fixture::known_layers;
using fixture::largest_value;
using fixture::Layer;
using fixture::logits_off;

namespace {

// Outputs of queries of the layer's last tokens, the pages given `step` at a time.
std::vector<float> prefilled(Layer &layer, const Kernels &kernels,
                             const std::vector<float> &queries, uint32_t step) {
    uint32_t row = layer.shape.query_heads * layer.shape.head_dim;
    uint32_t tokens = uint32_t(queries.size()) / row;
    std::vector<float> outputs(queries.size());
    std::vector<float> sums(tokens * layer.shape.query_heads * (layer.shape.head_dim + 2));
    for (uint32_t page = 0; page < layer.pages; page += step) {
        kernels.prefill_attend(layer.stream,
                               {layer.shape, queries.data(), layer.resident.data() + page,
                                sums.data(), tokens, layer.options.position + 1 - tokens, page,
                                std::min(step, layer.pages - page), page == 0});
    }
    kernels.prefill_finish(layer.stream, {layer.shape, sums.data(), outputs.data(), tokens});
    return outputs;
}

std::vector<float> queries_of(Layer &layer, uint32_t tokens, float factor = 1) {
    std::vector<float> queries(tokens * layer.shape.query_heads * layer.shape.head_dim);
    std::normal_distribution<float> normal;
    for (float &x : queries) x = factor * normal(layer.random);
    return queries;
}

// The layer's last tokens, in one call and in several.
void compare(Layer &layer, uint32_t tokens, float factor = 1) {
    std::vector<float> queries = queries_of(layer, tokens, factor);
    std::vector<float> truth = prefilled(layer, reference_kernels, queries, 100);
    double off = tolerance::output(layer.options.position + 1, layer.shape.head_dim,
                                   3 * double(factor) * logits_off(layer), largest_value(layer));
    for (const Kernels *kernels : fast_tables()) {
        std::vector<float> once = prefilled(layer, *kernels, queries, 100);
        double worst = 0;
        for (size_t i = 0; i < truth.size(); i++) {
            worst = test::larger(worst, std::fabs(double(truth[i]) - double(once[i])));
        }
        CHECK_NEAR(worst, 0.0, off);
        // The order of the sums is fixed, so cut calls give the same bits, not near ones.
        if (layer.pages > 1) CHECK(prefilled(layer, *kernels, queries, 1) == once);
        if (layer.pages > 3) CHECK(prefilled(layer, *kernels, queries, 3) == once);
    }
}

fixture::Options chunk_of(uint32_t head_dim, uint32_t group, uint32_t position) {
    fixture::Options options;
    options.head_dim = head_dim;
    options.group = group;
    options.position = position;
    options.inputs = 1;
    options.rule = Rule::none;
    return options;
}

}  // namespace

TEST("prefill_attend() gives the reference's outputs, in one call or in several") {
    for (const auto &known : known_layers()) {
        // Over a page border, and more than the 32 or the whole fours that kernels take at a time.
        compare(known->layer, std::min(known->layer.options.position + 1, 37u));
    }
}

TEST("prefill_attend() gives the reference's outputs around as many queries as a block has") {
    const uint32_t dims[] = {64, 128, 192, 256}, pairs[] = {15, 16, 17, 33, 127, 128, 129, 140};
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t group = i % 8 + 1, tokens = (pairs[i / 2] + group - 1) / group;
        Layer layer(chunk_of(dims[i % 4], group, tokens - 1 + i % 5 * 29));
        compare(layer, tokens);
    }
}

TEST("prefill_attend() gives the reference's outputs of logits whose exponentials overflow") {
    for (float factor : {60.0f, 2000.0f}) {
        Layer layer(chunk_of(64, 3, 200));
        compare(layer, 5, factor);
    }
}

TEST("how a prompt is cut changes no bit of prefill_attend()") {
    for (uint32_t group : {1u, 3u, 8u}) {
        Layer layer(chunk_of(group == 3 ? 128 : 64, group, 130 + group));
        std::vector<float> queries = queries_of(layer, 75);
        for (const Kernels *kernels : fast_tables()) {
            std::vector<float> all = prefilled(layer, *kernels, queries, 100);
            for (uint32_t tokens : {1u, 30u, 67u}) {
                auto count = int64_t(tokens) * layer.shape.query_heads * layer.shape.head_dim;
                std::vector<float> part(queries.end() - count, queries.end());
                std::vector<float> last(all.end() - count, all.end());
                CHECK(prefilled(layer, *kernels, part, 100) == last);
            }
        }
    }
}

// Two tokens, keys 0 and 1: the second's weight is 1 / (1 + e^-l), l a number of the query alone.
// Values tell the first's weight in half of the channels, the second's in the others. A query or a
// weight that is cut to 16 bits is off by 2^-16 of itself.
TEST("prefill_attend() loses no bit of a query or of a weight") {
    constexpr uint32_t dim = 64;
    constexpr uint16_t one = 0x3F80;
    Shape shape{1, 1, dim, Type::bf16, 1 / 8.0f};
    std::vector<uint16_t> page(page_tokens * 2 * dim, 0);  // [64][key, value]
    std::fill_n(page.begin() + dim, dim / 2, one);
    std::fill_n(page.begin() + 2 * dim, dim, one);
    std::fill_n(page.begin() + 3 * dim + dim / 2, dim / 2, one);
    const uint8_t *pages[] = {reinterpret_cast<const uint8_t *>(page.data())};
    std::vector<float> queries(2 * dim), outputs(2 * dim), sums(2 * (dim + 2));
    queries[dim] = std::bit_cast<float>(0x40C333FFu);  // 6.1, its last 8 bits all set
    double second = 1 / (1 + std::exp(-double(queries[dim]) / 8));
    CpuStream stream;
    for (const Kernels *kernels : kernel_tables()) {
        kernels->prefill_attend(stream, {shape, queries.data(), pages, sums.data(), 2, 0, 0, 1,
                                         true});
        kernels->prefill_finish(stream, {shape, sums.data(), outputs.data(), 2});
        for (uint32_t i = 0; i < dim; i++) {
            CHECK(outputs[i] == (i < dim / 2 ? 1 : 0));
            double weight = i < dim / 2 ? 1 - second : second;
            CHECK_NEAR(outputs[dim + i], weight, tolerance::weight);
        }
    }
}

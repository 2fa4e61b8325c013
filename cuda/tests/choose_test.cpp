// choose_test.cpp - the CUDA device's choice of tokens against the reference.
#include "layers.h"

using namespace specache;
using fixture::Layer;
using fixture::Near;

namespace {

Kernels kernels() {
    Kernels table = reference_kernels;
    table.choose = cuda::choose;
    return table;
}

// Every chosen token is the reference's, or its value is within 1e-4 of the k-th.
void compare(Layer &layer, const Layer &truth) {
    CHECK(truth.counts == layer.counts);
    for (uint32_t pair = 0; pair < layer.counts.size(); pair++) {
        auto known = truth.chosen.begin() + pair * layer.k_max;
        auto chosen = layer.chosen.begin() + pair * layer.k_max;
        const float *values = &truth.values[pair * layer.k_max];
        uint32_t count = truth.counts[pair];
        CHECK(std::is_sorted(chosen, chosen + count));
        CHECK(std::adjacent_find(chosen, chosen + count) == chosen + count);
        float least = count == 0 ? 0 : *std::min_element(values, values + count);
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t *found = std::lower_bound(&*known, &*known + count, chosen[i]);
            bool same = found != &*known + count && *found == chosen[i];
            float wanted = same ? values[found - &*known] : least;
            CHECK_NEAR(layer.values[pair * layer.k_max + i], wanted, 1e-4 * double(wanted));
        }
    }
}

}  // namespace

TEST("CUDA choose() takes the reference's tokens over odd shapes, but for values within 1e-4") {
    for (const fixture::Options &options : fixture::odd_layers()) {
        if (options.rule == Rule::none) continue;
        Layer truth(options), layer(options);
        truth.scan(reference_kernels);
        layer.logits = truth.logits;
        truth.choose(reference_kernels);
        layer.choose(kernels());
        compare(layer, truth);
    }
}

TEST("CUDA choose() takes the reference's tokens of logits whose exponentials overflow") {
    fixture::Options options;
    options.k = 2;  // the values of many more are too small for a float
    std::normal_distribution<float> normal(0, 200);
    for (uint32_t position : {200u, 300u, 700u}) {
        options.position = position;
        Layer truth(options), layer(options);
        for (float &x : truth.logits) x = normal(truth.random);
        layer.logits = truth.logits;
        truth.choose(reference_kernels);
        layer.choose(kernels());
        compare(layer, truth);
    }
}

TEST("CUDA choose() on equal scores picks the lower tokens") {
    for (uint32_t k : {1u, 17u, 63u, 64u, 128u}) {
        fixture::Options options;
        options.k = k;
        options.position = 260;
        Layer layer(options);
        std::fill(layer.logits.begin(), layer.logits.end(), 0.25f);
        layer.choose(kernels());
        CHECK(layer.counts[0] == k);
        for (uint32_t i = 0; i < layer.counts[0]; i++) CHECK(layer.chosen[i] == sink_tokens + i);
    }
}

TEST("CUDA choose() picks the lower of equal scores among more tokens than a block has threads") {
    for (uint32_t k : {1u, 190u, 256u, 400u, 600u}) {
        fixture::Options options;
        options.group = 1;
        options.k = k;
        options.position = 700;
        Layer layer(options);
        for (size_t i = 0; i < layer.logits.size(); i++) {
            layer.logits[i] = i % layer.tokens_max % 3 == 0 ? 0.5f : 0.25f;
        }
        uint32_t tail = coded_pages(options.position) * page_tokens;
        std::vector<uint32_t> wanted;
        for (uint32_t rest : {0u, 1u}) {
            for (uint32_t token = sink_tokens; token < tail && wanted.size() < k; token++) {
                if (std::min(token % 3, 1u) == rest) wanted.push_back(token);
            }
        }
        std::sort(wanted.begin(), wanted.end());
        layer.choose(kernels());
        for (uint32_t pair = 0; pair < layer.counts.size(); pair++) {
            CHECK(layer.counts[pair] == wanted.size());
            CHECK(std::equal(wanted.begin(), wanted.end(), &layer.chosen[pair * layer.k_max]));
        }
    }
}

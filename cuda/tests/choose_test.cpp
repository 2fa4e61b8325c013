// choose_test.cpp - the CUDA device's choice of tokens against the reference.
#include "choices.h"

using namespace specache;
using fixture::choose_on_device;
using fixture::choose_on_host;
using fixture::compare;
using fixture::Layer;

TEST("CUDA choose() takes the reference's tokens over odd shapes, but for values within 1e-4") {
    for (const fixture::Options &options : fixture::odd_layers()) {
        if (options.rule == Rule::none) continue;
        Layer truth(options), layer(options);
        truth.scan(reference_kernels);
        layer.logits = truth.logits;
        compare(choose_on_device(layer), choose_on_host(truth));
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
        compare(choose_on_device(layer), choose_on_host(truth));
    }
}

TEST("CUDA choose() on equal scores picks the lower tokens") {
    for (uint32_t k : {1u, 17u, 63u, 64u, 128u}) {
        fixture::Options options;
        options.k = k;
        options.position = 260;
        Layer layer(options);
        std::fill(layer.logits.begin(), layer.logits.end(), 0.25f);
        choose_on_device(layer);
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
        choose_on_device(layer);
        for (uint32_t pair = 0; pair < layer.counts.size(); pair++) {
            CHECK(layer.counts[pair] == wanted.size());
            CHECK(std::equal(wanted.begin(), wanted.end(), &layer.chosen[pair * layer.k_max]));
        }
    }
}

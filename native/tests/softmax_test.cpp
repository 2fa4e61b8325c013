// softmax_test.cpp - a scan that leaves weights, and logits at the ends of what float holds.
#include <limits>

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
using fixture::Options;

TEST("weights that a scan leaves give the bits that logits give") {
    for (const auto &known : known_layers()) {
        Layer &layer = known->layer;
        if (layer.options.rule == Rule::none) continue;
        for (const Kernels *kernels : fast_tables()) {
            layer.blocks.clear();
            layer.step(*kernels, layer.kv_heads);
            auto chosen = layer.chosen;
            auto values = layer.values, outputs = layer.outputs;
            layer.weigh();
            std::fill(layer.outputs.begin(), layer.outputs.end(), 0);
            layer.step(*kernels, layer.kv_heads);
            CHECK(chosen == layer.chosen);
            CHECK(values == layer.values);
            CHECK(outputs == layer.outputs);
        }
        layer.blocks.clear();
    }
}

TEST("choose() takes k tokens where a near row's logit is infinite") {
    Options options;
    options.position = 700;
    for (const Kernels *kernels : fast_tables()) {
        Layer layer(options);
        layer.scan(*kernels);
        std::fill(layer.queries.begin(), layer.queries.end(), 0.0f);
        for (uint32_t head = 0; head < options.inputs * layer.shape.query_heads; head++) {
            layer.queries[head * options.head_dim] = head % 2 == 0 ? 3e38f : -3e38f;
        }
        layer.choose(*kernels);
        for (uint32_t pair = 0; pair < layer.counts.size(); pair++) {
            CHECK(layer.counts[pair] == options.k);
            for (uint32_t i = 0; i < layer.counts[pair]; i++) {
                uint32_t token = layer.chosen[pair * layer.k_max + i];
                CHECK(token >= sink_tokens && token < layer.tokens_max);
                CHECK(i == 0 || token > layer.chosen[pair * layer.k_max + i - 1]);
            }
        }
    }
}

// Such a token is largest in its block, where all else has its weight beside it.
TEST("attend() keeps all others where the codes hold a chosen token for far more than its row") {
    for (const auto &known : known_layers()) {
        Layer &layer = known->layer;
        if (layer.options.rule == Rule::none) continue;
        double off = tolerance::output(layer.options.position + 1, layer.options.head_dim,
                                       logits_off(layer), largest_value(layer));
        for (const Kernels *kernels : fast_tables()) {
            for (float above : {20.0f, 40.0f, 60.0f}) {
                layer.logits = known->logits;
                layer.chosen = known->chosen;
                layer.counts = known->counts;
                uint32_t group = layer.options.group;
                for (uint32_t pair = 0; pair < layer.counts.size(); pair++) {
                    if (layer.counts[pair] == 0) continue;
                    uint32_t token = layer.chosen[pair * layer.k_max];
                    for (uint32_t g = 0; g < group; g++) {
                        layer.logits[(uint64_t(pair) * group + g) * layer.tokens_max + token] +=
                            above;
                    }
                }
                std::fill(layer.outputs.begin(), layer.outputs.end(), 0);
                layer.attend(*kernels);
                double worst = 0;
                for (size_t i = 0; i < layer.outputs.size(); i++) {
                    worst = test::larger(worst, std::fabs(double(known->outputs[i]) -
                                                          double(layer.outputs[i])));
                }
                CHECK_NEAR(worst, 0.0, off);
            }
        }
    }
}

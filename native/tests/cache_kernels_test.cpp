// cache_kernels_test.cpp - every kernel table against the reference, over odd shapes.
#include <cstring>
#include <limits>
#include <memory>

#include "../query.h"
#include "../reference/codes.h"
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
using fixture::odd_shapes;
using fixture::one_level;
using fixture::Options;

TEST("one KV head after the other gives the bits of all at once") {
    std::vector<const Kernels *> tables = fast_tables();
    tables.push_back(&reference_kernels);
    for (const Options &options : odd_shapes()) {
        if (options.position > 320) continue;  // the reference is slow
        Layer layer(options);
        for (const Kernels *kernels : tables) {
            std::vector<float> outputs[2], values[2];
            std::vector<uint32_t> chosen[2];
            for (uint32_t each : {1u, 2u}) {
                std::fill(layer.outputs.begin(), layer.outputs.end(), NAN);
                layer.step(*kernels, each);
                outputs[each - 1] = layer.outputs;
                values[each - 1] = layer.values;
                chosen[each - 1] = layer.chosen;
            }
            for (const auto *both : {outputs, values}) {
                size_t bytes = both[0].size() * sizeof(float);
                CHECK(std::memcmp(both[0].data(), both[1].data(), bytes) == 0);
            }
            CHECK(chosen[0] == chosen[1]);
        }
    }
}

TEST("encode() decodes to what the reference's codes decode to") {
    for (const auto &known : known_layers()) {
        Layer &layer = known->layer;
        uint32_t dim = layer.options.head_dim;
        if (layer.options.rule == Rule::none) continue;
        const std::vector<uint8_t> truth = layer.codes;
        auto of_truth = [&](uint32_t page) {
            return truth.data() + (layer.places[page] - layer.codes.data());
        };
        std::vector<double> keys[2], values[2];
        for (int which = 0; which < 2; which++) {
            keys[which].resize(page_tokens * dim);
            values[which].resize(page_tokens * dim);
        }
        for (const Kernels *kernels : fast_tables()) {
            layer.encode(*kernels);
            uint32_t differ = 0;
            for (uint32_t i = 0; i < layer.pages; i++) {
                const uint8_t *codes[2] = {of_truth(i), layer.places[i]};
                for (int which = 0; which < 2; which++) {
                    reference_decode(layer.code, dim, codes[which], keys[which].data(),
                                     values[which].data());
                }
                for (uint32_t j = i == 0 ? sink_tokens : 0; j < page_tokens; j++) {
                    double apart = 0;  // squared distance of the decoded key and value
                    for (uint32_t c = j * dim; c < (j + 1) * dim; c++) {
                        apart += (keys[0][c] - keys[1][c]) * (keys[0][c] - keys[1][c]) +
                                 (values[0][c] - values[1][c]) * (values[0][c] - values[1][c]);
                    }
                    differ += std::sqrt(apart) > one_level(layer, layer.code, codes[0]);
                }
            }
            // A number within rounding of a threshold (about 1e-6 of the spread) may fall either
            // way: far fewer than one token in fifty has one.
            CHECK(layer.options.constant || differ * 50 <= layer.pages * page_tokens);
        }
        layer.encode(reference_kernels);
    }
}

TEST("decode(encode(x)) is as near to x as each rule allows, and a constant page is its centre") {
    struct Bound {
        Rule rule;
        uint32_t bits;
        double share;  // of the spread's norm: sqrt of the distortion of 1 and 2 bits, and a tenth
    };
    for (Bound bound : {Bound{Rule::rotated, 1, .663}, Bound{Rule::rotated, 2, .377},
                        Bound{Rule::paper, 1, .85}, Bound{Rule::paper, 2, .75}}) {
        Options options;
        options.rule = bound.rule;
        options.key_bits = options.value_bits = bound.bits;
        Layer layer(options);
        std::vector<double> keys(64 * 64), values(64 * 64);
        reference_decode(layer.code, 64, layer.places[1], keys.data(), values.data());
        double error = 0;
        for (uint32_t j = 0; j < 64; j++) {
            for (uint32_t i = 0; i < 64; i++) {
                double x = load_number(layer.shape.kv_type, layer.row_of(64 + j, 0), i);
                error += (keys[j * 64 + i] - x) * (keys[j * 64 + i] - x);
            }
        }
        CHECK(std::sqrt(error / 4096) < bound.share);
        options.constant = true;
        Layer flat(options);
        reference_decode(flat.code, 64, flat.places[1], keys.data(), values.data());
        for (uint32_t i = 0; i < 64; i++) {
            double x = load_number(flat.shape.kv_type, flat.row_of(64, 0), i);
            // The centre has 8 bits of its largest rotated channel, 16 is a generous such.
            CHECK_NEAR(keys[5 * 64 + i], x, bound.rule == Rule::paper ? 0.01 : 16.0 / 127);
        }
    }
}

TEST("scan() gives the reference's logits, and hides the sinks") {
    for (const auto &known : known_layers()) {
        Layer &layer = known->layer;
        double off = logits_off(layer);
        for (const Kernels *kernels : fast_tables()) {
            std::fill(layer.logits.begin(), layer.logits.end(), 0);
            layer.scan(*kernels);
            double worst = 0;
            for (size_t i = 0; i < layer.logits.size(); i++) {
                bool hidden = std::isinf(known->logits[i]);
                if (hidden) CHECK(std::isinf(layer.logits[i]) && layer.logits[i] < 0);
                else
                    worst = test::larger(worst,
                                     std::fabs(double(known->logits[i]) - double(layer.logits[i])));
            }
            CHECK_NEAR(worst, 0.0, off);
        }
    }
}

TEST("the integer scores of equal queries are equal: keys with a zero centre give the same bits") {
    // With every key's centre zero the logit is unit * scale * I, in the same float operations.
    for (uint32_t bits : {1u, 2u}) {
        Options options;
        options.key_bits = bits;
        std::vector<float> first;
        for (const Kernels *kernels : kernel_tables()) {
            if (kernels == &reference_kernels) continue;
            Layer layer(options);
            for (uint8_t *codes : layer.places) {
                std::fill_n(codes + layer.layout.key_centre, options.head_dim, uint8_t(0));
            }
            layer.scan(*kernels);
            if (first.empty()) first = layer.logits;
            double worst = 0;
            for (size_t i = 0; i < first.size(); i++) {
                if (std::isinf(first[i])) continue;
                worst = test::larger(worst, std::fabs(double(first[i] - layer.logits[i])) /
                                            std::max(1e-3, std::fabs(double(first[i]))));
            }
            // One integer more or less would be a share of 1 / (64 * 123) at least.
            CHECK(worst < 4 * tolerance::unit);
        }
    }
}

TEST("table entries of the 8-bit query fit 8 bits whatever the query") {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (uint32_t round = 0; round < 2000; round++) {
        float query[128];
        for (float &x : query) x = normal(random) * std::exp(3 * normal(random));
        for (uint32_t bits : {1u, 2u}) {
            CodedQuery coded = code_query(query, 128, bits);
            for (uint32_t first = 0; first < 128; first += 4 / bits) {
                int sum = 0;
                for (uint32_t i = first; i < first + 4 / bits; i++) {
                    sum += std::abs(coded.levels[i]) * (bits == 1 ? 1 : 3);
                }
                CHECK(sum <= 127);
            }
        }
    }
    float zero[64] = {};
    CHECK(code_query(zero, 64, 2).unit == 1.0f);
}

TEST("choose() takes the reference's tokens, but for values within 1e-4 of the k-th") {
    for (const auto &known : known_layers()) {
        Layer &layer = known->layer;
        for (const Kernels *kernels : fast_tables()) {
            layer.logits = known->logits;
            std::fill(layer.counts.begin(), layer.counts.end(), 0);
            std::fill(layer.chosen.begin(), layer.chosen.end(), 0);
            std::fill(layer.values.begin(), layer.values.end(), 0);
            layer.choose(*kernels);
            CHECK(known->counts == layer.counts);
            for (uint32_t pair = 0; pair < layer.counts.size(); pair++) {
                auto truth = known->chosen.begin() + pair * layer.k_max;
                auto chosen = layer.chosen.begin() + pair * layer.k_max;
                uint32_t count = known->counts[pair];
                CHECK(std::is_sorted(chosen, chosen + count));
                float least = 1;
                for (uint32_t i = 0; i < count; i++) {
                    least = std::min(least, known->values[pair * layer.k_max + i]);
                }
                for (uint32_t i = 0; i < count; i++) {
                    if (std::binary_search(truth, truth + count, chosen[i])) continue;
                    CHECK_NEAR(layer.values[pair * layer.k_max + i], least, 1e-4 * double(least));
                }
            }
        }
    }
}

TEST("choose() on equal scores picks the lower tokens") {
    for (const Kernels *kernels : kernel_tables()) {
        Layer layer(Options{});
        std::fill(layer.logits.begin(), layer.logits.end(), 0.25f);
        layer.choose(*kernels);
        for (uint32_t i = 0; i < layer.counts[0]; i++) CHECK(layer.chosen[i] == sink_tokens + i);
    }
}

TEST("attend() gives the reference's outputs") {
    for (const auto &known : known_layers()) {
        Layer &layer = known->layer;
        double off = tolerance::output(layer.options.position + 1, layer.options.head_dim,
                                       logits_off(layer), largest_value(layer));
        for (const Kernels *kernels : fast_tables()) {
            layer.logits = known->logits;
            layer.chosen = known->chosen;
            layer.counts = known->counts;
            std::fill(layer.outputs.begin(), layer.outputs.end(), 0);
            layer.attend(*kernels);
            double worst = 0;
            for (size_t i = 0; i < layer.outputs.size(); i++) {
                worst = test::larger(worst,
                                 std::fabs(double(known->outputs[i]) - double(layer.outputs[i])));
            }
            CHECK_NEAR(worst, 0.0, off);
        }
    }
}

// known_layers.h - layers of odd shapes, and what the reference makes of them.
#pragma once
#include <array>
#include <memory>

#include "fixture.h"

namespace fixture {

// Pairwise: every head_dim, group, type, rule and edge of pages and windows appears with several of
// the others.
inline std::vector<Options> odd_shapes() {
    std::vector<Options> list;
    const uint32_t dims[] = {16, 24, 64, 80, 128, 256};
    const uint32_t positions[] = {0, 3, 63, 127, 128, 129, 191, 192, 193, 320, 1300};
    const uint32_t groups[] = {1, 3, 4, 8};
    for (uint32_t i = 0; i < 44; i++) {
        Options options;
        options.head_dim = dims[i % 6];
        options.position = positions[i % 11];
        options.group = groups[i % 4];
        options.inputs = i % 4 + 1;
        options.kv_type = Type(i % 3);
        options.rule = i % 5 == 4 ? Rule::paper : i % 11 == 10 ? Rule::none : Rule::rotated;
        options.key_bits = i / 2 % 2 + 1;
        options.value_bits = options.rule == Rule::paper ? i / 5 % 2 + 1 : i % 3;
        options.scale_group = i / 3 % 2 == 0 ? 32 : 64;
        options.k = i % 7 == 0 ? 0 : i % 7 == 1 ? 5000 : 17;
        options.constant = i % 13 == 12;
        list.push_back(options);
    }
    // Several blocks of 32 pages, and more of them than a vector holds; inputs on both sides of a
    // page's end.
    // From 9 blocks on mode full reads both heads in one piece.
    for (Rule rule : {Rule::rotated, Rule::none}) {
        for (auto [dim, group, inputs, position] : {std::array{40u, 5u, 3u, 2238u},
                                                    std::array{16u, 1u, 3u, 34110u}}) {
            Options options;
            options.head_dim = dim;
            options.group = group;
            options.inputs = inputs;
            options.position = position;
            options.rule = rule;
            if (rule == Rule::none) options.kv_type = dim == 40 ? Type::f32 : Type::f16;
            list.push_back(options);
        }
    }
    return list;
}

// A layer of each odd shape with what the reference makes of it: made once, since the reference is
// slow. A test overwrites the layer's outputs, and may not look at what another one left in them.
struct Known {
    Layer layer;
    std::vector<float> logits, values, outputs;
    std::vector<uint32_t> chosen, counts;
    explicit Known(const Options &options) : layer(options) {
        layer.scan(reference_kernels);
        logits = layer.logits;
        layer.choose(reference_kernels);
        layer.attend(reference_kernels);
        values = layer.values;
        chosen = layer.chosen;
        counts = layer.counts;
        outputs = layer.outputs;
    }
};

inline const std::vector<std::unique_ptr<Known>> &known_layers() {
    static std::vector<std::unique_ptr<Known>> list;
    if (list.empty()) {
        for (const Options &options : odd_shapes()) {
            list.push_back(std::make_unique<Known>(options));
        }
    }
    return list;
}

}  // namespace fixture

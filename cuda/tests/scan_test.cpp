// scan_test.cpp - the CUDA device's logits from codes against the reference.
#include "layers.h"

using namespace specache;
using fixture::Layer;
using fixture::Near;

namespace {

void compare(Layer &layer) {
    Kernels kernels = reference_kernels;
    kernels.scan = cuda::scan;
    layer.scan(reference_kernels);
    Near<float> truth = layer.logits;
    std::fill(layer.logits.begin(), layer.logits.end(), 0);
    layer.scan(kernels);
    double worst = 0;
    for (size_t i = 0; i < truth.size(); i++) {
        if (std::isinf(truth[i])) {
            CHECK(std::isinf(layer.logits[i]) && layer.logits[i] < 0);
            continue;
        }
        worst = test::larger(worst, std::fabs(double(truth[i]) - double(layer.logits[i])));
    }
    CHECK_NEAR(worst, 0.0, logits_off(layer));
}

fixture::Options small(uint32_t dim, uint32_t key_bits, uint32_t position) {
    fixture::Options options;
    options.head_dim = dim;
    options.key_bits = key_bits;
    options.group = options.inputs = 1;
    options.position = position;
    return options;
}

}  // namespace

TEST("CUDA scan() gives the reference's logits over odd shapes, and hides the sinks") {
    std::vector<fixture::Options> all = fixture::odd_layers(), more = fixture::grouped_layers();
    all.insert(all.end(), more.begin(), more.end());
    for (const fixture::Options &options : all) {
        if (options.rule == Rule::none) continue;
        Layer layer(options);
        compare(layer);
    }
}

TEST("CUDA scan() turns queries of head_dims with an odd factor as the reference does") {
    for (uint32_t dim : fixture::odd_dims) {
        Layer layer(small(dim, dim / 8 % 2 + 1, 200));
        compare(layer);
    }
}

TEST("CUDA scan() gives the reference's logits of more pages than a block or the warps have") {
    for (uint32_t pages : {20u, 70u}) {
        Layer layer(small(64, pages == 20 ? 1 : 2, pages * page_tokens));
        compare(layer);
    }
}

TEST("CUDA scan() gives the reference's logits of keys whose scales are subnormal") {
    for (Rule rule : {Rule::rotated, Rule::paper}) {
        fixture::Options options = small(80, 2, 200);
        options.rule = rule;
        Layer layer(options);
        fixture::shrink_rows(layer);
        compare(layer);
    }
}

TEST("CUDA scan() has the CPU's integer scores: keys with a zero centre give the same numbers") {
    Kernels kernels = reference_kernels;
    kernels.scan = cuda::scan;
    for (uint32_t i = 0; i < 4; i++) {
        fixture::Options options;
        options.key_bits = i % 2 + 1;
        options.head_dim = i < 2 ? 128 : 80;
        options.position = 200;
        Layer layer(options);
        for (uint8_t *codes : layer.places) {
            std::fill_n(codes + layer.layout.key_centre, options.head_dim, uint8_t(0));
        }
        layer.scan(reference_kernels);
        Near<float> truth = layer.logits;
        layer.scan(kernels);
        double worst = 0;
        for (size_t at = 0; at < truth.size(); at++) {
            if (std::isinf(truth[at])) continue;
            worst = test::larger(worst, std::fabs(double(truth[at] - layer.logits[at])) /
                                        std::max(1e-3, std::fabs(double(truth[at]))));
        }
        CHECK(worst < 4 * tolerance::unit);  // one integer more would be 1 / (64 * 123) at least
    }
}

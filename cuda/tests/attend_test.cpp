// attend_test.cpp - the CUDA device's attention over codes, slots, window and inputs against the
// reference.
#include <cstring>

#include "layers.h"

using namespace specache;
using fixture::Layer;
using fixture::Near;

namespace {

void compare(Layer &layer) {
    Kernels kernels = reference_kernels;
    kernels.attend = cuda::attend;
    const fixture::Options &options = layer.options;
    layer.scan(reference_kernels);
    layer.choose(reference_kernels);
    Near<float> logits = layer.logits;
    layer.attend(reference_kernels);
    Near<float> truth = layer.outputs;
    layer.logits = logits;
    std::fill(layer.outputs.begin(), layer.outputs.end(), 0);
    layer.attend(kernels);
    double worst = 0;
    for (size_t i = 0; i < truth.size(); i++) {
        worst = test::larger(worst, std::fabs(double(truth[i]) - double(layer.outputs[i])));
    }
    CHECK_NEAR(worst, 0.0, tolerance::output(options.position + 1, options.head_dim,
                                             logits_off(layer), largest_value(layer)));
}

void compare(const fixture::Options &options) {
    Layer layer(options);
    compare(layer);
}

}  // namespace

TEST("CUDA attend() gives the reference's outputs over odd shapes") {
    for (const fixture::Options &options : fixture::odd_layers()) compare(options);
}

TEST("CUDA attend() gives the reference's outputs for groups of 1 to 8 and 1 to 4 inputs") {
    for (const fixture::Options &options : fixture::grouped_layers()) compare(options);
}

TEST("CUDA kernels of one KV head after the other give the bits of all at once") {
    Kernels kernels = reference_kernels;
    kernels.scan = cuda::scan;
    kernels.choose = cuda::choose;
    kernels.attend = cuda::attend;
    for (const fixture::Options &options : fixture::odd_layers()) {
        Layer layer(options);
        Near<float> outputs[2];
        Near<uint32_t> chosen[2];
        for (uint32_t each : {1u, 2u}) {
            std::fill(layer.outputs.begin(), layer.outputs.end(), NAN);
            layer.step(kernels, each);
            outputs[each - 1] = layer.outputs;
            chosen[each - 1] = layer.chosen;
        }
        uint64_t bytes = outputs[0].size() * sizeof(float);
        CHECK(std::memcmp(outputs[0].data(), outputs[1].data(), bytes) == 0);
        CHECK(chosen[0] == chosen[1]);
    }
}

TEST("CUDA scan() and attend() give input 0 the same bits with one input and with four") {
    Kernels kernels = reference_kernels;
    kernels.scan = cuda::scan;
    kernels.attend = cuda::attend;
    for (fixture::Options options : fixture::grouped_layers()) {
        options.inputs = 4;  // at 190 inputs 2 and 3 see a page that inputs 0 and 1 do not
        Layer layer(options);
        Near<float> logits, outputs;
        for (uint32_t inputs : {4u, 1u}) {
            layer.options.inputs = inputs;
            std::fill(layer.logits.begin(), layer.logits.end(), NAN);
            layer.scan(kernels);
            uint64_t own = uint64_t(layer.shape.query_heads) * layer.tokens_max;
            Near<float> of_first(layer.logits.begin(), layer.logits.begin() + own);
            layer.choose(reference_kernels);
            layer.attend(kernels);
            if (inputs == 1) {
                CHECK(std::memcmp(logits.data(), of_first.data(), own * 4) == 0);
                uint64_t width = uint64_t(layer.shape.query_heads) * options.head_dim;
                CHECK(std::memcmp(outputs.data(), layer.outputs.data(), width * 4) == 0);
            }
            logits = of_first;
            outputs = layer.outputs;
        }
    }
}

TEST("CUDA attend() gives the reference's outputs over several chunks, coded and resident") {
    for (Rule rule : {Rule::rotated, Rule::none}) {
        for (uint32_t value_bits : {0u, 1u, 2u}) {
            fixture::Options options;
            options.rule = rule;
            options.value_bits = value_bits;
            options.position = 2304;  // of two chunks of 32 pages, 4 of a warp
            options.group = options.inputs = 1;
            if (rule == Rule::rotated || value_bits == 0) compare(options);
        }
    }
}

TEST("CUDA attend() turns values of head_dims with an odd factor back as the reference does") {
    uint32_t made = 0;
    for (uint32_t dim : fixture::odd_dims) {
        fixture::Options options;
        options.head_dim = dim;
        options.value_bits = made++ % 3;
        options.group = options.inputs = 1;
        options.position = 200;
        compare(options);
    }
}

TEST("CUDA attend() gives the reference's outputs of values whose scales are subnormal") {
    for (Rule rule : {Rule::rotated, Rule::paper}) {
        fixture::Options options;
        options.rule = rule;
        options.value_bits = 2;
        options.kv_type = Type::f16;
        options.group = options.inputs = 1;
        options.position = 200;
        Layer layer(options);
        fixture::shrink_rows(layer);
        compare(layer);
    }
}

TEST("CUDA attend() gives the reference's outputs of logits whose exponentials overflow") {
    for (float factor : {60.0f, 2000.0f}) {
        for (Rule rule : {Rule::rotated, Rule::paper, Rule::none}) {
            fixture::Options options;
            options.rule = rule;
            options.group = options.inputs = 1;
            Layer layer(options);
            for (float &x : layer.queries) x *= factor;
            compare(layer);
        }
    }
}

TEST("CUDA attend() gives the reference's outputs of groups of every size") {
    for (uint32_t group = 1; group <= 9; group++) {
        fixture::Options options;
        options.head_dim = 24;
        options.group = group;
        options.inputs = group % 2 + 1;
        options.position = 130;
        compare(options);
    }
}

TEST("CUDA attend() gives the reference's outputs over more chunks than a loop has in a round") {
    fixture::Options options;
    options.head_dim = 24;
    options.group = options.inputs = 1;
    options.position = 5 * 2048 + 200;
    for (float factor : {1.0f, 600.0f}) {
        Layer layer(options);
        for (float &x : layer.queries) x *= factor;
        compare(layer);
    }
}

TEST("CUDA attend() gives the reference's outputs of 8 queries over many pages") {
    for (uint32_t value_bits : {0u, 1u}) {
        fixture::Options options;
        options.value_bits = value_bits;
        options.group = 8;
        options.inputs = 1;
        options.position = 900;
        compare(options);
    }
}

TEST("CUDA attend() looks at no codes of pages that no input sees") {
    for (uint32_t i = 0; i < 12; i++) {
        fixture::Options options;
        options.head_dim = i % 2 == 0 ? 128 : 64;
        options.value_bits = i / 2 % 3;
        options.rule = i == 5 || i == 10 ? Rule::paper : Rule::rotated;
        options.position = 130 + 70 * i;
        Layer layer(options);
        uint32_t seen = coded_pages(options.position + options.inputs - 1);
        for (uint32_t at = 0; at < layer.places.size(); at++) {
            if (at % layer.pages_max < seen) continue;
            std::fill_n(layer.places[at], layer.layout.bytes, uint8_t(0xFF));  // NaN its scales
        }
        compare(layer);
    }
}

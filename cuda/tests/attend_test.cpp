// attend_test.cpp - the CUDA device's attention over codes, slots, window and inputs against the
// reference.
#include "layers.h"

using namespace specache;
using fixture::Layer;
using fixture::Near;

namespace {

void compare(const fixture::Options &options) {
    Kernels kernels = reference_kernels;
    kernels.attend = cuda::attend;
    Layer layer(options);
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
        worst = std::max(worst, std::fabs(double(truth[i]) - double(layer.outputs[i])));
    }
    CHECK_NEAR(worst, 0.0, tolerance::output(options.position + 1, options.head_dim,
                                             logits_off(layer), largest_value(layer)));
}

}  // namespace

TEST("CUDA attend() gives the reference's outputs over odd shapes") {
    for (const fixture::Options &options : fixture::odd_layers()) compare(options);
}

TEST("CUDA attend() gives the reference's outputs over several chunks, coded and resident") {
    for (Rule rule : {Rule::rotated, Rule::none}) {
        fixture::Options options;
        options.rule = rule;
        options.value_bits = 0;
        options.position = 2304;  // of two chunks of 32 pages
        options.group = options.inputs = 1;
        compare(options);
    }
}

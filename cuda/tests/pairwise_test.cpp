// pairwise_test.cpp - the step's kernels one after the other, against the reference, over shapes in
// which every two values of any two of head_dim, group, inputs, tokens, row type and coding meet.
#include <algorithm>
#include <array>
#include <random>

#include "choices.h"
#include "layers.h"

using namespace specache;
using fixture::Layer;
using fixture::Near;

namespace {

// Of each property its values; a shape is an index into each.
const std::vector<uint32_t> dims = {64, 80, 128, 256}, groups = {1, 2, 3, 4, 5, 6, 7, 8},
                            inputs = {1, 2, 3, 4}, tokens = {1, 63, 64, 65, 4097},
                            types = {0, 1, 2};
// Key bits, value bits (0: of a profile), whether by the paper's rule.
const std::vector<std::array<uint32_t, 3>> codings = {{1, 0, 0}, {2, 0, 0}, {1, 1, 0},
                                                      {2, 2, 0}, {1, 1, 1}, {1, 2, 1}};
const std::vector<size_t> values_of = {dims.size(),   groups.size(), inputs.size(),
                                       tokens.size(), types.size(),  codings.size()};
using ShapeIndex = std::array<uint32_t, 6>;

struct Pairs {  // which are not met yet
    std::vector<std::array<uint32_t, 4>> left;  // property, value, other property, value
    Pairs() {
        for (uint32_t a = 0; a < values_of.size(); a++) {
            for (uint32_t b = a + 1; b < values_of.size(); b++) {
                for (uint32_t i = 0; i < values_of[a] * values_of[b]; i++) {
                    left.push_back({a, uint32_t(i / values_of[b]), b, uint32_t(i % values_of[b])});
                }
            }
        }
    }
    static bool meets(const ShapeIndex &shape, const std::array<uint32_t, 4> &pair) {
        return shape[pair[0]] == pair[1] && shape[pair[2]] == pair[3];
    }
    size_t met_by(const ShapeIndex &shape) const {
        return size_t(std::count_if(left.begin(), left.end(),
                                    [&](const auto &pair) { return meets(shape, pair); }));
    }
    void take(const ShapeIndex &shape) {
        std::erase_if(left, [&](const auto &pair) { return meets(shape, pair); });
    }
};

// Of 100 drawn shapes always the one that meets most of what is left; all have a pair that is.
std::vector<ShapeIndex> covering_shapes() {
    std::mt19937 random(1);
    std::vector<ShapeIndex> list;
    for (Pairs pairs; !pairs.left.empty(); pairs.take(list.back())) {
        ShapeIndex best{};
        size_t most = 0;
        for (uint32_t i = 0; i < 100; i++) {
            ShapeIndex shape;
            for (size_t p = 0; p < shape.size(); p++) shape[p] = uint32_t(random() % values_of[p]);
            const auto &pair = pairs.left[random() % pairs.left.size()];
            shape[pair[0]] = pair[1];
            shape[pair[2]] = pair[3];
            size_t met = pairs.met_by(shape);
            if (met > most) most = met, best = shape;
        }
        list.push_back(best);
    }
    return list;
}

fixture::Options options_of(const ShapeIndex &shape) {
    fixture::Options options;
    auto [key_bits, value_bits, paper] = codings[shape[5]];
    options.head_dim = dims[shape[0]];
    options.group = groups[shape[1]];
    options.inputs = inputs[shape[2]];
    options.position = tokens[shape[3]] - 1;
    options.kv_type = Type(types[shape[4]]);
    options.rule = paper != 0 ? Rule::paper : Rule::rotated;
    options.key_bits = key_bits;
    options.value_bits = value_bits;
    return options;
}

void compare_step(const fixture::Options &options) {
    Layer layer(options);
    Kernels kernels = reference_kernels;
    kernels.scan = cuda::scan;
    kernels.attend = cuda::attend;
    layer.scan(reference_kernels);
    Near<float> truth = layer.logits;
    layer.scan(kernels);
    double worst = 0;
    for (size_t i = 0; i < truth.size(); i++) {
        if (std::isinf(truth[i])) CHECK(layer.logits[i] == truth[i]);
        else worst = test::larger(worst, std::fabs(double(truth[i]) - double(layer.logits[i])));
    }
    CHECK_NEAR(worst, 0.0, logits_off(layer));
    layer.logits = truth;
    compare(choose_on_device(layer), choose_on_host(layer));
    layer.attend(reference_kernels);
    Near<float> outputs = layer.outputs;
    layer.logits = truth;
    layer.attend(kernels);
    worst = 0;
    for (size_t i = 0; i < outputs.size(); i++) {
        worst = test::larger(worst, std::fabs(double(outputs[i]) - double(layer.outputs[i])));
    }
    CHECK_NEAR(worst, 0.0, tolerance::output(options.position + 1, options.head_dim,
                                             logits_off(layer), largest_value(layer)));
}

}  // namespace

TEST("CUDA scan(), choose() and attend() hold where every two properties of a shape meet") {
    std::vector<ShapeIndex> shapes = covering_shapes();
    Pairs pairs;
    std::printf("%zu shapes meet %zu pairs\n", shapes.size(), pairs.left.size());
    for (const ShapeIndex &shape : shapes) {
        pairs.take(shape);
        int before = test::failures();
        compare_step(options_of(shape));
        if (test::failures() == before) continue;
        for (uint32_t index : shape) std::printf("%u ", index);
        std::printf("fails\n");
    }
    CHECK(pairs.left.empty());
}

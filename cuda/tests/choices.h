// choices.h - what choose() chose, apart from the layer, so that two choices can be compared.
#pragma once
#include <cstring>

#include "layers.h"

namespace fixture {

struct Choice {
    static constexpr uint32_t untouched = 0xABABABAB;
    uint32_t k_max;
    Near<uint32_t> counts, chosen;
    Near<float> values;
};

inline Choice choice_of(const Layer &layer) {
    return {layer.k_max, layer.counts, layer.chosen, layer.values};
}

inline Choice choose_with(Layer &layer, void (*choose)(Stream &, const Choose &)) {
    Kernels table = reference_kernels;
    table.choose = choose;
    std::fill(layer.counts.begin(), layer.counts.end(), Choice::untouched);
    std::fill(layer.chosen.begin(), layer.chosen.end(), Choice::untouched);
    std::fill(layer.values.begin(), layer.values.end(), NAN);
    layer.choose(table);
    return choice_of(layer);
}
inline Choice choose_on_device(Layer &layer) { return choose_with(layer, cuda::choose); }
inline Choice choose_on_host(Layer &layer) {
    return choose_with(layer, reference_kernels.choose);
}

// Every chosen token is the reference's, or its value is within 1e-4 of the k-th.
inline void compare(const Choice &choice, const Choice &truth) {
    CHECK(truth.counts == choice.counts);
    if (truth.counts != choice.counts) return;
    for (uint32_t pair = 0; pair < choice.counts.size(); pair++) {
        const uint32_t *known = &truth.chosen[pair * choice.k_max];
        const uint32_t *chosen = &choice.chosen[pair * choice.k_max];
        const float *values = &truth.values[pair * choice.k_max];
        uint32_t count = truth.counts[pair];
        CHECK(std::is_sorted(chosen, chosen + count));
        CHECK(std::adjacent_find(chosen, chosen + count) == chosen + count);
        CHECK(chosen[count] == Choice::untouched);
        float least = count == 0 ? 0 : *std::min_element(values, values + count);
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t *found = std::lower_bound(known, known + count, chosen[i]);
            bool same = found != known + count && *found == chosen[i];
            float wanted = same ? values[found - known] : least;
            CHECK_NEAR(choice.values[pair * choice.k_max + i], wanted, 1e-4 * double(wanted));
        }
    }
}

}  // namespace fixture

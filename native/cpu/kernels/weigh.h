// weigh.h - logits to weights beside the largest of them.
#pragma once
#include "../simd.h"

namespace specache::SPECACHE_ISA {

constexpr float lowest = -3e38f;  // below every logit that is not hidden

struct Part {  // of one query's softmax: its largest logit, and the sum of weights beside it
    float largest, sum;
};

// All of `count` logits in whole vectors. Four run side by side: one would wait for itself.
static inline float largest_logit(const float *logits, uint32_t count) {
    constexpr uint32_t chains = 4;
    Floats most[chains];
    for (Floats &chain : most) chain = spread(lowest);
    uint32_t j = 0;
    for (; j + chains * lanes <= count; j += chains * lanes) {
        for (uint32_t i = 0; i < chains; i++) {
            most[i] = larger(most[i], load(logits + j + i * lanes));
        }
    }
    for (; j < count; j += lanes) most[0] = larger(most[0], load(logits + j));
    return largest_of(larger(larger(most[0], most[1]), larger(most[2], most[3])));
}

// Weights beside a logit that none is above, which may be in place; returns their sum. ask() may
// ask for a part of what is read later.
template <class Ask>
static inline float weights_beside(float largest, const float *logits, uint32_t count,
                                   float *weights, Ask ask) {
    Floats sum{};
    for (uint32_t j = 0; j < count; j += lanes) {
        Floats weight = exponential(load(logits + j) - largest);
        store(weights + j, weight);
        sum += weight;
        ask();
    }
    return sum_of(sum);
}

static inline float weights_beside(float largest, const float *logits, uint32_t count,
                                   float *weights) {
    return weights_beside(largest, logits, count, weights, [] {});
}

template <class Ask>
static inline Part weigh(const float *logits, uint32_t count, float *weights, Ask ask) {
    float largest = largest_logit(logits, count);
    return {largest, weights_beside(largest, logits, count, weights, ask)};
}

}  // namespace specache::SPECACHE_ISA

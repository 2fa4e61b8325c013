// weigh.h - logits to weights beside the largest of them.
#pragma once
#include "../simd.h"

namespace specache::SPECACHE_ISA {

constexpr float lowest = -3e38f;  // below every logit that is not hidden

struct Part {  // of one query's softmax: its largest logit, and the sum of weights beside it
    float largest, sum;
};

// `count` logits in whole vectors; may be in place.
static inline Part weigh(const float *logits, uint32_t count, float *weights) {
    Floats most = spread(lowest), sum{};
    for (uint32_t j = 0; j < count; j += lanes) most = larger(most, load(logits + j));
    float largest = largest_of(most);
    for (uint32_t j = 0; j < count; j += lanes) {
        Floats weight = exponential(load(logits + j) - largest);
        store(weights + j, weight);
        sum += weight;
    }
    return {largest, sum_of(sum)};
}

}  // namespace specache::SPECACHE_ISA

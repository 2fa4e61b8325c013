// draw.h - how a token is drawn from logits.
#pragma once
#include "kernels.h"
#include "specache.h"

namespace specache {

constexpr uint32_t undecided_token = SPECACHE_UNDECIDED;

// How a token is drawn from logits: engine/sampler.ts without penalties of the text.
struct Sampling {
    double temperature = 0;        // 0: the likeliest
    double top_p = 1, min_p = 0;   // 1 and 0 take nothing away
    uint32_t top_k = 0;            // 0 takes nothing away
    uint64_t seed = 0;
};

// One token that is to be drawn.
struct DrawRow {
    const float *logits;       // [vocabulary], in the host's memory
    uint32_t vocabulary;
    Likeliest likeliest;       // of them; its logit is finite
    const Sampling *sampling;  // of a temperature above 0
    uint64_t word;             // the random bits of its position (random.h)
    // What is drawn. Roundings differ from one language's logarithm, exponential or order of a sum
    // to another's: where they may move a token over a limit it is undecided_token, left to the
    // caller.
    uint32_t *id;
};

}  // namespace specache

// step.h - one decode step of one sequence, layer by layer (DESIGN section 3).
#pragma once
#include "borrowed.h"

namespace specache {

// Throws where a step of `inputs` tokens, the first `trusted` of them true, may not begin; only
// pages may be wanting besides.
void check_begin(const Store &store, const Sequence &sequence, uint32_t inputs, uint32_t trusted,
                 const Options &options);

// Checks and starts such a step.
void begin(Store &store, Sequence &sequence, uint32_t inputs, uint32_t trusted, Options options);

// The schedule of one layer. queries, outputs [inputs][query_heads][head_dim]; keys, values
// [inputs][kv_heads][head_dim], keys after rope.
void attend(Store &store, Sequence &sequence, uint32_t layer, const float *queries,
            const float *keys, const float *values, float *outputs);

// Ends the step: its first `keep` inputs are part of the sequence from now on. 0 drops the step or
// append at work, wherever it stands; but a step of guesses alone that all layers have attended
// ran for what it fetches, which stays. On failure the step is dropped where its page was at work.
void keep(Store &store, Sequence &sequence, uint32_t keep);

// A run of tokens of one layer, attended exactly (append.cpp). queries and outputs may be null.
// Where it fails, the layer has not had the run, and others that have had it keep it.
void append(Store &store, Sequence &sequence, uint32_t layer, uint32_t tokens,
            const float *queries, const float *keys, const float *values, float *outputs,
            Where where = Where::near);

}  // namespace specache

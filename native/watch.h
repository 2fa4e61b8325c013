// watch.h - which tokens of the tail the steps of one sequence attend by their rows, for whoever
// looks on. All of it stays on the device until it is asked for, so recorded steps have it too.
#pragma once
#include "store/store.h"

namespace specache {

// From now on that sequence is watched; null: none. Throws where there is no memory for it, and all
// is as before.
void set_watch(Store &store, const Sequence *sequence);

// A step begins, has attended a layer, is kept; where its sequence is not watched nothing is done.
void begin_watched(Store &store, const Sequence &sequence);
void watch_layer(Store &store, const Sequence &sequence, uint32_t layer);
void keep_watched(Store &store, const Sequence &sequence);

// The position of the last kept step's input 0, and as specache_watched says: counts
// [layers][kv_heads]; tokens, sources [layers][kv_heads][k_max]. UINT32_MAX: there is none.
uint32_t watched(Store &store, uint32_t *counts, uint32_t *tokens, uint8_t *sources);

}  // namespace specache

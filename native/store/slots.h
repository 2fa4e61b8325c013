// slots.h - the cache of fetched rows: what of the chosen is near, what is late, what is wanted,
// and what the next step should find. DESIGN section 4, "Slots".
#pragma once
#include "store.h"

namespace specache {

// Decides for every input and KV head of a layer where each exact row is: fills work.rows (and for
// paper work.exact), late_copies for rows of a far file, and the sequence's prefetch. Returns how
// many late copies and how many prefetched rows there are.
struct Resolved {
    uint32_t late = 0, wanted = 0;
};
Resolved resolve(Store &store, Sequence &sequence, uint32_t layer, Copy *late_copies);

// After the layer attended: which rows the next step finds in slots.
void settle(Store &store, Sequence &sequence, uint32_t layer);

}  // namespace specache

// bench.h - what benches need: a text of random tokens, and how fast memory is read.
#pragma once
#include "store/store.h"

namespace specache {

// Appends `tokens` random ones to a sequence: numbers of unit variance as keys and values.
void fill(Store &store, Sequence &sequence, uint32_t tokens, uint32_t seed);

// All compute threads read the store's addressable far memory (mode full: its rows), `bytes` from
// `first` on, and do nothing else: the limit of what must read as much. Nanoseconds.
uint64_t read_far(Store &store, uint64_t first, uint64_t bytes);

// `reads` fetches of `bytes` from random places of a far file, each a multiple of `bytes`.
// Nanoseconds.
uint64_t far_reads_time(Store &store, uint32_t reads, uint32_t bytes, uint32_t seed);

}  // namespace specache

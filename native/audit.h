// audit.h - the online audit: exact attention beside what a step used, for a drawn share of
// (step, layer, KV head).
#pragma once
#include "store/store.h"

namespace specache {

// From now on audits that share of each sequence's kept steps, and counts anew; 0 ends it.
void set_audit(Store &store, float share, uint64_t seed);

// Audits the drawn ones of the heads that have just attended, by the run's logits, which have
// `room` tokens.
void audit_heads(Store &store, Sequence &sequence, uint32_t layer, HeadRun run,
                 const float *run_logits, uint32_t room, const float *queries,
                 const float *outputs);

// The step counts (kept) or does not.
void end_audit(Sequence &sequence, bool kept);

// sums: [layers][kv_heads][SPECACHE_AUDIT_COUNT].
void audited(const Store &store, const Sequence &sequence, double *sums);

}  // namespace specache

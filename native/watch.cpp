#include "watch.h"

#include <vector>

#include "failure.h"

namespace specache {
namespace {

enum Source : uint8_t { in_slot = 0, late = 1, left_out = 2 };

void reserve_watch(Store &store) {
    const Plan &plan = store.plan;
    uint64_t heads = plan.heads(), list = 2 * heads * plan.config.k_max;
    uint64_t bytes = list * (sizeof(uint8_t *) + sizeof(uint32_t)) + 2 * heads * sizeof(uint32_t);
    if (plan.near_budget != 0 && store.allocated + bytes > plan.near_budget) {
        fail(SPECACHE_CAPACITY, "near memory needs %llu bytes with a watch, near_bytes is %llu",
             static_cast<unsigned long long>(store.allocated + bytes),
             static_cast<unsigned long long>(plan.near_budget));
    }
    uint8_t *memory = store.reserve(bytes);
    Watch &watch = store.watch;
    watch.rows = reinterpret_cast<const uint8_t **>(memory);
    watch.tokens = reinterpret_cast<uint32_t *>(watch.rows + list);
    watch.counts = watch.tokens + list;
}

Source source_of(const Store &store, const Sequence &sequence, const uint8_t *row) {
    if (row == nullptr) return left_out;
    const uint8_t *slots = sequence.slots.rows;
    return row >= slots && row < slots + store.plan.slot_rows ? in_slot : late;
}

}  // namespace

void set_watch(Store &store, const Sequence *sequence) {
    Watch &watch = store.watch;
    if (sequence != nullptr && watch.counts == nullptr) reserve_watch(store);
    watch.sequence = sequence;
    watch.begun = watch.kept = UINT32_MAX;
}

void begin_watched(Store &store, const Sequence &sequence) {
    if (store.watch.sequence == &sequence) store.watch.begun = sequence.length;
}

void watch_layer(Store &store, const Sequence &sequence, uint32_t layer) {
    const Watch &watch = store.watch;
    if (watch.sequence != &sequence) return;
    const Plan &plan = store.plan;
    const Work &work = store.work;
    uint64_t heads = plan.config.kv_heads, k = plan.config.k_max, first = layer * heads;
    const uint32_t *tokens = plan.ahead_only ? work.exact : work.chosen;
    const uint32_t *counts = plan.ahead_only ? work.exact_counts : work.counts;
    store.device->move(watch.rows + first * k, work.rows, heads * k * sizeof *watch.rows);
    store.device->move(watch.tokens + first * k, tokens, heads * k * sizeof *tokens);
    store.device->move(watch.counts + first, counts, heads * sizeof *counts);
}

void keep_watched(Store &store, const Sequence &sequence) {
    Watch &watch = store.watch;
    if (watch.sequence != &sequence || watch.begun == UINT32_MAX) return;
    uint64_t heads = store.plan.heads(), list = heads * store.plan.config.k_max;
    store.device->move(watch.rows + list, watch.rows, list * sizeof *watch.rows);
    store.device->move(watch.tokens + list, watch.tokens, list * sizeof *watch.tokens);
    store.device->move(watch.counts + heads, watch.counts, heads * sizeof *watch.counts);
    watch.kept = watch.begun;
}

uint32_t watched(Store &store, uint32_t *counts, uint32_t *tokens, uint8_t *sources) {
    const Watch &watch = store.watch;
    if (watch.sequence == nullptr) fail(SPECACHE_ARGUMENT, "no sequence is watched");
    if (watch.kept == UINT32_MAX) return UINT32_MAX;
    uint64_t heads = store.plan.heads(), k = store.plan.config.k_max, list = heads * k;
    std::vector<const uint8_t *> rows(list);
    store.device->download(rows.data(), watch.rows + list, list * sizeof *watch.rows);
    store.device->download(tokens, watch.tokens + list, list * sizeof *tokens);
    store.device->download(counts, watch.counts + heads, heads * sizeof *counts);
    for (uint64_t head = 0; head < heads; head++) {
        for (uint64_t i = head * k; i < head * k + counts[head]; i++) {
            sources[i] = source_of(store, *watch.sequence, rows[i]);
        }
    }
    return watch.kept;
}

}  // namespace specache

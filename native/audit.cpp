#include "audit.h"

#include <cmath>

#include "failure.h"

namespace specache {
namespace {

// A number in [0, 1) of (seed, position, layer, head) alone: splitmix64's mix of a counter.
double draw(uint64_t seed, uint32_t position, uint32_t layer, uint32_t head) {
    uint64_t x = seed;
    for (uint32_t next : {position, layer, head}) {
        x += 0x9E3779B97F4A7C15u * (uint64_t(next) + 1);
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;  // the whole mix after each: neighbours differ
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
        x ^= x >> 31;
    }
    return double(x >> 11) / 9007199254740992.0;  // 2^53
}

// The head's rows of each coded page: in far memory where they lie, from a file by way of scratch.
PageRows rows_of(Store &store, const Sequence &sequence, uint32_t layer, uint32_t head,
                 uint32_t pages) {
    const Plan &plan = store.plan;
    uint64_t block = page_tokens * plan.row;
    if (!plan.in_file) {
        uint64_t at = layer * plan.layer_block + head * block;
        return {store.far.memory + at, plan.page_rows, sequence.page_ids};
    }
    PageRows staged{store.work.audit_rows, block, nullptr};
    if (pages == 0) return staged;
    Copy *copies = store.work.audit_copies;
    for (uint32_t page = 0; page < pages; page++) {
        copies[page] = {store.far_at(sequence.pages[page], layer) + head * block,
                        store.work.audit_rows + page * block};
    }
    Device &device = *store.device;
    device.fetch(device.late(), {store.far, copies, &pages, uint32_t(block), layer, sequence.step,
                                 nullptr});
    device.late().signal(*store.late_arrived);
    device.compute().wait(*store.late_arrived);
    device.check();
    return staged;
}

}  // namespace

void set_audit(Store &store, float share, uint64_t seed) {
    if (!(share >= 0 && share <= 1)) {
        fail(SPECACHE_ARGUMENT, "share %g is outside 0..1", double(share));
    }
    if (store.plan.rule == Rule::none) fail(SPECACHE_ARGUMENT, "mode full loses nothing to audit");
    if (store.plan.config.audit == 0) fail(SPECACHE_ARGUMENT, "the store has no room for audits");
    store.audit_share = share;
    store.audit_seed = seed;
    for (Sequence &sequence : store.sequences()) {
        sequence.audited.assign(store.plan.heads(), {});
        sequence.auditing.assign(store.plan.heads(), {});
    }
}

void audit_heads(Store &store, Sequence &sequence, uint32_t layer, HeadRun run,
                 const float *run_logits, uint32_t room, const float *queries,
                 const float *outputs) {
    if (!(store.audit_share > 0) || sequence.trusted == 0) return;
    const Plan &plan = store.plan;
    const Work &work = store.work;
    uint32_t heads = plan.config.kv_heads, k_max = plan.config.k_max;
    uint32_t position = sequence.length, pages = coded_pages(position);
    for (uint32_t head = run.first; head < run.first + run.count; head++) {
        double drawn = draw(store.audit_seed, position, layer, head);
        if (!(drawn < double(store.audit_share))) continue;
        PageRows rows = rows_of(store, sequence, layer, head, pages);
        const uint32_t *exact = plan.ahead_only ? work.exact : work.chosen;
        const uint32_t *counts = plan.ahead_only ? work.exact_counts : work.counts;
        AuditResult result{};
        uint64_t group = plan.shape.query_heads / heads;
        const float *logits = run_logits + (head - run.first) * group * room;
        store.device->kernels().audit(
            store.device->compute(),
            {plan.shape, head,
             {store.sink_rows(sequence, layer), store.window_rows_of(sequence, layer), {}},
             rows, queries, position, logits, exact + uint64_t(head) * k_max, counts + head,
             work.rows + uint64_t(head) * k_max, outputs, room,
             sequence.options.k, work.audit, work.audited});
        store.device->download(&result, work.audited, sizeof result);
        AuditSums &sums = sequence.auditing[layer * heads + head];
        sums = {1, result.lost, result.lost * result.lost, result.divergence,
                result.divergence * result.divergence, result.chosen, result.best};
    }
}

void end_audit(Sequence &sequence, bool kept) {
    for (size_t i = 0; i < sequence.auditing.size(); i++) {
        AuditSums &from = sequence.auditing[i];
        if (kept) sequence.audited[i] += from;
        from = {};
    }
}

void audited(const Store &store, const Sequence &sequence, double *sums) {
    if (sequence.audited.empty()) fail(SPECACHE_ARGUMENT, "nothing is audited");
    for (uint32_t i = 0; i < store.plan.heads(); i++) {
        const AuditSums &from = sequence.audited[i];
        const double values[] = {from.samples, from.lost, from.lost_squared, from.divergence,
                                 from.divergence_squared, from.chosen, from.best};
        std::copy(std::begin(values), std::end(values), sums + i * SPECACHE_AUDIT_COUNT);
    }
}

}  // namespace specache

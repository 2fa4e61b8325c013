// step.cpp - the schedule of a decode step, once for all devices:
//
//   compute  wait arrived[l] -> rows -> scan -> choose -> signal wanted[l] -> late rows -> attend
//   copy                                        wait wanted[l] -> fetch -> signal arrived[l]
//
// arrived[l] is waited for in the next step, so a prefetch has a whole step to hide behind.
#include "step.h"

#include <algorithm>

#include "audit.h"
#include "failure.h"
#include "store/slots.h"

namespace specache {
namespace {

// Time the compute stream stood waiting for the prefetch of the step before, and what was hidden.
void meet_prefetch(Store &store, Sequence &sequence, uint32_t layer) {
    uint64_t waited = store.device->compute().wait(*sequence.arrived[layer]);
    uint64_t &took = sequence.fetch_ns[layer];
    sequence.counters.waited_ns += waited;
    sequence.counters.hidden_ns += took > waited ? took - waited : 0;
    if (waited != 0) store.device->trace(Trace::waited, layer, sequence.step);
    took = 0;
}

// Rows of the inputs go to the window at once, so each sees the earlier ones there; a guess's is
// overwritten later.
void keep_rows(Store &store, Sequence &sequence, uint32_t layer, const float *keys,
               const float *values) {
    const Plan &plan = store.plan;
    uint32_t width = plan.config.kv_heads * plan.config.head_dim;
    uint8_t *window = store.window_rows_of(sequence, layer);
    for (uint32_t i = 0; i < sequence.inputs; i++) {
        uint32_t token = sequence.length + i;
        int64_t bad = store.device->kernels().make_rows(
            store.device->compute(),
            {plan.shape, keys + i * width, values + i * width,
             window + token % window_rows * plan.row, 0, window_rows * plan.row, 1});
        if (bad < 0) continue;
        fail(SPECACHE_DATA, "the key or value of token %u, layer %u, KV head %u is not finite",
             token, layer, uint32_t(bad));
    }
}

void prefetch_rows(Store &store, Sequence &sequence, uint32_t layer, uint32_t wanted) {
    Device &device = *store.device;
    const Plan &plan = store.plan;
    device.compute().signal(*sequence.wanted[layer]);
    device.trace(Trace::wanted, layer, sequence.step);
    if (wanted == 0) return;
    const Copy *copies = sequence.copies + uint64_t(layer) * plan.config.kv_heads * plan.arriving;
    device.copy().wait(*sequence.wanted[layer]);
    device.fetch(device.copy(), {store.far, copies, wanted, uint32_t(plan.row), layer,
                                 sequence.step, &sequence.fetch_ns[layer]});
    device.copy().signal(*sequence.arrived[layer]);
    sequence.counters.prefetched_rows += wanted;
    sequence.counters.fetched_bytes += wanted * plan.row;
    if (plan.config.variant == 1) device.compute().wait(*sequence.arrived[layer]);
}

void fetch_late(Store &store, Sequence &sequence, uint32_t layer, uint32_t late) {
    if (late == 0) return;
    Device &device = *store.device;
    device.fetch(device.late(), {store.far, store.late_copies.data(), late,
                                 uint32_t(store.plan.row), layer, sequence.step,
                                 &sequence.counters.late_ns});
    device.late().signal(*store.late_arrived);
    device.compute().wait(*store.late_arrived);
    device.check();
    sequence.counters.fetched_bytes += late * store.plan.row;
}

}  // namespace

void begin(Store &store, Sequence &sequence, uint32_t inputs, uint32_t trusted, Options options) {
    const Plan &plan = store.plan;
    if (sequence.run != 0) {
        fail(SPECACHE_ARGUMENT, "a run of %u tokens has had %u of %u layers", sequence.run,
             sequence.layers_done, plan.config.layers);
    }
    store.undo(sequence);
    if (inputs < 1 || inputs > plan.inputs) {
        fail(SPECACHE_ARGUMENT, "inputs %u is outside 1..%u", inputs, plan.inputs);
    }
    if (trusted > inputs) {
        fail(SPECACHE_ARGUMENT, "trusted %u is above inputs %u", trusted, inputs);
    }
    if (plan.ahead_only && trusted > 1) {  // it reads no late rows, so a guess errs otherwise
        fail(SPECACHE_ARGUMENT, "trusted %u of mode paper is above 1", trusted);
    }
    if (plan.ahead_only && inputs - trusted > 1) {  // its slots are one guess's
        fail(SPECACHE_ARGUMENT, "guesses %u of mode paper are above 1", inputs - trusted);
    }
    if (plan.rule == Rule::none) options.k = 0;
    if (options.k > plan.config.k_max) {
        fail(SPECACHE_ARGUMENT, "k %u is above k_max %u", options.k, plan.config.k_max);
    }
    uint32_t length = sequence.length + trusted;
    if (length > plan.config.tokens_max) {
        fail(SPECACHE_CAPACITY, "the sequence would hold %u tokens, tokens_max is %u", length,
             plan.config.tokens_max);
    }
    store.reserve_pages(sequence, length / page_tokens * page_tokens);
    if (sequence.length > 0) store.device->compute().wait(*store.written);
    store.device->check();
    sequence.inputs = inputs;
    sequence.trusted = trusted;
    sequence.layer = 0;
    sequence.options = options;
    sequence.step++;
    end_audit(sequence, false);  // of a step that was given up
}

void attend(Store &store, Sequence &sequence, uint32_t layer, const float *queries,
            const float *keys, const float *values, float *outputs) {
    Device &device = *store.device;
    const Kernels &kernels = device.kernels();
    const Plan &plan = store.plan;
    Work &work = store.work;
    uint32_t inputs = sequence.inputs, heads = plan.config.kv_heads, k_max = plan.config.k_max;
    uint32_t positions[inputs_max];
    for (uint32_t i = 0; i < inputs; i++) positions[i] = sequence.length + i;
    uint32_t pages = coded_pages(positions[inputs - 1]);
    NearRows near{store.sink_rows(sequence, layer), store.window_rows_of(sequence, layer), nullptr};
    const uint8_t *const *codes = nullptr;
    const HeadCode *codes_of = &store.head_codes[layer * heads];

    keep_rows(store, sequence, layer, keys, values);
    if (!store.recorded.empty()) {
        uint64_t width = uint64_t(plan.config.query_heads) * plan.config.head_dim;
        std::copy(queries, queries + width, store.recorded.begin() + int64_t(layer * width));
    }
    if (plan.rule == Rule::none) {
        near.resident = store.resident_table(sequence, layer, pages);
        for (uint32_t i = 0; i < inputs * heads; i++) work.counts[i] = 0;
    } else {
        meet_prefetch(store, sequence, layer);
        codes = store.code_table(sequence, layer, pages);
        kernels.scan(device.compute(), {plan.shape, codes_of, codes, queries, positions,
                                        work.logits, inputs, plan.pages_max,
                                        plan.config.tokens_max});
        kernels.choose(device.compute(), {plan.shape, near, queries, positions, work.logits,
                                          work.chosen, work.values, work.counts, inputs,
                                          plan.config.tokens_max, sequence.options.k, k_max});
        Resolved resolved = resolve(store, sequence, layer, store.late_copies.data());
        prefetch_rows(store, sequence, layer, resolved.wanted);
        fetch_late(store, sequence, layer, resolved.late);
    }
    kernels.attend(device.compute(),
                   {plan.shape, codes_of, codes, near, queries, positions, work.logits,
                    plan.ahead_only ? work.exact : work.chosen,
                    plan.ahead_only ? work.exact_counts : work.counts,
                    work.rows, outputs, inputs, plan.pages_max, plan.config.tokens_max, k_max,
                    work.attend});
    device.trace(Trace::attended, layer, sequence.step);
    audit_layer(store, sequence, layer, queries, outputs);
    if (plan.rule != Rule::none) settle(store, sequence, layer);
    sequence.layer = layer + 1;
}

void keep(Store &store, Sequence &sequence, uint32_t keep) {
    if (sequence.inputs == 0) fail(SPECACHE_ARGUMENT, "no step is at work");
    if (keep > sequence.trusted) {
        fail(SPECACHE_ARGUMENT, "keep %u is above trusted %u", keep, sequence.trusted);
    }
    if (sequence.layer != store.plan.config.layers) {
        fail(SPECACHE_ARGUMENT, "layer %u of %u has not attended", sequence.layer,
             store.plan.config.layers);
    }
    store.device->check();
    end_audit(sequence, keep != 0);
    uint32_t complete = sequence.length / page_tokens;
    sequence.inputs = 0;
    sequence.length += keep;
    if (store.plan.ahead_only) {
        for (Slots &slots : sequence.slots) {
            std::copy(slots.next, slots.next + store.plan.slots + store.plan.arriving, slots.now);
        }
    }
    if (sequence.length / page_tokens != complete) store.complete_page(sequence);
}

void check_cancelled(Store &store, Sequence &sequence) {
    if (!store.cancelled.exchange(false)) return;
    store.undo(sequence);
    fail(SPECACHE_CANCELLED, "the run was cancelled");
}

}  // namespace specache

// step.cpp - the schedule of a decode step, once for all devices:
//
//   compute  rows -> wait arrived[l] -> scan -> choose -> signal wanted[l] -> late rows -> attend
//   copy                                        wait wanted[l] -> fetch -> signal arrived[l]
//
// arrived[l] is waited for in the next step, so a prefetch has a whole step to hide behind; in a
// recorded one (Device::record) the layers that follow, since it ends with all its fetches.
#include "step.h"

#include <algorithm>

#include "audit.h"
#include "failure.h"

namespace specache {
namespace {

// Time the compute stream stood waiting for the prefetch of the step before, and what was hidden.
void meet_prefetch(Store &store, Sequence &sequence, uint32_t layer) {
    uint64_t waited = store.device->compute().wait(*sequence.arrived[layer]);
    uint64_t &took = sequence.fetch_ns[layer];
    sequence.times.waited_ns += waited;
    sequence.times.hidden_ns += took > waited ? took - waited : 0;
    if (waited != 0) store.device->trace(Trace::waited, layer, sequence.step);
    took = 0;
}

// Rows of the inputs go to the window at once, so each sees the earlier ones there; a guess's is
// overwritten later.
void keep_rows(Store &store, Sequence &sequence, uint32_t layer, const float *keys,
               const float *values) {
    const Plan &plan = store.plan;
    store.device->kernels().make_rows(
        store.device->compute(),
        {plan.shape, keys, values, store.window_rows_of(sequence, layer), plan.row,
         window_rows * plan.row, sequence.inputs, 0, sequence.faults + layer,
         sequence.positions});
}

Resolve slots_at_work(Store &store, Sequence &sequence, uint32_t layer, HeadRun heads) {
    const Plan &plan = store.plan;
    Work &work = store.work;
    Copy *copies = sequence.copies + uint64_t(layer) * plan.config.kv_heads * plan.arriving;
    return {plan.shape, heads, store.slots_of(sequence, layer), plan.slots, plan.arriving,
            plan.ahead_only, plan.config.variant != 2, work.chosen, work.values, work.counts,
            work.exact, work.exact_counts, work.rows, sequence.page_ids, store.far.memory,
            plan.page_rows, layer * plan.layer_block, work.staging, work.late_copies, work.late,
            copies, sequence.wanted_rows + layer, work.slot_of, work.wanted_value, work.wanted,
            sequence.counters, sequence.inputs, sequence.trusted, plan.config.k_max,
            sequence.positions, sequence.positions + inputs_max,
            sequence.options.late_above, work.candidates, plan.config.tokens_max};
}

void prefetch_rows(Store &store, Sequence &sequence, uint32_t layer, const Resolve &resolve) {
    Device &device = *store.device;
    device.compute().signal(*sequence.wanted[layer]);
    device.trace(Trace::wanted, layer, sequence.step);
    if (store.plan.slots == 0 || sequence.inputs == sequence.trusted) return;  // nothing is wanted
    device.copy().wait(*sequence.wanted[layer]);
    device.fetch(device.copy(), {store.far, resolve.copies, resolve.wanted,
                                 uint32_t(store.plan.row), layer, sequence.step,
                                 &sequence.fetch_ns[layer]});
    device.copy().signal(*sequence.arrived[layer]);
    if (store.plan.config.variant == 1) device.compute().wait(*sequence.arrived[layer]);
}

void fetch_late(Store &store, Sequence &sequence, uint32_t layer, const Resolve &resolve) {
    if (!store.plan.in_file || store.plan.ahead_only) return;  // read where they lie, or none is
    Device &device = *store.device;
    device.fetch(device.late(), {store.far, resolve.late_copies, resolve.late,
                                 uint32_t(store.plan.row), layer, sequence.step,
                                 &sequence.times.late_ns});
    device.late().signal(*store.late_arrived);
    device.compute().wait(*store.late_arrived);
    device.check();
}

// The heads of a run, whose logits, [room] of each query head, are held until they have attended.
// A prefetch begins behind the last run's chosen.
void attend_heads(Store &store, Sequence &sequence, uint32_t layer, HeadRun heads,
                  uint32_t room, const float *queries, float *outputs) {
    Device &device = *store.device;
    const Kernels &kernels = device.kernels();
    const Plan &plan = store.plan;
    Work &work = store.work;
    uint32_t inputs = sequence.inputs, k_max = plan.config.k_max;
    const uint32_t *positions = sequence.positions, *pages = sequence.page_ids;
    NearRows near{store.sink_rows(sequence, layer), store.window_rows_of(sequence, layer),
                  store.resident_rows(sequence, layer)};
    const HeadCode *codes_of = work.head_codes + layer * plan.config.kv_heads;
    Resolve resolve = slots_at_work(store, sequence, layer, heads);
    uint32_t pages_max = std::min(plan.pages_max, (room + page_tokens - 1) / page_tokens);

    if (plan.rule != Rule::none) {
        kernels.scan(device.compute(), {plan.shape, heads, codes_of, pages, queries, positions,
                                        work.logits, inputs, room, work.blocks});
        kernels.choose(device.compute(), {plan.shape, heads, near, queries, positions,
                                          work.logits, work.chosen, work.values, work.counts,
                                          inputs, room, sequence.options.k, k_max,
                                          work.choose, work.blocks});
        kernels.resolve(device.compute(), resolve);
        bool last = heads.first + heads.count == plan.config.kv_heads;
        if (last) prefetch_rows(store, sequence, layer, resolve);
        fetch_late(store, sequence, layer, resolve);
    }
    kernels.attend(device.compute(),
                   {plan.shape, heads, codes_of, pages, near, queries, positions, work.logits,
                    plan.ahead_only ? work.exact : work.chosen,
                    plan.ahead_only ? work.exact_counts : work.counts,
                    work.rows, outputs, inputs, pages_max, room, k_max,
                    plan.value_planes, work.attend, work.blocks});
    audit_heads(store, sequence, layer, heads, room, queries, outputs);
    if (plan.slots != 0 && !plan.ahead_only) kernels.settle(device.compute(), resolve);
}

}  // namespace

void begin(Store &store, Sequence &sequence, uint32_t inputs, uint32_t trusted, Options options) {
    const Plan &plan = store.plan;
    store.check_ended(sequence);
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
    uint32_t positions[inputs_max + 1];
    for (uint32_t i = 0; i < inputs_max; i++) positions[i] = sequence.length + i;
    positions[inputs_max] = sequence.step;
    store.device->upload(sequence.positions, positions, sizeof positions);
    end_audit(sequence, false);  // of a step that failed
}

void attend(Store &store, Sequence &sequence, uint32_t layer, const float *queries,
            const float *keys, const float *values, float *outputs) {
    Device &device = *store.device;
    const Plan &plan = store.plan;
    uint32_t heads = plan.config.kv_heads;
    keep_rows(store, sequence, layer, keys, values);
    if (!store.recorded.empty()) {
        uint64_t width = uint64_t(plan.config.query_heads) * plan.config.head_dim;
        device.download(store.recorded.data() + layer * width, queries, width * 4);
    }
    if (plan.rule != Rule::none) meet_prefetch(store, sequence, layer);
    else device.clear(store.work.counts, sequence.inputs * heads * 4);
    LogitsRoom room = plan.logits_room(sequence.inputs, sequence.length);
    for (uint32_t first = 0; first < heads; first += room.heads) {
        HeadRun run{first, std::min(room.heads, heads - first)};
        attend_heads(store, sequence, layer, run, room.tokens, queries, outputs);
    }
    device.trace(Trace::attended, layer, sequence.step);
    sequence.layer = layer + 1;
}

namespace {

// By `tokens` of the step at work, which is dropped where the page that they fill is not whole.
void lengthen(Store &store, Sequence &sequence, uint32_t tokens) {
    uint32_t length = sequence.length;
    sequence.length += tokens;
    if (sequence.length / page_tokens == length / page_tokens) return;
    try {
        store.complete_page(sequence);
    } catch (...) {
        sequence.length = length;
        end_audit(sequence, false);
        store.undo(sequence);
        throw;
    }
}

}  // namespace

void keep(Store &store, Sequence &sequence, uint32_t keep) {
    if (sequence.inputs == 0 && sequence.run == 0) fail(SPECACHE_ARGUMENT, "no step is at work");
    bool attended = sequence.layer == store.plan.config.layers;
    bool ahead = sequence.trusted == 0 && attended;  // it ran for what its guesses fetch
    if (keep == 0 && (sequence.run != 0 || !ahead)) {
        end_audit(sequence, false);
        return store.undo(sequence);
    }
    if (sequence.run != 0) store.fail_in_run(sequence);
    if (keep > sequence.trusted) {
        fail(SPECACHE_ARGUMENT, "keep %u is above trusted %u", keep, sequence.trusted);
    }
    if (!attended) {
        fail(SPECACHE_ARGUMENT, "layer %u of %u has not attended", sequence.layer,
             store.plan.config.layers);
    }
    store.device->check();
    lengthen(store, sequence, keep);
    end_audit(sequence, keep != 0);
    sequence.inputs = 0;
    if (store.plan.ahead_only) {
        uint64_t places = uint64_t(store.plan.heads()) * (store.plan.slots + store.plan.arriving);
        store.device->move(sequence.slots.now, sequence.slots.next, places);
    }
}

}  // namespace specache

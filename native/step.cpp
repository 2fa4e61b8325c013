// step.cpp - the schedule of a decode step, once for all devices:
//
//   compute  rows -> wait arrived[l] -> scan -> choose -> signal wanted[l] -> late rows -> attend
//   copy                                        wait wanted[l] -> fetch -> signal arrived[l]
//
// KV heads go by runs; where late rows come from a file, a run's come while the next is scanned.
// arrived[l] is waited for in the next step, so a prefetch has a whole step to hide behind; in a
// recorded one (Device::record) the layers that follow, since it ends with all its fetches.
#include "step.h"

#include <algorithm>

#include "audit.h"
#include "failure.h"
#include "one_loop.h"
#include "scratch.h"
#include "watch.h"

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

NearRows near_rows(const Store &store, const Sequence &sequence, uint32_t layer) {
    return {store.sink_rows(sequence, layer), store.window_rows_of(sequence, layer),
            store.resident_rows(sequence, layer)};
}

// A run of KV heads, whose logits, [room] of each query head, are held until it has attended.
struct Run {
    HeadRun heads;
    uint32_t room, turn;  // of Plan::runs_at_work
    float *logits, *blocks;  // logits null: the whole tail is attended by rows
    Resolve resolve;
};

// Whether all that the inputs see is attended by rows, so that no code is asked for a logit: the
// tail is not above k, and no row is left out. Values are asked for by slots alone.
bool attends_rows_alone(const Store &store, const Sequence &sequence) {
    const Plan &plan = store.plan;
    uint32_t pages = coded_pages(sequence.length + sequence.inputs - 1);
    bool all = pages == 0 || pages * page_tokens - sink_tokens <= sequence.options.k;
    return all && plan.rule != Rule::none && plan.config.device == 0 && plan.slots == 0 &&
           !(store.audit_share > 0) && sequence.inputs == sequence.trusted &&
           sequence.options.late_above < 0;
}

Run run_of(Store &store, Sequence &sequence, uint32_t layer, HeadRun heads, const LogitsRoom &room,
           uint32_t turn) {
    const Plan &plan = store.plan;
    Work &work = store.work;
    Copy *copies = sequence.copies + uint64_t(layer) * plan.config.kv_heads * plan.arriving;
    uint64_t held = uint64_t(sequence.inputs) * room.heads * plan.shape.query_heads /
                    plan.shape.kv_heads;  // logits of a token
    float *blocks = work.blocks;
    if (blocks != nullptr) blocks = Blocks::of(blocks, turn * held, room.tokens).largest;
    // Late rows stay until the layer has attended: each run has its own.
    uint64_t late = plan.runs_at_work() == 1
                        ? 0
                        : uint64_t(heads.first) * sequence.inputs * plan.config.k_max;
    float *logits = work.logits + turn * held * room.tokens;
    if (attends_rows_alone(store, sequence)) logits = nullptr;
    return {heads, room.tokens, turn, logits, blocks,
            {plan.shape, heads, store.slots_of(sequence, layer), plan.slots, plan.arriving,
             plan.ahead_only, plan.config.variant != 2, work.chosen, work.values, work.counts,
             work.exact, work.exact_counts, work.rows, sequence.page_ids, store.far.memory,
             plan.page_rows, layer * plan.layer_block, work.staging + late * plan.row,
             work.late_copies + late, work.late + turn, copies, sequence.wanted_rows + layer,
             work.slot_of, work.wanted_value, work.wanted, sequence.counters, sequence.inputs,
             sequence.trusted, plan.config.k_max, sequence.positions,
             sequence.positions + inputs_max, sequence.options.late_above, work.candidates,
             plan.config.tokens_max}};
}

void prefetch_rows(Store &store, Sequence &sequence, uint32_t layer, const Resolve &resolve) {
    Device &device = *store.device;
    device.trace(Trace::wanted, layer, sequence.step);
    if (store.plan.slots == 0 || sequence.inputs == sequence.trusted) return;  // nothing is wanted
    device.compute().signal(*sequence.wanted[layer]);
    device.copy().wait(*sequence.wanted[layer]);
    device.fetch(device.copy(), {store.far, resolve.copies, resolve.wanted,
                                 uint32_t(store.plan.row), layer, sequence.step,
                                 &sequence.fetch_ns[layer]});
    device.copy().signal(*sequence.arrived[layer]);
    if (store.plan.config.variant == 1) device.compute().wait(*sequence.arrived[layer]);
}

void fetch_late(Store &store, Sequence &sequence, uint32_t layer, const Run &run) {
    if (!store.plan.in_file || store.plan.ahead_only) return;  // read where they lie, or none is
    Device &device = *store.device;
    device.fetch(device.late(), {store.far, run.resolve.late_copies, run.resolve.late,
                                 uint32_t(store.plan.row), layer, sequence.step,
                                 &sequence.times.late_ns});
    device.late().signal(*store.late_rows[run.turn]);
}

Scan scan_of(const Store &store, const Sequence &sequence, uint32_t layer, const Run &run,
             const float *queries) {
    return {store.plan.shape, run.heads,
            store.work.head_codes + layer * store.plan.config.kv_heads, sequence.page_ids, queries,
            sequence.positions, run.logits, sequence.inputs, run.room, run.blocks};
}

Choose choose_of(const Store &store, const Sequence &sequence, uint32_t layer, const Run &run,
                 const float *queries) {
    const Work &work = store.work;
    return {store.plan.shape, run.heads, near_rows(store, sequence, layer), queries,
            sequence.positions, run.logits, work.chosen, work.values, work.counts,
            sequence.inputs, run.room, sequence.options.k, store.plan.config.k_max, work.choose,
            run.blocks};
}

Attend attend_of(const Store &store, const Sequence &sequence, uint32_t layer, const Run &run,
                 const float *queries, float *outputs) {
    const Plan &plan = store.plan;
    const Work &work = store.work;
    uint32_t pages_max = std::min(plan.pages_max, (run.room + page_tokens - 1) / page_tokens);
    return {plan.shape, run.heads, work.head_codes + layer * plan.config.kv_heads,
            sequence.page_ids, near_rows(store, sequence, layer), queries, sequence.positions,
            run.logits, plan.ahead_only ? work.exact : work.chosen,
            plan.ahead_only ? work.exact_counts : work.counts, work.rows, outputs,
            sequence.inputs, pages_max, run.room, plan.config.k_max, plan.value_planes,
            work.attend, run.blocks};
}

// A prefetch begins behind the last run's chosen.
void choose_run(Store &store, Sequence &sequence, uint32_t layer, const Run &run,
                const float *queries) {
    Device &device = *store.device;
    const Kernels &kernels = device.kernels();
    if (store.plan.rule == Rule::none) return;
    if (run.logits != nullptr) {
        kernels.scan(device.compute(), scan_of(store, sequence, layer, run, queries));
    }
    device.trace(Trace::scanned, layer, sequence.step);
    kernels.choose(device.compute(), choose_of(store, sequence, layer, run, queries));
    device.trace(Trace::chosen, layer, sequence.step);
    kernels.resolve(device.compute(), run.resolve);
    fetch_late(store, sequence, layer, run);
    bool last = run.heads.first + run.heads.count == store.plan.config.kv_heads;
    if (last) prefetch_rows(store, sequence, layer, run.resolve);
}

void attend_run(Store &store, Sequence &sequence, uint32_t layer, const Run &run,
                const float *queries, float *outputs) {
    Device &device = *store.device;
    const Plan &plan = store.plan;
    if (plan.in_file) {
        device.compute().wait(*store.late_rows[run.turn]);
        device.check();
    }
    device.kernels().attend(device.compute(),
                            attend_of(store, sequence, layer, run, queries, outputs));
    device.trace(Trace::summed, layer, sequence.step);
    audit_heads(store, sequence, layer, run.heads, run.logits, run.room, queries, outputs);
    if (plan.slots != 0 && !plan.ahead_only) device.kernels().settle(device.compute(), run.resolve);
}

// choose_run and attend_run of a short text, whose threads wait for one another once.
void attend_in_one_loop(Store &store, Sequence &sequence, uint32_t layer, const Run &run,
                        const float *queries, float *outputs) {
    Device &device = *store.device;
    device.kernels().one_loop(device.compute(),
                              {scan_of(store, sequence, layer, run, queries),
                               choose_of(store, sequence, layer, run, queries), run.resolve,
                               attend_of(store, sequence, layer, run, queries, outputs)});
    device.trace(Trace::summed, layer, sequence.step);
    audit_heads(store, sequence, layer, run.heads, run.logits, run.room, queries, outputs);
}

bool in_one_loop(const Store &store, const Sequence &sequence) {
    const Plan &plan = store.plan;
    uint32_t pages = coded_pages(sequence.length + sequence.inputs - 1);
    return store.device->kernels().one_loop != nullptr && plan.rule != Rule::none &&
           plan.slots == 0 && !plan.ahead_only && !plan.in_file && pages <= one_loop_pages;
}

// Runs of KV heads are chosen, then attend. Where late rows come from a file the next run is chosen
// before: they have that time to come.
void attend_runs(Store &store, Sequence &sequence, uint32_t layer, const float *queries,
                 float *outputs) {
    const Plan &plan = store.plan;
    uint32_t heads = plan.config.kv_heads, turns = plan.runs_at_work(), chosen = 0;
    LogitsRoom room = plan.logits_room(sequence.inputs, sequence.length);
    Run runs[2];
    for (uint32_t first = 0; first < heads; first += room.heads, chosen++) {
        HeadRun next{first, std::min(room.heads, heads - first)};
        Run &run = runs[chosen % turns];
        run = run_of(store, sequence, layer, next, room, chosen % turns);
        if (in_one_loop(store, sequence)) {
            attend_in_one_loop(store, sequence, layer, run, queries, outputs);
            continue;
        }
        choose_run(store, sequence, layer, run, queries);
        if (turns == 1) attend_run(store, sequence, layer, run, queries, outputs);
        else if (chosen != 0) {
            attend_run(store, sequence, layer, runs[(chosen - 1) % 2], queries, outputs);
        }
    }
    if (turns == 2) attend_run(store, sequence, layer, runs[(chosen - 1) % 2], queries, outputs);
}

}  // namespace

void check_begin(const Store &store, const Sequence &sequence, uint32_t inputs, uint32_t trusted,
                 const Options &options) {
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
    if (plan.rule != Rule::none && options.k > plan.config.k_max) {
        fail(SPECACHE_ARGUMENT, "k %u is above k_max %u", options.k, plan.config.k_max);
    }
    uint32_t length = sequence.length + trusted;
    if (length > plan.config.tokens_max) {
        fail(SPECACHE_CAPACITY, "the sequence would hold %u tokens, tokens_max is %u", length,
             plan.config.tokens_max);
    }
}

void begin(Store &store, Sequence &sequence, uint32_t inputs, uint32_t trusted, Options options) {
    check_begin(store, sequence, inputs, trusted, options);
    if (store.plan.rule == Rule::none) options.k = 0;
    store.reserve_pages(sequence, (sequence.length + trusted) / page_tokens * page_tokens);
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
    begin_watched(store, sequence);
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
    attend_runs(store, sequence, layer, queries, outputs);
    watch_layer(store, sequence, layer);
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
    if (keep != 0) keep_watched(store, sequence);
    sequence.inputs = 0;
    if (store.plan.ahead_only) {
        uint64_t places = uint64_t(store.plan.heads()) * (store.plan.slots + store.plan.arriving);
        store.device->move(sequence.slots.now, sequence.slots.next, places);
    }
}

}  // namespace specache

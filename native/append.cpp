// append.cpp - exact, causal attention of a run of tokens, in bounded near memory: one chunk of one
// layer and, with far in a file, a few pages that are streamed.
//
// Pages before the chunk come from far; the page that the chunk begins in is completed from the
// window. A query sums page after page, so it does not matter how a prompt was cut.
#include <algorithm>

#include "failure.h"
#include "step.h"

namespace specache {
namespace {

// One layer of tokens [first, first + tokens): at most chunk_tokens.
struct Chunk {
    Store &store;
    Sequence &sequence;
    uint32_t layer, first, tokens;
    const Plan &plan = store.plan;
    uint32_t heads = plan.config.kv_heads;
    uint32_t first_page = first / page_tokens;  // of work.chunk
    uint32_t end = first + tokens;
    uint32_t pages = (end + page_tokens - 1) / page_tokens - first_page;

    uint8_t *block(uint32_t page) const { return store.work.chunk + page * plan.layer_block; }
    RowPlaces places(uint32_t page) const {
        return store.in_block(block(page), first_page + page);
    }
    RowPlaces window() const { return store.in_window(sequence, layer); }
};

void fill(const Chunk &chunk, const float *keys, const float *values) {
    const Plan &plan = chunk.plan;
    Device &device = *chunk.store.device;
    uint32_t width = chunk.heads * plan.config.head_dim;
    uint32_t begun = chunk.first_page * page_tokens;
    chunk.store.copy_rows_of(chunk.places(0), chunk.window(), begun, chunk.first - begun);
    for (uint32_t token = chunk.first; token < chunk.end;) {
        uint32_t count = std::min(chunk.end - token, page_tokens - token % page_tokens);
        uint64_t at = uint64_t(token - chunk.first) * width;
        uint8_t *rows = chunk.block(token / page_tokens - chunk.first_page) +
                        token % page_tokens * plan.row;
        device.kernels().make_rows(device.compute(),
                                   {plan.shape, keys + at, values + at, rows, plan.row,
                                    page_tokens * plan.row, count, token - chunk.first,
                                    chunk.sequence.faults + chunk.layer});
        token += count;
    }
    chunk.store.check_rows(chunk.sequence, chunk.first, chunk.layer, 1);
    // Whole pages are multiplied: what is left of another run must not be a NaN.
    uint32_t rest = chunk.pages * page_tokens - (chunk.end - begun);
    for (uint32_t head = 0; rest != 0 && head < chunk.heads; head++) {
        uint8_t *last = chunk.block(chunk.pages - 1) + (head + 1) * page_tokens * plan.row;
        device.clear(last - rest * plan.row, rest * plan.row);
    }
}

// The pages of store.page_blocks, of which the first is `first_page`.
void attend_pages(const Chunk &chunk, const float *queries, uint32_t first_page) {
    Store &store = chunk.store;
    const std::vector<const uint8_t *> &blocks = store.page_blocks;
    store.device->upload(store.work.pages, blocks.data(), blocks.size() * sizeof(blocks[0]));
    store.device->kernels().prefill_attend(
        store.device->compute(),
        {chunk.plan.shape, queries, store.work.pages, store.work.sums, chunk.tokens, chunk.first,
         first_page, uint32_t(blocks.size()), first_page == 0});
}

void attend_chunk(const Chunk &chunk, const float *queries, float *outputs) {
    Store &store = chunk.store;
    Work &work = store.work;
    bool in_file = chunk.plan.in_file, staged = store.stages_pages();
    uint32_t step = in_file || staged ? staging_pages / 2 : chunk.plan.pages_max;
    auto count_at = [&](uint32_t page) { return std::min(step, chunk.first_page - page); };
    std::vector<const uint8_t *> &blocks = store.page_blocks;
    if (in_file && chunk.first_page != 0) {
        store.start_pages(chunk.sequence, 0, count_at(0), chunk.layer, 0);
    }
    for (uint32_t page = 0, half = 0; page < chunk.first_page; page += step, half ^= 1) {
        store.check_cancelled();
        uint32_t count = count_at(page), next = page + step;
        if (in_file && next < chunk.first_page) {
            store.start_pages(chunk.sequence, next, count_at(next), chunk.layer, half ^ 1);
        }
        uint8_t *near = nullptr;
        if (in_file) near = store.meet_pages(chunk.sequence, page, count, chunk.layer, half);
        if (staged) near = store.stage_pages(chunk.sequence, page, count, chunk.layer, half);
        blocks.clear();
        for (uint32_t i = 0; i < count; i++) {
            blocks.push_back(in_file || staged
                ? near + i * chunk.plan.layer_block
                : store.far.memory + store.far_at(chunk.sequence.pages[page + i], chunk.layer));
        }
        attend_pages(chunk, queries, page);
        if (staged) store.device->compute().signal(*store.used[half]);
    }
    blocks.clear();
    for (uint32_t i = 0; i < chunk.pages; i++) blocks.push_back(chunk.block(i));
    attend_pages(chunk, queries, chunk.first_page);
    store.check_cancelled();  // what is left out is no output
    store.device->kernels().prefill_finish(
        store.device->compute(), {chunk.plan.shape, work.sums, outputs, chunk.tokens});
}

// Complete pages are coded and written to far, the newest rows go to the window.
void keep_rows(const Chunk &chunk) {
    Store &store = chunk.store;
    for (uint32_t i = 0; i < chunk.pages; i++) {
        uint32_t page = chunk.first_page + i;
        if ((page + 1) * page_tokens > chunk.end) break;
        store.keep_page(chunk.sequence, page, chunk.layer, chunk.block(i));
    }
    store.device->copy().signal(*store.written);
    uint32_t oldest = std::max(chunk.end > 128 ? chunk.end - 128 : 0, chunk.first);
    for (uint32_t i = 0; i < chunk.pages; i++) {
        uint32_t page = (chunk.first_page + i) * page_tokens;
        uint32_t from = std::max(oldest, page), to = std::min(chunk.end, page + page_tokens);
        if (from < to) store.copy_rows_of(chunk.window(), chunk.places(i), from, to - from);
    }
}

void begin_run(Store &store, Sequence &sequence, uint32_t tokens) {
    uint64_t length = uint64_t(sequence.length) + tokens;
    if (tokens == 0) fail(SPECACHE_ARGUMENT, "tokens 0 is below 1");
    if (length > store.plan.config.tokens_max) {
        fail(SPECACHE_CAPACITY, "the sequence would hold %llu tokens, tokens_max is %u",
             static_cast<unsigned long long>(length), store.plan.config.tokens_max);
    }
    store.reserve_pages(sequence, uint32_t(length));
    store.flush_partial_page(sequence);
    store.device->check();
    sequence.run = tokens;
    sequence.layers_done = 0;
    std::fill(sequence.layer_runs.begin(), sequence.layer_runs.end(), LayerRun::none);
}

}  // namespace

void append(Store &store, Sequence &sequence, uint32_t layer, uint32_t tokens,
            const float *queries, const float *keys, const float *values, float *outputs,
            Where where) {
    const specache_config &config = store.plan.config;
    bool first = sequence.run == 0;
    if (sequence.inputs != 0) store.check_ended(sequence);
    if (first) begin_run(store, sequence, tokens);
    if (tokens != sequence.run) {
        fail(SPECACHE_ARGUMENT, "tokens %u is not the run's %u", tokens, sequence.run);
    }
    LayerRun &run = sequence.layer_runs[layer];
    if (run == LayerRun::done) {
        fail(SPECACHE_ARGUMENT, "layer %u has had this run", layer);
    }
    try {
        if (run == LayerRun::begun) store.restore_layer(sequence, layer);
        run = LayerRun::begun;
        for (uint32_t done = 0; done < tokens; done += config.chunk_tokens) {
            uint32_t count = std::min(config.chunk_tokens, tokens - done);
            Chunk chunk{store, sequence, layer, sequence.length + done, count};
            uint64_t at = uint64_t(done) * config.kv_heads * config.head_dim;
            uint64_t out = uint64_t(done) * config.query_heads * config.head_dim;
            store.device->compute().wait(*store.written);  // work.chunk may be on its way out
            bool wanted = queries != nullptr;
            Borrowed part(store, where, count, wanted ? queries + out : nullptr, keys + at,
                          values + at, wanted ? outputs + out : nullptr);
            fill(chunk, part.keys, part.values);
            if (wanted) attend_chunk(chunk, part.queries, part.outputs);
            keep_rows(chunk);
            part.give_back();
        }
        store.device->check();
    } catch (...) {
        if (first) store.undo(sequence);  // none has had it
        throw;
    }
    run = LayerRun::done;
    if (++sequence.layers_done < config.layers) return;
    store.device->compute().wait(*store.written);
    store.device->check();
    sequence.length += tokens;
    sequence.run = 0;
}

}  // namespace specache

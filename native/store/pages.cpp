// pages.cpp - pages of 64 tokens: taken, coded, written to far, shared, read again.
#include <algorithm>
#include <cstring>

#include "../failure.h"
#include "../numbers.h"
#include "store.h"

namespace specache {

uint32_t Store::take_page() {
    uint32_t page = free_.back();
    free_.pop_back();
    references_[page] = 1;
    return page;
}

void Store::give_page(uint32_t page) {
    if (--references_[page] == 0) free_.push_back(page);
}

void Store::reserve_pages(Sequence &sequence, uint32_t tokens) {
    size_t needed = (tokens + page_tokens - 1) / page_tokens, held = sequence.pages.size();
    if (needed <= held) return;
    if (needed - held > free_.size()) {
        fail(SPECACHE_CAPACITY, "%zu more pages are needed, %zu of %u are free", needed - held,
             free_.size(), plan.pages);
    }
    while (sequence.pages.size() < needed) sequence.pages.push_back(take_page());
    device->upload(sequence.page_ids + held, sequence.pages.data() + held, (needed - held) * 4);
}

void Store::drop_pages(Sequence &sequence, uint32_t keep) {
    while (sequence.pages.size() > keep) {
        give_page(sequence.pages.back());
        sequence.pages.pop_back();
    }
}

uint32_t Store::own_pages(const Sequence &sequence) const {
    return uint32_t(std::count_if(sequence.pages.begin(), sequence.pages.end(),
                                  [&](uint32_t page) { return references_[page] == 1; }));
}

uint64_t Store::far_at(uint32_t page, uint32_t layer) const {
    return page * plan.page_rows + layer * plan.layer_block;
}

void Store::keep_page(Sequence &sequence, uint32_t index, uint32_t layer, const uint8_t *rows) {
    uint32_t page = sequence.pages[index];
    if (plan.rule != Rule::none) {
        const HeadCode *codes_of = work.head_codes + layer * plan.config.kv_heads;
        device->kernels().encode(device->compute(),
                                 {plan.shape, codes_of, rows, page, index == 0});
    }
    if (plan.in_file) {
        checksums_[uint64_t(page) * plan.config.layers + layer] = crc32c(rows, plan.layer_block);
    }
    device->write({far, rows, far_at(page, layer), plan.layer_block});
    if (index != 0) return;
    RowPlaces sinks{sink_rows(sequence, layer), sink_tokens * plan.row, 0, 0};
    copy_rows_of(sinks, in_block(const_cast<uint8_t *>(rows), 0), 0, sink_tokens);
}

RowPlaces Store::in_block(uint8_t *block, uint32_t page) const {
    return {block, page_tokens * plan.row, page * page_tokens, 0};
}

RowPlaces Store::in_window(const Sequence &sequence, uint32_t layer) const {
    return {window_rows_of(sequence, layer), window_rows * plan.row, 0, window_rows};
}

void Store::copy_rows_of(const RowPlaces &to, const RowPlaces &from, uint32_t first,
                         uint32_t tokens) {
    if (tokens == 0) return;
    device->kernels().copy_rows(device->compute(), {plan.shape, from, to, first, tokens});
}

void Store::clear_faults(Sequence &sequence) {
    std::vector<uint32_t> none(plan.config.layers, no_fault);
    device->upload(sequence.faults, none.data(), none.size() * 4);
}

void Store::check_rows(Sequence &sequence, uint32_t token, uint32_t first, uint32_t layers) {
    uint32_t faults[1024];  // layers are at most 1,024
    device->download(faults, sequence.faults + first, layers * 4);
    for (uint32_t i = 0; i < layers; i++) {
        if (faults[i] == no_fault) continue;
        clear_faults(sequence);
        fail(SPECACHE_DATA, "the key or value of token %u, layer %u, KV head %u is not finite",
             token + faults[i] / plan.config.kv_heads, first + i,
             faults[i] % plan.config.kv_heads);
    }
}

void Store::complete_page(Sequence &sequence) {
    uint32_t index = sequence.length / page_tokens - 1;
    device->compute().wait(*written);  // the page before may still be on its way out of work.page
    for (uint32_t layer = 0; layer < plan.config.layers; layer++) {
        uint8_t *rows = work.page + layer * plan.layer_block;
        copy_rows_of(in_block(rows, index), in_window(sequence, layer), index * page_tokens,
                     page_tokens);
        keep_page(sequence, index, layer, rows);
        if (!cancelled) continue;
        device->copy().signal(*written);  // of the layers so far
        check_cancelled();
    }
    device->copy().signal(*written);
}

void Store::flush_partial_page(Sequence &sequence) {
    if (sequence.length % page_tokens == 0) return;
    uint32_t index = sequence.length / page_tokens;
    device->compute().wait(*written);
    for (uint32_t layer = 0; layer < plan.config.layers; layer++) {
        uint8_t *rows = work.page + layer * plan.layer_block;
        copy_rows_of(in_block(rows, index), in_window(sequence, layer), index * page_tokens,
                     page_tokens);
        device->write({far, rows, far_at(sequence.pages[index], layer), plan.layer_block});
    }
    device->copy().signal(*written);
    device->compute().wait(*written);
}

uint8_t *Store::far_half(uint32_t half) const {
    return work.far_pages + half * (staging_pages / 2) * plan.layer_block;
}

void Store::start_pages(const Sequence &sequence, uint32_t first, uint32_t count, uint32_t layer,
                        uint32_t half) {
    device->compute().wait(*staged[half]);  // a run that was given up may have left one under way
    std::vector<Copy> &copies = page_copies_[half];
    page_counts_[half] = count;
    for (uint32_t i = 0; i < count; i++) {
        copies[i] = {far_at(sequence.pages[first + i], layer),
                     far_half(half) + i * plan.layer_block};
    }
    device->fetch(device->late(), {far, copies.data(), &page_counts_[half],
                                   uint32_t(plan.layer_block), layer, sequence.step, nullptr});
    device->late().signal(*staged[half]);
}

uint8_t *Store::meet_pages(const Sequence &sequence, uint32_t first, uint32_t count,
                           uint32_t layer, uint32_t half) {
    device->compute().wait(*staged[half]);
    device->check();
    for (uint32_t i = 0; i < count; i++) {
        uint32_t page = sequence.pages[first + i];
        uint32_t wanted = checksums_[uint64_t(page) * plan.config.layers + layer];
        uint32_t got = crc32c(far_half(half) + i * plan.layer_block, plan.layer_block);
        if (wanted == got || (first + i) * page_tokens + page_tokens > sequence.length) continue;
        fail(SPECACHE_DATA, "checksum %08x of page %u, layer %u of the far file differs from %08x",
             got, first + i, layer, wanted);
    }
    return far_half(half);
}

uint8_t *Store::stage_pages(const Sequence &sequence, uint32_t first, uint32_t count,
                            uint32_t layer, uint32_t half) {
    uint8_t *to = far_half(half);
    device->copy().wait(*used[half]);
    for (uint32_t i = 0; i < count; i++) {
        device->read(to + i * plan.layer_block,
                     far.memory + far_at(sequence.pages[first + i], layer), plan.layer_block);
    }
    device->copy().signal(*staged[half]);
    device->compute().wait(*staged[half]);
    return to;
}

PageRows Store::resident_rows(const Sequence &sequence, uint32_t layer) const {
    if (plan.rule != Rule::none) return {};
    return {far.memory + layer * plan.layer_block, plan.page_rows, sequence.page_ids};
}

void Store::refill_window(Sequence &sequence, uint32_t first, uint32_t end) {
    if (first >= end) return;
    uint32_t first_page = first / page_tokens, pages = (end - 1) / page_tokens - first_page + 1;
    // All are read and checked before any is used: a page that is spoilt leaves all as it was.
    for (uint32_t layer = 0; plan.in_file && layer < plan.config.layers; layer++) {
        read_pages(sequence, first_page, pages, layer);
    }
    for (uint32_t layer = 0; layer < plan.config.layers; layer++) {
        refill_layer(sequence, layer, first, end);
    }
}

void Store::refill_layer(Sequence &sequence, uint32_t layer, uint32_t first, uint32_t end) {
    if (first >= end) return;
    uint32_t first_page = first / page_tokens, pages = (end - 1) / page_tokens - first_page + 1;
    if (plan.in_file) read_pages(sequence, first_page, pages, layer);
    for (uint32_t page = first_page; page < first_page + pages; page++) {
        uint8_t *block = plan.in_file ? work.far_pages + (page - first_page) * plan.layer_block
                                      : far.memory + far_at(sequence.pages[page], layer);
        uint32_t from = std::max(first, page * page_tokens);
        uint32_t to = std::min(end, (page + 1) * page_tokens);
        copy_rows_of(in_window(sequence, layer), in_block(block, page), from, to - from);
    }
}

// What is not in complete pages was flushed when the append began, so far has all of it.
void Store::restore_layer(Sequence &sequence, uint32_t layer) {
    device->drain();
    uint32_t length = sequence.length;
    refill_layer(sequence, layer, coded_pages(length) * page_tokens, length);
}

void Store::copy_rows(const Sequence &sequence, uint32_t layer, uint32_t first, uint32_t tokens,
                      float *keys, float *values) {
    if (first > sequence.length || tokens > sequence.length - first) {
        fail(SPECACHE_ARGUMENT, "tokens %u from %u on end after the sequence's %u", tokens, first,
             sequence.length);
    }
    if (sequence.run != 0) fail_in_run(sequence);
    device->compute().wait(*written);  // a page may still be on its way out
    device->check();
    // A page's block at a time: [kv_heads][64] rows, gathered from the window where it is not
    // complete, in work.page.
    uint32_t dim = plan.config.head_dim, heads = plan.config.kv_heads;
    std::vector<uint8_t> block(plan.layer_block);
    for (uint32_t token = first; token < first + tokens;) {
        uint32_t page = token / page_tokens;
        uint32_t end = std::min(first + tokens, (page + 1) * page_tokens);
        uint8_t *rows = work.page;
        if (page < sequence.length / page_tokens) {
            if (plan.in_file) rows = read_pages(sequence, page, 1, layer);
            else rows = far.memory + far_at(sequence.pages[page], layer);
        } else {
            copy_rows_of(in_block(rows, page), in_window(sequence, layer), token, end - token);
        }
        device->download(block.data(), rows, plan.layer_block);
        for (; token < end; token++) {
            for (uint32_t head = 0; head < heads; head++) {
                const uint8_t *row = block.data() + (head * page_tokens + token % page_tokens) *
                                     plan.row;
                uint64_t at = (uint64_t(token - first) * heads + head) * dim;
                for (uint32_t i = 0; i < dim; i++) {
                    keys[at + i] = load_number(plan.shape.kv_type, row, i);
                    values[at + i] = load_number(plan.shape.kv_type, row, dim + i);
                }
            }
        }
    }
}

void Store::truncate(Sequence &sequence, uint32_t tokens) {
    check_ended(sequence);
    if (tokens > sequence.length) {
        fail(SPECACHE_ARGUMENT, "tokens %u is above the sequence's length %u", tokens,
             sequence.length);
    }
    if (tokens == sequence.length) return;
    device->drain();
    device->check();
    // The window holds the newest 127 tokens for certain: a step that was given up may have written
    // over those before. What it must hold afterwards and does not is in complete pages, so in far.
    constexpr uint32_t certain = window_rows - inputs_max;
    uint32_t held = sequence.length > certain ? sequence.length - certain : 0;
    uint32_t first = coded_pages(tokens) * page_tokens, complete = sequence.length / page_tokens;
    if (first < held) {
        refill_window(sequence, first, std::min(tokens, complete * page_tokens));
    }
    cut(sequence, tokens);
}

void Store::cut(Sequence &sequence, uint32_t tokens) {
    sequence.length = tokens;
    if (watch.sequence == &sequence && watch.kept >= tokens) watch.kept = UINT32_MAX;
    drop_pages(sequence, tokens / page_tokens);
    uint32_t tail = coded_pages(tokens) * page_tokens;
    uint64_t places = uint64_t(plan.heads()) * (plan.slots + plan.arriving);
    if (places == 0) return;
    std::vector<uint32_t> held(places);
    std::vector<Slot> now(places);
    device->download(held.data(), sequence.slots.tokens, places * 4);
    device->download(now.data(), sequence.slots.now, places);
    for (uint64_t i = 0; i < places; i++) {
        if (now[i] != Slot::empty && held[i] >= tail) now[i] = Slot::empty;
    }
    device->upload(sequence.slots.now, now.data(), places);
    device->upload(sequence.slots.next, now.data(), places);
}

void Store::check_ended(const Sequence &sequence) const {
    if (sequence.inputs == 0 && sequence.run == 0) return;
    device->check();  // far memory that failed is the greater news
    if (sequence.run != 0) fail_in_run(sequence);
    fail(SPECACHE_ARGUMENT,
         "a step of %u inputs has had %u of %u layers: end it first, keep 0 drops it",
         sequence.inputs, sequence.layer, plan.config.layers);
}

void Store::check_cancelled() {
    if (!cancelled.load(std::memory_order_relaxed)) return;
    cancelled = false;
    fail(SPECACHE_CANCELLED, "the call was cancelled");
}

void Store::fail_in_run(const Sequence &sequence) const {
    fail(SPECACHE_ARGUMENT,
         "a run of %u tokens has had %u of %u layers: give it the others first, or end it, "
         "keep 0 drops it", sequence.run, sequence.layers_done, plan.config.layers);
}

void Store::undo(Sequence &sequence) {
    if (sequence.inputs != 0) {
        sequence.inputs = 0;
        clear_faults(sequence);  // a step that was cancelled has looked at none yet
        drop_pages(sequence, (sequence.length + page_tokens - 1) / page_tokens);
        if (plan.ahead_only) {  // there the slots decide what is exact
            uint64_t places = uint64_t(plan.heads()) * (plan.slots + plan.arriving);
            device->move(sequence.slots.next, sequence.slots.now, places);
        }
    }
    if (sequence.run == 0) return;
    device->drain();
    // Layers that the run reached have newer tokens in their windows; begin flushed what is not in
    // complete pages, so far has all of it.
    uint32_t length = sequence.length;
    refill_window(sequence, coded_pages(length) * page_tokens, length);
    drop_pages(sequence, (length + page_tokens - 1) / page_tokens);
    sequence.run = 0;
}

}  // namespace specache

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
}

void Store::drop_pages(Sequence &sequence, uint32_t keep) {
    while (sequence.pages.size() > keep) {
        give_page(sequence.pages.back());
        sequence.pages.pop_back();
    }
}

uint8_t *Store::codes(uint32_t page, uint32_t layer, uint32_t head) const {
    uint32_t i = layer * plan.config.kv_heads + head;
    return codes_ + code_at_[i] + page * plan.code_bytes[i];
}

uint64_t Store::far_at(uint32_t page, uint32_t layer) const {
    return page * plan.page_rows + layer * plan.layer_block;
}

void Store::keep_page(Sequence &sequence, uint32_t index, uint32_t layer, const uint8_t *rows) {
    uint32_t page = sequence.pages[index], heads = plan.config.kv_heads;
    if (plan.rule != Rule::none) {
        std::vector<uint8_t *> &places = code_places_;
        for (uint32_t head = 0; head < heads; head++) places[head] = codes(page, layer, head);
        device->kernels().encode(device->compute(), {plan.shape, &head_codes[layer * heads], rows,
                                                     places.data(), index == 0});
    }
    if (plan.in_file) {
        checksums_[uint64_t(page) * plan.config.layers + layer] = crc32c(rows, plan.layer_block);
    }
    device->write({far, rows, far_at(page, layer), plan.layer_block});
    if (index != 0) return;
    uint8_t *sinks = sink_rows(sequence, layer);
    for (uint32_t head = 0; head < heads; head++) {
        std::memcpy(sinks + head * sink_tokens * plan.row, rows + head * page_tokens * plan.row,
                    sink_tokens * plan.row);
    }
}

// Rows of page `index` as far as the window still holds them.
void Store::gather_page(const Sequence &sequence, uint32_t index, uint32_t layer, uint8_t *to) {
    const uint8_t *window = window_rows_of(sequence, layer);
    for (uint32_t head = 0; head < plan.config.kv_heads; head++) {
        for (uint32_t i = 0; i < page_tokens; i++) {
            uint32_t token = index * page_tokens + i;
            std::memcpy(to + (head * page_tokens + i) * plan.row,
                        window + (head * window_rows + token % window_rows) * plan.row, plan.row);
        }
    }
}

void Store::complete_page(Sequence &sequence) {
    uint32_t index = sequence.length / page_tokens - 1;
    device->compute().wait(*written);  // the page before may still be on its way out of work.page
    for (uint32_t layer = 0; layer < plan.config.layers; layer++) {
        uint8_t *rows = work.page + layer * plan.layer_block;
        gather_page(sequence, index, layer, rows);
        keep_page(sequence, index, layer, rows);
    }
    device->copy().signal(*written);
}

void Store::flush_partial_page(Sequence &sequence) {
    if (sequence.length % page_tokens == 0) return;
    uint32_t index = sequence.length / page_tokens;
    device->compute().wait(*written);
    for (uint32_t layer = 0; layer < plan.config.layers; layer++) {
        uint8_t *rows = work.page + layer * plan.layer_block;
        gather_page(sequence, index, layer, rows);
        device->write({far, rows, far_at(sequence.pages[index], layer), plan.layer_block});
    }
    device->copy().signal(*written);
    device->compute().wait(*written);
}

void Store::read_pages(const Sequence &sequence, uint32_t first, uint32_t count, uint32_t layer,
                       uint8_t *to) {
    std::vector<Copy> &copies = page_copies_;
    for (uint32_t i = 0; i < count; i++) {
        copies[i] = {far_at(sequence.pages[first + i], layer), to + i * plan.layer_block};
    }
    device->fetch(device->late(), {far, copies.data(), count, uint32_t(plan.layer_block), layer,
                                   sequence.step, nullptr});
    device->late().signal(*late_arrived);
    device->compute().wait(*late_arrived);
    device->check();
    for (uint32_t i = 0; i < count; i++) {
        uint32_t page = sequence.pages[first + i];
        uint32_t wanted = checksums_[uint64_t(page) * plan.config.layers + layer];
        uint32_t got = crc32c(to + i * plan.layer_block, plan.layer_block);
        if (wanted == got || (first + i) * page_tokens + page_tokens > sequence.length) continue;
        fail(SPECACHE_DATA, "checksum %08x of page %u, layer %u of the far file differs from %08x",
             got, first + i, layer, wanted);
    }
}

const uint8_t *const *Store::code_table(const Sequence &sequence, uint32_t layer, uint32_t pages) {
    for (uint32_t head = 0; head < plan.config.kv_heads; head++) {
        for (uint32_t i = 0; i < pages; i++) {
            work.codes[head * plan.pages_max + i] = codes(sequence.pages[i], layer, head);
        }
    }
    return work.codes;
}

const uint8_t *const *Store::resident_table(const Sequence &sequence, uint32_t layer,
                                            uint32_t pages) {
    for (uint32_t i = 0; i < pages; i++) {
        work.resident[i] = far.memory + far_at(sequence.pages[i], layer);
    }
    return work.resident;
}

void Store::refill_window(Sequence &sequence, uint32_t first, uint32_t end) {
    if (first >= end) return;
    uint32_t first_page = first / page_tokens, pages = (end - 1) / page_tokens - first_page + 1;
    // All are read and checked before any is used: a page that is spoilt leaves all as it was.
    for (uint32_t layer = 0; plan.in_file && layer < plan.config.layers; layer++) {
        read_pages(sequence, first_page, pages, layer, work.far_pages);
    }
    for (uint32_t layer = 0; layer < plan.config.layers; layer++) {
        if (plan.in_file) read_pages(sequence, first_page, pages, layer, work.far_pages);
        uint8_t *window = window_rows_of(sequence, layer);
        for (uint32_t token = first; token < end; token++) {
            uint32_t page = token / page_tokens;
            const uint8_t *block = plan.in_file
                ? work.far_pages + (page - first_page) * plan.layer_block
                : far.memory + far_at(sequence.pages[page], layer);
            for (uint32_t head = 0; head < plan.config.kv_heads; head++) {
                std::memcpy(window + (head * window_rows + token % window_rows) * plan.row,
                            block + (head * page_tokens + token % page_tokens) * plan.row,
                            plan.row);
            }
        }
    }
}

void Store::copy_rows(const Sequence &sequence, uint32_t layer, uint32_t first, uint32_t tokens,
                      float *keys, float *values) {
    if (first > sequence.length || tokens > sequence.length - first) {
        fail(SPECACHE_ARGUMENT, "tokens %u from %u on end after the sequence's %u", tokens, first,
             sequence.length);
    }
    if (sequence.run != 0) {
        fail(SPECACHE_ARGUMENT, "a run of %u tokens has had %u of %u layers", sequence.run,
             sequence.layers_done, plan.config.layers);
    }
    device->compute().wait(*written);  // a page may still be on its way out
    device->check();
    uint32_t dim = plan.config.head_dim, heads = plan.config.kv_heads, read = UINT32_MAX;
    for (uint64_t i = 0; i < uint64_t(tokens) * heads; i++) {
        uint32_t token = first + uint32_t(i / heads), head = uint32_t(i % heads);
        uint32_t page = token / page_tokens;
        const uint8_t *row = window_rows_of(sequence, layer) +
                             (uint64_t(head) * window_rows + token % window_rows) * plan.row;
        if (page < sequence.length / page_tokens) {
            if (plan.in_file && page != read) {
                read_pages(sequence, page, 1, layer, work.far_pages);
                read = page;
            }
            const uint8_t *block = plan.in_file ? work.far_pages
                                                : far.memory + far_at(sequence.pages[page], layer);
            row = block + (uint64_t(head) * page_tokens + token % page_tokens) * plan.row;
        }
        for (uint32_t channel = 0; channel < dim; channel++) {
            keys[i * dim + channel] = load_number(plan.shape.kv_type, row, channel);
            values[i * dim + channel] =
                load_number(plan.shape.kv_type, row, dim + channel);
        }
    }
}

void Store::truncate(Sequence &sequence, uint32_t tokens) {
    undo(sequence);
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
    drop_pages(sequence, tokens / page_tokens);
    uint32_t tail = coded_pages(tokens) * page_tokens;
    for (Slots &slots : sequence.slots) {
        for (uint32_t i = 0; i < plan.slots + plan.arriving; i++) {
            if (slots.now[i] != Slot::empty && slots.tokens[i] >= tail) slots.now[i] = Slot::empty;
            slots.next[i] = slots.now[i];
        }
    }
}

void Store::undo(Sequence &sequence) {
    if (sequence.inputs != 0) {
        sequence.inputs = 0;
        drop_pages(sequence, (sequence.length + page_tokens - 1) / page_tokens);
        if (plan.ahead_only) {  // there the slots decide what is exact
            for (Slots &slots : sequence.slots) {
                std::memcpy(slots.next, slots.now, plan.slots + plan.arriving);
            }
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

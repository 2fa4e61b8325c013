// store.h - the paged memory: pool of pages with reference counts, far memory, sequences, scratch.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sequence.h"

namespace specache {

struct Model;

struct Profile {  // copies of the caller's buffers, in near memory once for all sequences
    const float *value_basis = nullptr;       // [layers][kv_heads][head_dim][head_dim]
    const uint32_t *plane_channel = nullptr;  // [layers][kv_heads][planes]
    const float *plane_weight = nullptr;      // [layers][kv_heads][planes]
};

// What input 0 of a sequence's steps attends by row (watch.h), in near memory that is reserved once
// for all sequences: of the step at work, and of the last one that was kept.
struct Watch {
    const Sequence *sequence = nullptr;  // null: none is watched
    const uint8_t **rows = nullptr;      // [2][layers][kv_heads][k_max] as Resolve
    uint32_t *tokens = nullptr;          // [2][layers][kv_heads][k_max]
    uint32_t *counts = nullptr;          // [2][layers][kv_heads]; null: no memory yet
    uint32_t begun = UINT32_MAX, kept = UINT32_MAX;  // positions of their input 0; UINT32_MAX:
                                                     // such a step has not been watched
};

class Store {
public:
    Store(Plan plan, const std::string &far_path, const Profile &profile);
    ~Store();
    Store(const Store &) = delete;
    Store &operator=(const Store &) = delete;

    Sequence &open_sequence();
    Sequence &sequence(uint64_t id);
    Sequence &fork(Sequence &sequence);
    void close(Sequence &sequence);
    void truncate(Sequence &sequence, uint32_t tokens);
    void undo(Sequence &sequence);  // a step or append that was not ended
    // Throws where one is at work: what it has done so far is lost by no other call than keep.
    void check_ended(const Sequence &sequence) const;
    [[noreturn]] void fail_in_run(const Sequence &sequence) const;
    // Gives way to specache_cancel by a Failure: who catches it undoes what runs.
    void check_cancelled();

    // Pages. A page that cannot be had is Failure (capacity); nothing changed then.
    void reserve_pages(Sequence &sequence, uint32_t tokens);  // so that it can hold `tokens`
    void drop_pages(Sequence &sequence, uint32_t keep);       // all but the first `keep`
    uint32_t free_pages() const { return uint32_t(free_.size()); }
    uint32_t own_pages(const Sequence &sequence) const;  // that no other sequence holds
    uint64_t far_at(uint32_t page, uint32_t layer) const;     // bytes from the start of far
    // Codes one layer of a page and keeps its rows: [kv_heads][64] rows, which the copy stream may
    // still read until `written` arrives.
    void keep_page(Sequence &sequence, uint32_t index, uint32_t layer, const uint8_t *rows);
    // The page that `length` filled, just now or up to three tokens ago, from the window. Where it
    // fails, as by a cancel, it can be completed anew.
    void complete_page(Sequence &sequence);
    // Reads [count] pages' blocks of a layer from a far file, at most half of staging_pages, and
    // checks them. In two calls the pages come between them; halves of work.far_pages take turns. A
    // far file is the CPU's alone, where the host sees near memory.
    void start_pages(const Sequence &sequence, uint32_t first, uint32_t count, uint32_t layer,
                     uint32_t half);
    uint8_t *meet_pages(const Sequence &sequence, uint32_t first, uint32_t count, uint32_t layer,
                        uint32_t half);
    uint8_t *read_pages(const Sequence &sequence, uint32_t first, uint32_t count, uint32_t layer) {
        start_pages(sequence, first, count, layer, 0);
        return meet_pages(sequence, first, count, layer, 0);
    }
    // Whether pages have to be brought near where a whole chunk attends to them: kernels read far
    // memory over the bus, and would each page once for every few queries.
    bool stages_pages() const { return !device->shares_memory() && plan.rule != Rule::none; }
    // Brings [count] pages' blocks of a layer near, at most half of staging_pages, beside what the
    // compute stream has at work; its later work finds them. Halves take turns; `used` of a half is
    // to be signalled when it has been read.
    uint8_t *stage_pages(const Sequence &sequence, uint32_t first, uint32_t count, uint32_t layer,
                         uint32_t half);
    // Mode full: the rows that a layer of the sequence sees resident.
    PageRows resident_rows(const Sequence &sequence, uint32_t layer) const;
    // The slots of a layer.
    Slots slots_of(const Sequence &sequence, uint32_t layer) const;
    // Between a page's rows in a block of [kv_heads][64] rows and the window of a layer.
    RowPlaces in_block(uint8_t *block, uint32_t page) const;
    RowPlaces in_window(const Sequence &sequence, uint32_t layer) const;
    void copy_rows_of(const RowPlaces &to, const RowPlaces &from, uint32_t first, uint32_t tokens);
    // Throws where a row of keys or values was not finite in a layer, or in layers from `first`
    // on; tokens are counted from `token`.
    void check_rows(Sequence &sequence, uint32_t token, uint32_t first, uint32_t layers);
    // Window rows of tokens [first, end) from far; the pages must be complete or flushed.
    void refill_window(Sequence &sequence, uint32_t first, uint32_t end);
    // Window rows of one layer as they were before the append at work.
    void restore_layer(Sequence &sequence, uint32_t layer);
    void flush_partial_page(Sequence &sequence);

    // Rows as stored, widened: keys, values [tokens][kv_heads][head_dim].
    void copy_rows(const Sequence &sequence, uint32_t layer, uint32_t first, uint32_t tokens,
                   float *keys, float *values);

    uint8_t *sink_rows(const Sequence &sequence, uint32_t layer) const;
    uint8_t *window_rows_of(const Sequence &sequence, uint32_t layer) const;
    uint64_t near_bytes(const Sequence &sequence) const;

    const Plan plan;
    std::unique_ptr<Device> device;
    Far far;              // mode full: near memory
    Work work{};
    std::unique_ptr<Event> written;    // page writes so far
    std::unique_ptr<Event> late_arrived;     // what is read beside a step's late rows
    std::unique_ptr<Event> late_rows[2];     // of a step's runs of KV heads, in turn
    std::unique_ptr<Event> staged[2], used[2];  // halves of work.far_pages
    std::vector<const uint8_t *> page_blocks;  // of a prefill: the pages that it attends to next
    std::vector<float> recorded;       // [layers][query_heads][head_dim] for audits, or empty
    float audit_share = 0;  // of (step, layer, KV head)
    uint64_t audit_seed = 0;
    std::vector<Sequence> &sequences() { return sequences_; }
    uint8_t *reserve(uint64_t bytes);  // of near memory, until the store is closed
    Watch watch;
    std::atomic<bool> cancelled{false};
    std::mutex running;
    std::unique_ptr<Model> model;
    uint64_t allocated = 0;  // near bytes reserved

private:
    void open_far(const std::string &path);
    void release_all();
    void lay_out(Sequence &sequence);
    uint32_t take_page();
    void give_page(uint32_t page);
    void cut(Sequence &sequence, uint32_t tokens);
    void place_codes(const Profile &profile);
    uint8_t *far_half(uint32_t half) const;
    void clear_faults(Sequence &sequence);
    void refill_layer(Sequence &sequence, uint32_t layer, uint32_t first, uint32_t end);

    std::vector<Sequence> sequences_;      // [sequences_max]
    uint64_t opened_ = 0;
    std::vector<uint32_t> free_;           // page ids, the next one last
    std::vector<uint32_t> references_;     // [pages]
    std::vector<uint32_t> checksums_;      // [pages][layers], far in a file
    std::vector<std::pair<uint8_t *, uint64_t>> blocks_;  // what reserve() took
    std::vector<Copy> page_copies_[2];     // [staging_pages / 2] of a half of work.far_pages
    uint32_t page_counts_[2] = {};
};

uint32_t crc32c(const uint8_t *bytes, uint64_t count);

}  // namespace specache

// plan.h - every byte of a store, known before anything is allocated.
#pragma once
#include <vector>

#include "../codes.h"
#include "../specache.h"

namespace specache {

// Pages of an append that are near while it attends to them: half of them come while the others are
// read.
constexpr uint32_t staging_pages = 16;
// Reads of a far file that are under way at most, and what each brings at most.
constexpr uint32_t far_reads = 64;
constexpr uint64_t far_read_bytes = 16384;
constexpr uint64_t far_scratch_bytes = far_reads * far_read_bytes;
constexpr uint32_t arriving_max = 64;  // slots in flight beside the visible ones (DESIGN section 4)

// Of a layer's logits and values, where a step takes its KV heads by runs: each run uses the memory
// of the one before, which stays in a GPU's L2 beside what passes through. Two fifths of it; where
// no GPU answers as if it had 50 MiB. On a CPU what the second-level caches of as many cores hold.
constexpr uint64_t gpu_cache_usual = 50u << 20;
constexpr uint64_t core_cache_usual = 2u << 20;  // of each thread of a CPU: its core's L2
constexpr uint64_t logits_fifths = 2;

// Tokens of each query head, and of how many KV heads at a time.
struct LogitsRoom {
    uint32_t tokens, heads;
};

struct Plan {
    specache_config config{};
    Shape shape{};
    Rule rule = Rule::none;
    bool ahead_only = false;  // mode paper: exact is what the step before fetched, nothing is late
    uint32_t profile_planes = 0;       // planes of a profile's values, 0 without
    uint32_t value_planes = 0;         // of every head's values, 0 in mode full
    std::vector<HeadCode> codes;       // [layers][kv_heads]; bases and planes not set
    std::vector<uint64_t> code_bytes;  // [layers][kv_heads] of one page

    uint64_t row = 0;          // bytes of one row
    uint64_t layer_block = 0;  // bytes of a page's rows in one layer: [kv_heads][64] rows
    uint64_t page_rows = 0;    // bytes of a page's rows: [layers] layer blocks
    uint64_t page_codes = 0;   // bytes of a page's codes in all layers and heads
    uint32_t pages_max = 0;    // of one sequence
    uint32_t pages = 0;        // in the pool
    uint32_t slots = 0, arriving = 0;  // per layer and KV head: visible, in flight
    uint32_t inputs = 0;       // of a step at most
    uint32_t tokens_wide = 0;  // tokens_max, rounded up so that each row of logits is aligned
    uint64_t logits_bytes = 0;  // of logits and values that a step holds at a time, or one KV
                                // head's; UINT64_MAX: a layer's
    bool in_file = false;

    // Near bytes of one sequence, whatever its length.
    uint64_t sinks = 0, window = 0, slot_rows = 0, tables = 0;
    uint64_t work = 0, profile = 0;
    // The device's own, for rows of a fetch on their way to their places: far in a file; device
    // cuda with prefetch 1.
    uint64_t gathered = 0;
    uint64_t near_budget = 0;  // of reserved(); 0: none

    // What the logits of a step behind `length` tokens have room for.
    LogitsRoom logits_room(uint32_t inputs, uint32_t length) const;
    // Runs of KV heads that a step has between chosen and attended: where late rows come from a
    // file, they come while the next run is chosen.
    uint32_t runs_at_work() const { return in_file && !ahead_only ? 2 : 1; }
    uint32_t heads() const { return config.layers * config.kv_heads; }
    uint64_t far_bytes() const { return rule == Rule::none ? 0 : uint64_t(pages) * page_rows; }
    uint64_t near_pool() const {
        return uint64_t(pages) * (rule == Rule::none ? page_rows : page_codes);
    }
    uint64_t sequence_bytes() const { return sinks + window + slot_rows + tables; }
    uint64_t reserved() const {
        return near_pool() + config.sequences_max * sequence_bytes() + work + profile + gathered;
    }
    // Bytes of the pages that a sequence of `tokens` holds.
    uint64_t held(uint32_t tokens) const {
        return uint64_t(tokens / page_tokens) * (rule == Rule::none ? page_rows : page_codes);
    }
    uint64_t full_bytes(uint32_t tokens) const {
        return uint64_t(tokens) * heads() * 2 * config.head_dim * 2;
    }
};

// Checks every field; throws Failure with value and limit. key_bits: [layers][kv_heads] or null.
Plan make_plan(const specache_config &config, const specache_profile *profile,
               const uint8_t *key_bits);

// Scratch of a store for steps and appends, carved out of one block of near memory.
struct Work {
    float *logits;             // [inputs][heads * group][tokens] of the step's logits_room, twice
                               // where runs take turns (Plan::runs_at_work)
    float *blocks;             // of Scan: device cpu, no audit; else null; twice too
    uint32_t *chosen;          // [inputs][kv_heads][k_max] tokens
    float *values;             // [inputs][kv_heads][k_max]
    uint32_t *counts;          // [inputs][kv_heads]
    uint32_t *exact;           // ahead_only: [inputs][kv_heads][k_max] tokens in slots
    uint32_t *exact_counts;    // [inputs][kv_heads]
    const uint8_t **rows;      // [inputs][kv_heads][k_max]
    uint8_t *staging;          // far in a file: [inputs * kv_heads * k_max] late rows
    Copy *late_copies;         // far in a file: [inputs * kv_heads * k_max]
    uint32_t *late;            // [runs_at_work] of a run
    // Of resolve and settle; CUDA: [kv_heads] of each.
    uint32_t *slot_of;         // [tokens_max] slot + 1 of a token, 0: none; clean between uses
    float *wanted_value;       // [tokens_max] largest value a guess gave a token; 0: none
    uint32_t *wanted;          // [inputs * k_max] tokens
    Candidate *candidates;     // CUDA alone: [slots + arriving + inputs * k_max]
    HeadCode *head_codes;      // [layers][kv_heads]
    uint8_t *chunk;            // [chunk_tokens / 64 + 1][kv_heads][64] rows
    const uint8_t **pages;     // [staging_pages or chunk pages]
    uint8_t *far_pages;        // far in a file, device cuda: [staging_pages] layer blocks
    float *sums;               // [chunk_tokens][query_heads][head_dim + 2]
    uint8_t *page;             // [layers] layer blocks: a page on its way to far
    uint8_t *attend;           // the attend kernel's
    uint8_t *choose;           // CUDA alone: the choose kernels'
    // Device cuda: what a host's buffers hold while a call works on them (borrowed.h).
    float *lent_queries, *lent_outputs;  // [chunk_tokens][query_heads][head_dim]
    float *lent_keys, *lent_values;      // [chunk_tokens][kv_heads][head_dim]
    float *audit;              // the audit kernel's; like the next three only if there is room
    AuditResult *audited;      // [1]
    Copy *audit_copies;        // far in a file: [pages_max]
    uint8_t *audit_rows;       // far in a file: [pages_max] pages of one head's rows
    uint64_t bytes;
};
Work carve_work(const Plan &plan, uint8_t *base);  // base null: sizes only

}  // namespace specache

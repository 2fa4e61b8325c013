// sequence.h - one text in a store: its page table, exact rows, slots, and the step or append at
// work.
#pragma once
#include <memory>
#include <vector>

#include "../device.h"
#include "plan.h"

namespace specache {

struct FetchTimes {
    uint64_t hidden_ns = 0, waited_ns = 0, late_ns = 0;
};

struct AuditSums {  // of one layer and KV head
    double samples = 0, lost = 0, lost_squared = 0, divergence = 0, divergence_squared = 0;
    double chosen = 0, best = 0;
    AuditSums &operator+=(const AuditSums &other) {
        samples += other.samples;
        lost += other.lost;
        lost_squared += other.lost_squared;
        divergence += other.divergence;
        divergence_squared += other.divergence_squared;
        chosen += other.chosen;
        best += other.best;
        return *this;
    }
};

// How far an append has come in a layer; one that failed half way is begun anew.
enum class LayerRun : uint8_t { none, begun, done };

struct Options {
    uint32_t k = 0;
    float late_above = -1;  // late rows whose value is above this are read: -1 all, infinity none
};

struct Sequence {
    uint64_t id = 0;          // 0: closed
    uint32_t length = 0;      // tokens
    std::vector<uint32_t> pages;  // ids, [length / 64] and one that is being filled
    std::vector<std::unique_ptr<Event>> wanted, arrived;  // [layers]
    std::vector<uint64_t> fetch_ns;  // [layers] duration of the prefetch in flight
    FetchTimes times;
    std::vector<AuditSums> audited, auditing;  // [layers][kv_heads]: kept steps, the step at work

    // Near memory.
    uint8_t *memory = nullptr;      // of all that follows
    uint8_t *sinks = nullptr;       // [layers][kv_heads][4] rows
    uint8_t *window = nullptr;      // [layers][kv_heads][window_rows] rows
    Slots slots{};                  // [layers][kv_heads][places]
    Copy *copies = nullptr;         // [layers][kv_heads * arriving] what the prefetch copies
    uint32_t *wanted_rows = nullptr;  // [layers] of them
    uint32_t *page_ids = nullptr;   // [pages_max] as `pages`
    uint32_t *positions = nullptr;  // [inputs_max + 1] of the step at work, and its number
    Counters *counters = nullptr;   // [1]
    uint32_t *faults = nullptr;     // [layers] least token and head whose row was not finite

    // A step at work: inputs == 0 means none.
    uint32_t inputs = 0, trusted = 0, layer = 0, step = 0;
    Options options;
    // An append at work: run == 0 means none.
    uint32_t run = 0, layers_done = 0;
    std::vector<LayerRun> layer_runs;  // [layers]
};

}  // namespace specache

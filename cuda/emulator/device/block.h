// block.h - the threads of the block at work, for the files of the emulated device.
#pragma once
#include <vector>

#include "device.h"

namespace emulator {

constexpr size_t stack_bytes = 256 << 10;
constexpr unsigned warps_max = threads_max / warp_lanes;
// A lane still reads its last meeting when it comes to the next, so two of each lane may be alive.
constexpr unsigned meetings_max = 2 * warp_lanes + 1;

enum class Wait { none, barrier, warp };

struct PendingCopy {
    uint64_t shared, global;  // addresses
    size_t bytes, kept;       // the rest is filled with zeros
    unsigned group;
    Site site;
};

struct Thread {
    Coordinates where;  // first: `current` points here
    char *stack = nullptr;
    void *stack_pointer = nullptr;
    void *fake_stack = nullptr;  // AddressSanitizer's
    sanitize::Actor actor = nullptr;
    Wait wait = Wait::none;
    Site site{};
    unsigned number = 0;  // of the barrier that it waits at
    unsigned mask = 0;    // of the collective that it waits in
    Payload offered;
    Meeting *meeting = nullptr;  // the last one
    bool done = false;
    unsigned groups = 0;  // of asynchronous copies, committed
    std::vector<PendingCopy> copies;
};

struct Crew {
    Thread threads[threads_max];
    Meeting meetings[warps_max][meetings_max];
    // Addresses that stand for what orders the threads; barriers take turns at two.
    struct {
        char started, finished, barrier[barriers_max][2], warp[warps_max][2];
    } order;
};

struct Barrier {
    unsigned come = 0, expected = 0;  // threads; 0 expected: all that still run
    unsigned votes = 0, result = 0;   // votes so far; of the last one that was complete
    unsigned completed = 0;
    Site site{};
};

struct Block {
    const Launch *launch;
    Crew *crew;
    Thread *threads;
    unsigned size, live;  // threads
    Barrier barriers[barriers_max];
    unsigned running[warps_max], waiting[warps_max];  // lanes that have not ended; in a collective
    unsigned meetings[warps_max];                     // completed ones
    unsigned ready[threads_max], ready_count;
};
extern Block block;

Thread &self();
unsigned rank(const Thread &thread);
void make_ready(Thread &thread);
void give_way();       // to the scheduler, until made ready
void may_give_way();   // now and then, by the seed
void leave_barriers();              // a thread has ended
void leave_warp(unsigned warp);
void renew_shared(size_t dynamic_bytes);  // what a block leaves there is nothing to the next

}  // namespace emulator

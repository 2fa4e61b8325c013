// collectives.cpp - where threads of a block meet: barriers, warp collectives, asynchronous copies.
// Threads that meet in different places of the source, lanes outside of their own mask and meetings
// that cannot come about are faults.
#include <cstring>

#include "block.h"

namespace emulator {
namespace {

void complete(unsigned number) {
    Barrier &barrier = block.barriers[number];
    barrier.result = barrier.votes;
    barrier.come = barrier.expected = barrier.votes = 0;
    barrier.completed++;
    for (unsigned i = 0; i < block.size; i++) {
        Thread &thread = block.threads[i];
        if (thread.wait == Wait::barrier && thread.number == number) make_ready(thread);
    }
}

// Counts the present thread in; true if it was the last.
bool come_to(unsigned number, unsigned count, bool vote, Site site) {
    if (number >= barriers_max) fail(site, "barrier %u is not below %u", number, barriers_max);
    if (count % warp_lanes != 0) fail(site, "a barrier of %u threads is not of whole warps", count);
    Barrier &barrier = block.barriers[number];
    if (barrier.come == 0) {
        barrier.expected = count;
        barrier.site = site;
    } else if (barrier.expected != count) {
        fail(site, "threads meet at barrier %u for %u and for %u threads", number, count,
             barrier.expected);
    } else if (count == 0 && barrier.site.line != site.line) {
        fail(site, "threads of one block meet at different barriers: the others at %s:%d",
             barrier.site.file, barrier.site.line);
    }
    barrier.come++;
    barrier.votes += vote;
    return barrier.come == (count == 0 ? block.live : count);
}

Meeting &free_meeting(unsigned warp) {
    for (Meeting &meeting : block.crew->meetings[warp]) {
        if (meeting.readers == 0) return meeting;
    }
    __builtin_unreachable();
}

// Lets the lanes of `mask` go if all of them that still run have come.
void release_warp(unsigned warp, unsigned mask) {
    Thread *lanes = block.threads + warp * warp_lanes;
    unsigned come = 0;
    for (unsigned lane = 0; lane < warp_lanes; lane++) {
        if (!((mask & block.waiting[warp]) >> lane & 1) || lanes[lane].mask != mask) continue;
        Site first = come == 0 ? lanes[lane].site : lanes[__builtin_ctz(come)].site;
        if (first.line != lanes[lane].site.line) {
            fail(first, "lanes of one warp meet in different collectives: the others at %s:%d",
                 lanes[lane].site.file, lanes[lane].site.line);
        }
        come |= 1u << lane;
    }
    if (come == 0 || come != (mask & block.running[warp])) return;
    Meeting &meeting = free_meeting(warp);
    meeting.come = come;
    meeting.readers = __builtin_popcount(come);
    block.meetings[warp]++;
    block.waiting[warp] &= ~come;
    for (unsigned lane = 0; lane < warp_lanes; lane++) {
        if (!(come >> lane & 1)) continue;
        meeting.lanes[lane] = lanes[lane].offered;
        lanes[lane].meeting = &meeting;
        make_ready(lanes[lane]);
    }
}

}  // namespace

unsigned barrier(unsigned number, unsigned count, bool vote, Site site) {
    Thread &thread = self();
    bool last = come_to(number, count, vote, site);
    char *order = &block.crew->order.barrier[number][block.barriers[number].completed % 2];
    sanitize::release(order);
    thread.wait = Wait::barrier;
    thread.number = number;
    thread.site = site;
    if (last) complete(number);
    give_way();
    sanitize::acquire(order);
    return block.barriers[number].result;
}

void barrier_arrive(unsigned number, unsigned count, Site site) {
    bool last = come_to(number, count, false, site);
    sanitize::release(&block.crew->order.barrier[number][block.barriers[number].completed % 2]);
    if (last) complete(number);
}

void leave_barriers() {
    for (unsigned number = 0; number < barriers_max; number++) {
        const Barrier &barrier = block.barriers[number];
        bool whole = barrier.come > 0 && barrier.expected == 0;
        if (whole && barrier.come == block.live) complete(number);
    }
}

void leave_warp(unsigned warp) {
    for (unsigned lane = 0; lane < warp_lanes; lane++) {
        if (block.waiting[warp] >> lane & 1) {
            release_warp(warp, block.threads[warp * warp_lanes + lane].mask);
        }
    }
}

const Meeting &meet(unsigned mask, const Payload &offered, Site site) {
    Thread &thread = self();
    unsigned lane = thread.where.lane, warp = thread.where.warp;
    if (!(mask >> lane & 1)) fail(site, "lane %u is not in its own mask %08x", lane, mask);
    unsigned width = block.size - warp * warp_lanes;
    if (width < warp_lanes && mask >> width != 0 && mask != ~0u) {
        fail(site, "mask %08x names lanes that the warp of %u threads lacks", mask, width);
    }
    if (thread.meeting != nullptr) thread.meeting->readers--;
    thread.meeting = nullptr;
    thread.wait = Wait::warp;
    thread.site = site;
    thread.mask = mask;
    thread.offered = offered;
    block.waiting[warp] |= 1u << lane;
    unsigned expected = mask & block.running[warp];
    if ((block.waiting[warp] & expected) == expected) release_warp(warp, mask);
    give_way();
    return *thread.meeting;
}

void warp_barrier(unsigned mask, Site site) {
    unsigned warp = self().where.warp;
    char *order = &block.crew->order.warp[warp][block.meetings[warp] % 2];
    sanitize::release(order);
    meet(mask, {}, site);
    sanitize::acquire(order);
}

unsigned active_mask() { return block.running[self().where.warp]; }

void copy_async(uint64_t shared, uint64_t global, size_t bytes, size_t kept, Site site) {
    if (bytes != 4 && bytes != 8 && bytes != 16) {
        fail(site, "an asynchronous copy moves 4, 8 or 16 bytes, not %zu", bytes);
    }
    shared_place(shared, bytes, site);
    if (kept > 0) global_place(global, bytes, site);
    Thread &thread = self();
    thread.copies.push_back({shared, global, bytes, kept, thread.groups, site});
}

void copy_commit() { self().groups++; }

void copy_wait(size_t groups_left) {
    Thread &thread = self();
    size_t open = 0;
    for (const PendingCopy &copy : thread.copies) {
        if (copy.group + groups_left >= thread.groups) {
            thread.copies[open++] = copy;
            continue;
        }
        auto *to = static_cast<char *>(shared_place(copy.shared, copy.bytes, copy.site));
        if (copy.kept > 0) {
            std::memcpy(to, global_place(copy.global, copy.bytes, copy.site), copy.kept);
        }
        std::memset(to + copy.kept, 0, copy.bytes - copy.kept);
    }
    thread.copies.resize(open);
}

void fence() {
    Coordinates &thread = *current;
    thread.fenced = true;
    if (thread.atomic != nullptr) sanitize::acquire(thread.atomic);
}

}  // namespace emulator

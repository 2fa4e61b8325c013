// threads.cpp - a round of work: the caller publishes it, everybody takes indices until none is
// left. A step has about ten rounds a layer, so workers spin for some microseconds before they
// sleep.
#include "threads.h"

#include <system_error>

#include "../failure.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace specache {
namespace {

// About 20 us on a 3 GHz core: longer than the gap between two kernels of a layer, far shorter than
// the gap between two steps.
constexpr uint32_t spins = 2000;

inline void relax() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("isb");  // about as long as x86's pause; `yield` ends at once on most CPUs
#endif
}

}  // namespace

void pause_between_looks(uint32_t looks) {
    if (looks < spins) relax();
    else std::this_thread::yield();
}

Threads::Threads(uint32_t threads) : shares_(threads) {
    try {
        for (uint32_t i = 1; i < threads; i++) workers_.emplace_back([this, i] { work(i); });
    } catch (const std::system_error &error) {
        size_t started = workers_.size();
        end();
        fail(SPECACHE_MEMORY, "the system refused thread %zu of %u: %s", started + 2, threads,
             error.what());
    }
}

Threads::~Threads() { end(); }

void Threads::end() {
    stop_ = true;
    round_.fetch_add(1);
    round_.notify_all();
    for (std::thread &worker : workers_) worker.join();
}

// An index and the end of its share are one atomic number. So a worker that comes late, even a
// round late, either owns an index of the round at work or sees that none is left. Who has done his
// own share helps the others with theirs.
void Threads::take(uint32_t thread) {
    uint32_t taken = 0, count = uint32_t(shares_.size());
    for (uint32_t i = 0; i < count; i++) {
        std::atomic<uint64_t> &next = shares_[(thread + i) % count].next;
        for (;; taken++) {
            uint64_t ticket = next.fetch_add(1, std::memory_order_acq_rel);
            uint32_t index = uint32_t(ticket);
            if (index >= ticket >> 32) break;
            body_(context_, index);
        }
    }
    if (taken != 0) done_.fetch_add(taken, std::memory_order_release);
}

// Returns when all indices have ended, whether or not all workers have come: one that the system
// has put aside holds nobody up.
void Threads::run(uint32_t count, Body body, const void *context) {
    body_ = body;
    context_ = context;
    done_.store(0, std::memory_order_relaxed);
    uint64_t threads = shares_.size();
    for (uint64_t i = 0; i < threads; i++) {
        uint64_t first = i * count / threads, end = (i + 1) * count / threads;
        shares_[i].next.store(end << 32 | first, std::memory_order_release);
    }
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
    take(0);
    for (uint32_t i = 0; done_.load(std::memory_order_acquire) != count; i++) {
        pause_between_looks(i);
    }
}

void Threads::work(uint32_t thread) {
    uint32_t seen = 0;
    for (;;) {
        for (uint32_t i = 0; i < spins && round_.load(std::memory_order_acquire) == seen; i++)
            relax();
        round_.wait(seen, std::memory_order_acquire);
        seen = round_.load(std::memory_order_acquire);
        if (stop_) return;
        take(thread);
    }
}

}  // namespace specache

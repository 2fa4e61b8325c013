// threads.cpp - a round of work: the caller publishes it, everybody takes indices until none is
// left. A step has about ten rounds a layer, so workers spin for some microseconds before they
// sleep.
#include "threads.h"

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
#endif
}

}  // namespace

Threads::Threads(uint32_t threads) {
    for (uint32_t i = 1; i < threads; i++) workers_.emplace_back([this] { work(); });
}

Threads::~Threads() {
    stop_ = true;
    round_.fetch_add(1);
    round_.notify_all();
    for (std::thread &worker : workers_) worker.join();
}

void Threads::take() {
    for (;;) {
        uint32_t index = next_.fetch_add(1, std::memory_order_relaxed);
        if (index >= count_) return;
        body_(context_, index);
    }
}

void Threads::run(uint32_t count, Body body, const void *context) {
    body_ = body;
    context_ = context;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
    take();
    for (uint32_t i = 0; busy_.load(std::memory_order_acquire) != 0; i++) {
        if (i < spins) relax();
        else std::this_thread::yield();
    }
}

void Threads::work() {
    uint32_t seen = 0;
    for (;;) {
        for (uint32_t i = 0; i < spins && round_.load(std::memory_order_acquire) == seen; i++)
            relax();
        round_.wait(seen, std::memory_order_acquire);
        seen++;
        if (stop_) return;
        take();
        busy_.fetch_sub(1, std::memory_order_release);
    }
}

}  // namespace specache

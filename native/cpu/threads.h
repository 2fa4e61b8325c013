// threads.h - the compute threads of the CPU device, and the loop that shares work among them.
// Which thread runs which index never shows in a result: kernels write disjoint outputs by index.
// A thread begins with its own share of neighbouring indices, the same in each loop of as many, so
// that what one kernel leaves in a core's cache the next finds there.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "../device.h"

namespace specache {

// Threads that run body(context, 0 .. count-1) together with the caller.
class Threads {
public:
    using Body = void (*)(const void *context, uint32_t index);
    explicit Threads(uint32_t threads);
    ~Threads();
    Threads(const Threads &) = delete;
    Threads &operator=(const Threads &) = delete;
    uint32_t count() const { return static_cast<uint32_t>(workers_.size()) + 1; }
    void run(uint32_t count, Body body, const void *context);

private:
    struct alignas(64) Share {           // a thread's neighbouring indices, in a line of its own
        std::atomic<uint64_t> next{0};   // end << 32 | the next index to take
    };
    void work(uint32_t thread);
    void take(uint32_t thread);
    void end();
    std::vector<std::thread> workers_;
    Body body_ = nullptr;
    const void *context_ = nullptr;
    std::vector<Share> shares_;       // [count()], the caller's first
    std::atomic<uint32_t> done_{0};   // indices of the current round that have ended
    std::atomic<uint32_t> round_{0};  // a new value wakes the workers
    std::atomic<bool> stop_{false};
};

// How many threads are meant: 0 is the machine's cores. They are counted once: Linux tells them by
// a file, which takes some 20 us, and a step asks in each layer.
inline uint32_t threads_of(uint32_t asked) {
    static const uint32_t cores = std::thread::hardware_concurrency();
    return asked != 0 ? asked : cores != 0 ? cores : 1;
}

// A stream of the CPU. With threads it is the compute stream, which runs where it is called.
class CpuStream : public Stream {
public:
    Threads *threads = nullptr;  // null: the caller alone
    const std::atomic<bool> *cancelled = nullptr;  // null: nobody cancels
    void signal(Event &) override {}
    uint64_t wait(Event &) override { return 0; }
};

// Between two looks at what another thread is to do, of which there were `looks`: a short pause,
// and after some microseconds the rest of a time slice.
void pause_between_looks(uint32_t looks);

template <class Body>
void parallel(Stream &stream, uint32_t count, Body body) {
    Threads *threads = static_cast<CpuStream &>(stream).threads;
    if (threads == nullptr || count < 2) {
        for (uint32_t index = 0; index < count; index++) body(index);
        return;
    }
    threads->run(count, [](const void *context, uint32_t index) {
        (*static_cast<const Body *>(context))(index);
    }, &body);
}

// As above; once the stream's work is cancelled, what no thread has begun is left out.
template <class Body>
void parallel_until_cancelled(Stream &stream, uint32_t count, Body body) {
    const std::atomic<bool> *cancelled = static_cast<CpuStream &>(stream).cancelled;
    if (cancelled == nullptr) return parallel(stream, count, body);
    parallel(stream, count, [&](uint32_t index) {
        if (!cancelled->load(std::memory_order_relaxed)) body(index);
    });
}

}  // namespace specache

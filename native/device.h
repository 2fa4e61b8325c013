// device.h - what a device offers: memory, streams with events, copies from and to far, the
// kernels. The schedule (step.cpp) and the store are written against this alone.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels.h"

namespace specache {

struct Plan;  // store/plan.h

// A point in a stream's work. An event that was never signalled counts as arrived.
class Event {
public:
    virtual ~Event() = default;
};

// Work done in order. On the CPU the compute stream runs where it is called, on all compute
// threads; the copy and late streams are two queues of the I/O thread.
class Stream {
public:
    virtual ~Stream() = default;
    virtual void signal(Event &event) = 0;    // arrives when all work before it is done
    virtual uint64_t wait(
        Event &event) = 0;  // later work starts after it; nanoseconds stood waiting
};

// Far memory: addressable (RAM, pinned RAM), or a file.
struct Far {
    uint8_t *memory = nullptr;
    int file = -1;
};

// How a far file is read.
struct FarAccess {
    bool direct = false;     // O_DIRECT; else the page cache is told to drop what was read
    bool ring = false;       // io_uring; else threads
    uint64_t alignment = 0;  // of reads
    uint32_t reads_most = 0;  // under way together
    uint64_t reads = 0, bytes = 0;  // so far
};

struct Fetch {
    Far far;
    const Copy *copies;         // [*count], near memory, not changed until the fetch is done
    const uint32_t *count;      // [1], near memory
    uint32_t row_bytes;
    uint32_t layer, step;       // for the trace and the tests' hooks
    uint64_t *nanoseconds;      // += how long the fetch took; null: not wanted
};

struct Write {      // near to far, on the copy stream
    Far far;
    const uint8_t *from;
    uint64_t to, bytes;
};

enum class Trace : uint32_t {
    attended = 0, wanted = 1, prefetch_begun = 2, prefetch_done = 3, late_begun = 4, late_done = 5,
    waited = 6, scanned = 7, chosen = 8, summed = 9  // the last three of a run of KV heads each
};

// Work of a device's streams that was queued once and can be queued again as one piece.
class Recording {
public:
    virtual ~Recording() = default;
};

class Device {
public:
    virtual ~Device() = default;
    virtual const Kernels &kernels() const = 0;
    // Once `cancelled` is set, products and exact attention (project, prefill_attend) may leave out
    // what remains of their work: who calls them looks at it before he uses what they made. On the
    // CPU they do, so that the largest layer of the largest model is no wait; on cuda a call only
    // queues them.
    virtual void heed(const std::atomic<bool> &cancelled) = 0;
    virtual std::string name() const = 0;    // "cpu", or what the GPU calls itself
    virtual bool shares_memory() const = 0;  // the host sees near memory
    virtual uint32_t threads() const = 0;
    virtual Stream &host() = 0;  // work of the host itself, on all its threads (cpu/threads.h)
    virtual Stream &compute() = 0;
    virtual Stream &copy() = 0;   // prefetches and page writes
    virtual Stream &late() = 0;   // late rows: goes ahead of the copy stream's rows
    virtual std::unique_ptr<Event> event() = 0;
    // Near memory, zeroed, page aligned; throws Failure (memory) naming the bytes.
    virtual uint8_t *reserve(uint64_t bytes) = 0;
    virtual void release(uint8_t *memory, uint64_t bytes) = 0;
    // Far memory that near memory's kernels can read in place; zeroed, page aligned; as above.
    virtual uint8_t *reserve_far(uint64_t bytes) = 0;
    virtual void release_far(uint8_t *memory, uint64_t bytes) = 0;
    // In the order of the compute stream. upload: `from` may change once it returns; download: all
    // before is done when it returns.
    virtual void upload(void *near, const void *from, uint64_t bytes) = 0;
    virtual void download(void *to, const void *near, uint64_t bytes) = 0;
    virtual void move(void *to, const void *from, uint64_t bytes) = 0;  // near to near
    virtual void clear(void *near, uint64_t bytes) = 0;
    // Once, before far memory in a file is read or written: the file, new and of its whole length,
    // and what that and writes are multiples of. A device without such files has none to take.
    virtual void take_far_file(int, uint64_t) {}
    virtual FarAccess far_access() const { return {}; }
    virtual void fetch(Stream &stream, const Fetch &fetch) = 0;
    virtual void write(const Write &write) = 0;
    // From addressable far memory, on the copy stream.
    virtual void read(void *near, const uint8_t *far, uint64_t bytes) = 0;
    // What `work` queues, not yet begun. In `work` no call may wait, upload, download, or write to
    // far. Null: the device records nothing or has no room for it, and nothing was done.
    virtual std::unique_ptr<Recording> record(const std::function<void()> &work) = 0;
    // After all that any stream has at work; what is queued on compute() later comes after it.
    virtual void launch(Recording &recording) = 0;
    virtual void drain() = 0;  // waits until all streams are done
    virtual void check() = 0;  // throws the first failure of a copy, now and ever after

    // Tests: see specache.h.
    virtual void delay(uint32_t seed, uint32_t microseconds) = 0;
    virtual void hold(uint32_t layer) = 0;
    virtual void unhold() = 0;
    virtual void trace_start(uint32_t events_max) = 0;
    virtual void trace(Trace what, uint32_t layer, uint32_t step) = 0;
    virtual uint32_t trace_copy(uint64_t *events, uint32_t events_max) = 0;
};

// The device that the plan's config names; throws Failure (device) where it does not answer.
std::unique_ptr<Device> open_device(const Plan &plan);
std::unique_ptr<Device> open_cpu_device(const Plan &plan);
std::unique_ptr<Device> open_cuda_device(const Plan &plan);  // cuda/device.cu
uint64_t gpu_cache_bytes();   // L2 of the GPU of device cuda; 0 where none answers
uint64_t cuda_cache_bytes();  // cuda/device.cu

}  // namespace specache

// device.cpp - the CPU as a device: compute threads and the I/O thread are its streams.
#include <cerrno>
#include <cstring>
#include <sys/mman.h>

#include "../failure.h"
#include "../store/plan.h"
#include "io.h"
#include "tables.h"

namespace specache {
namespace {

constexpr uint64_t large_page = 2u << 20;

class ComputeStream final : public CpuStream {  // runs where it is called
public:
    explicit ComputeStream(Io &io) : io_(io) {}
    // Work before it is done when the call returns.
    void signal(Event &event) override { io_.arrive(static_cast<CpuEvent &>(event)); }
    uint64_t wait(Event &event) override { return io_.wait(static_cast<CpuEvent &>(event)); }

private:
    Io &io_;
};

class QueueStream final : public Stream {
public:
    QueueStream(Io &io, bool late) : io_(io), late_(late) {}
    void signal(Event &event) override { push(Task::Kind::signal, event); }
    uint64_t wait(Event &event) override { push(Task::Kind::wait, event); return 0; }

private:
    void push(Task::Kind kind, Event &event) {
        io_.push(late_, Task{kind, {}, {}, static_cast<CpuEvent *>(&event)});
    }
    Io &io_;
    bool late_;
};

// What reads of a far file bring.
struct FarScratch {
    uint8_t *memory = nullptr;
    ~FarScratch() {
        if (memory != nullptr) munmap(memory, far_scratch_bytes);
    }
};

class CpuDevice final : public Device {
public:
    CpuDevice(uint32_t threads, uint32_t isa, FarWishes wishes)  // as Threads, kernels_for take
        : kernels_(kernels_for(isa)), wishes_(wishes), threads_(threads), compute_(io_),
          copy_(io_, false), late_(io_, true) {
        compute_.threads = threads_.count() > 1 ? &threads_ : nullptr;
    }
    const Kernels &kernels() const override { return kernels_; }
    void heed(const std::atomic<bool> &cancelled) override { compute_.cancelled = &cancelled; }
    std::string name() const override { return "cpu"; }
    bool shares_memory() const override { return true; }
    uint32_t threads() const override { return threads_.count(); }
    Stream &host() override { return compute_; }
    Stream &compute() override { return compute_; }
    Stream &copy() override { return copy_; }
    Stream &late() override { return late_; }
    std::unique_ptr<Event> event() override { return std::make_unique<CpuEvent>(); }

    uint8_t *reserve(uint64_t bytes) override {
        if (bytes == 0) return nullptr;
        void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                            -1, 0);
        if (memory == MAP_FAILED) {
            fail(SPECACHE_MEMORY, "the system refused %llu bytes of memory: %s",
                 static_cast<unsigned long long>(bytes), std::strerror(errno));
        }
        // Rows are read anywhere: with small pages each costs a walk of the page table beside the
        // row itself. The system may say no: then pages stay small.
        if (bytes >= large_page) madvise(memory, bytes, MADV_HUGEPAGE);
        return static_cast<uint8_t *>(memory);
    }
    void release(uint8_t *memory, uint64_t bytes) override {
        if (memory != nullptr) munmap(memory, bytes);
    }
    uint8_t *reserve_far(uint64_t bytes) override { return reserve(bytes); }
    void release_far(uint8_t *memory, uint64_t bytes) override { release(memory, bytes); }

    void upload(void *near, const void *from, uint64_t bytes) override {
        if (bytes != 0) std::memcpy(near, from, bytes);
    }
    void download(void *to, const void *near, uint64_t bytes) override {
        if (bytes != 0) std::memcpy(to, near, bytes);
    }
    void move(void *to, const void *from, uint64_t bytes) override {
        if (bytes != 0) std::memcpy(to, from, bytes);
    }
    void clear(void *near, uint64_t bytes) override {
        if (bytes != 0) std::memset(near, 0, bytes);
    }

    void take_far_file(int file, uint64_t block) override {
        scratch_.memory = reserve(far_scratch_bytes);
        io_.take_file(std::make_unique<FarFile>(file, block, scratch_.memory,
                                                wishes_));
    }
    FarAccess far_access() const override {
        return io_.file() == nullptr ? FarAccess{} : io_.file()->access();
    }
    void fetch(Stream &stream, const Fetch &fetch) override {
        // What counted them has run: the compute stream runs where it is called.
        if (*fetch.count == 0) return;
        io_.push(&stream == &late_, Task{Task::Kind::fetch, fetch, {}, nullptr});
    }
    void write(const Write &write) override {
        if (write.far.memory != nullptr) {  // far RAM: a copy is all there is to do
            std::memcpy(write.far.memory + write.to, write.from, write.bytes);
            return;
        }
        io_.push(false, Task{Task::Kind::write, {}, write, nullptr});
    }
    std::unique_ptr<Recording> record(const std::function<void()> &) override { return nullptr; }
    void launch(Recording &) override {}
    void read(void *near, const uint8_t *far, uint64_t bytes) override {
        std::memcpy(near, far, bytes);
    }
    void drain() override { io_.drain(); }
    void check() override { io_.check(); }

    void delay(uint32_t seed, uint32_t microseconds) override { io_.delay(seed, microseconds); }
    void hold(uint32_t layer) override { io_.hold(layer); }
    void unhold() override { io_.unhold(); }
    void trace_start(uint32_t events_max) override { io_.trace_start(events_max); }
    void trace(Trace what, uint32_t layer, uint32_t step) override { io_.trace(what, layer, step); }
    uint32_t trace_copy(uint64_t *events, uint32_t events_max) override {
        return io_.trace_copy(events, events_max);
    }

private:
    const Kernels &kernels_;
    FarWishes wishes_;
    FarScratch scratch_;  // outlives the I/O thread
    Threads threads_;
    Io io_;
    ComputeStream compute_;
    QueueStream copy_, late_;
};

}  // namespace

std::unique_ptr<Device> open_cpu_device(const Plan &plan) {
    uint32_t variant = plan.config.variant;
    FarWishes wishes{variant != 4 && variant != 5, variant != 3 && variant != 5};
    return std::make_unique<CpuDevice>(threads_of(plan.config.threads), plan.config.isa, wishes);
}

}  // namespace specache

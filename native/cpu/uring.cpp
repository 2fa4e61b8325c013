// uring.cpp - reads by Linux's io_uring: two rings in memory that we share with the kernel, without
// a library around it. We put entries into the submission ring and move its tail; io_uring_enter
// hands them over, all at once; the kernel puts results into the completion ring and moves its
// tail, we move its head. Containers often forbid io_uring: then there is none (readers.cpp).
#include "reads.h"

#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#endif

#ifdef IORING_FEAT_RW_CUR_POS  // headers of Linux 5.6, as is the operation
#include <atomic>
#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace specache {
namespace {

// A piece of memory that is shared with the kernel.
struct Shared {
    void *memory = MAP_FAILED;
    size_t bytes = 0;
    bool map(int ring, size_t size, uint64_t what) {
        bytes = size;
        memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
                      off_t(what));
        return memory != MAP_FAILED;
    }
    ~Shared() {
        if (memory != MAP_FAILED) munmap(memory, bytes);
    }
    template <class T> T *at(uint32_t offset) const {
        return reinterpret_cast<T *>(static_cast<uint8_t *>(memory) + offset);
    }
};

uint32_t seen(uint32_t *place) {
    return std::atomic_ref<uint32_t>(*place).load(std::memory_order_acquire);
}
void publish(uint32_t *place, uint32_t value) {
    std::atomic_ref<uint32_t>(*place).store(value, std::memory_order_release);
}

class Ring final : public Reads {
public:
    explicit Ring(int file) : file_(file) {}
    ~Ring() override {
        if (ring_ >= 0) ::close(ring_);
    }

    bool open(uint32_t reads) {
        ring_ = int(syscall(__NR_io_uring_setup, reads, &params_));
        if (ring_ < 0) return false;
        const io_sqring_offsets &sq = params_.sq_off;
        const io_cqring_offsets &cq = params_.cq_off;
        return submitted_.map(ring_, sq.array + params_.sq_entries * sizeof(uint32_t),
                              IORING_OFF_SQ_RING) &&
               completed_.map(ring_, cq.cqes + params_.cq_entries * sizeof(io_uring_cqe),
                              IORING_OFF_CQ_RING) &&
               entries_.map(ring_, params_.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES);
    }

    void push(const Read &read) override {
        uint32_t *tail = submitted_.at<uint32_t>(params_.sq_off.tail);
        uint32_t place = *tail & *submitted_.at<uint32_t>(params_.sq_off.ring_mask);
        io_uring_sqe &entry = entries_.at<io_uring_sqe>(0)[place];
        std::memset(&entry, 0, sizeof entry);
        entry.opcode = IORING_OP_READ;
        entry.fd = file_;
        entry.off = read.from;
        entry.addr = reinterpret_cast<uint64_t>(read.to);
        entry.len = read.bytes;
        entry.user_data = read.tag;
        submitted_.at<uint32_t>(params_.sq_off.array)[place] = place;
        publish(tail, *tail + 1);
        pushed_++;
    }

    ReadDone take(uint32_t least) override {
        while (pushed_ != 0 || !ready()) {
            int64_t took = syscall(__NR_io_uring_enter, ring_, pushed_, ready() ? 0 : least,
                                   IORING_ENTER_GETEVENTS, nullptr, 0);
            if (took >= 0) {
                pushed_ -= uint32_t(took);
            } else if (errno != EINTR && errno != EAGAIN && errno != EBUSY && pushed_ != 0) {
                return take_back(errno);
            } else if (errno != EINTR) {
                std::this_thread::yield();  // the kernel is short of memory for the moment
            }
        }
        uint32_t *head = completed_.at<uint32_t>(params_.cq_off.head);
        uint32_t place = *head & *completed_.at<uint32_t>(params_.cq_off.ring_mask);
        const io_uring_cqe &entry = completed_.at<io_uring_cqe>(params_.cq_off.cqes)[place];
        ReadDone done{uint32_t(entry.user_data), entry.res};
        publish(head, *head + 1);
        return done;
    }

    bool ready() override {
        return *completed_.at<uint32_t>(params_.cq_off.head) !=
               seen(completed_.at<uint32_t>(params_.cq_off.tail));
    }

private:
    // The entry pushed last, which the kernel refuses to take.
    ReadDone take_back(int error) {
        uint32_t *tail = submitted_.at<uint32_t>(params_.sq_off.tail);
        publish(tail, *tail - 1);
        pushed_--;
        uint32_t place = *tail & *submitted_.at<uint32_t>(params_.sq_off.ring_mask);
        return {uint32_t(entries_.at<io_uring_sqe>(0)[place].user_data), -error};
    }

    int file_, ring_ = -1;
    io_uring_params params_{};
    uint32_t pushed_ = 0;  // and not yet handed over
    Shared submitted_, completed_, entries_;
};

}  // namespace

std::unique_ptr<Reads> open_ring(int file, uint32_t reads) {
    auto ring = std::make_unique<Ring>(file);
    if (!ring->open(reads)) return nullptr;
    return ring;
}

}  // namespace specache

#else

namespace specache {
std::unique_ptr<Reads> open_ring(int, uint32_t) { return nullptr; }
}  // namespace specache

#endif

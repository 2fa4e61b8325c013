// far_file.h - far memory in a file: rows read many at a time, past the page cache where the file
// system lets us (O_DIRECT), and else dropped from it at once, so that far memory takes no RAM.
#pragma once
#include <atomic>
#include <string>
#include <vector>

#include "../device.h"
#include "reads.h"

namespace specache {

// How a file is read, for tests too: what is not wanted is as if the system had it not.
struct FarWishes {
    bool direct = true, ring = true;
};

class FarFile {
public:
    // Takes a new file of its whole length, of which writes and length are multiples of `block`.
    // scratch: far_scratch_bytes (plan.h), page aligned. Throws Failure where threads are refused.
    FarFile(int file, uint64_t block, uint8_t *scratch, FarWishes wishes);

    // A fetch, late or of the copy stream, one of each at work at a time: step() until it is false.
    // Between two steps of a prefetch the late queue can be served.
    void begin(bool late, const Fetch &fetch);
    bool step(bool late);
    void write(const Write &write);

    FarAccess access() const;
    std::string failure;  // the first; empty: none

private:
    void open_direct(uint64_t block);
    // Copies that are at work together, sorted by where they lie: neighbours are one read.
    struct Job {
        const Fetch *fetch;
        uint32_t taken;    // copies that earlier ones were
        std::vector<Copy> copies;  // [window]
        uint32_t count = 0, next = 0;  // of copies; those before `next` are read or under way
        uint64_t offset = 0;       // bytes of copy `next` that are
        uint32_t under_way = 0;    // reads
    };
    // A read under way: bytes [from, to) of the file, which lie in copies [first, last).
    struct Span {
        Job *job;
        uint64_t from, to;
        uint32_t first, last;
    };

    void fill(Job &job);
    void start(Job &job);
    void finish(const ReadDone &done);
    int64_t read_rest(const Span &span, uint8_t *to, int64_t result) const;
    void tell(const char *what, int64_t result, uint64_t bytes, uint64_t at);
    void drop(uint64_t from, uint64_t bytes) const;
    uint8_t *buffer(uint32_t tag) const;

    int file_;
    bool direct_ = false, ring_ = false;
    uint64_t alignment_ = 1;  // of where reads and writes begin, and of their lengths
    uint64_t memory_alignment_ = 1;
    uint8_t *scratch_;
    std::unique_ptr<Reads> reads_;
    uint32_t reads_most_ = 0;
    Job jobs_[2];              // of the copy stream, late
    std::vector<Span> spans_;  // [reads_most_]
    std::vector<uint32_t> free_;
    std::atomic<uint64_t> reads_done_{0}, bytes_read_{0};
};

}  // namespace specache

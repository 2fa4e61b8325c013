// far_file.cpp - a read takes up to 16 KiB from where a row begins, rounded out to what the file
// system can read; the rows that lie in it are copied from there. A disk that answers a small read
// in 100 us answers many at a time, so as many as it likes are kept under way.
#include "far_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../store/plan.h"

namespace specache {
namespace {

constexpr uint32_t window = 1024;  // copies that are sorted together: two layers' of 8 heads and 64
// A gap that is read along costs less than a read of its own: on the disk that this was measured
// on, 4 KiB take as long as 512 bytes (docs/NOTES.md).
constexpr uint64_t gap_most = 4096;
constexpr uint32_t threads_most = 16;
constexpr uint64_t page_bytes = 4096;

uint64_t down(uint64_t x, uint64_t to) { return x / to * to; }
uint64_t up(uint64_t x, uint64_t to) { return (x + to - 1) / to * to; }

// What reads past the page cache must be multiples of: a page where the kernel cannot tell.
struct Alignment {
    uint64_t file = page_bytes, memory = page_bytes;
};
Alignment direct_alignment([[maybe_unused]] int file) {
#ifdef STATX_DIOALIGN
    struct statx about{};
    if (statx(file, "", AT_EMPTY_PATH, STATX_DIOALIGN, &about) == 0 &&
        (about.stx_mask & STATX_DIOALIGN) != 0 && about.stx_dio_offset_align != 0) {
        return {about.stx_dio_offset_align, about.stx_dio_mem_align};
    }
#endif
    return {};
}

}  // namespace

FarFile::FarFile(int file, uint64_t block, uint8_t *scratch, FarWishes wishes)
    : file_(file), scratch_(scratch) {
    if (wishes.direct) open_direct(block);
    // Without, it would read ahead what nobody wants.
    if (!direct_) posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM);
    if (wishes.ring) reads_ = open_ring(file, far_reads);
    if (reads_ != nullptr) {  // a kernel may have the ring and not this operation
        reads_->push({0, uint32_t(alignment_), 0, scratch});
        ring_ = reads_->take(1).result > 0;
    }
    if (!ring_) reads_ = open_readers(file, threads_most);
    reads_most_ = ring_ ? far_reads : threads_most;
    spans_.resize(reads_most_);
    for (uint32_t tag = 0; tag < reads_most_; tag++) free_.push_back(tag);
    for (Job &job : jobs_) job.copies.resize(window);
}

void FarFile::open_direct(uint64_t block) {
    Alignment least = direct_alignment(file_);
    if (block % least.file != 0 || least.file > far_read_bytes / 2) return;
    if (least.memory > page_bytes) return;
    int flags = fcntl(file_, F_GETFL);
    if (fcntl(file_, F_SETFL, flags | O_DIRECT) != 0) return;
    direct_ = pread(file_, scratch_, least.file, 0) == ssize_t(least.file);
    if (!direct_) {
        fcntl(file_, F_SETFL, flags);
        return;
    }
    alignment_ = least.file;
    memory_alignment_ = least.memory;
}

FarAccess FarFile::access() const {
    return {direct_, ring_, alignment_, reads_most_, reads_done_, bytes_read_};
}

uint8_t *FarFile::buffer(uint32_t tag) const { return scratch_ + tag * far_read_bytes; }

void FarFile::begin(bool late, const Fetch &fetch) {
    Job &job = jobs_[late];
    job.fetch = &fetch;
    job.taken = job.count = job.next = 0;
    job.offset = 0;
}

void FarFile::fill(Job &job) {
    job.next = 0;
    job.count = std::min(window, *job.fetch->count - job.taken);
    const Copy *from = job.fetch->copies + job.taken;
    std::copy(from, from + job.count, job.copies.begin());
    std::sort(job.copies.begin(), job.copies.begin() + job.count,
              [](const Copy &a, const Copy &b) { return a.from < b.from; });
    job.taken += job.count;
}

// Starts what has room, and waits for some of what is under way. A prefetch leaves a quarter of the
// places to late rows, and waits for a few reads only, so that these are soon looked for.
bool FarFile::step(bool late) {
    Job &job = jobs_[late];
    if (job.next == job.count && job.under_way == 0) {
        if (job.taken == *job.fetch->count) return false;
        fill(job);
    }
    uint32_t keep = late ? 0 : reads_most_ / 4;
    while (job.next < job.count && free_.size() > keep) start(job);
    uint32_t least = std::max(1u, (reads_most_ - uint32_t(free_.size())) / 4);
    do {
        finish(reads_->take(least));
    } while (reads_->ready());
    return true;
}

// From the next row on as many as lie close to one another and fit a buffer, or a part of a row.
void FarFile::start(Job &job) {
    uint64_t bytes = job.fetch->row_bytes, from = job.copies[job.next].from + job.offset;
    uint64_t limit = down(from, alignment_) + far_read_bytes;
    Span span{&job, from, from, job.next, job.next};
    while (job.next < job.count) {
        const Copy &copy = job.copies[job.next];
        bool first = span.last == span.first, whole = copy.from + bytes <= limit;
        bool near = copy.from >= span.from && copy.from <= span.to + gap_most;
        if (!first && !(whole && near)) break;
        span.to = std::max(span.to, std::min(copy.from + bytes, limit));
        span.last = job.next + 1;
        if (!whole) {
            job.offset = limit - copy.from;
            break;
        }
        job.next++;
        job.offset = 0;
    }
    uint32_t tag = free_.back();
    free_.pop_back();
    spans_[tag] = span;
    job.under_way++;
    uint64_t begin = down(span.from, alignment_), end = up(span.to, alignment_);
    reads_->push({begin, uint32_t(end - begin), tag, buffer(tag)});
    bytes_read_ += end - begin;
    reads_done_++;
}

void FarFile::finish(const ReadDone &done) {
    const Span span = spans_[done.tag];
    Job &job = *span.job;
    const uint8_t *bytes = buffer(done.tag);
    uint64_t begin = down(span.from, alignment_), row = job.fetch->row_bytes;
    int64_t result = read_rest(span, buffer(done.tag), done.result);
    free_.push_back(done.tag);
    job.under_way--;
    if (result <= 0) return tell("read", result, row, job.copies[span.first].from);
    for (uint32_t i = span.first; i < span.last; i++) {
        const Copy &copy = job.copies[i];
        uint64_t from = std::max(copy.from, span.from), to = std::min(copy.from + row, span.to);
        std::memcpy(copy.to + (from - copy.from), bytes + (from - begin), to - from);
    }
    if (!direct_) drop(span.from, span.to - span.from);
}

// A read may end early or be broken off: what is left is read here and now. 0: the file ends
// before; below 0: -errno.
int64_t FarFile::read_rest(const Span &span, uint8_t *to, int64_t result) const {
    uint64_t begin = down(span.from, alignment_), needed = up(span.to, alignment_) - begin;
    uint64_t done = result > 0 ? uint64_t(result) : 0;
    bool again = result == -EINTR || result == -EAGAIN;
    if (result <= 0 && !again) return result;
    while (done < needed) {
        done = down(done, alignment_);
        ssize_t got = pread(file_, to + done, needed - done, off_t(begin + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -int64_t(errno);
        if (uint64_t(got) < alignment_) return 0;
        done += uint64_t(got);
    }
    return int64_t(needed);
}

// Nothing else of this thread is under way. What the file system cannot write from where it lies
// goes by way of the buffers.
void FarFile::write(const Write &write) {
    bool in_place = reinterpret_cast<uintptr_t>(write.from) % memory_alignment_ == 0;
    uint64_t piece = in_place ? write.bytes : far_scratch_bytes;
    for (uint64_t done = 0; done < write.bytes;) {
        uint64_t bytes = std::min(piece, write.bytes - done);
        const uint8_t *from = write.from + done;
        if (!in_place) from = static_cast<uint8_t *>(std::memcpy(scratch_, from, bytes));
        ssize_t written = pwrite(file_, from, bytes, off_t(write.to + done));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            return tell("write", written < 0 ? -errno : 0, write.bytes, write.to);
        }
        done += uint64_t(written);
    }
    if (direct_) return;
    sync_file_range(file_, off_t(write.to), off_t(write.bytes),
                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                        SYNC_FILE_RANGE_WAIT_AFTER);
    drop(write.to, write.bytes);
}

// Of the page cache. Only whole pages go, which arm64 may have of 16 or 64 KiB.
void FarFile::drop(uint64_t from, uint64_t bytes) const {
    static const uint64_t page = uint64_t(sysconf(_SC_PAGESIZE));
    uint64_t begin = down(from, page), end = up(from + bytes, page);
    posix_fadvise(file_, off_t(begin), off_t(end - begin), POSIX_FADV_DONTNEED);
}

void FarFile::tell(const char *what, int64_t result, uint64_t bytes, uint64_t at) {
    if (!failure.empty()) return;
    failure = std::string("cannot ") + what + " " + std::to_string(bytes) +
              " bytes of the far file at " + std::to_string(at) + ": " +
              (result < 0 ? std::strerror(int(-result)) : "the file ends before");
}

}  // namespace specache

// heap.cpp - the regions of heap.h, and the check of every access of a kernel to global memory.
#include "heap.h"

#include <sys/mman.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>

#include "block.h"

namespace emulator {
namespace {

constexpr size_t megabytes_default = 1024;
constexpr size_t alignment = 256;  // of every block, as cudaMalloc promises

size_t region_bytes() {
    const char *asked = std::getenv("EMULATOR_MEMORY");  // MiB of each region
    return (asked ? std::strtoull(asked, nullptr, 10) : megabytes_default) << 20;
}

std::map<const char *, size_t> &registered() {  // begin and bytes
    static std::map<const char *, size_t> all;
    return all;
}

#if !defined(EMULATOR_ADDRESS) && !defined(EMULATOR_THREAD)
void on_fault(int, siginfo_t *info, void *) {
    bool device = device_memory().holds(info->si_addr);
    std::fprintf(stderr, "emulator: %s at %p\n",
                 device ? "the host reaches for device memory" : "no access", info->si_addr);
    std::_Exit(139);
}
// Sanitizers have handlers of their own.
void handle_faults() {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
}
#else
void handle_faults() {}
#endif

}  // namespace

Region::Region(bool host) : pages_(region_bytes() / page_bytes), host_(host) {
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *base = mmap(nullptr, bytes(), host ? PROT_READ | PROT_WRITE : PROT_NONE, flags, -1, 0);
    if (base == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<char *>(base);
    block_of_page_.resize(pages_);
    blocks_.push_back({nullptr, 0, true});
    sanitize::poison(base_, bytes());
}

size_t Region::free_bytes() const { return (pages_ - taken_) * page_bytes; }

size_t Region::find_pages(size_t pages) {
    if (used_ + pages <= pages_) {
        used_ += pages;
        return used_ - pages;
    }
    for (size_t i = 0; i < free_.size(); i++) {
        Free &free = free_[i];
        if (free.pages < pages) continue;
        size_t page = free.page;
        free.page += pages;
        free.pages -= pages;
        if (free.pages == 0) free_.erase(free_.begin() + long(i));
        return page;
    }
    return pages_;
}

void *Region::take(size_t bytes) {
    if (bytes == 0 || bytes > this->bytes()) return nullptr;
    size_t size = (bytes + alignment - 1) / alignment * alignment;
    size_t pages = (size + page_bytes - 1) / page_bytes;
    size_t page = find_pages(pages + 1);
    if (page == pages_) return nullptr;
    char *begin = base_ + page * page_bytes, *at = begin + pages * page_bytes - size;
    mprotect(begin, pages * page_bytes, PROT_READ | PROT_WRITE);
    sanitize::forget(begin, pages * page_bytes);
    sanitize::unpoison(at, bytes);
    std::memset(at, garbage, bytes);
    if (!host_) mprotect(begin, pages * page_bytes, PROT_NONE);
    for (size_t i = page; i <= page + pages; i++) block_of_page_[i] = uint32_t(blocks_.size());
    blocks_.push_back({at, bytes, false});
    taken_ += pages + 1;
    return at;
}

bool Region::give_back(void *at) {
    if (!holds(at)) return false;
    size_t page = size_t(static_cast<char *>(at) - base_) / page_bytes;
    Span &span = blocks_[block_of_page_[page]];
    if (span.begin != at || span.freed) return false;
    span.freed = true;
    sanitize::poison(at, span.bytes);
    size_t end = size_t(span.begin + span.bytes + alignment - 1 - base_) / alignment * alignment;
    size_t pages = (end + page_bytes - 1) / page_bytes + 1 - page;
    taken_ -= pages;
    Free freed{page, pages};
    for (size_t i = 0; i < free_.size();) {  // its neighbours become one with it
        const Free &other = free_[i];
        bool before = other.page + other.pages == page;
        if (!before && page + pages != other.page) {
            i++;
            continue;
        }
        if (before) freed.page = other.page;
        freed.pages += other.pages;
        free_.erase(free_.begin() + long(i));
    }
    free_.push_back(freed);
    madvise(base_ + page * page_bytes, pages * page_bytes, MADV_DONTNEED);
    if (host_) mprotect(base_ + page * page_bytes, pages * page_bytes, PROT_NONE);
    return true;
}

bool Region::holds(const void *at) const {
    return size_t(static_cast<const char *>(at) - base_) < bytes();
}

bool Region::find(const void *at, Span *span) const {
    if (!holds(at)) return false;
    *span = blocks_[block_of_page_[size_t(static_cast<const char *>(at) - base_) / page_bytes]];
    return span->begin != nullptr;
}

bool Region::covers(const void *at, size_t bytes) const {
    Span span;
    if (!find(at, &span) || span.freed || at < span.begin) return false;
    return size_t(static_cast<const char *>(at) - span.begin) + bytes <= span.bytes;
}

void Region::open(bool access) {
    mprotect(base_, used_ * page_bytes, access ? PROT_READ | PROT_WRITE : PROT_NONE);
}

Region &device_memory() {
    static Region region(false);
    [[maybe_unused]] static bool handled = (handle_faults(), true);
    return region;
}
Region &pinned_memory() {
    static Region region(true);
    return region;
}

void register_host(const void *at, size_t bytes) {
    registered()[static_cast<const char *>(at)] = bytes;
}
bool unregister_host(const void *at) {
    return registered().erase(static_cast<const char *>(at)) == 1;
}
bool is_pinned(const void *at, size_t bytes) {
    if (pinned_memory().covers(at, bytes)) return true;
    auto *address = static_cast<const char *>(at);
    auto after = registered().upper_bound(address);
    if (after == registered().begin()) return false;
    auto &[begin, size] = *std::prev(after);
    return size_t(address - begin) + bytes <= size;
}

void *global_place(uint64_t address, size_t bytes, Site site) {
    may_give_way();
    if (address % bytes != 0) fail(site, "%zu bytes at %#lx are not aligned", bytes, address);
    void *at = reinterpret_cast<void *>(address);
    if (device_memory().covers(at, bytes) || is_pinned(at, bytes)) return at;
    Region::Span span;
    if (device_memory().find(at, &span) || pinned_memory().find(at, &span)) {
        long offset = static_cast<char *>(at) - span.begin;
        fail(site, "a kernel reaches for %zu bytes at byte %ld of %s %zu bytes", bytes, offset,
             span.freed ? "freed" : "a block of", span.bytes);
    }
    fail(site, "a kernel reaches for %#lx, which is no memory of the device", address);
}

}  // namespace emulator

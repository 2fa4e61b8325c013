// heap.h - memory of the device and pinned memory of the host: two regions of address space, so
// that a kernel's access is checked against the blocks given out and the host has no access to the
// device's while its own code runs.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace emulator {

class Region {
  public:
    explicit Region(bool host);

    // A block filled with garbage, that ends a page before any other; null where there is no room.
    void *take(size_t bytes);
    // False if no block begins there. Its addresses are given out again as late as possible.
    bool give_back(void *at);
    bool holds(const void *at) const;  // in the region, given out or not
    // Whether the bytes are all of one block.
    bool covers(const void *at, size_t bytes) const;
    // Where the block that holds `at`, or held it last, begins and ends; false if there was none.
    struct Span {
        const char *begin;
        size_t bytes;
        bool freed;
    };
    bool find(const void *at, Span *span) const;
    size_t bytes() const { return pages_ * page_bytes; }
    size_t free_bytes() const;
    void open(bool access);  // whether anybody may read and write

    static constexpr size_t page_bytes = 4096;

  private:
    struct Free {
        size_t page, pages;
    };
    size_t find_pages(size_t pages);  // the first, or pages_ where there are none

    char *base_;
    size_t pages_, used_ = 0, taken_ = 0;  // pages; ever used; given out now
    bool host_;
    std::vector<uint32_t> block_of_page_;  // (pages) index of a block, 0 for none
    std::vector<Span> blocks_;
    std::vector<Free> free_;  // oldest first
};

Region &device_memory();
Region &pinned_memory();
// Memory that the caller made and registered as pinned.
void register_host(const void *at, size_t bytes);
bool unregister_host(const void *at);
bool is_pinned(const void *at, size_t bytes);

}  // namespace emulator

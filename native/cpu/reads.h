// reads.h - reads of a file that are under way together, by what the system has for it.
#pragma once
#include <cstdint>
#include <memory>

namespace specache {

struct Read {
    uint64_t from;   // bytes from the start of the file
    uint32_t bytes;
    uint32_t tag;    // the caller's name of it
    uint8_t *to;     // not touched by anyone else until the read is done
};

struct ReadDone {
    uint32_t tag;
    int64_t result;  // bytes, or -errno
};

// Of one file, for one thread. No more reads may be under way than it was opened for.
class Reads {
public:
    virtual ~Reads() = default;
    virtual void push(const Read &read) = 0;
    // Those pushed are under way from now on at the latest; stands until `least` are done, of which
    // it gives one.
    virtual ReadDone take(uint32_t least) = 0;
    virtual bool ready() = 0;  // whether one is done: take() gives it at once
};

std::unique_ptr<Reads> open_ring(int file, uint32_t reads);  // null: the kernel refuses (uring.cpp)
std::unique_ptr<Reads> open_readers(int file, uint32_t reads);  // a thread for each (readers.cpp)

}  // namespace specache

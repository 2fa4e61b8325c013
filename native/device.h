// device.h - what a device offers: memory, two streams with events, the kernel table.
// The schedule (step.cpp) and the store are written against this alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels.h"

namespace specache {

// A point in a stream's work. An event that was never signalled counts as arrived.
class Event {
public:
    virtual ~Event() = default;
};

// Work done in order. On the CPU the compute stream runs where it is called, on all compute threads,
// and the copy stream is the I/O thread.
class Stream {
public:
    virtual ~Stream() = default;
    virtual void signal(Event &event) = 0;  // arrives when all work before it is done
    virtual void wait(Event &event) = 0;    // later work of this stream starts after it
};

class Device {
public:
    virtual ~Device() = default;
    virtual const char *name() const = 0;
    virtual uint32_t threads() const = 0;
    virtual const Kernels &kernels() const = 0;
    virtual Stream &compute() = 0;
    virtual Stream &copy() = 0;
    virtual std::unique_ptr<Event> event() = 0;
    // Near memory, zeroed, 64-byte aligned; throws Failure(memory) naming the bytes.
    virtual void *reserve(size_t bytes) = 0;
    virtual void release(void *memory, size_t bytes) = 0;
};

}  // namespace specache

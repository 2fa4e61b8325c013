// one_loop.h - what a CPU does of a layer at once where the text is short.
#pragma once
#include "scratch.h"

namespace specache {

// Scan (if it has logits), Choose, Resolve and Attend of the same run of KV heads, in their bits;
// without slots, far memory read in place.
struct OneLoop {
    Scan scan;
    Choose choose;
    Resolve resolve;
    Attend attend;
};

// Up to here codes are one piece of work a KV head.
constexpr uint32_t one_loop_pages = block_pages;

}  // namespace specache

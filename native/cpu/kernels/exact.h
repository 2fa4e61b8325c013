// exact.h - where the exact rows of an input are: sinks, window and earlier inputs, itself.
#pragma once
#include "../../scratch.h"
#include "../kernels.h"
#include "../simd.h"

namespace specache::SPECACHE_ISA {

// Rows of one KV head that an input at `position` sees whatever it chose, ascending; returns how
// many.
static inline uint32_t near_rows(const Shape &shape, const NearRows &near, uint32_t head,
                                 uint32_t position, const uint8_t **rows) {
    uint64_t row = row_bytes(shape);
    uint32_t first = coded_pages(position) * page_tokens, count = 0;
    if (first > 0) {
        for (uint32_t i = 0; i < sink_tokens; i++) {
            rows[count++] = near.sinks + (uint64_t(head) * sink_tokens + i) * row;
        }
    }
    for (uint32_t token = first; token <= position; token++) {
        rows[count++] = near.window + (uint64_t(head) * window_rows + token % window_rows) * row;
    }
    return count;
}

}  // namespace specache::SPECACHE_ISA

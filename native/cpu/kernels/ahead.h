// ahead.h - asks for memory that is read later, a line at a time between the work of now.
//
// A core has few buffers for lines on their way (16 of today's), so eight requests in a row wait
// for one another, and so does what comes behind them; as many, spread over the work, cost nothing.
// They go to the second level, where more can be under way. docs/NOTES.md, "Attention on the CPU".
#pragma once
#include <cstdint>

#include "../simd.h"

namespace specache::SPECACHE_ISA {

constexpr uint32_t line_bytes = 64;

// Asks for `pieces` of `bytes` each, one behind the other; piece i lies at place(i).
template <class Place>
class Ahead {
public:
    Ahead(uint32_t pieces, uint64_t bytes, Place place)
        : place_(place), bytes_(bytes), pieces_(pieces) {
        next_piece();
    }
    // For the next `lines` lines; nothing once all were asked for.
    void ask(uint32_t lines) {
        for (uint32_t i = 0; i < lines && at_ < end_; i++) {
            __builtin_prefetch(at_, 0, 2);
            at_ += line_bytes;
            if (at_ >= end_) next_piece();
        }
    }

private:
    void next_piece() {
        if (piece_ >= pieces_) return;
        at_ = place_(piece_++);
        end_ = at_ + bytes_;
    }
    Place place_;
    uint64_t bytes_;
    uint32_t pieces_, piece_ = 0;
    const uint8_t *at_ = nullptr, *end_ = nullptr;
};

}  // namespace specache::SPECACHE_ISA

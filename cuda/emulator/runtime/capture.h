// capture.h - work of captured streams, recorded to be launched as a graph.
#pragma once
#include "streams.h"

namespace emulator {

// What a captured stream was told. Signals are indices, since each launch has its own.
struct Recorded {
    static constexpr unsigned none = ~0u;
    unsigned stream;
    Work work;
    unsigned await = none, reach = none;
};
struct Recording {
    std::vector<Recorded> all;
    unsigned streams = 0, signals = 0;
};

// Of which stream how many records come before: what ends a capture must have seen all of them.
using Seen = std::vector<unsigned>;
struct Capture {
    Recording recording;
    std::vector<cudaStream_t> streams;  // the first is the origin
    std::vector<Seen> seen;             // by stream
    std::vector<Seen> signals;          // by signal
    std::vector<unsigned> counts;       // records, by stream
    bool spoiled = false;               // by a call that no capture may hold

    unsigned join(cudaStream_t stream);
};

void record_work(cudaStream_t stream, Work work);
void record_signal(cudaStream_t stream, cudaEvent_t event);
cudaError_t record_wait(cudaStream_t stream, cudaEvent_t event);
// Whether a capture is under way; then it is spoiled, as by every call that waits or allocates.
bool spoil_captures();

}  // namespace emulator

// streams.h - work on streams is kept until somebody asks for its result, then done in an order
// that the streams and events allow and EMULATOR_SCHEDULE chooses:
//   eager   everything at once, as early as it may
//   lazy    only what is waited for, as late as it may
//   random  some of it at any call, drawn by EMULATOR_SEED (the default)
// All is done by the thread that calls, so that a failure comes again with its seed. A stream of
// this runtime waits for no other one unless told to; that goes for the default stream too.
#pragma once
#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "../device/device.h"

namespace emulator {

// One record of an event, or a point of a graph.
struct Signal {
    cudaStream_t stream;  // that reaches it
    bool reached = false;
    float milliseconds = 0;  // of the emulated clock, when reached
    char order = 0;          // stands for what came before it
};

using Work = std::function<void(CUstream_st &)>;  // given the stream that it runs on
struct Step {
    Work work;                      // may be none
    std::shared_ptr<Signal> await;  // to be reached before
    std::shared_ptr<Signal> reach;  // reached by it
};

struct Capture;

using Guard = std::lock_guard<std::recursive_mutex>;
std::recursive_mutex &runtime_mutex();

// Null if the handle is of no stream.
cudaStream_t resolve(cudaStream_t stream);
cudaStream_t make_stream();
void end_stream(cudaStream_t stream);

void push(cudaStream_t stream, Step step);  // and lets the schedule go on
void push_work(cudaStream_t stream, Work work);  // or records it, while the stream is captured
void finish(cudaStream_t stream);
void finish(const std::shared_ptr<Signal> &signal);
void finish_all();
void poll();  // one step at least, so that a host that polls comes to an end

// Remembers an error for cudaGetLastError, and gives it.
cudaError_t answer(cudaError_t error);

}  // namespace emulator

struct CUstream_st {
    std::deque<std::unique_ptr<emulator::Step>> steps;
    emulator::Device device;
    emulator::sanitize::Actor actor = nullptr;
    char order = 0;  // stands for all that it did
    emulator::Capture *capture = nullptr;
    unsigned captured_as = 0;  // index among the capture's streams
};

struct CUevent_st {
    std::shared_ptr<emulator::Signal> latest;  // null before the first record
    emulator::Capture *capture = nullptr;      // that the latest record is part of
    unsigned captured_as = 0;                  // index among the capture's signals
    bool timed = true;
};

// stream.h - a CUDA stream and its events behind device.h, and what every launch shares.
#pragma once
#include <cuda_runtime.h>

#include "../native/device.h"
#include "../native/failure.h"

namespace specache::cuda {

// Throws Failure (device) with the runtime's own code and name; the runtime's memory of it is
// cleared, so that the next call does not answer for this one.
inline void check(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return;
    cudaGetLastError();
    fail(error == cudaErrorMemoryAllocation ? SPECACHE_MEMORY : SPECACHE_DEVICE,
         "%s: CUDA error %d, %s: %s", what, int(error), cudaGetErrorName(error),
         cudaGetErrorString(error));
}
// After a launch: a configuration that the device refuses is told at once.
inline void launched(const char *kernel) { check(cudaGetLastError(), kernel); }

// Which recording a device is at: 0 none, else its number.
using RecordingNumber = uint64_t;

// An event outside of recordings is another than within: the runtime lets neither side wait for
// the other's.
class CudaEvent final : public Event {
public:
    CudaEvent() {
        check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event");
        check(cudaEventCreateWithFlags(&recorded, cudaEventDisableTiming), "an event");
    }
    ~CudaEvent() override {
        cudaEventDestroy(event);
        cudaEventDestroy(recorded);
    }
    CudaEvent(const CudaEvent &) = delete;
    cudaEvent_t event = nullptr, recorded = nullptr;
    RecordingNumber recorded_in = 0;  // the last one that signalled it
};

class Cublas;  // cublas.h

// Nothing here waits on the host: a wait is the device's.
class CudaStream final : public Stream {
public:
    // now: of the device's recording at work; null: it makes none. urgent: blocks of its kernels
    // are placed before those of others that wait.
    explicit CudaStream(const RecordingNumber *now = nullptr, bool urgent = false) : now_(now) {
        int least = 0, greatest = 0;
        check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "a stream");
        check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking,
                                           urgent ? greatest : least), "a stream");
    }
    ~CudaStream() override { cudaStreamDestroy(stream); }
    CudaStream(const CudaStream &) = delete;
    void signal(Event &event) override {
        CudaEvent &of = static_cast<CudaEvent &>(event);
        if (recording() != 0) of.recorded_in = recording();
        check(cudaEventRecord(recording() != 0 ? of.recorded : of.event, stream),
              "cudaEventRecord");
    }
    // In a recording an event of before is over: all at work is waited for at its launch.
    uint64_t wait(Event &event) override {
        CudaEvent &of = static_cast<CudaEvent &>(event);
        if (recording() != 0 && of.recorded_in != recording()) return 0;
        check(cudaStreamWaitEvent(stream, recording() != 0 ? of.recorded : of.event, 0),
              "cudaStreamWaitEvent");
        return 0;
    }
    void finish() { check(cudaStreamSynchronize(stream), "cudaStreamSynchronize"); }
    cudaStream_t stream;
    Cublas *cublas = nullptr;  // of a fast prefill

private:
    RecordingNumber recording() const { return now_ == nullptr ? 0 : *now_; }
    const RecordingNumber *now_;
};

inline cudaStream_t queue(Stream &stream) { return static_cast<CudaStream &>(stream).stream; }

constexpr uint32_t lanes = 32;          // of a warp
constexpr uint32_t block_threads = 128;  // unless a kernel says otherwise
inline uint32_t blocks_of(uint64_t items, uint32_t each) {
    return uint32_t((items + each - 1) / each);
}

}  // namespace specache::cuda

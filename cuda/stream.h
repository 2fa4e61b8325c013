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

class CudaEvent final : public Event {
public:
    CudaEvent() { check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event"); }
    ~CudaEvent() override { cudaEventDestroy(event); }
    CudaEvent(const CudaEvent &) = delete;
    cudaEvent_t event;
};

// Nothing here waits on the host: a wait is the device's.
class CudaStream final : public Stream {
public:
    explicit CudaStream(int priority = 0) {
        check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, priority), "a stream");
    }
    ~CudaStream() override { cudaStreamDestroy(stream); }
    CudaStream(const CudaStream &) = delete;
    void signal(Event &event) override {
        check(cudaEventRecord(static_cast<CudaEvent &>(event).event, stream), "cudaEventRecord");
    }
    uint64_t wait(Event &event) override {
        check(cudaStreamWaitEvent(stream, static_cast<CudaEvent &>(event).event, 0),
              "cudaStreamWaitEvent");
        return 0;
    }
    void finish() { check(cudaStreamSynchronize(stream), "cudaStreamSynchronize"); }
    cudaStream_t stream;
};

inline cudaStream_t queue(Stream &stream) { return static_cast<CudaStream &>(stream).stream; }

constexpr uint32_t lanes = 32;          // of a warp
constexpr uint32_t block_threads = 128;  // unless a kernel says otherwise
inline uint32_t blocks_of(uint64_t items, uint32_t each) {
    return uint32_t((items + each - 1) / each);
}

}  // namespace specache::cuda

// device.h - the little of the host's side that the emulator's tests share.
#pragma once
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

// A failed call ends the program: what it says is what the tests of faults look for.
#define CALL(expression) device_call(expression, __FILE__, __LINE__)
inline void device_call(cudaError_t error, const char *file, int line) {
    if (error == cudaSuccess) return;
    std::printf("%s:%d: %s: %s\n", file, line, cudaGetErrorName(error), cudaGetErrorString(error));
    std::exit(2);
}

inline cudaStream_t new_stream() {
    cudaStream_t stream;
    CALL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}
// One for all tests that need no other: the threads of its blocks are made once.
inline cudaStream_t main_stream() {
    static cudaStream_t stream = new_stream();
    return stream;
}
inline cudaEvent_t new_event(unsigned flags = cudaEventDisableTiming) {
    cudaEvent_t event;
    CALL(cudaEventCreateWithFlags(&event, flags));
    return event;
}

template <class T> T *on_device(size_t count) {
    void *at;
    CALL(cudaMalloc(&at, count * sizeof(T)));
    return static_cast<T *>(at);
}
template <class T> T *pinned(size_t count) {
    void *at;
    CALL(cudaHostAlloc(&at, count * sizeof(T), cudaHostAllocMapped));
    return static_cast<T *>(at);
}
template <class T> T *upload(const std::vector<T> &values) {
    T *at = on_device<T>(values.size());
    CALL(cudaMemcpy(at, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
    return at;
}
template <class T> std::vector<T> download(const T *at, size_t count) {
    std::vector<T> values(count);
    CALL(cudaDeviceSynchronize());
    CALL(cudaMemcpy(values.data(), at, count * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
}

// memory_calls.cpp - the runtime's calls that allocate, copy and fill.
#include <cstring>

#include "../device/heap.h"
#include "capture.h"
#include "symbols.h"

using namespace emulator;

namespace {

cudaError_t take(Region &region, void **at, size_t bytes) {
    Guard guard(runtime_mutex());
    if (spoil_captures()) return answer(cudaErrorStreamCaptureUnsupported);
    *at = nullptr;
    if (bytes == 0) return cudaSuccess;
    *at = region.take(bytes);
    return answer(*at == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t give_back(Region &region, void *at) {
    if (at == nullptr) return cudaSuccess;
    Guard guard(runtime_mutex());
    if (spoil_captures()) return answer(cudaErrorStreamCaptureUnsupported);
    finish_all();
    return answer(region.give_back(at) ? cudaSuccess : cudaErrorInvalidValue);
}

bool fits(const void *at, size_t bytes, bool device) {
    if (device) return device_memory().covers(at, bytes) || is_pinned(at, bytes);
    if (device_memory().holds(at)) return false;
    return !pinned_memory().holds(at) || pinned_memory().covers(at, bytes);
}

// Whether the sides are what the kind says, and long enough as far as it can be told.
bool right(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind == cudaMemcpyDefault) {
        to_device = device_memory().holds(to);
        from_device = device_memory().holds(from);
    }
    return fits(to, bytes, to_device) && fits(from, bytes, from_device);
}

// The real runtime is done with pageable memory, or nearly so, when the call returns.
bool pageable(const void *at, size_t bytes) {
    return !device_memory().holds(at) && !is_pinned(at, bytes);
}

cudaError_t copy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                 cudaStream_t handle) {
    cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (bytes == 0) return cudaSuccess;
    if (!right(to, from, bytes, kind)) return cudaErrorInvalidValue;
    bool waits = pageable(to, bytes) || pageable(from, bytes);
    if (waits && stream->capture != nullptr) return cudaErrorStreamCaptureUnsupported;
    push_work(stream, [=](CUstream_st &) { std::memmove(to, from, bytes); });
    if (waits) finish(stream);
    return cudaSuccess;
}

}  // namespace

cudaError_t cudaMalloc(void **at, size_t bytes) { return take(device_memory(), at, bytes); }
cudaError_t cudaFree(void *at) { return give_back(device_memory(), at); }
cudaError_t cudaMallocHost(void **at, size_t bytes) { return take(pinned_memory(), at, bytes); }
cudaError_t cudaHostAlloc(void **at, size_t bytes, unsigned) {
    return take(pinned_memory(), at, bytes);
}
cudaError_t cudaFreeHost(void *at) { return give_back(pinned_memory(), at); }

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
    *free = device_memory().free_bytes();
    *total = device_memory().bytes();
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void *at, size_t bytes, unsigned) {
    Guard guard(runtime_mutex());
    if (at == nullptr || bytes == 0) return answer(cudaErrorInvalidValue);
    if (is_pinned(at, 1)) return answer(cudaErrorHostMemoryAlreadyRegistered);
    register_host(at, bytes);
    return cudaSuccess;
}
cudaError_t cudaHostUnregister(void *at) {
    Guard guard(runtime_mutex());
    finish_all();
    return answer(unregister_host(at) ? cudaSuccess : cudaErrorHostMemoryNotRegistered);
}
cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned) {
    Guard guard(runtime_mutex());
    if (!is_pinned(host, 1)) return answer(cudaErrorInvalidValue);
    *device = host;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *at) {
    Guard guard(runtime_mutex());
    bool device = device_memory().covers(at, 1), host = is_pinned(at, 1);
    void *pointer = const_cast<void *>(at);
    *attributes = {};
    attributes->type = device ? cudaMemoryTypeDevice
                       : host ? cudaMemoryTypeHost
                              : cudaMemoryTypeUnregistered;
    attributes->devicePointer = device || host ? pointer : nullptr;
    attributes->hostPointer = device ? nullptr : pointer;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    Guard guard(runtime_mutex());
    return answer(copy(to, from, bytes, kind, stream));
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    Guard guard(runtime_mutex());
    if (spoil_captures()) return answer(cudaErrorStreamCaptureImplicit);
    cudaError_t error = copy(to, from, bytes, kind, nullptr);
    finish(resolve(nullptr));
    return answer(error);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
    Guard guard(runtime_mutex());
    if (width > to_pitch || width > from_pitch) return answer(cudaErrorInvalidPitchValue);
    for (size_t row = 0; row < height; row++) {
        cudaError_t error = copy(static_cast<char *>(to) + row * to_pitch,
                                 static_cast<const char *>(from) + row * from_pitch, width, kind,
                                 stream);
        if (error != cudaSuccess) return answer(error);
    }
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *at, int value, size_t bytes, cudaStream_t handle) {
    Guard guard(runtime_mutex());
    cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return answer(cudaErrorInvalidResourceHandle);
    if (bytes == 0) return cudaSuccess;
    if (!fits(at, bytes, true)) return answer(cudaErrorInvalidValue);
    push_work(stream, [=](CUstream_st &) { std::memset(at, value, bytes); });
    return cudaSuccess;
}
cudaError_t cudaMemset(void *at, int value, size_t bytes) {
    return cudaMemsetAsync(at, value, bytes, nullptr);
}

cudaError_t cudaGetSymbolAddress(void **at, const void *symbol) {
    Guard guard(runtime_mutex());
    Variable *variable = variable_of(symbol);
    if (variable == nullptr) return answer(cudaErrorInvalidSymbol);
    *at = reinterpret_cast<void *>(variable->address());
    return cudaSuccess;
}
cudaError_t cudaMemcpyToSymbolAsync(const void *symbol, const void *from, size_t bytes,
                                    size_t offset, cudaMemcpyKind, cudaStream_t stream) {
    void *at = nullptr;
    cudaError_t error = cudaGetSymbolAddress(&at, symbol);
    if (error != cudaSuccess) return error;
    return cudaMemcpyAsync(static_cast<char *>(at) + offset, from, bytes, cudaMemcpyDefault,
                           stream);
}
cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *from, size_t bytes, size_t offset,
                               cudaMemcpyKind kind) {
    cudaError_t error = cudaMemcpyToSymbolAsync(symbol, from, bytes, offset, kind, nullptr);
    if (error == cudaSuccess) cudaStreamSynchronize(nullptr);
    return error;
}
cudaError_t cudaMemcpyFromSymbol(void *to, const void *symbol, size_t bytes, size_t offset,
                                 cudaMemcpyKind) {
    void *at = nullptr;
    cudaError_t error = cudaGetSymbolAddress(&at, symbol);
    if (error != cudaSuccess) return error;
    return cudaMemcpy(to, static_cast<char *>(at) + offset, bytes, cudaMemcpyDefault);
}

// device_calls.cpp - what the emulated device says it is, and names of errors.
#include <cstring>

#include "../device/heap.h"
#include "streams.h"

using namespace emulator;

namespace {

constexpr int major = 8, minor = 0, multiprocessors = 4, runtime_version = 13000;

struct Named {
    cudaError_t error;
    const char *name, *text;
};
#define EMULATOR_ERROR(name, text) {name, #name, text}
constexpr Named errors[] = {
    EMULATOR_ERROR(cudaSuccess, "no error"),
    EMULATOR_ERROR(cudaErrorInvalidValue, "invalid argument"),
    EMULATOR_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    EMULATOR_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    EMULATOR_ERROR(cudaErrorInvalidPitchValue, "invalid pitch argument"),
    EMULATOR_ERROR(cudaErrorInvalidSymbol, "invalid device symbol"),
    EMULATOR_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    EMULATOR_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    EMULATOR_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    EMULATOR_ERROR(cudaErrorNotReady, "device not ready"),
    EMULATOR_ERROR(cudaErrorNotSupported, "operation not supported"),
    EMULATOR_ERROR(cudaErrorIllegalState, "the operation cannot be performed in this state"),
    EMULATOR_ERROR(cudaErrorHostMemoryAlreadyRegistered, "host memory is already registered"),
    EMULATOR_ERROR(cudaErrorHostMemoryNotRegistered, "host memory is not registered"),
    EMULATOR_ERROR(cudaErrorStreamCaptureUnsupported, "not permitted while a stream is captured"),
    EMULATOR_ERROR(cudaErrorStreamCaptureInvalidated, "the capture was invalidated"),
    EMULATOR_ERROR(cudaErrorStreamCaptureMerge, "two captures would be merged"),
    EMULATOR_ERROR(cudaErrorStreamCaptureUnmatched, "the capture began in another stream"),
    EMULATOR_ERROR(cudaErrorStreamCaptureUnjoined, "captured work was not joined to the origin"),
    EMULATOR_ERROR(cudaErrorStreamCaptureIsolation, "a dependency goes out of the capture"),
    EMULATOR_ERROR(cudaErrorStreamCaptureImplicit, "the default stream would be captured"),
    EMULATOR_ERROR(cudaErrorCapturedEvent, "the event was last recorded in a capture"),
};
#undef EMULATOR_ERROR

const Named *find(cudaError_t error) {
    for (const Named &each : errors) {
        if (each.error == error) return &each;
    }
    return nullptr;
}

}  // namespace

const char *cudaGetErrorName(cudaError_t error) {
    const Named *named = find(error);
    return named == nullptr ? "unrecognized error code" : named->name;
}
const char *cudaGetErrorString(cudaError_t error) {
    const Named *named = find(error);
    return named == nullptr ? "unrecognized error code" : named->text;
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    return answer(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaDriverGetVersion(int *version) {
    *version = runtime_version;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = runtime_version;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device) {
    if (device != 0) return answer(cudaErrorInvalidDevice);
    *properties = {};
    std::strcpy(properties->name, "emulated device");
    properties->major = major, properties->minor = minor;
    properties->totalGlobalMem = device_memory().bytes();
    properties->multiProcessorCount = multiprocessors;
    properties->warpSize = int(warp_lanes);
    properties->maxThreadsPerBlock = int(threads_max);
    properties->sharedMemPerBlock = shared_bytes_default;
    properties->sharedMemPerBlockOptin = shared_bytes_max;
    properties->sharedMemPerMultiprocessor = shared_bytes_max + 1024;
    properties->canMapHostMemory = 1;
    properties->unifiedAddressing = 1;
    properties->asyncEngineCount = 2;
    properties->concurrentKernels = 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device) {
    cudaDeviceProp properties;
    cudaError_t error = cudaGetDeviceProperties(&properties, device);
    if (error != cudaSuccess) return error;
    switch (attribute) {
        case cudaDevAttrMaxThreadsPerBlock: *value = properties.maxThreadsPerBlock; break;
        case cudaDevAttrMaxSharedMemoryPerBlock: *value = shared_bytes_default; break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = shared_bytes_max; break;
        case cudaDevAttrMultiProcessorCount: *value = multiprocessors; break;
        case cudaDevAttrComputeCapabilityMajor: *value = major; break;
        case cudaDevAttrComputeCapabilityMinor: *value = minor; break;
        case cudaDevAttrWarpSize: *value = warp_lanes; break;
        case cudaDevAttrCanMapHostMemory: *value = 1; break;
        case cudaDevAttrCanUseHostPointerForRegisteredMem: *value = 1; break;
        case cudaDevAttrUnifiedAddressing: *value = 1; break;
        case cudaDevAttrAsyncEngineCount: *value = properties.asyncEngineCount; break;
        case cudaDevAttrL2CacheSize: *value = 4 << 20; break;
        default: return answer(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

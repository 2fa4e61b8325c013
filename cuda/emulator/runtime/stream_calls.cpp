// stream_calls.cpp - the runtime's calls about streams and events.
#include <algorithm>

#include "capture.h"

using namespace emulator;

namespace {

std::vector<cudaEvent_t> &events() {
    static std::vector<cudaEvent_t> all;
    return all;
}
bool known(cudaEvent_t event) {
    return std::find(events().begin(), events().end(), event) != events().end();
}

}  // namespace

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) {
    Guard guard(runtime_mutex());
    *stream = make_stream();
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *stream) { return cudaStreamCreateWithFlags(stream, 0); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int) {
    return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    *least = 0, *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    Guard guard(runtime_mutex());
    cudaStream_t stream = handle == nullptr ? nullptr : resolve(handle);
    if (stream == nullptr) return answer(cudaErrorInvalidResourceHandle);
    end_stream(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    Guard guard(runtime_mutex());
    cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return answer(cudaErrorInvalidResourceHandle);
    if (stream->capture != nullptr && spoil_captures()) {
        return answer(cudaErrorStreamCaptureUnsupported);
    }
    finish(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
    Guard guard(runtime_mutex());
    cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return answer(cudaErrorInvalidResourceHandle);
    poll();
    if (!stream->steps.empty()) return cudaErrorNotReady;
    sanitize::acquire(&stream->order);
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    Guard guard(runtime_mutex());
    if (spoil_captures()) return answer(cudaErrorStreamCaptureUnsupported);
    finish_all();
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t call, void *argument) {
    Guard guard(runtime_mutex());
    cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return answer(cudaErrorInvalidResourceHandle);
    push_work(stream, [=](CUstream_st &) { call(argument); });
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    Guard guard(runtime_mutex());
    *event = new CUevent_st;
    (*event)->timed = !(flags & cudaEventDisableTiming);
    events().push_back(*event);
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    Guard guard(runtime_mutex());
    if (!known(event)) return answer(cudaErrorInvalidResourceHandle);
    std::erase(events(), event);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
    Guard guard(runtime_mutex());
    cudaStream_t stream = resolve(handle);
    if (stream == nullptr || !known(event)) return answer(cudaErrorInvalidResourceHandle);
    if (stream->capture != nullptr) {
        record_signal(stream, event);
        return cudaSuccess;
    }
    event->capture = nullptr;
    event->latest = std::make_shared<Signal>(Signal{stream});
    push(stream, {nullptr, nullptr, event->latest});
    return cudaSuccess;
}

// Of an event that was never recorded nothing is waited for, as with the real one.
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
    Guard guard(runtime_mutex());
    cudaStream_t stream = resolve(handle);
    if (stream == nullptr || !known(event)) return answer(cudaErrorInvalidResourceHandle);
    if (stream->capture != nullptr || event->capture != nullptr) {
        return answer(record_wait(stream, event));
    }
    if (event->latest != nullptr) push(stream, {nullptr, event->latest, nullptr});
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    Guard guard(runtime_mutex());
    if (!known(event)) return answer(cudaErrorInvalidResourceHandle);
    if (event->capture != nullptr) return answer(cudaErrorCapturedEvent);
    poll();
    if (event->latest == nullptr) return cudaSuccess;
    if (!event->latest->reached) return cudaErrorNotReady;
    sanitize::acquire(&event->latest->order);
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    Guard guard(runtime_mutex());
    if (!known(event)) return answer(cudaErrorInvalidResourceHandle);
    if (event->capture != nullptr) return answer(cudaErrorCapturedEvent);
    if (event->latest != nullptr) finish(event->latest);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    Guard guard(runtime_mutex());
    for (cudaEvent_t event : {begin, end}) {
        if (!known(event) || !event->timed || event->latest == nullptr) {
            return answer(cudaErrorInvalidResourceHandle);
        }
        if (!event->latest->reached) return cudaErrorNotReady;
    }
    *milliseconds = end->latest->milliseconds - begin->latest->milliseconds;
    return cudaSuccess;
}

// graphs.cpp - stream capture and graphs. A graph is launched as work of streams of its own, one
// for each captured stream, that begins after what came before in the launching stream; so the
// parts of a graph run in any order that its events allow.
#include <algorithm>
#include <memory>

#include "capture.h"

using namespace emulator;

struct CUgraph_st {
    std::shared_ptr<const Recording> recording;
};
struct CUgraphExec_st {
    std::shared_ptr<const Recording> recording;
    std::vector<cudaStream_t> lanes;  // (recording->streams)
};

namespace emulator {
namespace {

std::vector<Capture *> &captures() {  // under way
    static std::vector<Capture *> all;
    return all;
}

void merge(Seen &into, const Seen &from) {
    into.resize(std::max(into.size(), from.size()));
    for (size_t i = 0; i < from.size(); i++) into[i] = std::max(into[i], from[i]);
}

void record(cudaStream_t stream, Recorded recorded) {
    Capture &capture = *stream->capture;
    recorded.stream = stream->captured_as;
    unsigned count = ++capture.counts[stream->captured_as];
    Seen &seen = capture.seen[stream->captured_as];
    seen.resize(capture.streams.size());
    seen[stream->captured_as] = count;
    capture.recording.all.push_back(std::move(recorded));
}

void end_capture(Capture *capture) {
    for (cudaStream_t stream : capture->streams) stream->capture = nullptr;
    std::erase(captures(), capture);
    delete capture;
}

// Records that do work must have come before the origin's end.
bool joined(const Capture &capture) {
    Seen seen = capture.seen[0];
    seen.resize(capture.streams.size());
    return seen == capture.counts;
}

}  // namespace

unsigned Capture::join(cudaStream_t stream) {
    stream->capture = this;
    stream->captured_as = unsigned(streams.size());
    streams.push_back(stream);
    seen.emplace_back();
    counts.push_back(0);
    return stream->captured_as;
}

void record_work(cudaStream_t stream, Work work) {
    Recorded recorded{};
    recorded.work = std::move(work);
    record(stream, std::move(recorded));
}

void record_signal(cudaStream_t stream, cudaEvent_t event) {
    Capture &capture = *stream->capture;
    event->capture = &capture;
    event->captured_as = unsigned(capture.signals.size());
    Recorded recorded{};
    recorded.reach = event->captured_as;
    record(stream, std::move(recorded));
    capture.signals.push_back(capture.seen[stream->captured_as]);
}

cudaError_t record_wait(cudaStream_t stream, cudaEvent_t event) {
    bool open = std::find(captures().begin(), captures().end(), event->capture) != captures().end();
    if (!open) return cudaErrorStreamCaptureIsolation;
    if (stream->capture == nullptr) event->capture->join(stream);
    if (stream->capture != event->capture) return cudaErrorStreamCaptureMerge;
    Recorded recorded{};
    recorded.await = event->captured_as;
    record(stream, std::move(recorded));
    merge(stream->capture->seen[stream->captured_as], stream->capture->signals[event->captured_as]);
    return cudaSuccess;
}

bool spoil_captures() {
    for (Capture *capture : captures()) capture->spoiled = true;
    return !captures().empty();
}

}  // namespace emulator

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode) {
    Guard guard(runtime_mutex());
    cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return answer(cudaErrorInvalidResourceHandle);
    if (stream->capture != nullptr) return answer(cudaErrorIllegalState);
    if (handle == nullptr) return answer(cudaErrorStreamCaptureImplicit);
    auto *capture = new Capture;
    capture->join(stream);
    captures().push_back(capture);
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus *status) {
    Guard guard(runtime_mutex());
    cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return answer(cudaErrorInvalidResourceHandle);
    *status = stream->capture == nullptr   ? cudaStreamCaptureStatusNone
              : stream->capture->spoiled ? cudaStreamCaptureStatusInvalidated
                                         : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph) {
    Guard guard(runtime_mutex());
    cudaStream_t stream = resolve(handle);
    if (stream == nullptr || stream->capture == nullptr) return answer(cudaErrorIllegalState);
    Capture *capture = stream->capture;
    if (capture->streams[0] != stream) return answer(cudaErrorStreamCaptureUnmatched);
    cudaError_t error = capture->spoiled    ? cudaErrorStreamCaptureInvalidated
                        : !joined(*capture) ? cudaErrorStreamCaptureUnjoined
                                            : cudaSuccess;
    *graph = nullptr;
    if (error == cudaSuccess) {
        capture->recording.streams = unsigned(capture->streams.size());
        capture->recording.signals = unsigned(capture->signals.size());
        *graph = new CUgraph_st{std::make_shared<Recording>(std::move(capture->recording))};
    }
    end_capture(capture);
    return answer(error);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
    if (graph == nullptr || nodes != nullptr) return answer(cudaErrorInvalidValue);
    auto &all = graph->recording->all;
    *count = size_t(std::count_if(all.begin(), all.end(),
                                  [](auto &each) { return each.work != nullptr; }));
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long) {
    Guard guard(runtime_mutex());
    if (graph == nullptr) return answer(cudaErrorInvalidValue);
    *exec = new CUgraphExec_st{graph->recording, {}};
    for (unsigned i = 0; i < graph->recording->streams; i++) {
        (*exec)->lanes.push_back(make_stream());
    }
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
    Guard guard(runtime_mutex());
    cudaStream_t stream = resolve(handle);
    if (stream == nullptr || exec == nullptr) return answer(cudaErrorInvalidResourceHandle);
    if (stream->capture != nullptr) return answer(cudaErrorNotSupported);
    auto begin = std::make_shared<Signal>(Signal{stream});
    push(stream, {nullptr, nullptr, begin});
    for (cudaStream_t lane : exec->lanes) push(lane, {nullptr, begin, nullptr});
    std::vector<std::shared_ptr<Signal>> signals(exec->recording->signals);
    for (const Recorded &each : exec->recording->all) {
        cudaStream_t lane = exec->lanes[each.stream];
        Step step{each.work, nullptr, nullptr};
        if (each.await != Recorded::none) step.await = signals[each.await];
        if (each.reach != Recorded::none) {
            step.reach = signals[each.reach] = std::make_shared<Signal>(Signal{lane});
        }
        push(lane, std::move(step));
    }
    for (cudaStream_t lane : exec->lanes) {
        auto end = std::make_shared<Signal>(Signal{lane});
        push(lane, {nullptr, nullptr, end});
        push(stream, {nullptr, end, nullptr});
    }
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    Guard guard(runtime_mutex());
    if (exec == nullptr) return answer(cudaErrorInvalidValue);
    for (cudaStream_t lane : exec->lanes) end_stream(lane);
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    if (graph == nullptr) return answer(cudaErrorInvalidValue);
    delete graph;
    return cudaSuccess;
}

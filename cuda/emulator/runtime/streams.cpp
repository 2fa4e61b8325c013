// streams.cpp - the queues of streams.h and the order in which they are worked off.
#include "streams.h"

#include <cstdlib>
#include <utility>
#include <cstring>

#include "../device/heap.h"
#include "capture.h"

namespace emulator {
namespace {

constexpr float step_milliseconds = 0.001f;  // of the emulated clock; it tells order, not speed

std::vector<cudaStream_t> &streams() {
    static std::vector<cudaStream_t> all;
    return all;
}
float clock_milliseconds = 0;
thread_local cudaError_t last_error = cudaSuccess;

enum class Schedule { eager, lazy, random };
Schedule schedule() {
    static const Schedule chosen = [] {
        const char *asked = std::getenv("EMULATOR_SCHEDULE");
        if (asked == nullptr || std::strcmp(asked, "random") == 0) return Schedule::random;
        if (std::strcmp(asked, "lazy") == 0) return Schedule::lazy;
        if (std::strcmp(asked, "eager") == 0) return Schedule::eager;
        fail({"EMULATOR_SCHEDULE", 0}, "%s is not eager, lazy or random", asked);
    }();
    return chosen;
}

bool held_back(const Step &step) { return step.await != nullptr && !step.await->reached; }

// Carries out the stream's next step, if it has one that nothing holds back.
bool advance(cudaStream_t stream) {
    if (stream->steps.empty() || held_back(*stream->steps.front())) return false;
    std::unique_ptr<Step> step = std::move(stream->steps.front());
    stream->steps.pop_front();
    sanitize::Actor host = sanitize::this_actor();
    sanitize::become(stream->actor);
    sanitize::acquire(step.get());  // what the host did before it asked
    if (step->await != nullptr) sanitize::acquire(&step->await->order);
    if (step->work != nullptr) {
        device_memory().open(true);
        step->work(*stream);
        device_memory().open(false);
    }
    clock_milliseconds += step_milliseconds;
    if (step->reach != nullptr) {
        step->reach->reached = true;
        step->reach->milliseconds = clock_milliseconds;
        sanitize::release(&step->reach->order);
    }
    sanitize::release(&stream->order);
    step->work = nullptr;  // freed by whoever used it
    sanitize::become(host);
    return true;
}

void reach(const std::shared_ptr<Signal> &signal) {
    while (!signal->reached) {
        if (advance(signal->stream)) continue;
        if (signal->stream->steps.empty()) fail({"stream", 0}, "a signal is never reached");
        std::shared_ptr<Signal> before = signal->stream->steps.front()->await;
        reach(before);
    }
}

void progress() {
    if (schedule() == Schedule::lazy || streams().empty()) return;
    for (bool moved = true; moved;) {
        moved = false;
        if (schedule() == Schedule::eager) {
            for (cudaStream_t stream : streams()) moved = advance(stream) || moved;
        } else {
            if (random_below(3) == 0) return;
            moved = advance(streams()[random_below(streams().size())]) || random_below(2) == 0;
        }
    }
}

}  // namespace

std::recursive_mutex &runtime_mutex() {
    static std::recursive_mutex mutex;
    return mutex;
}

cudaError_t answer(cudaError_t error) {
    if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
    return error;
}

cudaStream_t resolve(cudaStream_t stream) {
    static cudaStream_t standard = nullptr;
    if (stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread) {
        if (standard == nullptr) standard = make_stream();
        return standard;
    }
    for (cudaStream_t each : streams()) {
        if (each == stream) return stream;
    }
    return nullptr;
}

cudaStream_t make_stream() {
    auto *stream = new CUstream_st;
    stream->actor = sanitize::new_actor("stream");
    streams().push_back(stream);
    return stream;
}

void end_stream(cudaStream_t stream) {
    finish(stream);
    std::erase(streams(), stream);
    sanitize::end_actor(stream->actor);
    delete stream;
}

void push(cudaStream_t stream, Step step) {
    auto kept = std::make_unique<Step>(std::move(step));
    sanitize::release(kept.get());
    stream->steps.push_back(std::move(kept));
    progress();
}

void push_work(cudaStream_t stream, Work work) {
    if (stream->capture != nullptr) record_work(stream, std::move(work));
    else push(stream, {std::move(work), nullptr, nullptr});
}

void finish(cudaStream_t stream) {
    while (!stream->steps.empty()) {
        if (!advance(stream)) reach(std::shared_ptr<Signal>(stream->steps.front()->await));
    }
    sanitize::acquire(&stream->order);
}

void finish(const std::shared_ptr<Signal> &signal) {
    reach(signal);
    sanitize::acquire(&signal->order);
}

void finish_all() {
    for (cudaStream_t stream : streams()) finish(stream);
}

void poll() {
    for (cudaStream_t stream : streams()) advance(stream);
    progress();
}

}  // namespace emulator

cudaError_t cudaGetLastError() {
    return std::exchange(emulator::last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() { return emulator::last_error; }

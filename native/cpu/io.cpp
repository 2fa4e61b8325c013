// io.cpp - the loop of the I/O thread. All queue state is under one mutex, which is let go while
// bytes move.
#include "io.h"

#include <chrono>
#include <cstring>

#include "../failure.h"

namespace specache {

// Tasks a queue can hold: a step puts at most three a layer that nobody waits for at once, and
// layers_max is 1,024.
constexpr size_t queue_tasks = 4096;

uint64_t now_ns() {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::steady_clock::now().time_since_epoch()).count());
}

Io::Io() {
    late_.tasks.resize(queue_tasks);
    copy_.tasks.resize(queue_tasks);
    thread_ = std::thread([this] { work(); });
}

Io::~Io() {
    {
        std::lock_guard lock(mutex_);
        stop_ = true;
        held_layer_ = UINT32_MAX;
    }
    changed_.notify_all();
    thread_.join();
}

void Io::push(bool late, const Task &task) {
    std::unique_lock lock(mutex_);
    Queue &queue = late ? late_ : copy_;
    // With nothing before it there is nothing to hand to the thread.
    if (task.kind == Task::Kind::wait && task.event->arrived) return;
    if (task.kind == Task::Kind::signal && queue.idle()) {
        task.event->arrived = true;
        lock.unlock();
        return changed_.notify_all();
    }
    changed_.wait(lock, [&] { return !queue.full(); });
    if (task.kind == Task::Kind::signal) task.event->arrived = false;
    queue.push(task);
    lock.unlock();
    changed_.notify_all();
}

void Io::arrive(CpuEvent &event) {
    {
        std::lock_guard lock(mutex_);
        event.arrived = true;
    }
    changed_.notify_all();
}

uint64_t Io::wait(CpuEvent &event) {
    std::unique_lock lock(mutex_);
    if (event.arrived) return 0;
    uint64_t begun = now_ns();
    changed_.wait(lock, [&] { return event.arrived; });
    return now_ns() - begun;
}

void Io::drain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return late_.count == 0 && copy_.count == 0 && !running_; });
}

// A failure stays: what a lost row or page has touched by then is not known, so nothing that
// depends on far memory may go on.
void Io::check() {
    std::lock_guard lock(mutex_);
    if (!failure_.empty()) throw Failure{SPECACHE_FILE, failure_};
}

bool Io::runs(Queue &queue) const {
    if (queue.count == 0) return false;
    Task &task = queue.front();
    if (task.kind == Task::Kind::wait) return task.event->arrived;
    bool held = &queue == &copy_ && task.kind == Task::Kind::fetch &&
                task.fetch.layer == held_layer_;
    return !held;
}

void Io::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [&] { return stop_ || runs(late_) || runs(copy_); });
        if (!runs(late_) && !runs(copy_)) return;  // stopped, and nothing left that can run
        bool late = runs(late_);
        Queue &queue = late ? late_ : copy_;
        Task task = queue.front();
        queue.pop();
        running_ = queue.busy = true;
        run(lock, late, task);
        running_ = queue.busy = false;
        changed_.notify_all();
    }
}

void Io::run(std::unique_lock<std::mutex> &lock, bool late, Task task) {
    if (task.kind == Task::Kind::signal) {
        task.event->arrived = true;
    } else if (task.kind == Task::Kind::fetch) {
        run_fetch(lock, late, task.fetch);
    } else if (task.kind == Task::Kind::write) {
        lock.unlock();
        file_->write(task.write);
        lock.lock();
        note_failure();
    }
}

// Late rows go ahead: while a prefetch is at work the late queue is looked at again and again.
void Io::run_late(std::unique_lock<std::mutex> &lock) {
    while (runs(late_)) {
        Task task = late_.front();
        late_.pop();
        late_.busy = true;
        run(lock, true, task);
        late_.busy = false;
        changed_.notify_all();
    }
}

void Io::serve_late(std::unique_lock<std::mutex> &lock) {
    lock.lock();
    run_late(lock);
    lock.unlock();
}

void Io::run_fetch(std::unique_lock<std::mutex> &lock, bool late, const Fetch &fetch) {
    uint32_t delay = 0;
    if (delay_us_ != 0) {
        random_ = random_ * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX constants
        delay = uint32_t(random_ >> 33) % delay_us_;
    }
    lock.unlock();
    trace(late ? Trace::late_begun : Trace::prefetch_begun, fetch.layer, fetch.step);
    uint64_t begun = now_ns();
    if (delay != 0) std::this_thread::sleep_for(std::chrono::microseconds(delay));
    if (fetch.far.memory != nullptr) copy_rows(lock, late, fetch);
    else read_rows(lock, late, fetch);
    uint64_t took = now_ns() - begun;
    trace(late ? Trace::late_done : Trace::prefetch_done, fetch.layer, fetch.step);
    lock.lock();
    note_failure();
    if (fetch.nanoseconds != nullptr) *fetch.nanoseconds += took;
}

// One by one, so that a late row waits for one row at most.
void Io::copy_rows(std::unique_lock<std::mutex> &lock, bool late, const Fetch &fetch) {
    for (uint32_t i = 0; i < *fetch.count; i++) {
        const Copy &copy = fetch.copies[i];
        std::memcpy(copy.to, fetch.far.memory + copy.from, fetch.row_bytes);
        if (!late) serve_late(lock);
    }
}

void Io::read_rows(std::unique_lock<std::mutex> &lock, bool late, const Fetch &fetch) {
    file_->begin(late, fetch);
    while (file_->step(late)) {
        if (!late) serve_late(lock);
    }
}

void Io::note_failure() {
    if (failure_.empty() && file_ != nullptr) failure_ = file_->failure;
}

void Io::delay(uint32_t seed, uint32_t microseconds) {
    std::lock_guard lock(mutex_);
    random_ = seed;
    delay_us_ = microseconds;
}

void Io::hold(uint32_t layer) {
    std::lock_guard lock(mutex_);
    held_layer_ = layer;
}

void Io::unhold() {
    {
        std::lock_guard lock(mutex_);
        held_layer_ = UINT32_MAX;
    }
    changed_.notify_all();
}

void Io::trace_start(uint32_t events_max) {
    std::lock_guard lock(trace_mutex_);
    events_.assign(size_t(events_max) * 4, 0);
    traced_ = 0;
}

void Io::trace(Trace what, uint32_t layer, uint32_t step) {
    std::lock_guard lock(trace_mutex_);
    if ((traced_ + 1) * 4 > events_.size()) return;
    uint64_t *event = &events_[traced_++ * 4];
    event[0] = uint64_t(what);
    event[1] = layer;
    event[2] = step;
    event[3] = now_ns();
}

uint32_t Io::trace_copy(uint64_t *events, uint32_t events_max) {
    std::lock_guard lock(trace_mutex_);
    uint32_t count = uint32_t(traced_ < events_max ? traced_ : events_max);
    std::memcpy(events, events_.data(), size_t(count) * 4 * sizeof(uint64_t));
    return count;
}

}  // namespace specache

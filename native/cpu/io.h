// io.h - the I/O thread of the CPU device: two queues, late ahead of copy, and the trace of both.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "far_file.h"
#include "threads.h"

namespace specache {

uint64_t now_ns();

class CpuEvent : public Event {
public:
    bool arrived = true;  // guarded by Io's mutex
};

// One entry of a queue.
struct Task {
    enum class Kind { fetch, write, signal, wait } kind;
    Fetch fetch;
    Write write;
    CpuEvent *event;
};

// A ring that never grows: queues hold at most a few tasks a layer.
struct Queue {
    std::vector<Task> tasks;
    size_t first = 0, count = 0;
    bool busy = false;  // a task that was taken out is running
    void push(const Task &task) { tasks[(first + count++) % tasks.size()] = task; }
    bool idle() const { return count == 0 && !busy; }
    bool full() const { return count == tasks.size(); }
    Task &front() { return tasks[first]; }
    void pop() { first = (first + 1) % tasks.size(); count--; }
};

class Io {
public:
    Io();
    ~Io();
    void take_file(std::unique_ptr<FarFile> file) { file_ = std::move(file); }  // before all tasks
    const FarFile *file() const { return file_.get(); }
    void push(bool late, const Task &task);
    void arrive(CpuEvent &event);
    uint64_t wait(CpuEvent &event);  // the caller stands until the event arrives
    void drain();
    void check();
    void delay(uint32_t seed, uint32_t microseconds);
    void hold(uint32_t layer);
    void unhold();
    void trace_start(uint32_t events_max);
    void trace(Trace what, uint32_t layer, uint32_t step);
    uint32_t trace_copy(uint64_t *events, uint32_t events_max);

private:
    void work();
    bool runs(Queue &queue) const;
    void run(std::unique_lock<std::mutex> &lock, bool late, Task task);
    void run_fetch(std::unique_lock<std::mutex> &lock, bool late, const Fetch &fetch);
    void run_late(std::unique_lock<std::mutex> &lock);
    void serve_late(std::unique_lock<std::mutex> &lock);
    void copy_rows(std::unique_lock<std::mutex> &lock, bool late, const Fetch &fetch);
    void read_rows(std::unique_lock<std::mutex> &lock, bool late, const Fetch &fetch);
    void note_failure();

    std::mutex mutex_;
    std::condition_variable changed_;
    Queue late_, copy_;
    bool stop_ = false, running_ = false;
    uint32_t held_layer_ = UINT32_MAX;
    uint32_t delay_us_ = 0;
    uint64_t random_ = 0;
    std::string failure_;       // the first; empty: none
    std::mutex trace_mutex_;
    std::vector<uint64_t> events_;  // [events_max][4]
    size_t traced_ = 0;
    std::unique_ptr<FarFile> file_;  // where far memory is one; the I/O thread's
    std::thread thread_;
};

}  // namespace specache

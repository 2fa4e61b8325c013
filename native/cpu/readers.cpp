// readers.cpp - reads by threads that each stand in a pread: where there is no io_uring.
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

#include "../failure.h"
#include "reads.h"

namespace specache {
namespace {

// A ring of at most as many as there are threads, so it never grows.
template <class T> struct Few {
    std::vector<T> items;
    size_t first = 0, count = 0;
    void push(const T &item) { items[(first + count++) % items.size()] = item; }
    T pop() {
        T item = items[first];
        first = (first + 1) % items.size();
        count--;
        return item;
    }
};

class Readers final : public Reads {
public:
    Readers(int file, uint32_t reads) : file_(file) {
        pushed_.items.resize(reads);
        done_.items.resize(reads);
        try {
            for (uint32_t i = 0; i < reads; i++) threads_.emplace_back([this] { work(); });
        } catch (const std::system_error &error) {
            size_t started = threads_.size();
            end();
            fail(SPECACHE_MEMORY, "the system refused reading thread %zu of %u: %s", started + 1,
                 reads, error.what());
        }
    }
    ~Readers() override { end(); }

    void push(const Read &read) override {
        {
            std::lock_guard lock(mutex_);
            pushed_.push(read);
        }
        for_readers_.notify_one();
    }
    ReadDone take(uint32_t) override {  // whoever waits for more would have threads stand idle
        std::unique_lock lock(mutex_);
        for_taker_.wait(lock, [&] { return done_.count != 0; });
        return done_.pop();
    }
    bool ready() override {
        std::lock_guard lock(mutex_);
        return done_.count != 0;
    }

private:
    void work() {
        std::unique_lock lock(mutex_);
        for (;;) {
            for_readers_.wait(lock, [&] { return stop_ || pushed_.count != 0; });
            if (pushed_.count == 0) return;
            Read read = pushed_.pop();
            lock.unlock();
            ssize_t got = pread(file_, read.to, read.bytes, off_t(read.from));
            ReadDone done{read.tag, got < 0 ? -int64_t(errno) : int64_t(got)};
            lock.lock();
            done_.push(done);
            for_taker_.notify_one();
        }
    }
    void end() {
        {
            std::lock_guard lock(mutex_);
            stop_ = true;
        }
        for_readers_.notify_all();
        for (std::thread &thread : threads_) thread.join();
    }

    int file_;
    std::mutex mutex_;
    std::condition_variable for_readers_, for_taker_;
    Few<Read> pushed_;
    Few<ReadDone> done_;
    bool stop_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<Reads> open_readers(int file, uint32_t reads) {
    return std::make_unique<Readers>(file, reads);
}

}  // namespace specache

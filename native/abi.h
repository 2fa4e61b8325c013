// abi.h - how a call of the C ABI goes: find the store -> one call at a time -> status and text.
// Nothing is thrown across, nothing printed.
#pragma once
#include <atomic>
#include <chrono>
#include <memory>
#include <new>
#include <string>

#include "failure.h"
#include "model/model.h"
#include "store/store.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace specache {

extern thread_local std::string last_error;
extern std::atomic<uint64_t> call_nanoseconds;  // of all calls on stores so far
std::shared_ptr<Store> find(uint64_t id);  // throws Failure (handle)
Model &model_of(Store &store);  // throws Failure (argument) where it has none

template <class Body>
int32_t guarded(Body body) {
    try {
        body();
        last_error.clear();
        return SPECACHE_OK;
    } catch (const Failure &failure) {
        last_error = failure.text;
        return failure.status;
    } catch (const std::bad_alloc &) {
        last_error = "the system refused memory";
        return SPECACHE_MEMORY;
    } catch (const std::exception &error) {
        last_error = error.what();
        return SPECACHE_DEVICE;
    }
}

// Adds the time until its end to call_nanoseconds.
struct CallTime {
    std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
    ~CallTime() {
        call_nanoseconds += uint64_t(
            std::chrono::nanoseconds(std::chrono::steady_clock::now() - began).count());
    }
};

// One call at a time on a store.
template <class Body>
int32_t on_store(uint64_t id, Body body) {
    CallTime time;
    return guarded([&] {
        std::shared_ptr<Store> store = find(id);
        std::unique_lock lock(store->running, std::try_to_lock);
        if (!lock.owns_lock()) fail(SPECACHE_BUSY, "another call is running on this store");
        body(*store);
    });
}

inline void not_null(const char *name, const void *pointer) {
    if (pointer == nullptr) fail(SPECACHE_ARGUMENT, "%s is null", name);
}

}  // namespace specache

// overlap_test.cpp - the two streams really overlap, and slots really save late rows.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "driver.h"
#include "test.h"

using driver::far_path;
using driver::Run;
using driver::small_config;

namespace {

// Enough for a step of three small layers, by far, under a sanitizer on a busy machine; only a step
// that hangs waits this long.
constexpr auto patience = std::chrono::seconds(30);
// How long a step that must hang is watched: it would take a few milliseconds.
constexpr auto watched = std::chrono::milliseconds(500);

specache_config file_config() {
    specache_config config = small_config();
    config.far = 1;
    config.slots = 40;
    return config;
}

// Holds the prefetch of layer 0 back and answers whether the step ended nevertheless.
bool step_ends_while_held(uint32_t variant, std::chrono::milliseconds within) {
    specache_config config = file_config();
    config.variant = variant;
    Run run(config, far_path().c_str());
    CHECK(run.prefill(0, 500) == SPECACHE_OK);
    CHECK(specache_hold(run.store, 0) == SPECACHE_OK);
    std::atomic<bool> ended{false};
    std::thread stepper([&] {
        run.step(500, 1, 32);
        ended = true;
    });
    auto deadline = std::chrono::steady_clock::now() + within;
    while (!ended && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    bool result = ended;
    specache_release(run.store);
    stepper.join();
    return result;
}

// Whether a later layer attended between begin and end of layer 0's prefetch, in one of four steps
// whose fetches are each delayed by up to so much.
bool overlaps(uint32_t delay_us) {
    Run run(file_config(), far_path().c_str());
    run.prefill(0, 500);
    specache_delay(run.store, 3, delay_us);
    specache_trace_start(run.store, 4096);
    run.decode(500, 4, 1, 32);
    std::vector<uint64_t> events(4096 * 4);
    uint32_t count = 0;
    CHECK(specache_trace(run.store, events.data(), 4096, &count) == SPECACHE_OK);
    auto time_of = [&](uint64_t what, uint64_t layer, uint64_t step) -> uint64_t {
        for (uint32_t i = 0; i < count; i++) {
            const uint64_t *event = &events[i * 4];
            if (event[0] == what && event[1] == layer && event[2] == step) return event[3];
        }
        return 0;
    };
    bool overlapped = false;
    for (uint64_t step = 1; step <= 4; step++) {
        uint64_t begun = time_of(2, 0, step), done = time_of(3, 0, step);
        uint64_t attended = time_of(0, 2, step);
        overlapped = overlapped || (begun != 0 && attended > begun && done > attended);
    }
    return overlapped;
}

}  // namespace

TEST("with layer 0's prefetch held back the later layers of the step complete") {
    CHECK(step_ends_while_held(0, patience));
}

TEST("a step that waits for each prefetch at once does not end while one is held") {
    CHECK(!step_ends_while_held(1, watched));
}

TEST("the trace shows later layers attending between a prefetch's begin and its end") {
    // Where layers take long, under a sanitizer on a busy machine, longer delays show the same.
    CHECK(overlaps(20000) || overlaps(100000) || overlaps(500000));
}

TEST("hidden, waited and late times come from the streams") {
    Run run(file_config(), far_path().c_str());
    run.prefill(0, 500);
    specache_delay(run.store, 1, 1000);
    run.decode(500, 12, 1, 32);
    std::vector<uint64_t> stats = run.stats();
    CHECK(stats[SPECACHE_STATS_HIDDEN_NS] + stats[SPECACHE_STATS_WAITED_NS] > 0);
    CHECK(stats[SPECACHE_STATS_LATE_NS] > 0);
    CHECK(stats[SPECACHE_STATS_PREFETCHED_ROWS] > 0);
    uint64_t row = 2 * 64 * 2;
    CHECK(stats[SPECACHE_STATS_FETCHED_BYTES] ==
          (stats[SPECACHE_STATS_PREFETCHED_ROWS] + stats[SPECACHE_STATS_LATE_ROWS]) * row);
}

TEST("with far in RAM late rows are read in place: nothing is fetched") {
    Run run(small_config());
    run.prefill(0, 500);
    run.decode(500, 5, 0, 32);
    std::vector<uint64_t> stats = run.stats();
    CHECK(stats[SPECACHE_STATS_LATE_ROWS] == 5 * 3 * 2 * 32);
    CHECK(stats[SPECACHE_STATS_FETCHED_BYTES] == 0);
}

TEST("late none and a threshold read fewer rows than late all") {
    auto late_rows = [](uint32_t late) {
        Run run(small_config());
        run.prefill(0, 500);
        run.decode(500, 4, 0, 32, late);
        return run.stats()[SPECACHE_STATS_LATE_ROWS];
    };
    CHECK(late_rows(0) == 0);
    CHECK(late_rows(1) == 4 * 3 * 2 * 32);
}

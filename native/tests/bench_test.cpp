// bench_test.cpp - random texts for benches, and reading as fast as memory goes.
#include <algorithm>

#include "driver.h"
#include "test.h"

using namespace driver;

TEST("fill() appends random tokens: equal for equal seeds, within what the store may hold") {
    specache_config config = small_config();
    Run one(config), other(config);
    CHECK(specache_fill(one.store, one.sequence, 700, 3) == SPECACHE_OK);
    CHECK(specache_fill(other.store, other.sequence, 700, 3) == SPECACHE_OK);
    CHECK(one.stats()[0] == 700);
    uint64_t width = uint64_t(config.kv_heads) * config.head_dim;
    std::vector<float> keys(700 * width), values(keys.size()), again(keys.size());
    for (uint32_t layer = 0; layer < config.layers; layer++) {
        CHECK(specache_rows(one.store, one.sequence, layer, 0, 700, keys.data(), values.data()) ==
              SPECACHE_OK);
        CHECK(specache_rows(other.store, other.sequence, layer, 0, 700, again.data(),
                            values.data()) == SPECACHE_OK);
        CHECK(keys == again);
        double sum = 0, squares = 0;
        for (float x : keys) {
            sum += double(x);
            squares += double(x) * double(x);
        }
        double count = double(keys.size());  // 89,600: deviations of both below .005
        CHECK(std::fabs(sum / count) < .03);
        CHECK(std::fabs(squares / count - 1) < .03);
    }
    CHECK(specache_fill(one.store, one.sequence, config.tokens_max, 3) == SPECACHE_CAPACITY);
    specache_options options{8, 1, 0};
    CHECK(specache_begin(one.store, one.sequence, 1, 1, &options) == SPECACHE_OK);
    CHECK(specache_fill(one.store, one.sequence, 1, 3) == SPECACHE_ARGUMENT);  // a step is at work
    CHECK(one.stats()[0] == 700);
}

TEST("read_far() reads far memory and nothing behind it, and refuses what is in a file") {
    specache_config config = small_config();
    Run run(config);
    uint64_t held = run.stats()[2], nanoseconds = 0;
    CHECK(specache_read_far(run.store, 0, held, &nanoseconds) == SPECACHE_OK);
    CHECK(nanoseconds > 0);
    CHECK(specache_read_far(run.store, 1, held, &nanoseconds) == SPECACHE_ARGUMENT);
    CHECK(specache_read_far(run.store, held + 1, 0, &nanoseconds) == SPECACHE_ARGUMENT);
    CHECK(specache_read_far(run.store, 0, 1, nullptr) == SPECACHE_ARGUMENT);
    config.far = 1;
    std::string path = "/tmp/specache-bench-test-" + std::to_string(getpid());
    {
        Run file(config, path.c_str());
        CHECK(specache_read_far(file.store, 0, 64, &nanoseconds) == SPECACHE_UNSUPPORTED);
        uint32_t most = uint32_t(std::min<uint64_t>(file.stats()[2], UINT32_MAX));
        CHECK(specache_far_reads(file.store, 4, 0, 1, &nanoseconds) == SPECACHE_ARGUMENT);
        CHECK(specache_far_reads(file.store, 4, most, 1, &nanoseconds) == SPECACHE_ARGUMENT);
        CHECK(specache_far_reads(file.store, 4, 512, 1, &nanoseconds) == SPECACHE_OK);
    }
    unlink(path.c_str());
    config.tokens_max = 64;  // a page: less than an append's pages hold
    config.sequences_max = 1;
    {
        Run small(config, path.c_str());
        uint32_t held = uint32_t(small.stats()[2]);
        CHECK(specache_far_reads(small.store, 4, held + 512, 1, &nanoseconds) ==
              SPECACHE_ARGUMENT);
        CHECK(specache_far_reads(small.store, 4, held, 1, &nanoseconds) == SPECACHE_OK);
    }
    unlink(path.c_str());
}

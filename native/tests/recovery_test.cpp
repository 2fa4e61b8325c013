// recovery_test.cpp - what failed or was given up half way never shows in what comes after.
#include <cmath>
#include <dirent.h>
#include <fcntl.h>

#include "driver.h"
#include "test.h"

using driver::far_path;
using driver::last_error;
using driver::Run;
using driver::same_bits;
using driver::small_config;

namespace {

specache_config in_file() {
    specache_config config = small_config();
    config.far = 1;
    config.slots = 40;
    return config;
}

// Cuts the far file of this process to nothing behind the store's back: reads then find its end.
void empty_far_file(const std::string &path) {
    DIR *folder = opendir("/proc/self/fd");
    while (dirent *entry = readdir(folder)) {
        std::string link = std::string("/proc/self/fd/") + entry->d_name;
        char target[512];
        ssize_t length = readlink(link.c_str(), target, sizeof target);
        if (length < 0 || std::string(target, size_t(length)).rfind(path, 0) != 0) continue;
        int file = open(link.c_str(), O_RDWR);
        CHECK(ftruncate(file, 0) == 0);
        close(file);
    }
    closedir(folder);
}

}  // namespace

TEST("a far row that cannot be read is told in that step and in all later calls") {
    std::string path = far_path();
    specache_config config = in_file();
    config.slots = 0;  // all rows are late, which the step waits for
    Run run(config, path.c_str());
    run.prefill(0, 500);
    run.decode(500, 2, 1, 32);
    empty_far_file(path);
    for (int i = 0; i < 3; i++) {
        CHECK(run.step(502, 1, 32) == SPECACHE_FILE);
        CHECK(last_error().find("bytes of the far file at") != std::string::npos);
        CHECK(last_error().find("the file ends before") != std::string::npos);
    }
    CHECK(specache_sequence_truncate(run.store, run.sequence, 100) == SPECACHE_FILE);
    CHECK(run.stats()[SPECACHE_STATS_TOKENS] == 502);
    CHECK(specache_sequence_close(run.store, run.sequence) == SPECACHE_OK);
}

TEST("an infinity that was refused does not reach a later run") {
    Run clean(small_config()), run(small_config());
    auto k = run.make(1, 0, 0, 64, 2), v = run.make(2, 0, 0, 64, 2);
    v[10 * 2 * 64] = INFINITY;
    CHECK(specache_append(run.store, run.sequence, 0, 64, nullptr, k.data(), v.data(), nullptr) ==
          SPECACHE_DATA);
    CHECK(clean.prefill(0, 5) == SPECACHE_OK);
    CHECK(run.prefill(0, 5) == SPECACHE_OK);
    CHECK(same_bits(clean.outputs, run.outputs));
}

TEST("a step of four inputs that was not kept does not spoil a cut behind it") {
    for (uint32_t length : {128u, 192u, 200u}) {
        Run plain(small_config()), run(small_config());
        plain.prefill(0, length);
        run.prefill(0, length);
        specache_options options{32, 1, 0};
        CHECK(specache_begin(run.store, run.sequence, 4, 1, &options) == SPECACHE_OK);
        for (uint32_t layer = 0; layer < 3; layer++) run.attend(layer, length, 4);
        CHECK(specache_keep(run.store, run.sequence, 0) == SPECACHE_OK);
        for (Run *each : {&plain, &run}) {
            CHECK(specache_sequence_truncate(each->store, each->sequence, length - 1) ==
                  SPECACHE_OK);
            each->outputs.clear();
            CHECK(each->decode(length - 1, 3, 0, 32) == SPECACHE_OK);
        }
        CHECK(same_bits(plain.outputs, run.outputs));
    }
}

TEST("in mode paper what a step of guesses alone fetched is exact in the next one") {
    specache_config config = small_config();
    config.mode = 1;
    config.key_bits = 1;
    config.guesses_max = 1;
    config.k_max = config.tokens_max;
    Run run(config);
    run.prefill(0, 255);
    specache_options options{1024, 0, 0};
    for (uint32_t keep : {0u, 1u}) {
        run.outputs.clear();
        CHECK(specache_begin(run.store, run.sequence, 1, keep, &options) == SPECACHE_OK);
        for (uint32_t layer = 0; layer < 3; layer++) run.attend(layer, 255, 1);
        CHECK(specache_keep(run.store, run.sequence, keep) == SPECACHE_OK);
    }
    // All of the tail was fetched by the step before.
    config.mode = 0;
    Run full(config);
    full.prefill(0, 255);
    full.outputs.clear();
    full.step(255, 0, 0);
    for (size_t i = 0; i < full.outputs.size(); i++) {
        CHECK_NEAR(run.outputs[i], full.outputs[i], 1e-5);
    }
}

TEST("mode paper refuses a second guess, whose rows its slots do not hold") {
    specache_config config = small_config();
    config.mode = 1;
    config.guesses_max = 1;
    Run run(config);
    run.prefill(0, 300);
    specache_options options{32, 0, 0};
    CHECK(specache_begin(run.store, run.sequence, 2, 0, &options) == SPECACHE_ARGUMENT);
    CHECK(last_error() == "guesses 2 of mode paper are above 1");
}

TEST("rows can be read as soon as a page is complete, and not in the middle of a run") {
    Run run(in_file(), far_path().c_str());
    CHECK(specache_delay(run.store, 5, 3000) == SPECACHE_OK);
    run.prefill(0, 300);
    CHECK(run.decode(300, 20, 1, 32) == SPECACHE_OK);  // the fifth page is complete
    std::vector<float> keys(64 * 2 * 64), values(keys.size());
    CHECK(specache_rows(run.store, run.sequence, 1, 256, 64, keys.data(), values.data()) ==
          SPECACHE_OK);
    auto made = run.make(1, 1, 256, 64, 2);
    for (size_t i = 0; i < made.size(); i++) CHECK_NEAR(keys[i], made[i], std::fabs(made[i]) / 256);
    auto k = run.make(1, 0, 320, 9, 2);
    specache_append(run.store, run.sequence, 0, 9, nullptr, k.data(), k.data(), nullptr);
    CHECK(specache_rows(run.store, run.sequence, 1, 256, 64, keys.data(), values.data()) ==
          SPECACHE_ARGUMENT);
}

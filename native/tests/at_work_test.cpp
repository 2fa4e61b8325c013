// at_work_test.cpp - a step or a run of layers at work is ended by keep alone: any other call that
// would change the sequence is refused, and what is at work goes on as if it had not been made.
#include <cmath>

#include "driver.h"
#include "test.h"

using driver::far_path;
using driver::last_error;
using driver::Run;
using driver::same_bits;
using driver::small_config;

namespace {

constexpr uint32_t prompt = 300, held = 333;  // tokens: prefilled, and with those decoded
constexpr uint32_t run_tokens = 400;          // of a run: four chunks

// Far in RAM and in a file, in each mode; what mode full has is near.
std::vector<specache_config> configs() {
    std::vector<specache_config> all;
    for (uint32_t mode : {0u, 1u, 2u}) {
        for (uint32_t far = 0; far < (mode == 0 ? 1 : 2); far++) {
            specache_config config = small_config();
            config.mode = mode;
            config.far = far;
            config.slots = mode == 2 && far == 1 ? 40 : 0;
            all.push_back(config);
        }
    }
    return all;
}

// Two stores alike; what is done to `run` has to leave it as `plain`.
struct Pair {
    Run plain, run;
    uint32_t late;  // of a step's options

    explicit Pair(const specache_config &config)
        : plain(config, far_path().c_str()), run(config, far_path().c_str()),
          late(config.mode == 1 ? 0 : 1) {
        for (Run *each : {&plain, &run}) {
            CHECK(each->prefill(0, prompt) == SPECACHE_OK);
            CHECK(each->decode(prompt, held - prompt, 1, 32, late) == SPECACHE_OK);
            each->outputs.clear();
        }
    }
    int32_t begin(Run &each, uint32_t inputs, uint32_t trusted) const {
        specache_options options{32, late, 0};
        return specache_begin(each.store, each.sequence, inputs, trusted, &options);
    }
    // That both go on alike, and that a fork finds its place.
    void check_alike(uint32_t first) {
        CHECK(plain.decode(first, 70, 1, 32, late) == SPECACHE_OK);
        CHECK(run.decode(first, 70, 1, 32, late) == SPECACHE_OK);
        CHECK(same_bits(plain.outputs, run.outputs));
        uint64_t fork = 0;
        CHECK(specache_sequence_fork(run.store, run.sequence, &fork) == SPECACHE_OK);
        for (uint32_t counter : {SPECACHE_STATS_TOKENS, SPECACHE_STATS_LATE_ROWS,
                                 SPECACHE_STATS_NEAR_BYTES}) {
            CHECK(plain.stats()[counter] == run.stats()[counter]);
        }
    }
};

int32_t append(const Run &run, uint32_t layer, uint32_t first, uint32_t tokens,
               float spoilt = 0) {
    auto k = run.make(1, layer, first, tokens, 2), v = run.make(2, layer, first, tokens, 2);
    if (spoilt != 0) k[(uint64_t(tokens) - 1) * 2 * 64] = spoilt;
    return specache_append(run.store, run.sequence, layer, tokens, nullptr, k.data(), v.data(),
                           nullptr);
}

// Each call that would drop what is at work: refused by `text`.
void disturb(Pair &pair, const std::string &text) {
    const Run &run = pair.run;
    uint64_t fork = 0;
    auto refused = [&](int32_t status) {
        CHECK(status == SPECACHE_ARGUMENT);
        CHECK(last_error() == text);
    };
    refused(pair.begin(pair.run, 1, 1));
    refused(pair.begin(pair.run, 9, 1));  // even a call that is wrong besides
    refused(specache_sequence_fork(run.store, run.sequence, &fork));
    for (uint32_t tokens : {0u, held - 1, held, held + 1}) {
        refused(specache_sequence_truncate(run.store, run.sequence, tokens));
    }
    CHECK(run.stats()[SPECACHE_STATS_TOKENS] == held);
}

std::string in_step(uint32_t layers) {
    return "a step of 2 inputs has had " + std::to_string(layers) +
           " of 3 layers: end it first, keep 0 drops it";
}

std::string in_run(uint32_t layers) {
    return "a run of 400 tokens has had " + std::to_string(layers) +
           " of 3 layers: give it the others first, or end it, keep 0 drops it";
}

}  // namespace

TEST("a step at work refuses what would drop it, at every layer, and goes on to the same bits") {
    for (const specache_config &config : configs()) {
        Pair pair(config);
        Run &run = pair.run;
        CHECK(pair.begin(run, 2, 1) == SPECACHE_OK);
        for (uint32_t layer = 0; layer <= config.layers; layer++) {
            disturb(pair, in_step(layer));
            CHECK(append(run, 0, held, 9) == SPECACHE_ARGUMENT);
            CHECK(last_error() == in_step(layer));
            if (layer < config.layers) CHECK(run.attend(layer, held, 2) == SPECACHE_OK);
        }
        CHECK(specache_keep(run.store, run.sequence, 1) == SPECACHE_OK);
        pair.plain.step(held, 1, 32, pair.late);
        pair.check_alike(held + 1);
    }
}

TEST("a run at work refuses what would drop it, at every layer, and goes on to the same bits") {
    for (const specache_config &config : configs()) {
        Pair pair(config);
        Run &run = pair.run;
        uint32_t layers = 0;
        for (uint32_t layer : {2u, 0u, 1u}) {
            CHECK(append(pair.plain, layer, held, run_tokens) == SPECACHE_OK);
            CHECK(append(run, layer, held, run_tokens) == SPECACHE_OK);
            if (++layers == config.layers) break;
            disturb(pair, in_run(layers));
            CHECK(run.attend(0, held, 1) == SPECACHE_ARGUMENT);
            CHECK(specache_keep(run.store, run.sequence, 1) == SPECACHE_ARGUMENT);
            CHECK(last_error() == in_run(layers));
            CHECK(append(run, layer, held, run_tokens) == SPECACHE_ARGUMENT);
            CHECK(append(run, 1, held, run_tokens - 1) == SPECACHE_ARGUMENT);
            // In the last chunk, when three have been kept.
            CHECK(append(run, 1, held, run_tokens, INFINITY) == SPECACHE_DATA);
        }
        run.outputs.clear();  // of attends that were refused
        pair.check_alike(held + run_tokens);
    }
}

TEST("keep 0 drops a step at work, wherever it stands") {
    for (const specache_config &config : configs()) {
        Pair pair(config);
        Run &run = pair.run;
        for (uint32_t layers = 0; layers <= config.layers; layers++) {
            CHECK(pair.begin(run, 2, 1) == SPECACHE_OK);
            // Of another text, so that what it fetched is not what comes next.
            for (uint32_t layer = 0; layer < layers; layer++) {
                CHECK(run.attend(layer, 7, 2) == SPECACHE_OK);
            }
            CHECK(specache_keep(run.store, run.sequence, 0) == SPECACHE_OK);
            CHECK(specache_keep(run.store, run.sequence, 0) == SPECACHE_ARGUMENT);
            CHECK(last_error() == "no step is at work");
        }
        run.outputs.clear();
        CHECK(pair.plain.decode(held, 70, 1, 32, pair.late) == SPECACHE_OK);
        CHECK(run.decode(held, 70, 1, 32, pair.late) == SPECACHE_OK);
        CHECK(same_bits(pair.plain.outputs, run.outputs));
    }
}

TEST("keep 0 drops a run at work, wherever it stands") {
    for (const specache_config &config : configs()) {
        Pair pair(config);
        Run &run = pair.run;
        for (uint32_t layers = 1; layers < config.layers; layers++) {
            for (uint32_t layer = 0; layer < layers; layer++) {
                CHECK(append(run, layer, 0, run_tokens) == SPECACHE_OK);
            }
            CHECK(append(run, layers, 0, run_tokens, INFINITY) == SPECACHE_DATA);
            CHECK(specache_keep(run.store, run.sequence, 0) == SPECACHE_OK);
            CHECK(run.stats()[SPECACHE_STATS_TOKENS] == held);
        }
        pair.check_alike(held);
    }
}

TEST("a run whose first layer is refused has not begun") {
    Pair pair(small_config());
    CHECK(append(pair.run, 0, held, run_tokens, NAN) == SPECACHE_DATA);
    CHECK(specache_keep(pair.run.store, pair.run.sequence, 0) == SPECACHE_ARGUMENT);
    pair.check_alike(held);
}

TEST("a step or run at work ends with its sequence, whose place another takes") {
    Pair pair(small_config());
    Run &run = pair.run;
    CHECK(pair.begin(run, 2, 1) == SPECACHE_OK);
    CHECK(run.attend(0, held, 2) == SPECACHE_OK);
    for (int i = 0; i < 3; i++) {  // more often than there are places
        CHECK(specache_sequence_close(run.store, run.sequence) == SPECACHE_OK);
        CHECK(specache_sequence_open(run.store, &run.sequence) == SPECACHE_OK);
        CHECK(append(run, 0, 0, run_tokens) == SPECACHE_OK);
    }
    CHECK(specache_keep(run.store, run.sequence, 0) == SPECACHE_OK);
    CHECK(run.prefill(0, prompt) == SPECACHE_OK);
}

// accept_test.cpp - guesses that are kept: bit for bit what one step after the other gives.
#include <map>

#include "driver.h"
#include "test.h"

using driver::far_path;
using driver::Run;
using driver::small_config;

namespace {

constexpr uint32_t start = 500, end = 590;  // over two page borders, 512 and 576

// Outputs of a token, layer after layer, by its position.
using Outputs = std::map<uint32_t, std::vector<float>>;

// One step of `inputs` trusted tokens of which `keep` stay.
void step(Run &run, uint32_t position, uint32_t inputs, uint32_t keep, uint32_t guesses, uint32_t k,
          Outputs &to) {
    specache_options options{k, 1, 0};
    uint32_t all = inputs + guesses, width = run.config.query_heads * run.config.head_dim;
    CHECK(specache_begin(run.store, run.sequence, all, inputs, &options) == SPECACHE_OK);
    std::vector<std::vector<float>> outputs(keep);
    for (uint32_t layer = 0; layer < run.config.layers; layer++) {
        auto q = run.make(0, layer, position, all, run.config.query_heads);
        auto key = run.make(1, layer, position, all, run.config.kv_heads);
        auto value = run.make(2, layer, position, all, run.config.kv_heads);
        std::vector<float> out(q.size());
        CHECK(specache_attend(run.store, run.sequence, layer, q.data(), key.data(), value.data(),
                              out.data()) == SPECACHE_OK);
        for (uint32_t i = 0; i < keep; i++) {
            outputs[i].insert(outputs[i].end(), out.begin() + i * width,
                              out.begin() + (i + 1) * width);
        }
    }
    CHECK(specache_keep(run.store, run.sequence, keep) == SPECACHE_OK);
    for (uint32_t i = 0; i < keep; i++) to[position + i] = outputs[i];
}

Outputs decode(const specache_config &config, uint32_t inputs, uint32_t guesses = 0) {
    std::string path = far_path();
    Run run(config, config.far == 1 ? path.c_str() : nullptr);
    CHECK(run.status == SPECACHE_OK);
    CHECK(run.prefill(0, start) == SPECACHE_OK);
    Outputs outputs;
    for (uint32_t position = start, n = 0; position < end; n++) {
        uint32_t keep = 1 + n % inputs;  // every count in turn
        step(run, position, inputs, keep, guesses, 32, outputs);
        position += keep;
    }
    while (outputs.rbegin()->first >= end) outputs.erase(outputs.rbegin()->first);
    return outputs;
}

}  // namespace

TEST("kept guesses give the bits of single steps, far in RAM and in a file, in full too") {
    for (uint32_t mode : {0u, 2u}) {
        specache_config ram = small_config();
        ram.mode = mode;
        Outputs single = decode(ram, 1);
        CHECK(single.size() == end - start);
        specache_config file = ram;
        file.far = 1;
        file.slots = 40;
        for (uint32_t inputs = 2; inputs <= 4; inputs++) {
            CHECK(decode(ram, inputs) == single);
            CHECK(decode(file, inputs) == single);
        }
        CHECK(decode(file, 2, 2) == single);  // two more that only prefetch
    }
}

TEST("after kept guesses a cut or forked sequence goes on as one of single steps") {
    specache_config config = small_config();
    Run single(config), kept(config);
    Outputs wanted, got, ignored;
    for (Run *run : {&single, &kept}) CHECK(run->prefill(0, start) == SPECACHE_OK);
    for (uint32_t at = start; at < 580; at++) step(single, at, 1, 1, 0, 32, ignored);
    for (uint32_t at = start; at < 580; at += 4) step(kept, at, 4, 4, 0, 32, ignored);
    for (Run *run : {&single, &kept}) {
        CHECK(specache_sequence_truncate(run->store, run->sequence, 514) == SPECACHE_OK);
        uint64_t fork = 0;
        CHECK(specache_sequence_fork(run->store, run->sequence, &fork) == SPECACHE_OK);
        run->sequence = fork;
        Outputs &to = run == &single ? wanted : got;
        for (uint32_t at = 514; at < 530; at++) step(*run, at, 1, 1, 0, 32, to);
    }
    CHECK(got == wanted);
}

TEST("counters after kept guesses are of each chosen row once, late or reused") {
    for (uint32_t slots : {40u, 0u}) {  // without slots far is RAM, and a layer is one loop
        specache_config config = small_config();
        config.far = slots != 0;
        config.slots = slots;
        std::string path = far_path();
        Run run(config, config.far == 1 ? path.c_str() : nullptr);
        CHECK(run.prefill(0, start) == SPECACHE_OK);
        Outputs outputs;
        for (uint32_t at = start; at < 540; at += 2) step(run, at, 2, 2, 0, 32, outputs);
        std::vector<uint64_t> stats = run.stats();
        CHECK(stats[SPECACHE_STATS_REUSED_ROWS] > 0);
        CHECK(stats[SPECACHE_STATS_LATE_ROWS] + stats[SPECACHE_STATS_REUSED_ROWS] ==
              40ull * 32 * config.layers * config.kv_heads);
        CHECK(stats[SPECACHE_STATS_TOKENS] == 540);
    }
}

TEST("more trusted tokens than inputs, and any but one in mode paper, are refused") {
    specache_options options{8, 1, 0};
    for (uint32_t mode : {0u, 1u, 2u}) {
        specache_config config = small_config();
        config.mode = mode;
        Run run(config);
        CHECK(run.prefill(0, 100) == SPECACHE_OK);
        CHECK(specache_begin(run.store, run.sequence, 2, 3, &options) == SPECACHE_ARGUMENT);
        CHECK(driver::last_error() == "trusted 3 is above inputs 2");
        int32_t two = specache_begin(run.store, run.sequence, 2, 2, &options);
        CHECK(two == (mode == 1 ? SPECACHE_ARGUMENT : SPECACHE_OK));
    }
}

// short_text_test.cpp - what a CPU does of short texts alone changes no bit: a tail that is not
// above k asks no code for anything, and a layer is one loop where there are no slots.
#include <algorithm>
#include <bit>
#include <fstream>
#include <string>

#include "driver.h"
#include "test.h"

using driver::Run;
using driver::same_bits;
using driver::small_config;

namespace {

specache_config config_of(uint32_t rule, uint32_t isa) {
    specache_config config = small_config();
    config.rule = rule;
    config.isa = isa;
    config.k_max = 256;
    return config;
}

// From before there is a tail until its tokens are more than k: at 128, 192, .. one page more.
constexpr uint32_t first = 120, steps = 150, k = 3 * 64 - 4;

// Calls by which the process has read files so far; 0 where the system does not tell.
uint64_t reads_so_far() {
    std::ifstream file("/proc/self/io");
    for (std::string name; file >> name;) {
        uint64_t count = 0;
        file >> count;
        if (name == "syscr:") return count;
    }
    return 0;
}

}  // namespace

// The number of cores is in a file, and was read in each layer: as long as a layer's attention.
TEST("a step with far memory in RAM reads no file, whatever threads were asked for") {
    for (uint32_t threads : {0u, 1u, 2u}) {
        specache_config config = config_of(2, 0);
        config.threads = threads;
        Run run(config);
        CHECK(run.prefill(0, 400) == SPECACHE_OK);
        CHECK(run.decode(400, 2, 0, 32) == SPECACHE_OK);
        uint64_t before = reads_so_far(), own = reads_so_far() - before;
        CHECK(own > 0);
        CHECK(run.decode(402, 8, 0, 32) == SPECACHE_OK);
        CHECK(reads_so_far() - before == 2 * own);
    }
}

TEST("a tail that is not above k has the same bits with guesses, with audits and without") {
    for (uint32_t rule : {1u, 2u}) {
        for (uint32_t isa : {0u, 1u, 2u}) {
            specache_config config = config_of(rule, isa), audited = config;
            audited.audit = 1;
            uint32_t count = isa == 1 ? 20 : steps;
            Run alone(config), guessing(config), auditing(audited);
            CHECK(specache_audit(auditing.store, std::bit_cast<uint32_t>(1.0f), 1, 0) ==
                  SPECACHE_OK);
            for (Run *run : {&alone, &guessing, &auditing}) {
                CHECK(run->prefill(0, first) == SPECACHE_OK);
                run->outputs.clear();
            }
            CHECK(alone.decode(first, count, 0, k) == SPECACHE_OK);
            CHECK(guessing.decode(first, count, 2, k) == SPECACHE_OK);
            CHECK(auditing.decode(first, count, 0, k) == SPECACHE_OK);
            CHECK(same_bits(alone.outputs, guessing.outputs));
            CHECK(same_bits(alone.outputs, auditing.outputs));
            CHECK(alone.stats()[SPECACHE_STATS_LATE_ROWS] ==
                  auditing.stats()[SPECACHE_STATS_LATE_ROWS]);
        }
    }
}

TEST("a tail as long as k is attended as one of a larger k, and one token more is not") {
    specache_config config = config_of(2, 0);
    for (uint32_t length : {255u, 256u, 319u}) {
        uint32_t tail = (length / 64 - 1) * 64 - 4;
        Run exact(config), larger(config), smaller(config);
        for (Run *run : {&exact, &larger, &smaller}) {
            CHECK(run->prefill(0, length) == SPECACHE_OK);
            run->outputs.clear();
        }
        CHECK(exact.step(length, 0, tail) == SPECACHE_OK);
        CHECK(larger.step(length, 0, 256) == SPECACHE_OK);
        CHECK(smaller.step(length, 0, tail - 1) == SPECACHE_OK);
        CHECK(same_bits(exact.outputs, larger.outputs));
        CHECK(!same_bits(exact.outputs, smaller.outputs));
        CHECK(exact.stats()[SPECACHE_STATS_LATE_ROWS] == 6 * tail);
        CHECK(smaller.stats()[SPECACHE_STATS_LATE_ROWS] == 6 * (tail - 1));
    }
}

TEST("one loop a layer has the bits of loop after loop, whatever threads, inputs and runs") {
    // From the second page's codes on, and up to the last page that one loop takes, and one more.
    for (uint32_t length : {180u, 500u, 2170u}) {
        specache_config config = small_config(), slots = config;
        config.tokens_max = slots.tokens_max = 2304;
        config.kv_heads = slots.kv_heads = 3;
        slots.slots = 30;
        Run one(slots);
        CHECK(one.prefill(0, length) == SPECACHE_OK);
        one.outputs.clear();
        CHECK(one.decode(length, 12, 0, 20) == SPECACHE_OK);
        for (uint32_t way = 0; way < 5; way++) {
            specache_config other = config;
            other.threads = way == 0 ? 1 : way + 1;
            if (way == 3) other.logits_bytes = 1;  // runs of one head
            if (way == 4) other.audit = 1;         // logits stay logits
            Run run(other);
            CHECK(run.prefill(0, length) == SPECACHE_OK);
            run.outputs.clear();
            CHECK(run.decode(length, 12, way == 2 ? 3 : way == 1 ? 1 : 0, 20) == SPECACHE_OK);
            CHECK(same_bits(one.outputs, run.outputs));
            CHECK(run.stats()[SPECACHE_STATS_LATE_ROWS] == 12 * 9 * 20);
        }
    }
}

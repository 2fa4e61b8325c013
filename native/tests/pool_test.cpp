// pool_test.cpp - the pool of pages that all sequences share: its size, what is free, what forks
// share, and that a full one refuses and changes nothing.
#include "model.h"

using driver::last_error;
using driver::Run;
using driver::same_bits;
using driver::small_config;
using fixture::TestModel;
using fixture::vocabulary;

namespace {

struct Pages {
    uint32_t free = 0, all = 0, held = 0, own = 0;
    Pages(const Run &run, uint64_t sequence) {
        CHECK(specache_pages(run.store, &free, &all) == SPECACHE_OK);
        CHECK(specache_sequence_pages(run.store, sequence, &held, &own) == SPECACHE_OK);
    }
    explicit Pages(const Run &run) : Pages(run, run.sequence) {}
    bool are(uint32_t free_wanted, uint32_t held_wanted, uint32_t own_wanted) const {
        return free == free_wanted && held == held_wanted && own == own_wanted;
    }
};

// Of texts of 1,000 tokens, 16 pages each at most.
specache_config pool_config(uint32_t pages, uint32_t sequences = 2) {
    specache_config config = small_config();
    config.tokens_max = 1000;
    config.sequences_max = sequences;
    config.pages = pages;
    return config;
}

uint64_t part_of(const specache_config &config, uint32_t part) {
    uint64_t parts[SPECACHE_PLAN_COUNT] = {};
    CHECK(specache_plan(&config, nullptr, nullptr, 0, parts) == SPECACHE_OK);
    return parts[part];
}

}  // namespace

TEST("pages of the pool are those of one longest text to those of all; 0 are all") {
    uint64_t parts[SPECACHE_PLAN_COUNT];
    for (uint32_t pages : {15u, 49u, UINT32_MAX}) {
        specache_config config = pool_config(pages, 3);
        CHECK(specache_plan(&config, nullptr, nullptr, 0, parts) == SPECACHE_ARGUMENT);
        CHECK(last_error() == "pages " + std::to_string(pages) +
                                  (pages < 16 ? " is below 16" : " is above 48"));
        CHECK(Run(config).status == SPECACHE_ARGUMENT);
    }
    for (uint32_t pages : {0u, 16u, 17u, 48u}) {
        Run run(pool_config(pages, 3));
        CHECK(run.status == SPECACHE_OK);
        CHECK(Pages(run).all == (pages == 0 ? 48 : pages));
        CHECK(Pages(run).are(Pages(run).all, 0, 0));
    }
}

TEST("the plan counts a pool's pages: far memory and codes, or mode full's rows") {
    for (uint32_t mode = 0; mode < 3; mode++) {
        specache_config small = pool_config(16, 3), large = pool_config(48, 3);
        small.mode = large.mode = mode;
        CHECK(part_of(large, SPECACHE_PLAN_FAR) == 3 * part_of(small, SPECACHE_PLAN_FAR));
        uint64_t parts[SPECACHE_PLAN_COUNT] = {};
        CHECK(specache_plan(&small, nullptr, nullptr, 64, parts) == SPECACHE_OK);
        uint64_t page = parts[SPECACHE_PLAN_CODES] + parts[SPECACHE_PLAN_ROWS];
        CHECK(part_of(large, SPECACHE_PLAN_RESERVED) ==
              part_of(small, SPECACHE_PLAN_RESERVED) + 32 * page);
        Run run(small);
        CHECK(run.stats()[SPECACHE_STATS_ALLOCATED] == parts[SPECACHE_PLAN_RESERVED]);
        CHECK(run.stats()[SPECACHE_STATS_FAR_BYTES] == parts[SPECACHE_PLAN_FAR]);
    }
}

TEST("one longest text fits the least pool, and then a second one has no page") {
    for (uint32_t mode = 0; mode < 3; mode++) {
        specache_config config = pool_config(16);
        config.mode = mode;
        uint32_t late = mode == 1 ? 0 : 1;
        Run run(config);
        uint64_t other = 0;
        CHECK(specache_sequence_open(run.store, &other) == SPECACHE_OK);
        CHECK(run.prefill(0, 990) == SPECACHE_OK);
        CHECK(run.decode(990, 10, 0, 32, late) == SPECACHE_OK);
        CHECK(run.step(1000, 0, 32, late) == SPECACHE_CAPACITY);  // tokens_max
        CHECK(Pages(run).are(0, 16, 16));
        std::swap(run.sequence, other);
        CHECK(run.prefill(0, 1) == SPECACHE_CAPACITY);
        CHECK(last_error() == "1 more pages are needed, 0 of 16 are free");
        CHECK(run.decode(0, 63, 0, 32, late) == SPECACHE_OK);  // no page is complete yet
        CHECK(run.step(63, 0, 32, late) == SPECACHE_CAPACITY);
        CHECK(specache_keep(run.store, run.sequence, 0) == SPECACHE_ARGUMENT);  // none at work
        CHECK(Pages(run).are(0, 0, 0));
        CHECK(specache_sequence_close(run.store, other) == SPECACHE_OK);
        CHECK(run.step(63, 0, 32, late) == SPECACHE_OK);
        CHECK(Pages(run).are(15, 1, 1));
    }
}

TEST("a text that a full pool refused goes on with the bits of one that was never refused") {
    for (uint32_t mode = 0; mode < 3; mode++) {
        specache_config config = pool_config(16);
        config.mode = mode;
        uint32_t late = mode == 1 ? 0 : 1;
        Run plain(config), run(config);
        uint64_t other = 0;
        CHECK(specache_sequence_open(run.store, &other) == SPECACHE_OK);
        for (Run *each : {&plain, &run}) CHECK(each->prefill(0, 319) == SPECACHE_OK);
        std::swap(run.sequence, other);
        CHECK(run.prefill(0, 11 * 64) == SPECACHE_OK);
        std::swap(run.sequence, other);
        for (Run *each : {&plain, &run}) each->outputs.clear();
        CHECK(Pages(run).are(0, 5, 5));
        CHECK(run.decode(319, 30, 0, 32, late) == SPECACHE_OK);  // 320 fill the page it has
        CHECK(run.decode(349, 34, 0, 32, late) == SPECACHE_OK);
        CHECK(run.step(383, 0, 32, late) == SPECACHE_CAPACITY);
        CHECK(run.prefill(383, 2) == SPECACHE_CAPACITY);
        CHECK(Pages(run).are(0, 5, 5));
        CHECK(run.stats()[SPECACHE_STATS_TOKENS] == 383);
        CHECK(specache_sequence_truncate(run.store, other, 640) == SPECACHE_OK);
        CHECK(Pages(run).are(1, 5, 5));
        CHECK(run.decode(383, 10, 0, 32, late) == SPECACHE_OK);
        CHECK(plain.decode(319, 74, 0, 32, late) == SPECACHE_OK);
        CHECK(same_bits(plain.outputs, run.outputs));
    }
}

TEST("forks share full pages, which are free when the last of them is closed") {
    Run run(pool_config(20, 3));
    CHECK(run.prefill(0, 330) == SPECACHE_OK);  // 5 pages, and one that is being filled
    CHECK(Pages(run).are(14, 6, 6));
    uint64_t one = 0, two = 0;
    CHECK(specache_sequence_fork(run.store, run.sequence, &one) == SPECACHE_OK);
    CHECK(Pages(run).are(14, 6, 1));
    CHECK(Pages(run, one).are(14, 5, 0));
    CHECK(specache_sequence_fork(run.store, one, &two) == SPECACHE_OK);
    CHECK(specache_sequence_close(run.store, run.sequence) == SPECACHE_OK);
    CHECK(Pages(run, one).are(15, 5, 0));
    CHECK(specache_sequence_truncate(run.store, two, 190) == SPECACHE_OK);
    CHECK(Pages(run, two).are(15, 2, 0));
    CHECK(Pages(run, one).are(15, 5, 3));
    run.sequence = one;
    CHECK(run.decode(330, 60, 0, 32) == SPECACHE_OK);
    CHECK(Pages(run, one).are(14, 6, 4));
    CHECK(specache_sequence_close(run.store, two) == SPECACHE_OK);
    CHECK(Pages(run, one).are(14, 6, 6));
    CHECK(specache_sequence_close(run.store, one) == SPECACHE_OK);
    uint32_t free = 0, all = 0;
    CHECK(specache_pages(run.store, &free, &all) == SPECACHE_OK);
    CHECK(free == 20 && all == 20);
}

TEST("a prompt that the pool has no room for is refused whole, and holds nothing") {
    specache_config config = pool_config(16);
    config.kv_type = 1;  // f16, which does not hold the spoilt token's value
    TestModel model(config);
    Run run(model.config);
    model.open(run.store);
    uint64_t other = 0;
    CHECK(specache_sequence_open(run.store, &other) == SPECACHE_OK);
    std::vector<uint32_t> tokens(11 * 64);
    for (uint32_t i = 0; i < tokens.size(); i++) tokens[i] = i % (vocabulary - 1);
    auto prefill = [&](uint64_t sequence, uint32_t count) {
        return specache_prefill(run.store, sequence, tokens.data(), count, nullptr);
    };
    CHECK(prefill(other, 11 * 64) == SPECACHE_OK);
    CHECK(prefill(run.sequence, 70) == SPECACHE_OK);
    CHECK(Pages(run).are(3, 2, 2));
    CHECK(prefill(run.sequence, 251) == SPECACHE_CAPACITY);
    CHECK(last_error() == "4 more pages are needed, 3 of 16 are free");
    CHECK(Pages(run).are(3, 2, 2));
    CHECK(run.stats()[SPECACHE_STATS_TOKENS] == 70);
    tokens[200] = vocabulary;  // behind pages that are there: those go back
    CHECK(prefill(run.sequence, 250) == SPECACHE_ARGUMENT);
    tokens[200] = fixture::spoilt_token;
    CHECK(prefill(run.sequence, 250) == SPECACHE_DATA);
    CHECK(Pages(run).held <= 2);
    tokens[200] = 1;
    CHECK(prefill(run.sequence, 250) == SPECACHE_OK);
    CHECK(Pages(run).are(0, 5, 5));
}

TEST("counts of pages refuse handles and places that there are none of") {
    Run run(small_config());
    uint32_t one = 0, two = 0;
    CHECK(specache_pages(99, &one, &two) == SPECACHE_HANDLE);
    CHECK(specache_pages(run.store, nullptr, &two) == SPECACHE_ARGUMENT);
    CHECK(specache_sequence_pages(run.store, run.sequence + 1, &one, &two) == SPECACHE_HANDLE);
    CHECK(specache_sequence_pages(run.store, run.sequence, &one, nullptr) == SPECACHE_ARGUMENT);
}

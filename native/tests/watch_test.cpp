// watch_test.cpp - what a watched sequence's steps tell: the tokens that input 0 attended by row,
// and where each row was; and that nobody's bits depend on it.
#include <algorithm>

#include "../step.h"
#include "../watch.h"
#include "model.h"

using driver::far_path;
using driver::last_error;
using driver::Run;
using driver::same_bits;
using driver::small_config;
using fixture::TestModel;
using namespace specache;

namespace {

constexpr uint32_t none = UINT32_MAX;
enum Source : uint8_t { in_slot = 0, late = 1, left_out = 2 };

struct Seen {
    uint32_t position = 0;
    std::vector<uint32_t> counts, tokens;  // [layers][kv_heads], [layers][kv_heads][k_max]
    std::vector<uint8_t> sources;          // as tokens
    int32_t status;
    Seen(uint64_t store, const specache_config &config)
        : counts(config.layers * config.kv_heads, 77), tokens(counts.size() * config.k_max, 77),
          sources(tokens.size(), 77) {
        status = specache_watched(store, &position, counts.data(), tokens.data(), sources.data());
    }
    explicit Seen(const Run &run) : Seen(run.store, run.config) {}
    uint64_t number_of(Source source) const {
        uint64_t number = 0, k_max = counts.empty() ? 0 : tokens.size() / counts.size();
        for (uint64_t i = 0; i < tokens.size(); i++) {
            number += i % k_max < counts[i / k_max] && sources[i] == source;
        }
        return number;
    }
    // Counts and the tokens that they count.
    bool shows(const std::vector<uint32_t> &counts_wanted,
               const std::vector<uint32_t> &tokens_wanted) const {
        uint64_t k_max = tokens.size() / std::max<size_t>(counts.size(), 1);
        if (status != SPECACHE_OK || counts != counts_wanted) return false;
        for (uint64_t i = 0; i < tokens.size(); i++) {
            if (i % k_max < counts[i / k_max] && tokens[i] != tokens_wanted[i]) return false;
        }
        return true;
    }
};

specache_config in_file(uint32_t mode) {
    specache_config config = small_config();
    config.mode = mode;
    config.far = 1;
    config.slots = 40;
    return config;
}

// What choose, or in mode paper the step before, left in the scratch of each layer of a step.
struct Steps : Run {
    using Run::Run;
    std::vector<uint32_t> counts, tokens;
    // The step's layers, one by one, by way of the store itself.
    void step_and_look(Store &inside, Sequence &sequence, uint32_t position, uint32_t inputs) {
        counts.clear();
        tokens.clear();
        begin(inside, sequence, inputs, 1, {config.k_max, -1});
        uint64_t heads = config.kv_heads, list = heads * config.k_max;
        for (uint32_t layer = 0; layer < config.layers; layer++) {
            auto q = make(0, layer, position, inputs, config.query_heads);
            auto k = make(1, layer, position, inputs, config.kv_heads);
            auto v = make(2, layer, position, inputs, config.kv_heads), out = q;
            specache::attend(inside, sequence, layer, q.data(), k.data(), v.data(), out.data());
            const Work &work = inside.work;
            bool paper = config.mode == 1;
            const uint32_t *counted = paper ? work.exact_counts : work.counts;
            const uint32_t *chosen = paper ? work.exact : work.chosen;
            counts.insert(counts.end(), counted, counted + heads);
            tokens.insert(tokens.end(), chosen, chosen + list);
        }
        specache::keep(inside, sequence, 1);
    }
};

}  // namespace

TEST("a watch tells what choose chose in each layer and head, the reference's too") {
    for (uint32_t mode : {1u, 2u}) {
        for (uint32_t isa : {0u, 1u}) {  // the best one, the reference
            specache_config config = in_file(mode);
            config.isa = isa;
            if (mode == 1) config.slots = 0;
            Steps run(config, far_path().c_str());  // makes numbers; the store is this one:
            Store store(make_plan(config, nullptr, nullptr), far_path(), {});
            Sequence &sequence = store.open_sequence();
            for (uint32_t layer = 0; layer < config.layers; layer++) {
                auto k = run.make(1, layer, 0, 500, config.kv_heads);
                auto v = run.make(2, layer, 0, 500, config.kv_heads);
                append(store, sequence, layer, 500, nullptr, k.data(), v.data(), nullptr);
            }
            set_watch(store, &sequence);
            uint64_t heads = config.layers * config.kv_heads;
            std::vector<uint32_t> counts(heads), tokens(heads * config.k_max);
            std::vector<uint8_t> sources(tokens.size());
            for (uint32_t step = 0; step < 20; step++) {
                run.step_and_look(store, sequence, 500 + step, 2);
                CHECK(watched(store, counts.data(), tokens.data(), sources.data()) == 500 + step);
                CHECK(counts == run.counts);
                for (uint64_t i = 0; i < tokens.size(); i++) {
                    if (i % config.k_max >= counts[i / config.k_max]) continue;
                    CHECK(tokens[i] == run.tokens[i]);
                }
            }
        }
    }
}

TEST("where watched rows were is what the counters say, and no bit depends on a watch") {
    for (bool file : {true, false}) {
        specache_config config = in_file(2);
        if (!file) config.far = config.slots = 0;
        for (uint32_t option : {0u, 1u}) {  // late none, all
            Run plain(config, far_path().c_str()), run(config, far_path().c_str());
            for (Run *each : {&plain, &run}) {
                CHECK(each->prefill(0, 700) == SPECACHE_OK);
                each->outputs.clear();
            }
            CHECK(specache_watch(run.store, run.sequence) == SPECACHE_OK);
            for (uint32_t step = 0; step < 12; step++) {
                auto before = run.stats();
                CHECK(run.step(700 + step, 1, 32, option) == SPECACHE_OK);
                auto after = run.stats();
                Seen seen(run);
                uint64_t read = after[SPECACHE_STATS_LATE_ROWS] - before[SPECACHE_STATS_LATE_ROWS];
                uint64_t reused =
                    after[SPECACHE_STATS_REUSED_ROWS] - before[SPECACHE_STATS_REUSED_ROWS];
                CHECK(seen.position == 700 + step);
                CHECK(seen.counts == std::vector<uint32_t>(6, 32));
                CHECK(seen.number_of(late) == read);
                CHECK(seen.number_of(in_slot) == reused);
                CHECK(seen.number_of(left_out) == 6 * 32 - read - reused);
                CHECK(option == 1 ? read + reused == 6 * 32 : read == 0);
            }
            CHECK(plain.decode(700, 12, 1, 32, option) == SPECACHE_OK);
            CHECK(same_bits(plain.outputs, run.outputs));
        }
    }
}

TEST("a watch tells kept steps that began after it, and none that truncate took away") {
    Run run(small_config());
    CHECK(Seen(run).status == SPECACHE_ARGUMENT);
    CHECK(last_error() == "no sequence is watched");
    CHECK(run.prefill(0, 300) == SPECACHE_OK);
    specache_options options{32, 1, 0};
    CHECK(specache_begin(run.store, run.sequence, 1, 1, &options) == SPECACHE_OK);
    CHECK(specache_watch(run.store, run.sequence) == SPECACHE_OK);
    for (uint32_t layer = 0; layer < 3; layer++) CHECK(run.attend(layer, 300, 1) == SPECACHE_OK);
    CHECK(specache_keep(run.store, run.sequence, 1) == SPECACHE_OK);
    CHECK(Seen(run).position == none);
    CHECK(Seen(run).counts[0] == 77);  // nothing is written
    CHECK(run.decode(301, 2, 0, 20) == SPECACHE_OK);
    Seen seen(run);
    CHECK(seen.position == 302 && seen.counts == std::vector<uint32_t>(6, 20));
    CHECK(specache_begin(run.store, run.sequence, 1, 1, &options) == SPECACHE_OK);
    for (uint32_t layer = 0; layer < 3; layer++) CHECK(run.attend(layer, 303, 1) == SPECACHE_OK);
    CHECK(Seen(run).position == 302);  // at work
    CHECK(specache_keep(run.store, run.sequence, 0) == SPECACHE_OK);
    CHECK(Seen(run).shows(seen.counts, seen.tokens));
    uint64_t fork = 0;
    CHECK(specache_sequence_fork(run.store, run.sequence, &fork) == SPECACHE_OK);
    std::swap(fork, run.sequence);
    CHECK(run.decode(303, 3, 0, 32) == SPECACHE_OK);  // it is not watched
    CHECK(Seen(run).shows(seen.counts, seen.tokens));
    std::swap(fork, run.sequence);
    CHECK(specache_sequence_truncate(run.store, run.sequence, 302) == SPECACHE_OK);
    CHECK(Seen(run).position == none);
    CHECK(run.decode(302, 1, 0, 32) == SPECACHE_OK);
    CHECK(specache_watch(run.store, fork) == SPECACHE_OK);  // one at a time
    CHECK(run.decode(303, 1, 0, 32) == SPECACHE_OK);
    CHECK(Seen(run).position == none);
    CHECK(specache_sequence_close(run.store, fork) == SPECACHE_OK);
    CHECK(Seen(run).status == SPECACHE_ARGUMENT);
    CHECK(specache_watch(run.store, run.sequence) == SPECACHE_OK);
    CHECK(specache_watch(run.store, 0) == SPECACHE_OK);
    CHECK(Seen(run).status == SPECACHE_ARGUMENT);
}

TEST("nothing is chosen in mode full, with k 0, or of a text without a tail") {
    specache_config full = small_config(), codes = small_config(), text = small_config();
    full.mode = codes.k_max = 0;
    for (const specache_config &config : {full, codes, text}) {
        Run run(config);
        CHECK(specache_watch(run.store, run.sequence) == SPECACHE_OK);
        CHECK(run.prefill(0, config.mode != 0 && config.k_max != 0 ? 127 : 300) == SPECACHE_OK);
        uint32_t length = uint32_t(run.stats()[SPECACHE_STATS_TOKENS]);
        CHECK(run.step(length, 0, config.k_max) == SPECACHE_OK);
        uint32_t position = 0, counts[6] = {9, 9, 9, 9, 9, 9};
        uint32_t tokens[6 * 32];
        uint8_t sources[6 * 32];
        bool lists = config.mode != 0 && config.k_max != 0;
        CHECK(specache_watched(run.store, &position, counts, lists ? tokens : nullptr,
                               lists ? sources : nullptr) == SPECACHE_OK);
        CHECK(position == length);
        CHECK(std::all_of(counts, counts + 6, [](uint32_t count) { return count == 0; }));
    }
}

TEST("a watch's memory is reserved once, counted, and kept within near_bytes") {
    specache_config config = small_config();
    uint64_t parts[SPECACHE_PLAN_COUNT];
    CHECK(specache_plan(&config, nullptr, nullptr, 0, parts) == SPECACHE_OK);
    uint64_t reserved = parts[SPECACHE_PLAN_RESERVED], watch = 2 * 6 * (12 * 32 + 4);
    config.near_bytes_low = uint32_t(reserved + watch - 1);
    Run tight(config);
    CHECK(specache_watch(tight.store, tight.sequence) == SPECACHE_CAPACITY);
    CHECK(last_error() == "near memory needs " + std::to_string(reserved + watch) +
                              " bytes with a watch, near_bytes is " +
                              std::to_string(reserved + watch - 1));
    CHECK(tight.stats()[SPECACHE_STATS_ALLOCATED] == reserved);
    CHECK(Seen(tight).status == SPECACHE_ARGUMENT);
    config.near_bytes_low++;
    Run run(config);
    for (int time = 0; time < 2; time++) {
        CHECK(specache_watch(run.store, 0) == SPECACHE_OK);
        CHECK(run.stats()[SPECACHE_STATS_ALLOCATED] == (time == 0 ? reserved : reserved + watch));
        CHECK(specache_watch(run.store, run.sequence) == SPECACHE_OK);
        CHECK(run.stats()[SPECACHE_STATS_ALLOCATED] == reserved + watch);
    }
    CHECK(specache_watch(run.store, 99) == SPECACHE_HANDLE);
    CHECK(Seen(run).position == none);  // still watched
    CHECK(specache_watched(run.store, nullptr, nullptr, nullptr, nullptr) == SPECACHE_ARGUMENT);
}

TEST("of a model's step of several sequences the watched one tells what it tells alone") {
    TestModel model(small_config());
    Run alone(model.config), together(model.config);
    uint64_t first = 0;
    uint32_t tokens[400], ids[2];
    float largest[2];
    for (uint32_t i = 0; i < 400; i++) tokens[i] = i * 7 % 60;
    CHECK(specache_sequence_open(together.store, &first) == SPECACHE_OK);
    for (Run *each : {&alone, &together}) {
        model.open(each->store);
        CHECK(specache_prefill(each->store, each->sequence, tokens, 400, nullptr) == SPECACHE_OK);
        CHECK(specache_watch(each->store, each->sequence) == SPECACHE_OK);
    }
    CHECK(specache_prefill(together.store, first, tokens + 50, 300, nullptr) == SPECACHE_OK);
    for (uint32_t step = 0; step < 3; step++) {
        specache_step_share share{uint32_t(alone.sequence), 0, 1, 1, 32, 1, 0, 0};
        specache_step_share shares[] = {share, share};
        shares[0].sequence_low = uint32_t(first);
        shares[1].sequence_low = uint32_t(together.sequence);
        CHECK(specache_step(alone.store, &share, 1, tokens + step, nullptr, ids, largest,
                            nullptr) == SPECACHE_OK);
        uint32_t both[] = {tokens[step], tokens[step]};
        CHECK(specache_step(together.store, shares, 2, both, nullptr, ids, largest, nullptr) ==
              SPECACHE_OK);
        for (Run *each : {&alone, &together}) {
            CHECK(specache_keep(each->store, each->sequence, 1) == SPECACHE_OK);
        }
        CHECK(specache_keep(together.store, first, 1) == SPECACHE_OK);
        Seen wanted(alone);
        CHECK(wanted.position == 400 + step);
        CHECK(Seen(together).position == 400 + step);
        CHECK(Seen(together).shows(wanted.counts, wanted.tokens));
    }
}

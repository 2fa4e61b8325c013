// identity_test.cpp - what must not change a bit: tier, slots, delays, guesses, threads, chunks,
// forks.
#include <array>

#include "../store/plan.h"
#include "driver.h"
#include "test.h"

using driver::far_path;
using driver::Run;
using driver::same_bits;
using driver::small_config;

namespace {

// 500 tokens exactly, then steps over two page borders, 512 and 576, and some more.
constexpr uint32_t steps = 90;

std::vector<float> outputs_of(specache_config config, uint32_t guesses, uint32_t k,
                              uint32_t delay_us = 0) {
    std::string path = far_path();
    Run run(config, config.far == 1 ? path.c_str() : nullptr);
    CHECK(run.status == SPECACHE_OK);
    if (delay_us != 0) specache_delay(run.store, 7, delay_us);
    CHECK(run.prefill(0, 500) == SPECACHE_OK);
    CHECK(run.decode(500, steps, guesses, k) == SPECACHE_OK);
    return run.outputs;
}

specache_config in_file(uint32_t slots) {
    specache_config config = small_config();
    config.far = 1;
    config.slots = slots;
    return config;
}

}  // namespace

TEST("a run with far in a file gives the bits of one with far in RAM") {
    std::vector<float> ram = outputs_of(small_config(), 0, 32);
    for (uint32_t slots : {0u, 16u, 32u, 256u, 1024u}) {
        CHECK(same_bits(ram, outputs_of(in_file(slots), 0, 32)));
    }
}

TEST("guesses change no bit with late all") {
    std::vector<float> ram = outputs_of(small_config(), 0, 32);
    for (uint32_t guesses = 1; guesses <= 3; guesses++) {
        CHECK(same_bits(ram, outputs_of(in_file(40), guesses, 32)));
        CHECK(same_bits(ram, outputs_of(small_config(), guesses, 32)));
    }
}

// A row that ends within a vector has a loop of its own for its last numbers.
TEST("guesses and threads change no bit where head_dim is no multiple of 16, in any mode") {
    for (uint32_t dim : {24u, 104u}) {
        for (uint32_t mode : {0u, 2u}) {
            specache_config one = small_config(), other = small_config();
            one.head_dim = other.head_dim = dim;
            one.mode = other.mode = mode;
            other.threads = 2;
            std::vector<float> alone = outputs_of(one, 0, 32);
            for (uint32_t guesses = 1; guesses <= 3; guesses++) {
                CHECK(same_bits(alone, outputs_of(other, guesses, 32)));
            }
        }
    }
}

TEST("random delays of the copy stream change no bit") {
    specache_config file = in_file(40);
    file.threads = 2;
    CHECK(same_bits(outputs_of(small_config(), 0, 32), outputs_of(file, 1, 32, 300)));
}

TEST("the number of threads changes no bit") {
    std::vector<float> one = outputs_of(small_config(), 1, 32);
    for (uint32_t threads : {2u, 3u, 5u}) {
        specache_config config = threads == 2 ? in_file(40) : small_config();
        config.threads = threads;
        CHECK(same_bits(one, outputs_of(config, 1, 32)));
    }
}

TEST("how many KV heads have their logits held at a time changes no bit") {
    for (uint32_t mode : {1u, 2u}) {
        specache_config all = small_config(), one = in_file(40);
        all.mode = one.mode = mode;
        if (mode == 1) all.key_bits = one.key_bits = 1;
        one.logits_bytes = 1;
        one.threads = 2;
        CHECK(same_bits(outputs_of(all, 1, 32), outputs_of(one, 1, 32)));
        one.far = 0;
        one.slots = all.slots = 40;
        Run first(all), second(one);
        for (Run *run : {&first, &second}) {
            CHECK(run->prefill(0, 500) == SPECACHE_OK);
            CHECK(run->decode(500, steps, 1, 32) == SPECACHE_OK);
        }
        CHECK(same_bits(first.outputs, second.outputs));
        for (uint32_t stat : {SPECACHE_STATS_PREFETCHED_ROWS, SPECACHE_STATS_LATE_ROWS,
                              SPECACHE_STATS_REUSED_ROWS, SPECACHE_STATS_FETCHED_BYTES}) {
            CHECK(first.stats()[stat] == second.stats()[stat]);
        }
        CHECK(first.stats()[SPECACHE_STATS_PREFETCHED_ROWS] > 0);
    }
}

TEST("where no bytes of logits are set, each thread has a KV head of a run") {
    specache_config config = small_config();
    config.tokens_max = 1u << 20;  // 16 bytes a token and head: far above 2 MiB a thread
    for (auto [threads, logits_bytes, heads] :
         {std::array{1u, 0u, 1u}, {2u, 0u, 2u}, {3u, 0u, 2u}, {2u, 1u, 1u}}) {
        config.threads = threads;
        config.logits_bytes = logits_bytes;
        specache::Plan plan = specache::make_plan(config, nullptr, nullptr);
        CHECK(plan.logits_room(1, config.tokens_max - 1).heads == heads);
    }
}

TEST("a text that outgrows its room for logits goes on with the same bits, fewer heads at a time") {
    specache_config all = small_config(), some = small_config();
    all.tokens_max = some.tokens_max = 4500;
    some.logits_bytes = 150000;  // 2 inputs of 3 query heads and a value: 32 bytes a token and head
    specache::Plan plan = specache::make_plan(some, nullptr, nullptr);
    for (auto [inputs, length, tokens, heads] :
         {std::array{2u, 500u, 564u, 2u}, {2u, 9u, 284u, 2u}, {2u, 2250u, 2252u, 2u},
          {2u, 2251u, 4500u, 1u}, {1u, 2251u, 2252u, 2u}, {1u, 4499u, 4500u, 2u}}) {
        specache::LogitsRoom room = plan.logits_room(inputs, length);
        CHECK(room.tokens == tokens && room.heads == heads);
    }
    Run first(all), second(some);
    for (Run *run : {&first, &second}) {
        CHECK(run->prefill(0, 2240) == SPECACHE_OK);
        CHECK(run->decode(2240, 24, 1, 32) == SPECACHE_OK);
    }
    CHECK(same_bits(first.outputs, second.outputs));
}

TEST("mode paper in a file under delays gives the bits of RAM") {
    specache_config ram = small_config();
    ram.mode = 1;
    ram.key_bits = ram.value_bits = 1;
    specache_config file = ram;
    file.far = 1;
    CHECK(same_bits(outputs_of(ram, 1, 32), outputs_of(file, 1, 32, 200)));
}

TEST("mode and code rule are apart: each schedule takes both rules and keeps its identities") {
    specache_config ram = small_config();
    ram.key_bits = ram.value_bits = 1;
    std::vector<std::vector<float>> all;
    for (uint32_t mode : {1u, 2u}) {
        for (uint32_t rule : {1u, 2u}) {
            ram.mode = mode;
            ram.rule = rule;
            specache_config file = ram;
            file.far = 1;
            file.slots = 40;
            all.push_back(outputs_of(ram, 1, 32));
            CHECK(same_bits(all.back(), outputs_of(file, 1, 32, 200)));
        }
    }
    ram.rule = 0;  // the mode's own: specache rotated, paper paper
    CHECK(same_bits(all[3], outputs_of(ram, 1, 32)));
    ram.mode = 1;
    CHECK(same_bits(all[0], outputs_of(ram, 1, 32)));
    for (size_t i = 0; i < all.size(); i++) {
        for (size_t j = 0; j < i; j++) CHECK(!same_bits(all[i], all[j]));
    }
}

TEST("how a prompt is cut into runs and chunks changes no bit") {
    const uint32_t chunk_and_cut[][2] = {{64, 1},   {64, 63},   {64, 64},  {64, 65},  {64, 200},
                                         {64, 499}, {128, 63},  {128, 65}, {128, 200}, {512, 1},
                                         {512, 64}, {512, 499}};
    std::vector<float> last;
    uint32_t far = 0;
    for (auto [chunk, cut] : chunk_and_cut) {
        specache_config config = small_config();
        config.chunk_tokens = chunk;
        config.far = far;
        far = 1 - far;
        Run run(config, far_path().c_str());
        CHECK(run.prefill(0, cut) == SPECACHE_OK);
        run.outputs.clear();
        CHECK(run.prefill(cut, 500 - cut) == SPECACHE_OK);
        CHECK(run.decode(500, 20, 0, 32) == SPECACHE_OK);
        CHECK(last.empty() || same_bits(last, run.outputs));
        last = run.outputs;
    }
}

TEST("k at or above the tail makes specache and paper equal full up to the order of sums") {
    specache_config config = small_config();
    config.kv_type = 0;
    config.mode = 0;
    std::vector<float> full = outputs_of(config, 0, 0);
    for (uint32_t mode : {1u, 2u}) {
        config.mode = mode;
        config.k_max = 1024;
        std::vector<float> coded = outputs_of(config, mode == 1 ? 1 : 0, 1024);
        CHECK(full.size() == coded.size());
        double largest = 0;
        size_t first_step =
            mode == 1 ? full.size() - (steps - 40) * 3 * 6 * 64 : 0;  // paper: slots fill first
        for (size_t i = first_step; i < full.size(); i++) {
            largest = std::max(largest, double(std::fabs(full[i] - coded[i])));
        }
        // Outputs are means of values below 2.5; 640 terms of f32 round to about sqrt(640) 2^-24 of
        // that, twice for weights and sums, and exp adds as much: 1e-5 is ten times the sum.
        CHECK_NEAR(largest, 0.0, 1e-5);
    }
}

TEST("a sequence that was cut back goes on as one that never went further") {
    // Cuts in the first page, at a border, in coded pages, in the window, in what was decoded; far
    // in RAM where rows are read in place.
    const uint32_t cut_and_far[][2] = {{1, 1},   {64, 0},  {64, 1},  {130, 1}, {300, 0},
                                       {300, 1}, {499, 1}, {500, 1}, {515, 0}, {515, 1}};
    for (auto [cut, far] : cut_and_far) {
        specache_config config = small_config();
        config.far = far;
        Run plain(config, far_path().c_str()), cut_back(config, far_path().c_str());
        plain.prefill(0, 500);
        cut_back.prefill(0, 500);
        // Tokens from 500 on are decoded in both, so that their rows are equal; 80 steps go over
        // two page borders.
        uint32_t before = cut > 500 ? cut - 500 : 0;
        plain.decode(500, before, 0, 32);
        cut_back.decode(500, 80, 0, 32);
        CHECK(specache_sequence_truncate(cut_back.store, cut_back.sequence, cut) == SPECACHE_OK);
        CHECK(cut_back.stats()[SPECACHE_STATS_TOKENS] == cut);
        if (cut < 500) specache_sequence_truncate(plain.store, plain.sequence, cut);
        plain.outputs.clear();
        cut_back.outputs.clear();
        CHECK(plain.decode(cut, 25, 0, 32) == SPECACHE_OK);
        CHECK(cut_back.decode(cut, 25, 0, 32) == SPECACHE_OK);
        CHECK(same_bits(plain.outputs, cut_back.outputs));
    }
}

TEST("a cut prompt goes on as a shorter prompt") {
    Run plain(small_config()), cut(small_config());
    plain.prefill(0, 333);
    cut.prefill(0, 700);
    CHECK(specache_sequence_truncate(cut.store, cut.sequence, 333) == SPECACHE_OK);
    plain.outputs.clear();
    cut.outputs.clear();
    plain.decode(333, 70, 0, 32);
    cut.decode(333, 70, 0, 32);
    CHECK(same_bits(plain.outputs, cut.outputs));
}

TEST("a fork goes on as its parent would have, and neither disturbs the other") {
    for (uint32_t far = 0; far < 2; far++) {
        specache_config config = small_config();
        config.far = far;
        config.slots = far ? 40 : 0;
        std::string path = far_path();
        Run run(config, path.c_str());
        run.prefill(0, 500);
        run.decode(500, 30, 1, 32);
        uint64_t parent = run.sequence, child = 0;
        CHECK(specache_sequence_fork(run.store, parent, &child) == SPECACHE_OK);
        run.outputs.clear();
        CHECK(run.decode(530, 80, 1, 32) == SPECACHE_OK);
        std::vector<float> parents = run.outputs;
        run.sequence = child;
        run.outputs.clear();
        CHECK(run.decode(530, 80, 1, 32) == SPECACHE_OK);
        CHECK(same_bits(parents, run.outputs));
        CHECK(specache_sequence_close(run.store, parent) == SPECACHE_OK);
        CHECK(run.decode(610, 30, 1, 32) == SPECACHE_OK);
    }
}

TEST("recorded queries are those of the last step's input 0, and none before they are asked for") {
    driver::Run run(driver::small_config());
    const specache_config &config = run.config;
    uint32_t width = config.query_heads * config.head_dim;
    std::vector<float> recorded(config.layers * width);
    run.prefill(0, 100);
    CHECK(specache_recorded(run.store, recorded.data()) == SPECACHE_ARGUMENT);
    CHECK(specache_record(run.store) == SPECACHE_OK);
    run.decode(100, 3, 1, 32);
    CHECK(specache_recorded(run.store, recorded.data()) == SPECACHE_OK);
    for (uint32_t layer = 0; layer < config.layers; layer++) {
        std::vector<float> made = run.make(0, layer, 102, 1, config.query_heads);
        for (uint32_t i = 0; i < width; i++) CHECK(recorded[layer * width + i] == made[i]);
    }
    CHECK(specache_recorded(run.store, nullptr) == SPECACHE_ARGUMENT);
}

// decode_test.cpp - steps in a row give what steps one by one give, and end where they are to end.
#include <chrono>

#include "../random.h"
#include "model.h"
#include "samplings.h"

using namespace specache;
using driver::last_error;
using fixture::TestModel;
using fixture::vocabulary;
using fixture::words_of;

namespace {

constexpr uint32_t prompt = 60, an_hour = 3600000000;  // of microseconds

// A text of 60 tokens, so that a page fills after four steps.
struct Text {
    uint64_t store = 0, sequence = 0;
    Text(const TestModel &model) {
        std::string path = driver::far_path();
        CHECK(specache_store_open(&model.config, reinterpret_cast<const uint8_t *>(path.c_str()),
                                  uint32_t(path.size()), nullptr, nullptr, nullptr, nullptr,
                                  nullptr, &store) == SPECACHE_OK);
        model.open(store);
        std::vector<uint32_t> tokens(prompt);
        for (uint32_t i = 0; i < prompt; i++) tokens[i] = i * 11 % (vocabulary - 1);
        CHECK(specache_sequence_open(store, &sequence) == SPECACHE_OK);
        CHECK(specache_prefill(store, sequence, tokens.data(), prompt, nullptr) == SPECACHE_OK);
    }
    ~Text() { specache_store_close(store); }
    Text(const Text &) = delete;
    specache_step_share share() const {
        return {uint32_t(sequence), uint32_t(sequence >> 32), 1, 1, 32, 1, 0, 2};
    }
    uint32_t length() const {
        uint64_t all[SPECACHE_STATS_COUNT];
        specache_sequence_stats(store, sequence, all);
        return uint32_t(all[SPECACHE_STATS_TOKENS]);
    }
};

// What steps in a row gave.
struct Row {
    std::vector<uint32_t> ids;
    std::vector<float> largest, logits = std::vector<float>(vocabulary, -12345.0f);
    int32_t status;
    bool logits_written() const { return logits[0] != -12345.0f; }
};

Row decode(const Text &text, const specache_sampling &sampling, uint32_t token, uint32_t steps,
           const std::vector<uint32_t> &ends = {}, uint32_t microseconds = an_hour) {
    Row row;
    row.ids.resize(steps);
    row.largest.resize(steps);
    uint32_t made = 12345;
    specache_step_share share = text.share();
    row.status = specache_decode(text.store, &share, &sampling, token, steps, microseconds,
                                 ends.data(), uint32_t(ends.size()), row.ids.data(),
                                 row.largest.data(), row.logits.data(), &made);
    if (row.status == SPECACHE_OK) {
        row.ids.resize(made);
        row.largest.resize(made);
    }
    return row;
}

// The same, step by step.
Row one_by_one(const Text &text, const specache_sampling &sampling, uint32_t token,
               uint32_t steps) {
    Row row;
    for (uint32_t i = 0; i < steps; i++) {
        uint32_t id = 0;
        float largest = 0;
        specache_step_share share = text.share();
        share.logits = 1;
        CHECK(specache_step(text.store, &share, 1, &token, &sampling, &id, &largest,
                            row.logits.data()) == SPECACHE_OK);
        CHECK(specache_keep(text.store, text.sequence, 1) == SPECACHE_OK);
        row.ids.push_back(id);
        row.largest.push_back(largest);
        token = id;
    }
    return row;
}

specache_config config_of(uint32_t mode, uint32_t far) {
    specache_config config = driver::small_config();
    config.mode = mode;
    config.far = far;
    config.slots = mode == 2 && far == 1 ? 40 : 0;
    config.tokens_max = 128;
    config.threads = 2;
    config.kv_type = 1;
    return config;
}

}  // namespace

TEST("steps in a row give the tokens of steps one by one, bit for bit, in every mode") {
    for (auto [mode, far] : {std::pair(0u, 0u), {2u, 0u}, {2u, 1u}}) {
        TestModel model(config_of(mode, far));
        for (double temperature : {0.0, .8}) {
            specache_sampling sampling = words_of({.temperature = temperature, .seed = 7});
            Text alone(model), together(model);
            Row one = one_by_one(alone, sampling, 5, 30);
            std::vector<uint32_t> ids;
            std::vector<float> largest;
            for (uint32_t steps : {1u, 2u, 7u, 20u}) {
                Row row = decode(together, sampling, ids.empty() ? 5 : ids.back(), steps);
                CHECK(row.status == SPECACHE_OK && row.ids.size() == steps);
                CHECK(!row.logits_written());
                ids.insert(ids.end(), row.ids.begin(), row.ids.end());
                largest.insert(largest.end(), row.largest.begin(), row.largest.end());
            }
            CHECK(ids == one.ids && driver::same_bits(largest, one.largest));
            CHECK(together.length() == prompt + 30);
        }
    }
}

TEST("steps in a row end behind a token of ends, and with the first where time has passed") {
    TestModel model(config_of(2, 0));
    specache_sampling sampling = words_of({.temperature = 1.5, .seed = 3});
    Text text(model);
    Row all = decode(text, sampling, 5, 12);
    uint32_t end = all.ids[4];
    size_t first = size_t(std::find(all.ids.begin(), all.ids.end(), end) - all.ids.begin());
    CHECK(specache_sequence_truncate(text.store, text.sequence, prompt) == SPECACHE_OK);
    Row ended = decode(text, sampling, 5, 12, {vocabulary + 9, end});
    CHECK(ended.ids == std::vector<uint32_t>(all.ids.begin(), all.ids.begin() + first + 1));
    CHECK(text.length() == prompt + first + 1);
    CHECK(specache_sequence_truncate(text.store, text.sequence, prompt) == SPECACHE_OK);
    Row timed = decode(text, sampling, 5, 12, {}, 0);
    CHECK(timed.ids == std::vector<uint32_t>(all.ids.begin(), all.ids.begin() + 1));
    CHECK(text.length() == prompt + 1);
}

TEST("steps in a row end before one that would end too late") {
    TestModel model(config_of(2, 0));
    specache_sampling greedy = words_of({});
    Text text(model);
    using Clock = std::chrono::steady_clock;
    Clock::duration least = Clock::duration::max();
    for (uint32_t i = 0; i < 20; i++) {
        Clock::time_point began = Clock::now();
        decode(text, greedy, 5, 1);
        least = std::min(least, Clock::now() - began);
    }
    // Two steps fit into no less than twice the least time of one.
    auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(least * 3 / 2);
    uint32_t most = uint32_t(microseconds.count());
    CHECK(decode(text, greedy, 5, 10, {}, most).ids.size() == 1);
    CHECK(decode(text, greedy, 5, 10, {}, an_hour).ids.size() == 10);
}

TEST("steps in a row end behind an undecided one, which is at work and has its logits") {
    TestModel model(config_of(2, 0));
    Text plain(model), text(model);
    specache_sampling greedy = words_of({});
    Row one = one_by_one(plain, greedy, 5, 3);
    // min_p at the weight of the third step's second token; at so low a temperature the first two
    // steps draw the likeliest.
    double temperature = .05;
    std::vector<float> sorted = one.logits;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    double second = weight_of(sorted[1], sorted[0], temperature);
    specache_sampling sampling =
        words_of({.temperature = temperature, .min_p = second, .seed = 3});
    Row row = decode(text, sampling, 5, 10);
    CHECK(row.status == SPECACHE_OK && row.ids.size() == 3);
    CHECK(row.ids[0] == one.ids[0] && row.ids[1] == one.ids[1]);
    CHECK(row.ids.back() == SPECACHE_UNDECIDED);
    CHECK(driver::same_bits(row.logits, one.logits));
    CHECK(text.length() == prompt + 2);
    CHECK(specache_keep(text.store, text.sequence, 1) == SPECACHE_OK);
    CHECK(text.length() == prompt + 3);
}

TEST("a step that is refused ends the row before it, or the call where it is the first") {
    TestModel model(config_of(2, 0));
    specache_sampling greedy = words_of({});
    Text text(model);
    Row row = decode(text, greedy, 5, 1000);  // 128 tokens at most
    CHECK(row.status == SPECACHE_OK && row.ids.size() == 128 - prompt);
    CHECK(text.length() == 128);
    CHECK(decode(text, greedy, 5, 3).status == SPECACHE_CAPACITY);
    CHECK(last_error() == "the sequence would hold 129 tokens, tokens_max is 128");
    CHECK(specache_sequence_truncate(text.store, text.sequence, 100) == SPECACHE_OK);
    CHECK(decode(text, greedy, fixture::spoilt_token, 3).status == SPECACHE_DATA);
    CHECK(text.length() == 100);
    CHECK(decode(text, greedy, 5, 3).ids.size() == 3);
}

TEST("a row of steps is refused by name, value and limit") {
    TestModel model(config_of(2, 0));
    specache_sampling greedy = words_of({});
    Text text(model);
    uint32_t id = 0, made = 0;
    float largest = 0, logits[vocabulary];
    auto refused = [&](auto change, uint32_t steps, const std::string &sentence) {
        specache_step_share share = text.share();
        change(share);
        CHECK(specache_decode(text.store, &share, &greedy, 5, steps, 0, nullptr, 0, &id, &largest,
                              logits, &made) == SPECACHE_ARGUMENT);
        CHECK(last_error() == sentence);
    };
    refused([](auto &) {}, 0, "steps 0 are below 1");
    refused([](auto &share) { share.inputs = 2; }, 1,
            "inputs 2, trusted 1 of steps in a row are not 1");
    refused([](auto &share) { share.trusted = 0; }, 1,
            "inputs 1, trusted 0 of steps in a row are not 1");
    refused([](auto &share) { share.logits = 3; }, 1, "logits 3 is above 2");
    refused([](auto &share) { share.k = 33; }, 1, "k 33 is above k_max 32");
    specache_step_share share = text.share();
    CHECK(specache_decode(text.store, &share, &greedy, 5, 1, 0, nullptr, 1, &id, &largest, logits,
                          &made) == SPECACHE_ARGUMENT);
    CHECK(last_error() == "ends is null");
    CHECK(decode(text, greedy, vocabulary, 2).status == SPECACHE_ARGUMENT);
    CHECK(decode(text, greedy, 5, 2).ids.size() == 2);
}

// steps_test.cpp - a step of several sequences: the bits of each are those that it has alone, and
// where the step is refused or fails, none of them has changed.
#include <bit>

#include "model.h"

using driver::far_path;
using driver::last_error;
using driver::noise;
using driver::small_config;
using fixture::spoilt_token;
using fixture::TestModel;
using fixture::vocabulary;

namespace {

struct Text {
    uint32_t prompt, inputs, trusted;  // tokens; of each step
    bool logits = true;
};

// What a step says of a sequence.
struct Said {
    std::vector<uint32_t> ids;
    std::vector<float> largest, logits;
    bool operator==(const Said &other) const {
        return ids == other.ids && driver::same_bits(largest, other.largest) &&
               driver::same_bits(logits, other.logits);
    }
    Said of_first(uint32_t inputs) const {
        uint64_t floats = std::min<uint64_t>(logits.size(), inputs * vocabulary);
        return {{ids.begin(), ids.begin() + inputs},
                {largest.begin(), largest.begin() + inputs},
                {logits.begin(), logits.begin() + int64_t(floats)}};
    }
};

uint32_t token_of(uint32_t text, uint32_t position) {  // never the spoilt one
    return uint32_t((noise(5, text, position) + 1) / 2 * (vocabulary - 2));
}

// A store with a model and texts; each test has two, which are to stay alike.
struct Texts {
    uint64_t store = 0;
    std::vector<Text> texts;
    std::vector<uint64_t> sequences;
    std::vector<uint32_t> lengths;
    uint32_t late;

    Texts(const TestModel &model, const std::vector<Text> &texts_in)
        : texts(texts_in), late(model.config.mode == 1 ? 0 : 1) {
        std::string path = far_path();
        CHECK(specache_store_open(&model.config, reinterpret_cast<const uint8_t *>(path.c_str()),
                                  uint32_t(path.size()), nullptr, nullptr, nullptr, nullptr,
                                  nullptr, &store) == SPECACHE_OK);
        model.open(store);
        for (uint32_t text = 0; text < texts.size(); text++) {
            sequences.push_back(0);
            lengths.push_back(texts[text].prompt);
            CHECK(specache_sequence_open(store, &sequences[text]) == SPECACHE_OK);
            if (lengths[text] == 0) continue;
            std::vector<uint32_t> tokens(lengths[text]);
            for (uint32_t i = 0; i < tokens.size(); i++) tokens[i] = token_of(text, i);
            CHECK(specache_prefill(store, sequences[text], tokens.data(), lengths[text],
                                   nullptr) == SPECACHE_OK);
        }
    }
    ~Texts() { specache_store_close(store); }
    Texts(const Texts &) = delete;

    specache_step_share share(uint32_t text) const {
        const Text &of = texts[text];
        return {uint32_t(sequences[text]), uint32_t(sequences[text] >> 32),
                of.inputs,                 of.trusted,
                small_config().k_max,      late,
                0,                         of.logits ? 1u : 0u};
    }
    std::vector<uint32_t> inputs(uint32_t text) const {
        std::vector<uint32_t> tokens;
        for (uint32_t i = 0; i < texts[text].inputs; i++) {
            tokens.push_back(token_of(text, lengths[text] + i));
        }
        return tokens;
    }
    // One step of the texts in `which`; said has one entry of each.
    int32_t step(const std::vector<uint32_t> &which, std::vector<Said> &said) const {
        std::vector<specache_step_share> shares;
        std::vector<uint32_t> tokens;
        uint32_t logits_rows = 0;
        for (uint32_t text : which) {
            shares.push_back(share(text));
            for (uint32_t token : inputs(text)) tokens.push_back(token);
            logits_rows += texts[text].logits ? texts[text].inputs : 0;
        }
        std::vector<uint32_t> ids(tokens.size());
        std::vector<float> largest(tokens.size()), logits(logits_rows * vocabulary);
        int32_t status = specache_step(store, shares.data(), uint32_t(shares.size()),
                                       tokens.data(), nullptr, ids.data(), largest.data(),
                                       logits_rows == 0 ? nullptr : logits.data());
        uint32_t row = 0, logits_row = 0;
        for (uint32_t text : which) {
            uint32_t count = texts[text].inputs, floats = texts[text].logits ? count : 0;
            Said one{{ids.begin() + row, ids.begin() + row + count},
                     {largest.begin() + row, largest.begin() + row + count},
                     {logits.begin() + logits_row * vocabulary,
                      logits.begin() + (logits_row + floats) * vocabulary}};
            said.push_back(one);
            row += count;
            logits_row += floats;
        }
        return status;
    }
    void keep(uint32_t text, uint32_t count) {
        CHECK(specache_keep(store, sequences[text], count) == SPECACHE_OK);
        lengths[text] += count;
    }
    std::vector<uint64_t> stats(uint32_t text) const {
        std::vector<uint64_t> all(SPECACHE_STATS_COUNT);
        specache_sequence_stats(store, sequences[text], all.data());
        return {all[SPECACHE_STATS_TOKENS],    all[SPECACHE_STATS_PREFETCHED_ROWS],
                all[SPECACHE_STATS_LATE_ROWS], all[SPECACHE_STATS_REUSED_ROWS],
                all[SPECACHE_STATS_FETCHED_BYTES]};
    }
};

std::vector<uint32_t> all_of(const Texts &texts) {
    std::vector<uint32_t> which(texts.texts.size());
    for (uint32_t i = 0; i < which.size(); i++) which[i] = i;
    return which;
}

// Which inputs of two texts are to be alike: where one has had a step that was dropped, its slots
// and counters tell of it, and guesses that may not be kept see what slots hold.
enum class Alike { all, trusted };

// Steps each text of `alone` by itself and those of `together` at once, and keeps what a text may.
void check_alike(Texts &alone, Texts &together, uint32_t steps, Alike alike) {
    std::vector<uint32_t> which = all_of(alone);
    for (uint32_t step = 0; step < steps; step++) {
        std::vector<Said> one, all;
        for (uint32_t text : which) CHECK(alone.step({text}, one) == SPECACHE_OK);
        std::reverse(which.begin(), which.end());  // nor does it matter in which order they stand
        CHECK(together.step(which, all) == SPECACHE_OK);
        std::reverse(which.begin(), which.end());
        std::reverse(all.begin(), all.end());
        for (uint32_t text : which) {
            const Text &of = alone.texts[text];
            uint32_t inputs = alike == Alike::all ? of.inputs : of.trusted;
            CHECK(one[text].of_first(inputs) == all[text].of_first(inputs));
            uint32_t count = std::min(of.trusted, 1 + step % 4);
            alone.keep(text, count);
            together.keep(text, count);
            CHECK(alone.lengths[text] == together.stats(text)[0]);
            CHECK(alike != Alike::all || alone.stats(text) == together.stats(text));
        }
    }
}

// In the first page, at and around a page's end, behind coded pages; all numbers of inputs. Steps
// go over page borders at 64, 256, 448.
const std::vector<Text> mixed = {{1, 1, 1},     {63, 4, 4},        {62, 2, 1}, {64, 1, 1, false},
                                 {255, 3, 2},   {300, 4, 1, false}, {447, 1, 1}, {130, 2, 0}};

specache_config config_of(uint32_t mode, uint32_t far, uint32_t threads) {
    specache_config config = small_config();
    config.mode = mode;
    config.far = mode == 0 ? 0 : far;
    config.slots = mode == 2 && far == 1 ? 40 : 0;
    config.threads = threads;
    config.sequences_max = 20;
    config.tokens_max = 512;
    config.kv_type = 1;
    return config;
}

}  // namespace

TEST("sequences that are stepped together have the bits that each has alone, in every mode") {
    for (uint32_t mode : {0u, 1u, 2u}) {
        for (uint32_t far : {0u, 1u}) {
            if (mode == 0 && far == 1) continue;
            TestModel model(config_of(mode, far, 1 + far));
            std::vector<Text> texts = mixed;
            for (Text &text : texts) {
                if (mode != 1) continue;  // one guess, and only the true token is trusted
                text.trusted = std::min(text.trusted, 1u);
                text.inputs = std::min(text.inputs, 1 + text.trusted);
            }
            Texts alone(model, texts), together(model, texts);
            check_alike(alone, together, 5, Alike::all);
        }
    }
}

TEST("more rows than logits are there at a time: each is told its own") {
    TestModel model(config_of(2, 0, 2));
    std::vector<Text> texts;  // 70 rows; the 64th and 65th are one sequence's
    for (uint32_t i = 0; i < 20; i++) texts.push_back({5 + i, 3 + i % 2, 1, i % 3 != 0});
    Texts alone(model, texts), together(model, texts);
    check_alike(alone, together, 2, Alike::all);
}

TEST("a step of several sequences is refused by name, value and limit, and none has changed") {
    TestModel model(config_of(2, 0, 1));
    Texts plain(model, mixed), run(model, mixed);
    std::vector<uint32_t> ids(100), tokens(100);
    std::vector<float> largest(100), logits(100 * vocabulary);
    auto refused = [&](const std::vector<specache_step_share> &shares, const std::string &text,
                       int32_t expected = SPECACHE_ARGUMENT) {
        CHECK(specache_step(run.store, shares.data(), uint32_t(shares.size()), tokens.data(),
                            nullptr, ids.data(), largest.data(), logits.data()) == expected);
        CHECK(last_error() == text);
        if (last_error() != text) std::printf("%s\n", last_error().c_str());
    };
    auto changed = [&](auto change) {
        std::vector<specache_step_share> shares{run.share(1), run.share(4), run.share(5)};
        change(shares);
        return shares;
    };
    std::string name = "sequence " + std::to_string(run.sequences[4]) + ": ";
    specache_step_share any = run.share(0);
    refused({}, "sequences 0 of a step are below 1");
    CHECK(specache_step(run.store, nullptr, 1, tokens.data(), nullptr, ids.data(),
                        largest.data(), nullptr) == SPECACHE_ARGUMENT);
    CHECK(last_error() == "shares is null");
    auto without = [&](const uint32_t *read, uint32_t *written, float *most, const char *text) {
        CHECK(specache_step(run.store, &any, 1, read, nullptr, written, most, logits.data()) ==
              SPECACHE_ARGUMENT);
        CHECK(last_error() == text);
    };
    without(nullptr, ids.data(), largest.data(), "tokens is null");
    without(tokens.data(), nullptr, largest.data(), "ids is null");
    without(tokens.data(), ids.data(), nullptr, "largest is null");
    refused(std::vector<specache_step_share>(21, any),
            "sequences 21 of a step are above sequences_max 20");
    refused(changed([&](auto &all) { all[2] = all[0]; }),
            "sequence " + std::to_string(run.sequences[1]) + " is given twice, at 0 and 2");
    refused(changed([](auto &all) { all[1].sequence_low = 999; }), "sequence 999 is not open",
            SPECACHE_HANDLE);
    refused(changed([](auto &all) { all[1].inputs = 5; }), name + "inputs 5 is outside 1..4");
    refused(changed([](auto &all) { all[1].inputs = 0; }), name + "inputs 0 is outside 1..4");
    refused(changed([](auto &all) { all[1].trusted = 4; }), name + "trusted 4 is above inputs 3");
    refused(changed([](auto &all) { all[1].k = 33; }), name + "k 33 is above k_max 32");
    refused(changed([](auto &all) { all[1].late = 3; }), name + "late 3 is above 2");
    refused(changed([](auto &all) { all[1].logits = 3; }), name + "logits 3 is above 2");
    tokens[5] = vocabulary;
    refused(changed([](auto &) {}),
            name + "token 70 at 1 is not below the vocabulary's 70");
    tokens[5] = 0;
    CHECK(specache_step(run.store, &any, 1, tokens.data(), nullptr, ids.data(), largest.data(),
                        nullptr) == SPECACHE_ARGUMENT);
    CHECK(last_error() == "logits is null");
    std::vector<Said> said;
    CHECK(run.step({4}, said) == SPECACHE_OK);
    refused(changed([](auto &) {}), name + "a step of 3 inputs has had 3 of 3 layers: end it "
                                           "first, keep 0 drops it");
    CHECK(specache_keep(run.store, run.sequences[4], 0) == SPECACHE_OK);
    check_alike(plain, run, 3, Alike::trusted);
}

TEST("what one of a sequence's tokens fails by ends the step of all, and none has changed") {
    for (uint32_t mode : {0u, 2u}) {
        TestModel model(config_of(mode, 1, 2));
        Texts plain(model, mixed), run(model, mixed);
        std::vector<specache_step_share> shares{run.share(1), run.share(4), run.share(5)};
        std::vector<uint32_t> ids(11), tokens(11);  // 4, 3 and 4 inputs
        std::vector<float> largest(11), logits(11 * vocabulary);
        auto step = [&] {
            return specache_step(run.store, shares.data(), 3, tokens.data(), nullptr, ids.data(),
                                 largest.data(), logits.data());
        };
        tokens[5] = spoilt_token;
        CHECK(step() == SPECACHE_DATA);
        CHECK(last_error() == "sequence " + std::to_string(run.sequences[4]) +
                                  ": the key or value of token 256, layer 0, KV head 0 is not "
                                  "finite");
        tokens[5] = 0;
        CHECK(specache_cancel(run.store) == SPECACHE_OK);
        CHECK(step() == SPECACHE_CANCELLED);
        for (uint64_t sequence : run.sequences) {
            CHECK(specache_keep(run.store, sequence, 0) == SPECACHE_ARGUMENT);
            CHECK(last_error() == "no step is at work");
        }
        std::vector<uint64_t> held = run.stats(4);
        CHECK(held[0] == 255);
        check_alike(plain, run, 3, Alike::trusted);
    }
}

// draw_test.cpp - tokens drawn by every kernel table beside the plain reference, and by steps.
#include <map>
#include <random>

#include "../random.h"
#include "../reference/reference.h"
#include "model.h"
#include "samplings.h"
#include "tables.h"

using namespace specache;
using fixture::TestModel;
using fixture::words_of;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

struct Logits {
    std::vector<float> all;  // [vocabulary]
    Likeliest likeliest{no_token, -infinity};
    explicit Logits(std::vector<float> all_in) : all(std::move(all_in)) {
        for (uint32_t id = 0; id < all.size(); id++) {
            if (all[id] > likeliest.logit) likeliest = {id, all[id]};
        }
    }
    uint32_t drawn(const Kernels &kernels, const Sampling &sampling, uint64_t position) const {
        uint32_t id = 12345;
        kernels.draw({all.data(), uint32_t(all.size()), likeliest, &sampling,
                      word_of(sampling.seed, position), &id});
        return id;
    }
};

// Normal numbers, rounded to multiples of `step` (0: not), some hidden by -infinity or a NaN.
Logits random_logits(uint32_t vocabulary, float deviation, float step, std::mt19937 &random) {
    std::normal_distribution<float> normal(0, deviation);
    std::vector<float> all(vocabulary);
    for (float &x : all) {
        x = normal(random);
        if (step != 0) x = std::round(x / step) * step;
        uint32_t odds = random() % 64;
        if (odds < 2) x = odds == 0 ? -infinity : std::numeric_limits<float>::quiet_NaN();
    }
    all[random() % vocabulary] = 2 * deviation;  // one is finite
    return Logits(all);
}

const Sampling limits[] = {
    {.top_p = 1},       {.top_k = 1},   {.top_k = 2},      {.top_k = 40},
    {.top_k = 100000},  {.top_p = .9},  {.top_p = .3},     {.top_p = 1e-9},
    {.top_p = .9999},   {.min_p = .05}, {.min_p = 1},      {.min_p = 1e-12},
    {.top_p = .95, .top_k = 20},        {.top_p = .8, .min_p = .1, .top_k = 50},
    {.top_p = .9, .min_p = .05},        {.top_p = 0}, {.top_p = 0, .top_k = 3}};

// Exponential number of a token: its arrival at weight 1.
double exponential_of(uint32_t id, uint64_t word) {
    Race race;
    race.run(id, 1, word);
    return race.first;
}

}  // namespace

TEST("every table draws what the reference draws, or leaves what hangs on roundings undecided") {
    std::mt19937 random(3);
    uint32_t draws = 0, undecided = 0;
    for (uint32_t vocabulary : {1u, 2u, 15u, 16u, 17u, 255u, 256u, 257u, 1000u, 5003u}) {
        for (float step : {0.0f, .25f}) {
            for (double temperature : {5e-324, 1e-300, 1e-3, .1, .8, 1.0, 2.5, 100.0}) {
                Logits logits = random_logits(vocabulary, 3, step, random);
                for (Sampling sampling : limits) {
                    sampling.temperature = temperature;
                    sampling.seed = random();
                    uint64_t position = random() % 100000;
                    uint32_t wanted = logits.drawn(reference_kernels, sampling, position);
                    for (const Kernels *kernels : fast_tables()) {
                        uint32_t got = logits.drawn(*kernels, sampling, position);
                        draws++;
                        undecided += got == undecided_token;
                        CHECK(got == wanted || got == undecided_token);
                    }
                }
            }
        }
    }
    CHECK(undecided * 100 < draws);  // of equal logits top-p may end exactly at its limit
}

TEST("of the vocabulary of a model every table draws what the reference draws") {
    std::mt19937 random(4);
    Logits logits = random_logits(49152 + 7, 2.5, 0, random);
    for (Sampling sampling : limits) {
        for (double temperature : {.3, .8}) {
            sampling.temperature = temperature;
            for (uint64_t position = 0; position < 6; position++) {
                uint32_t wanted = logits.drawn(reference_kernels, sampling, position);
                for (const Kernels *kernels : fast_tables()) {
                    uint32_t got = logits.drawn(*kernels, sampling, position);
                    CHECK(got == wanted || got == undecided_token);
                }
            }
        }
    }
}

TEST("tokens are drawn as often as they are probable, to five deviations") {
    const std::vector<float> all{0, -1, .5, -infinity, -3, .5, 0};
    constexpr uint32_t draws = 20000;
    Logits logits(all);
    for (const Kernels *kernels : kernel_tables()) {
        for (double temperature : {.5, 1.0, 2.0}) {
            std::map<uint32_t, uint32_t> counts;
            Sampling sampling{.temperature = temperature, .seed = 77};
            for (uint32_t i = 0; i < draws; i++) counts[logits.drawn(*kernels, sampling, i)]++;
            double sum = 0;
            for (float x : all) sum += std::exp(double(x) / temperature);
            for (uint32_t id = 0; id < all.size(); id++) {
                double p = std::exp(double(all[id]) / temperature) / sum;
                double deviation = std::sqrt(draws * p * (1 - p));
                CHECK(std::abs(counts[id] - draws * p) <= 5 * deviation);
            }
        }
    }
}

TEST("a race is decided just beside a tie, and not within it") {
    Logits logits({0, -1});
    Sampling sampling{.seed = 5};
    uint32_t ties = 0;
    for (uint64_t position = 0; position < 50; position++) {
        uint64_t word = word_of(sampling.seed, position);
        // The second arrives at E_1 e^(1/T): at E_0 where T = 1 / ln(E_0 / E_1).
        double ratio = exponential_of(0, word) / exponential_of(1, word);
        if (ratio <= 1.01) continue;
        double tie = 1 / std::log(ratio);
        ties++;
        for (const Kernels *kernels : kernel_tables()) {
            auto at = [&](double temperature) {
                sampling.temperature = temperature;
                return logits.drawn(*kernels, sampling, position);
            };
            CHECK(at(tie) == undecided_token);
            CHECK(at(tie * (1 - 1e-7)) == 0);
            CHECK(at(tie * (1 + 1e-7)) == 1);
        }
    }
    CHECK(ties > 10);
}

TEST("limits are kept just beside where they change, and not decided at it") {
    Logits logits({1, 1, 1, 1, -infinity});  // shares of a quarter
    Logits two({0, -1});                     // the second has e^-1 of the first's weight
    for (const Kernels *kernels : kernel_tables()) {
        auto ids = [&](const Logits &of, const Sampling &sampling) {
            std::map<uint32_t, uint32_t> counts;
            for (uint32_t i = 0; i < 200; i++) counts[of.drawn(*kernels, sampling, i)]++;
            std::vector<uint32_t> all;
            for (auto [id, count] : counts) all.push_back(id);
            return all;
        };
        using Ids = std::vector<uint32_t>;
        CHECK(ids(logits, {.temperature = 1, .top_p = .499}) == Ids({0, 1}));
        CHECK(ids(logits, {.temperature = 1, .top_p = .5}) == Ids({undecided_token}));
        CHECK(ids(logits, {.temperature = 1, .top_p = .501}) == Ids({0, 1, 2}));
        CHECK(ids(logits, {.temperature = 1, .top_k = 3}) == Ids({0, 1, 2}));
        CHECK(ids(logits, {.temperature = 1, .top_k = 4}) == Ids({0, 1, 2, 3}));
        CHECK(ids(logits, {.temperature = 1, .min_p = 1}) == Ids({0, 1, 2, 3}));
        double second = std::exp(-1.0);
        CHECK(ids(two, {.temperature = 1, .min_p = second * (1 - 1e-9)}) == Ids({0, 1}));
        CHECK(ids(two, {.temperature = 1, .min_p = second}) == Ids({undecided_token}));
        CHECK(ids(two, {.temperature = 1, .min_p = second * (1 + 1e-9)}) == Ids({0}));
    }
}

TEST("top-p is decided 1e-10 beside each token's end, and not at it") {
    std::mt19937 random(8);
    for (uint32_t round = 0; round < 20; round++) {
        Logits logits = random_logits(40, 2, 0, random);
        const double temperature = .7;
        std::vector<double> weights;
        for (float x : logits.all) {
            if (x > -infinity) weights.push_back(weight_of(x, logits.likeliest.logit, temperature));
        }
        std::sort(weights.begin(), weights.end(), std::greater<>());
        double sum = 0, reached = 0;
        for (double weight : weights) sum += weight;
        for (uint32_t i = 0; i < 12; i++) {
            reached += weights[i];
            for (const Kernels *kernels : kernel_tables()) {
                // How many tokens remain shows in who is drawn.
                auto at = [&](double top_p, uint64_t position) {
                    Sampling sampling{.temperature = temperature, .top_p = top_p, .seed = round};
                    return logits.drawn(*kernels, sampling, position);
                };
                auto by_count = [&](uint32_t count, uint64_t position) {
                    Sampling sampling{.temperature = temperature, .top_k = count, .seed = round};
                    return logits.drawn(*kernels, sampling, position);
                };
                for (uint64_t position = 0; position < 6; position++) {
                    CHECK(at(reached / sum, position) == undecided_token);
                    CHECK(at(reached / sum * (1 - 1e-10), position) == by_count(i + 1, position));
                    CHECK(at(reached / sum * (1 + 1e-10), position) == by_count(i + 2, position));
                }
            }
        }
    }
}

TEST("of equal tokens those with the lowest ids remain, however many they are") {
    Logits logits(std::vector<float>(9001, 1.0f));
    const Sampling limited[] = {{.temperature = 1},
                                {.temperature = 1, .top_p = .99999},
                                {.temperature = 1, .top_k = 8999},
                                {.temperature = 1, .min_p = 1}};
    for (const Kernels *kernels : fast_tables()) {
        for (const Sampling &sampling : limited) {
            for (uint64_t position = 0; position < 20; position++) {
                CHECK(logits.drawn(*kernels, sampling, position) ==
                      logits.drawn(reference_kernels, sampling, position));
            }
        }
    }
}

namespace {

// Two texts of 70 and 3 tokens.
struct Drawing {
    TestModel model;
    uint64_t store = 0, sequences[2] = {};
    explicit Drawing(const specache_config &config) : model(config) {
        std::string path = driver::far_path();
        CHECK(specache_store_open(&config, reinterpret_cast<const uint8_t *>(path.c_str()),
                                  uint32_t(path.size()), nullptr, nullptr, nullptr, nullptr,
                                  nullptr, &store) == SPECACHE_OK);
        model.open(store);
        for (uint32_t text = 0; text < 2; text++) {
            std::vector<uint32_t> tokens(text == 0 ? 70 : 3);
            for (uint32_t i = 0; i < tokens.size(); i++) tokens[i] = (i * 7 + text) % 60;
            CHECK(specache_sequence_open(store, &sequences[text]) == SPECACHE_OK);
            CHECK(specache_prefill(store, sequences[text], tokens.data(), uint32_t(tokens.size()),
                                   nullptr) == SPECACHE_OK);
        }
    }
    ~Drawing() { specache_store_close(store); }
    Drawing(const Drawing &) = delete;
    specache_step_share share(uint32_t text, uint32_t inputs, uint32_t logits) const {
        return {uint32_t(sequences[text]), uint32_t(sequences[text] >> 32), inputs, 1, 32, 1, 0,
                logits};
    }
};

specache_config drawing_config() {
    specache_config config = driver::small_config();
    config.sequences_max = 2;
    config.threads = 2;
    return config;
}

constexpr float untouched = 12345;

}  // namespace

TEST("a step draws for each input what its logits give at the position behind it") {
    Drawing with(drawing_config());
    const uint32_t tokens[] = {1, 2, 3, 4, 5}, lengths[] = {70, 3}, inputs[] = {3, 2};
    uint32_t ids[5], first_ids[5];
    float largest[5];
    std::vector<float> logits(5 * fixture::vocabulary);
    for (const Sampling &limited : limits) {
        Sampling one = limited, none;
        one.temperature = 1.3;
        one.seed = 1ull << 52 | 9;
        specache_sampling samplings[] = {words_of(one), words_of(none)};
        for (uint32_t asked : {1u, 2u}) {
            specache_step_share shares[] = {with.share(0, 3, asked), with.share(1, 2, 1)};
            std::fill(logits.begin(), logits.end(), untouched);
            CHECK(specache_step(with.store, shares, 2, tokens, samplings, ids, largest,
                                logits.data()) == SPECACHE_OK);
            for (uint64_t sequence : with.sequences) {
                CHECK(specache_keep(with.store, sequence, 0) == SPECACHE_OK);
            }
            if (asked == 1) std::copy(ids, ids + 5, first_ids);
            for (uint32_t row = 0; row < 5; row++) {
                uint32_t text = row < inputs[0] ? 0 : 1, input = row - text * inputs[0];
                const float *of = logits.data() + row * fixture::vocabulary;
                bool written = *of != untouched;
                CHECK(written == (asked == 1 || text == 1 || ids[row] == SPECACHE_UNDECIDED));
                CHECK(ids[row] == first_ids[row]);
                if (!written) continue;
                uint32_t id = 0;
                CHECK(specache_sample(&samplings[text], of, fixture::vocabulary,
                                      lengths[text] + 1 + input, 0, &id) == SPECACHE_OK);
                CHECK(ids[row] == id);
            }
        }
    }
}

TEST("an undecided token's logits are there, and only they") {
    Drawing with(drawing_config());
    specache_step_share share = with.share(0, 2, 1);
    const uint32_t tokens[] = {1, 2};
    uint32_t ids[2];
    float largest[2];
    std::vector<float> all(2 * fixture::vocabulary), some(all.size(), untouched);
    auto step = [&](const specache_sampling *sampling, std::vector<float> &logits) {
        CHECK(specache_step(with.store, &share, 1, tokens, sampling, ids, largest,
                            logits.data()) == SPECACHE_OK);
        CHECK(specache_keep(with.store, with.sequences[0], 0) == SPECACHE_OK);
    };
    step(nullptr, all);
    // min_p at the weight of the first input's second token: it is undecided.
    std::vector<float> sorted(all.begin(), all.begin() + fixture::vocabulary);
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    Sampling sampling{.temperature = 1, .min_p = weight_of(sorted[1], sorted[0], 1)};
    specache_sampling words = words_of(sampling);
    share.logits = 2;
    step(&words, some);
    CHECK(ids[0] == SPECACHE_UNDECIDED && ids[1] < fixture::vocabulary);
    CHECK(std::equal(some.begin(), some.begin() + fixture::vocabulary, all.begin()));
    for (uint32_t i = fixture::vocabulary; i < some.size(); i++) CHECK(some[i] == untouched);
}

TEST("samplings out of their ranges are refused, and nothing is at work") {
    Drawing with(drawing_config());
    const uint32_t token = 1;
    uint32_t id;
    float largest;
    std::vector<float> logits(fixture::vocabulary);
    auto refused = [&](const Sampling &sampling, uint32_t asked, const std::string &text) {
        specache_sampling words = words_of(sampling);
        specache_step_share share = with.share(0, 1, asked);
        CHECK(specache_step(with.store, &share, 1, &token, &words, &id, &largest,
                            logits.data()) == SPECACHE_ARGUMENT);
        CHECK(driver::last_error() == text);
        if (asked == 0) return;
        CHECK(specache_sample(&words, logits.data(), fixture::vocabulary, 0, 0, &id) ==
              SPECACHE_ARGUMENT);
        CHECK(driver::last_error() == text);
    };
    refused({.temperature = 1}, 0, "logits 0 of a temperature above 0");
    refused({.temperature = -.5}, 2, "temperature -0.5 is not a finite number from 0 on");
    refused({.temperature = INFINITY}, 2, "temperature inf is not a finite number from 0 on");
    refused({.temperature = 1, .top_p = -.5}, 2, "top_p -0.5 is outside 0..1");
    refused({.temperature = 1, .top_p = 1.5}, 2, "top_p 1.5 is outside 0..1");
    refused({.temperature = 1, .min_p = -1}, 2, "min_p -1 is outside 0..1");
    refused({.temperature = 1, .min_p = 1.5}, 2, "min_p 1.5 is outside 0..1");
    specache_sampling fine = words_of({.temperature = 1});
    CHECK(specache_sample(&fine, logits.data(), fixture::vocabulary, 0, 7, &id) ==
          SPECACHE_ARGUMENT);
    CHECK(driver::last_error() == "isa 7 is above 6");
    logits[3] = INFINITY;
    CHECK(specache_sample(&fine, logits.data(), fixture::vocabulary, 0, 0, &id) == SPECACHE_DATA);
    CHECK(driver::last_error() == "the largest logit inf is not finite");
    CHECK(specache_sample(&fine, nullptr, 1, 0, 0, &id) == SPECACHE_ARGUMENT);
    CHECK(driver::last_error() == "logits is null");
    specache_step_share share = with.share(0, 1, 2);
    CHECK(specache_step(with.store, &share, 1, &token, &fine, &id, &largest, logits.data()) ==
          SPECACHE_OK);
}

// slots_test.cpp - how many rows are late, with a guess that is always right: its query is that of
// the next step.
//   queries   a first-order random walk of unit variance: neighbours choose mostly the same tokens
//   keys      independent noise; values the same noise, which choices do not look at
#include <cmath>
#include <cstdio>

#include "driver.h"
#include "test.h"

namespace {

constexpr uint32_t prompt = 4096, steps = 48, k = 256;
// Correlation of neighbouring queries: about a quarter of the 256 chosen tokens change in a step.
constexpr float memory = 0.92f;

specache_config walk_config(uint32_t variant) {
    specache_config config = driver::small_config();
    config.layers = 1;
    config.kv_heads = 1;
    config.query_heads = 1;
    config.far = 1;
    config.k_max = k;
    config.slots = k;
    config.tokens_max = prompt + 256;
    config.variant = variant;
    return config;
}

// [positions][head_dim]
std::vector<float> walk(uint32_t positions, uint32_t dim) {
    std::vector<float> queries(uint64_t(positions) * dim);
    float fresh = std::sqrt(1 - memory * memory);
    for (uint32_t t = 0; t < positions; t++) {
        for (uint32_t i = 0; i < dim; i++) {
            float before = t == 0 ? 0 : queries[uint64_t(t - 1) * dim + i];
            queries[uint64_t(t) * dim + i] =
                memory * before + (t == 0 ? 1 : fresh) * 2 * driver::noise(5, t, i);
        }
    }
    return queries;
}

// Late rows of a step and head, on average, once slots are warm.
double late_rows(uint32_t variant, uint32_t guesses) {
    driver::Run run(walk_config(variant), driver::far_path().c_str());
    const specache_config &config = run.config;
    uint32_t dim = config.head_dim, positions = steps + 2;
    std::vector<float> queries = walk(positions, dim);
    auto keys = [&](uint32_t first, uint32_t tokens) {
        std::vector<float> x(uint64_t(tokens) * dim);
        for (uint32_t t = 0; t < tokens; t++) {
            for (uint32_t i = 0; i < dim; i++) x[t * dim + i] = driver::noise(6, first + t, i);
        }
        return x;
    };
    std::vector<float> before = keys(0, prompt), out(dim * 2);
    CHECK(specache_append(run.store, run.sequence, 0, prompt, nullptr, before.data(),
                            before.data(), nullptr) == SPECACHE_OK);
    uint64_t warm = 0;
    constexpr uint32_t cold_steps = 8;
    for (uint32_t t = 0; t < steps; t++) {
        specache_options options{k, 1, 0};
        std::vector<float> rows = keys(prompt + t, 1 + guesses);
        CHECK(specache_begin(run.store, run.sequence, 1 + guesses, 1, &options) == SPECACHE_OK);
        CHECK(specache_attend(run.store, run.sequence, 0, &queries[uint64_t(t) * dim],
                                rows.data(), rows.data(), out.data()) == SPECACHE_OK);
        CHECK(specache_keep(run.store, run.sequence, 1) == SPECACHE_OK);
        if (t + 1 == cold_steps) warm = run.stats()[SPECACHE_STATS_LATE_ROWS];
    }
    return double(run.stats()[SPECACHE_STATS_LATE_ROWS] - warm) / (steps - cold_steps);
}

}  // namespace

TEST("with a right guess and k = S late rows are under a third of those when its rows age") {
    double kept = late_rows(0, 1), aged = late_rows(2, 1), alone = late_rows(0, 0);
    std::printf("late rows of %u: guess kept %.1f, aged %.1f, no guess %.1f\n", k, kept, aged,
                alone);
    CHECK(kept * 3 < aged);
    CHECK(kept * 3 < alone);
}

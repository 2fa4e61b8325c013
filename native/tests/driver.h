// driver.h - drives a store through the C ABI with made-up queries, keys and values that depend on
// the position alone: so a guess is always right, and two runs can be compared bit for bit.
#pragma once
#include <cmath>
#include <cstring>
#include <string>
#include <unistd.h>
#include <vector>

#include "../specache.h"

namespace driver {

inline specache_config small_config() {
    specache_config config{};
    config.layers = 3;
    config.kv_heads = 2;
    config.query_heads = 6;
    config.head_dim = 64;
    config.kv_type = 2;
    config.mode = 2;
    config.key_bits = 2;
    config.value_bits = 1;
    config.group = 64;
    config.k_max = 32;
    config.tokens_max = 1024;
    config.sequences_max = 2;
    config.chunk_tokens = 128;
    config.guesses_max = 3;
    config.threads = 1;  // tests of threads say more: on a busy machine they wait for one another
    return config;
}

// A number in -1..1 that depends on its arguments alone (a 64-bit mix: multiply, xor shift).
inline float noise(uint64_t a, uint64_t b, uint64_t c) {
    uint64_t x =
        a * 0x9E3779B97F4A7C15u ^ (b + 1) * 0xBF58476D1CE4E5B9u ^ (c + 7) * 0x94D049BB133111EBu;
    x ^= x >> 31;
    x *= 0xD6E8FEB86659FD93u;
    x ^= x >> 32;
    return float(int64_t(x >> 11) & 0xFFFFFF) / 8388608.0f - 1.0f;
}

struct Run {
    specache_config config;
    uint64_t store = 0, sequence = 0;
    std::vector<float> outputs;  // of every step, input 0, every layer

    explicit Run(const specache_config &config_in, const char *path = nullptr) : config(config_in) {
        status = specache_store_open(&config, reinterpret_cast<const uint8_t *>(path),
                                     path == nullptr ? 0 : uint32_t(std::strlen(path)), nullptr,
                                     nullptr, nullptr, nullptr, nullptr, &store);
        if (status == SPECACHE_OK) status = specache_sequence_open(store, &sequence);
    }
    ~Run() {
        if (store != 0) specache_store_close(store);
    }
    Run(const Run &) = delete;

    int32_t status = SPECACHE_OK;

    // Keys drift slowly and queries look back at some of them, so that choices repeat between
    // steps.
    std::vector<float> make(uint32_t kind, uint32_t layer, uint32_t first, uint32_t tokens,
                            uint32_t heads) const {
        std::vector<float> x(uint64_t(tokens) * heads * config.head_dim);
        for (uint32_t t = 0; t < tokens; t++) {
            for (uint32_t i = 0; i < heads * config.head_dim; i++) {
                uint32_t position = first + t;
                float slow = noise(kind, layer * 100000 + position / 16, i);
                x[uint64_t(t) * heads * config.head_dim + i] =
                    1.5f * slow + noise(kind + 10, layer * 100000 + position, i);
            }
        }
        return x;
    }
    int32_t prefill(uint32_t first, uint32_t tokens) {
        for (uint32_t layer = 0; layer < config.layers; layer++) {
            auto q = make(0, layer, first, tokens, config.query_heads);
            auto k = make(1, layer, first, tokens, config.kv_heads);
            auto v = make(2, layer, first, tokens, config.kv_heads);
            std::vector<float> out(q.size());
            int32_t got = specache_append(store, sequence, layer, tokens, q.data(), k.data(),
                                          v.data(), out.data());
            if (got != SPECACHE_OK) return got;
            outputs.insert(outputs.end(), out.end() - config.query_heads * config.head_dim,
                           out.end());
        }
        return SPECACHE_OK;
    }
    int32_t step(uint32_t position, uint32_t guesses, uint32_t k, uint32_t late = 1) {
        specache_options options{k, late, 0};
        int32_t got = specache_begin(store, sequence, 1 + guesses, 1, &options);
        for (uint32_t layer = 0; got == SPECACHE_OK && layer < config.layers; layer++) {
            got = attend(layer, position, 1 + guesses);
        }
        return got == SPECACHE_OK ? specache_keep(store, sequence, 1) : got;
    }
    int32_t attend(uint32_t layer, uint32_t position, uint32_t inputs) {
        auto q = make(0, layer, position, inputs, config.query_heads);
        auto k = make(1, layer, position, inputs, config.kv_heads);
        auto v = make(2, layer, position, inputs, config.kv_heads);
        std::vector<float> out(q.size());
        int32_t got =
            specache_attend(store, sequence, layer, q.data(), k.data(), v.data(), out.data());
        outputs.insert(outputs.end(), out.begin(),
                       out.begin() + config.query_heads * config.head_dim);
        return got;
    }
    int32_t decode(uint32_t first, uint32_t steps, uint32_t guesses, uint32_t k,
                   uint32_t late = 1) {
        for (uint32_t i = 0; i < steps; i++) {
            int32_t got = step(first + i, guesses, k, late);
            if (got != SPECACHE_OK) return got;
        }
        return SPECACHE_OK;
    }
    std::vector<uint64_t> stats() const {
        std::vector<uint64_t> values(SPECACHE_STATS_COUNT);
        specache_sequence_stats(store, sequence, values.data());
        return values;
    }
};

inline std::string last_error() {
    uint8_t text[512];
    uint32_t length = specache_error(text, sizeof text);
    return std::string(reinterpret_cast<char *>(text), length < sizeof text ? length : sizeof text);
}

inline bool same_bits(const std::vector<float> &a, const std::vector<float> &b) {
    // memcmp takes no null pointer, which is what an empty vector may have.
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * 4) == 0);
}

inline std::string far_path() {
    static int files = 0;
    return "/tmp/specache-test-" + std::to_string(getpid()) + "-" + std::to_string(files++);
}

}  // namespace driver

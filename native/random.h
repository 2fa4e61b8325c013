// random.h - random numbers that depend on a seed and places alone, and the race that draws a token
// by them: engine/sampling/race.ts has the same numbers, and says why.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "draw.h"

namespace specache {

constexpr uint64_t golden = 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio, odd

// The last mix of splitmix64 (Steele, Lea, Flood 2014).
static inline uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

// A number of a counter: splitmix64's at that state.
static inline uint64_t counted(uint64_t x) { return mixed(x + golden); }

// The 64 random bits of a position.
static inline uint64_t word_of(uint64_t seed, uint64_t position) {
    return mixed(mixed(seed) + (position + 1) * golden);
}

// Murmur3's last mix, and a key.
static inline uint32_t mixed_word(uint32_t x, uint32_t key) {
    x = (x ^ x >> 16) * 0x85EBCA6Bu;
    x = (x ^ x >> 13) * 0xC2B2AE35u;
    return (x ^ x >> 16) + key;
}

// 32 bits of a token, each a function of all of it and of the keys.
static inline uint32_t hashed(uint32_t id, uint32_t key, uint32_t other) {
    return mixed_word(mixed_word(id ^ key, other), other);
}

// The first of tokens to arrive, each at an exponential number over its weight.
struct Race {
    double first = std::numeric_limits<double>::infinity();
    double second = std::numeric_limits<double>::infinity();
    uint32_t leader = undecided_token;

    // A weight that is no number never arrives. -log(u) is above 1 - u: most tokens are late by
    // that already, and far enough for no rounding to matter.
    void run(uint32_t id, double weight, uint64_t word) {
        uint32_t low = uint32_t(word), high = uint32_t(word >> 32), upper = hashed(id, low, high);
        if (double(~upper) * 0x1p-32 > first * weight * (1 + 1e-9)) return;
        double lower = hashed(id, high, low) >> 11;
        double arrival = -std::log((upper * 0x1p21 + lower + 0.5) * 0x1p-53) / weight;
        if (arrival < first) {
            second = first;
            first = arrival;
            leader = id;
        } else if (arrival < second) {
            second = arrival;
        }
    }
    // A logarithm and an exponential of doubles are right to some 1e-16.
    uint32_t winner() const { return second > first * (1 + 1e-12) ? leader : undecided_token; }
};

// exp((logit - most) / temperature) of the likeliest token's logit `most`.
static inline double weight_of(float logit, float most, double temperature) {
    return std::exp((double(logit) - double(most)) / temperature);
}

}  // namespace specache

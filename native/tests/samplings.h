// samplings.h - a Sampling as the C ABI takes it.
#pragma once
#include <bit>

#include "../draw.h"

namespace fixture {

inline specache_sampling words_of(const specache::Sampling &sampling) {
    auto low = [](double x) { return uint32_t(std::bit_cast<uint64_t>(x)); };
    auto high = [](double x) { return uint32_t(std::bit_cast<uint64_t>(x) >> 32); };
    return {low(sampling.temperature), high(sampling.temperature), low(sampling.top_p),
            high(sampling.top_p), low(sampling.min_p), high(sampling.min_p), sampling.top_k,
            uint32_t(sampling.seed), uint32_t(sampling.seed >> 32)};
}

}  // namespace fixture

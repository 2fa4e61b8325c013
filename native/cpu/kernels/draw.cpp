// draw.cpp - draws tokens from logits (engine/sampler.ts): temperature, top-k, top-p, min-p, race.
//
// Nearly all tokens are too unlikely to matter, and vectors tell which: in a race of all, those
// that arrive late whatever the rest of their random number is; with limits, those far below the
// likeliest, of which only the sum counts. What is left is judged in double precision.
#include <algorithm>
#include <bit>
#include <cfloat>
#include <vector>

#include "../../random.h"
#include "../kernels.h"
#include "../simd.h"

namespace specache::SPECACHE_ISA {
namespace {

constexpr uint32_t at_a_time = 256;  // tokens that are looked at before any is judged
constexpr uint32_t listed_most = 8192;

struct Token {
    float logit;
    uint32_t id;
    double weight;
};

// bounds[i]: no token first + i arrives before 2^bounds[i]. Whether any is below `limit`. An
// exponential number -log(u) is above 1 - u, whose upper bits are those of ~u; `bits` of a weight
// by a logit are rounded down.
bool bound_arrivals(const float *logits, float most, float bits, uint64_t word, uint32_t first,
                    uint32_t count, float limit, float *bounds) {
    uint32_t low = uint32_t(word), high = uint32_t(word >> 32);
    int32_t any = 0;
    for (uint32_t i = 0; i < count; i++) {
        int32_t upper = int32_t(~hashed(first + i, low, high) >> 8);  // exact as a float
        int32_t power = (std::bit_cast<int32_t>(float(upper)) >> 23) - 127 - 24;
        bounds[i] = float(power) + (most - logits[i]) * bits;
        any |= bounds[i] < limit;
    }
    return any != 0;
}

// All take part.
uint32_t race_of_all(const DrawRow &row) {
    const double temperature = row.sampling->temperature;
    const float most = row.likeliest.logit;
    // Three roundings of floats are below 1e-6 of it, those of a bound, which is below 256 where it
    // matters, below 1e-4.
    float bits = float(std::min(1.4426950408889634 / temperature * (1 - 1e-6), double(FLT_MAX)));
    auto limit_of = [](double first) { return float(std::log2(first)) + 1e-4f; };
    Race race;
    race.run(row.likeliest.id, 1, row.word);
    float limit = limit_of(race.first);
    alignas(64) float bounds[at_a_time];
    for (uint32_t first = 0; first < row.vocabulary; first += at_a_time) {
        uint32_t count = std::min(at_a_time, row.vocabulary - first);
        const float *logits = row.logits + first;
        if (!bound_arrivals(logits, most, bits, row.word, first, count, limit, bounds)) continue;
        for (uint32_t i = 0; i < count; i++) {
            if (!(bounds[i] < limit) || first + i == row.likeliest.id) continue;
            race.run(first + i, weight_of(logits[i], most, temperature), row.word);
            limit = limit_of(race.first);
        }
    }
    return race.winner();
}

// Tokens whose logit is above `cut`; false: more than listed_most.
bool list_above(const DrawRow &row, float cut, std::vector<Token> &list) {
    list.clear();
    for (uint32_t first = 0; first < row.vocabulary; first += at_a_time) {
        uint32_t count = std::min(at_a_time, row.vocabulary - first);
        const float *logits = row.logits + first;
        int32_t any = 0;
        for (uint32_t i = 0; i < count; i++) any |= logits[i] > cut;
        if (any == 0) continue;
        for (uint32_t i = 0; i < count; i++) {
            if (logits[i] > cut) list.push_back({logits[i], first + i, 0});
        }
        if (list.size() > listed_most) return false;
    }
    for (Token &token : list) {
        token.weight = weight_of(token.logit, row.likeliest.logit, row.sampling->temperature);
    }
    return true;
}

// The sum of all weights but for 1e-5 of it: exponentials are right to 2e-7, 64 of them are added
// in float (4e-6 at most), and a rounded exponent x errs by 1.2e-7 x, x on average below the
// logarithm of the vocabulary.
double sum_of_weights(const DrawRow &row) {
    const float most = row.likeliest.logit, by = float(1 / row.sampling->temperature);
    double sum = 0;
    uint32_t id = 0;
    while (id + lanes <= row.vocabulary) {
        Floats part{};
        uint32_t end = std::min(id + 64 * lanes, row.vocabulary);
        for (; id + lanes <= end; id += lanes) {
            part += exponential((load(row.logits + id) - most) * by);
        }
        sum += double(sum_of(part));
    }
    for (; id < row.vocabulary; id++) sum += double(exponential((row.logits[id] - most) * by));
    return sum;
}

enum class Kept { yes, undecided, too_few };

// The fewest of a list, likeliest first, whose weights reach top_p of `sum`, which is right to
// `error`.
Kept keep_top_p(std::vector<Token> &list, double top_p, double sum, double error) {
    double reached = 0;
    for (size_t i = 0; i < list.size(); i++) {
        reached += list[i].weight;
        if (std::abs(reached - top_p * sum) <= error) return Kept::undecided;
        if (reached < top_p * sum) continue;
        list.resize(i + 1);
        return Kept::yes;
    }
    return Kept::too_few;
}

constexpr double rounding = 1e-12;  // of sums of doubles in another order, and of weights

// What top-k and top-p leave of a list, which holds all above some logit. `sum` of all weights, or
// below 0: not known yet.
Kept keep_likeliest(const DrawRow &row, std::vector<Token> &list,
                    double &sum) {
    const Sampling &sampling = *row.sampling;
    std::sort(list.begin(), list.end(), [](const Token &one, const Token &other) {
        return one.logit != other.logit ? one.logit > other.logit : one.id < other.id;
    });
    if (sampling.top_k != 0 && sampling.top_k < list.size()) list.resize(sampling.top_k);
    if (sampling.top_p == 1) return Kept::yes;
    if (sampling.top_k != 0) {
        double own = 0;
        for (const Token &token : list) own += token.weight;
        return keep_top_p(list, sampling.top_p, own, rounding * own);
    }
    if (sum < 0) sum = sum_of_weights(row);
    return keep_top_p(list, sampling.top_p, sum, 1e-5 * sum);
}

// Depth: how far below the likeliest tokens are listed, in powers of e; it grows until they are
// enough.
Kept list_remaining(const DrawRow &row, std::vector<Token> &list) {
    const Sampling &sampling = *row.sampling;
    bool by_min_p = sampling.top_k == 0 && sampling.top_p == 1;
    double depth = by_min_p ? 1 - std::log(sampling.min_p) : 4, sum = -1;
    for (;; depth *= 2) {
        double cut = double(row.likeliest.logit) - depth * sampling.temperature;
        bool all = depth > 1000 || !(cut > -double(FLT_MAX));
        float above = all ? -std::numeric_limits<float>::infinity() : float(cut);
        if (!list_above(row, above, list)) return Kept::undecided;
        if (by_min_p) return Kept::yes;
        if (!all && list.size() < std::max(sampling.top_k, 1u)) continue;
        Kept kept = keep_likeliest(row, list, sum);
        if (kept != Kept::too_few) return kept;
        if (all) return Kept::undecided;  // its sum is right to 1e-5 only
    }
}

uint32_t race_of_limited(const DrawRow &row) {
    static thread_local std::vector<Token> list;
    const double min_p = row.sampling->min_p;
    if (list_remaining(row, list) != Kept::yes) return undecided_token;
    Race race;
    for (const Token &token : list) {
        bool near = std::abs(token.weight - min_p) <= rounding * min_p;
        if (near && min_p != 0 && token.logit != row.likeliest.logit) return undecided_token;
        if (token.weight >= min_p) race.run(token.id, token.weight, row.word);
    }
    return race.winner();
}

}  // namespace

void draw(const DrawRow &row) {
    const Sampling &sampling = *row.sampling;
    bool all = sampling.top_k == 0 && sampling.top_p == 1 && sampling.min_p == 0;
    *row.id = all ? race_of_all(row) : race_of_limited(row);
}

}  // namespace specache::SPECACHE_ISA

// draw.cpp - draws tokens from logits (engine/sampler.ts): temperature, top-k, top-p, min-p, race.
//
// Nearly all tokens are too unlikely to matter, and vectors tell which: in a race of all, those
// that arrive late whatever the rest of their random number is; with limits, those that no limit
// can reach. What is left is judged one by one in double precision.
#include <algorithm>
#include <bit>
#include <cfloat>
#include <numeric>
#include <vector>

#include "../../random.h"
#include "../kernels.h"
#include "../simd.h"

namespace specache::SPECACHE_ISA {
namespace {

constexpr uint32_t at_a_time = 256;  // tokens that are looked at before any is judged

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

// Tokens whose logit is above `cut`, with their weights.
void list_above(const DrawRow &row, float cut, std::vector<Token> &list) {
    list.clear();
    for (uint32_t first = 0; first < row.vocabulary; first += at_a_time) {
        uint32_t count = std::min(at_a_time, row.vocabulary - first);
        const float *logits = row.logits + first;
        int32_t any = 0;
        for (uint32_t i = 0; i < count; i++) any |= logits[i] > cut;
        for (uint32_t i = 0; any != 0 && i < count; i++) {
            if (logits[i] > cut) list.push_back({logits[i], first + i, 0});
        }
    }
    for (Token &token : list) {
        token.weight = weight_of(token.logit, row.likeliest.logit, row.sampling->temperature);
    }
}

bool likelier(const Token &one, const Token &other) {
    return one.logit != other.logit ? one.logit > other.logit : one.id < other.id;
}

// The top_k likeliest. Depth: how far below the likeliest tokens are listed, in powers of e; it
// grows until they are enough.
void list_top_k(const DrawRow &row, std::vector<Token> &list) {
    const Sampling &sampling = *row.sampling;
    for (double depth = 4;; depth *= 2) {
        double cut = double(row.likeliest.logit) - depth * sampling.temperature;
        bool all = depth > 1000 || !(cut > -double(FLT_MAX));
        list_above(row, all ? -std::numeric_limits<float>::infinity() : float(cut), list);
        if (list.size() >= sampling.top_k || all) break;
    }
    if (list.size() <= sampling.top_k) return;
    std::nth_element(list.begin(), list.begin() + (sampling.top_k - 1), list.end(), likelier);
    list.resize(sampling.top_k);
}

// weights[vocabulary, to whole at_a_time] of all tokens, right to some 1e-13, and 0 below e^-700;
// their sum. 2^n of the nearest whole n, times Taylor's polynomial of what is left, at most
// ln 2 / 2: its 14th term is 1.7e-16.
double weigh_all(const DrawRow &row, double *weights) {
    const double most = row.likeliest.logit;
    const double by = std::min(1 / row.sampling->temperature, 1e300);  // 0 times it is a number
    constexpr double shift = 0x1.8p52;  // adding it rounds to a whole number
    double sums[lanes] = {};  // side by side: one would wait for itself
    for (uint32_t first = 0; first < row.vocabulary; first += at_a_time) {
        uint32_t count = std::min(at_a_time, row.vocabulary - first);
        const float *logits = row.logits + first;
        for (uint32_t i = 0; i < count; i++) {
            double x = (double(logits[i]) - most) * by;
            double clamped = x >= -700 ? x : -700.0;
            double shifted = clamped * 0x1.71547652b82fep0 + shift;  // 1 / ln 2
            double n = shifted - shift;
            double r = (clamped - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;  // ln 2
            double e = 1.0 / 6227020800;
            e = e * r + 1.0 / 479001600;
            e = e * r + 1.0 / 39916800;
            e = e * r + 1.0 / 3628800;
            e = e * r + 1.0 / 362880;
            e = e * r + 1.0 / 40320;
            e = e * r + 1.0 / 5040;
            e = e * r + 1.0 / 720;
            e = e * r + 1.0 / 120;
            e = e * r + 1.0 / 24;
            e = e * r + 1.0 / 6;
            e = e * r + 0.5;
            e = e * r + 1;
            e = e * r + 1;
            double power = std::bit_cast<double>((std::bit_cast<uint64_t>(shifted) + 1023) << 52);
            weights[first + i] = x >= -700 ? e * power : 0;
        }
        std::fill(weights + first + count, weights + first + at_a_time, 0.0);
        for (uint32_t i = 0; i < at_a_time; i += lanes) {
            for (uint32_t lane = 0; lane < lanes; lane++) sums[lane] += weights[first + i + lane];
        }
    }
    return std::accumulate(sums, sums + lanes, 0.0);
}

// Tokens that may be among those which reach top_p; the sum of all weights. The others, each below
// an n-th of what top_p leaves, are together less than that.
double list_for_top_p(const DrawRow &row, std::vector<Token> &list) {
    static thread_local std::vector<double> scratch;
    double *weights = grown(scratch, row.vocabulary + at_a_time), sum = weigh_all(row, weights);
    double least = (1 - row.sampling->top_p) * sum / row.vocabulary * (1 - 1e-9);
    list.clear();
    for (uint32_t first = 0; first < row.vocabulary; first += at_a_time) {
        uint32_t end = first + std::min(at_a_time, row.vocabulary - first);
        int64_t any = 0;
        for (uint32_t id = first; id < end; id++) any |= weights[id] >= least;
        for (uint32_t id = first; any != 0 && id < end; id++) {
            if (weights[id] >= least) list.push_back({row.logits[id], id, weights[id]});
        }
    }
    return sum;
}

constexpr double rounding = 1e-12;  // of weights

// Of a sum of as many doubles, in whatever order: each addition errs by half a bit at most, in both
// languages.
double sum_rounding(uint32_t count) { return rounding + count * 0x1p-52; }

// Moves the fewest tokens, likeliest first, whose weights reach `limit` to the front of a list and
// drops the others; false: how many hangs on `error`. A quickselect.
bool keep_reaching(std::vector<Token> &list, double limit, double error) {
    size_t taken = 0, end = list.size();  // taken are among them, from `end` on none is
    double weight = 0;                    // of those taken
    while (taken < end) {
        std::swap(list[(taken + end) / 2], list[end - 1]);
        const Token pivot = list[end - 1];
        size_t middle = taken;
        double before = weight;
        for (size_t i = taken; i < end - 1; i++) {
            if (!likelier(list[i], pivot)) continue;
            before += list[i].weight;
            std::swap(list[i], list[middle++]);
        }
        std::swap(list[middle], list[end - 1]);
        double with = before + pivot.weight;
        if (std::abs(before - limit) <= error || std::abs(with - limit) <= error) return false;
        if (before >= limit) {
            end = middle;
        } else {
            taken = middle + 1;
            weight = with;
            if (with >= limit) break;
        }
    }
    list.resize(std::max(taken, size_t(1)));
    return true;
}

uint32_t race_of_limited(const DrawRow &row) {
    static thread_local std::vector<Token> list;
    const Sampling &sampling = *row.sampling;
    double sum = 0;
    if (sampling.top_k != 0) {
        list_top_k(row, list);
        for (const Token &token : list) sum += token.weight;
    } else if (sampling.top_p < 1) {
        sum = list_for_top_p(row, list);
    } else {
        double depth = 1 - std::log(sampling.min_p);
        float cut = float(double(row.likeliest.logit) - depth * sampling.temperature);
        list_above(row, std::nextafter(cut, -std::numeric_limits<float>::infinity()), list);
    }
    double error = sum_rounding(row.vocabulary) * sum;
    bool reach = sampling.top_p == 1 || keep_reaching(list, sampling.top_p * sum, error);
    if (!reach) return undecided_token;
    Race race;
    for (const Token &token : list) {
        bool near = std::abs(token.weight - sampling.min_p) <= rounding * sampling.min_p;
        if (near && sampling.min_p != 0 && token.logit != row.likeliest.logit) {
            return undecided_token;
        }
        if (token.weight >= sampling.min_p) race.run(token.id, token.weight, row.word);
    }
    return race.winner();
}

}  // namespace

void draw(const DrawRow &row) {
    const Sampling &sampling = *row.sampling;
    *row.id = row.likeliest.id;
    if (sampling.top_p == 0) return;
    bool all = sampling.top_k == 0 && sampling.top_p == 1 && sampling.min_p == 0;
    *row.id = all ? race_of_all(row) : race_of_limited(row);
}

}  // namespace specache::SPECACHE_ISA

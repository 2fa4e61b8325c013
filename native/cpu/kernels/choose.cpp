// choose.cpp - the k tail tokens of largest value (DESIGN section 8, "Top-k"), without a full sort.
#include <algorithm>

#include "../kernels.h"
#include "../simd.h"
#include "../threads.h"
#include "exact.h"

namespace specache::SPECACHE_ISA {
namespace {

// Values are non-negative floats, so their bits order as they do; the upper 12 bits make 4,096
// bins.
constexpr uint32_t bins = 4096, bin_shift = 20;

// A value and its token as one number: larger is better, and of equal values the lower token.
uint64_t ranked(float value, uint32_t token) {
    return uint64_t(std::bit_cast<uint32_t>(value)) << 32 | uint32_t(~token);
}

struct Scratch {
    std::vector<float> values;    // [tail]
    std::vector<uint64_t> ranks;  // candidates
};

// values[j] += softmax probability of tail token j / group, for one query head.
void add_probabilities(const Choose &choose, uint32_t input, uint32_t head, uint32_t query_head,
                       uint32_t tail, float share, float *values) {
    const Shape &shape = choose.shape;
    uint64_t at = uint64_t(input) * shape.query_heads + query_head;
    const float *query = choose.queries + at * shape.head_dim;
    const float *logits =
        choose.logits + choose.tokens_max * logits_place(shape, choose.heads, input, query_head);
    const uint8_t *rows[exact_near_max];
    uint32_t near = near_rows(shape, choose.near, head, choose.positions[input], rows);
    float exact[exact_near_max + lanes];
    Floats largest = spread(-3e38f), sum{};
    for (uint32_t i = 0; i < near; i++) {
        exact[i] = dot_row(shape.kv_type, rows[i], query, shape.head_dim) * shape.scale;
    }
    for (uint32_t i = near; i < near + lanes; i++) exact[i] = -3e38f;  // exp of it is 0
    for (uint32_t i = 0; i < near; i += lanes) largest = larger(largest, load(exact + i));
    for (uint32_t j = 0; j < tail; j += lanes) largest = larger(largest, load(logits + j));
    Floats top = spread(largest_of(largest));
    for (uint32_t i = 0; i < near; i += lanes) sum += exponential(load(exact + i) - top);
    for (uint32_t j = 0; j < tail; j += lanes) sum += exponential(load(logits + j) - top);
    float weight = share / sum_of(sum);
    for (uint32_t j = 0; j < tail; j += lanes) {
        store(values + j, load(values + j) + weight * exponential(load(logits + j) - top));
    }
}

// The ranks of the k largest values of tokens [sink_tokens, tail), in any order, first in `ranks`.
void select(const float *values, uint32_t tail, uint32_t k, std::vector<uint64_t> &ranks) {
    uint32_t counts[bins] = {};
    for (uint32_t j = sink_tokens; j < tail; j++) {
        counts[std::bit_cast<uint32_t>(values[j]) >> bin_shift]++;
    }
    uint32_t bin = bins - 1,
             above = 0;  // `above` tokens are in bins over `bin`, which has the k-th
    while (above + counts[bin] < k) above += counts[bin--];
    ranks.clear();
    for (uint32_t j = sink_tokens; j < tail; j++) {
        if (std::bit_cast<uint32_t>(values[j]) >> bin_shift >= bin) {
            ranks.push_back(ranked(values[j], j));
        }
    }
    if (ranks.size() > k) {
        std::nth_element(ranks.begin(), ranks.begin() + k - 1, ranks.end(), std::greater<>());
    }
}

void choose_head(const Choose &choose, uint32_t input, uint32_t head, Scratch &scratch) {
    const Shape &shape = choose.shape;
    uint32_t group = shape.query_heads / shape.kv_heads;
    uint32_t tail = coded_pages(choose.positions[input]) * page_tokens;
    uint32_t pair = input * shape.kv_heads + head;
    uint32_t k = tail == 0 ? 0 : std::min(choose.k, tail - sink_tokens);
    choose.counts[pair] = k;
    if (k == 0) return;
    if (scratch.ranks.capacity() < tail) scratch.ranks.reserve(choose.tokens_max);
    float *values = grown(scratch.values, choose.tokens_max + lanes);
    std::fill(values, values + tail, 0.0f);
    for (uint32_t g = 0; g < group; g++) {
        add_probabilities(choose, input, head, head * group + g, tail, 1.0f / float(group), values);
    }
    select(values, tail, k, scratch.ranks);
    uint32_t *chosen = choose.chosen + uint64_t(pair) * choose.k_max;
    for (uint32_t i = 0; i < k; i++) chosen[i] = ~uint32_t(scratch.ranks[i]);
    std::sort(chosen, chosen + k);
    float *of = choose.values + uint64_t(pair) * choose.k_max;
    for (uint32_t i = 0; i < k; i++) of[i] = values[chosen[i]];
}

}  // namespace

void choose(Stream &stream, const Choose &choose) {
    const HeadRun &run = choose.heads;
    parallel(stream, choose.inputs * run.count, [&](uint32_t pair) {
        static thread_local Scratch scratch;
        choose_head(choose, pair / run.count, run.first + pair % run.count, scratch);
    });
}

}  // namespace specache::SPECACHE_ISA

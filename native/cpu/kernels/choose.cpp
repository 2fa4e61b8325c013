// choose.cpp - the k tail tokens of largest value (DESIGN section 8, "Top-k"), without sorting all.
//
// Three passes: near rows give their part of the softmax (and logits become weights, where scan
// left them); each token's value, from all parts, and the largest of each page; then the k largest.
// At least k tokens are not below the k-th largest of all pages' largest values, so only pages that
// reach it are looked at. Blocks have fixed places: threads change no bit.
#include <algorithm>
#include <bit>
#include <numeric>

#include "../kernels.h"
#include "../simd.h"
#include "../threads.h"
#include "exact.h"
#include "rows.h"
#include "weigh.h"

namespace specache::SPECACHE_ISA {
namespace {

// A value and its token as one number: larger is better, and of equal values the lower token.
uint64_t ranked(float value, uint32_t token) {
    return uint64_t(std::bit_cast<uint32_t>(value)) << 32 | uint32_t(~token);
}

struct Scratch {
    std::vector<Part> near;      // [inputs][heads * group] of the near rows
    std::vector<float> blocks;   // as Scan's, where that has none,
    std::vector<float> weights;  // and [inputs][heads * group][tokens_max]
    std::vector<float> values;   // [pairs][tail]
    std::vector<float> tops;     // [pairs][pages] the largest value of each page
    std::vector<float> lanes;    // [pairs][pages][16] and of tokens j, j + 16, j + 32, j + 48 of it
};

struct Work {
    const Choose &choose;
    Scratch &scratch;
    const Shape &shape = choose.shape;
    const HeadRun &run = choose.heads;
    uint32_t group = shape.query_heads / shape.kv_heads;
    uint32_t pairs = choose.inputs * run.count;
    uint32_t pages_max = coded_pages(choose.positions[choose.inputs - 1]);
    uint32_t blocks_max = (pages_max + block_pages - 1) / block_pages;

    // Of pair number `pair` of the run.
    uint32_t input(uint32_t pair) const { return pair / run.count; }
    uint32_t head(uint32_t pair) const { return run.first + pair % run.count; }
    uint32_t pages(uint32_t pair) const { return coded_pages(choose.positions[input(pair)]); }
    uint32_t blocks(uint32_t pair) const { return (pages(pair) + block_pages - 1) / block_pages; }
    uint64_t place(uint32_t pair, uint32_t g) const {
        return logits_place(shape, run, input(pair), head(pair) * group + g);
    }
    float *values(uint32_t pair) const {
        return &scratch.values[uint64_t(pair) * pages_max * page_tokens];
    }
    float *tops(uint32_t pair) const { return &scratch.tops[uint64_t(pair) * pages_max]; }
    float *lanes_of(uint32_t pair) const {
        return &scratch.lanes[uint64_t(pair) * pages_max * lanes];
    }
    const float *weights(uint32_t pair, uint32_t g) const {
        const float *all = choose.blocks != nullptr ? choose.logits : scratch.weights.data();
        return all + choose.tokens_max * place(pair, g);
    }
    Blocks blocks_of(uint32_t pair, uint32_t g) const {
        float *all = choose.blocks != nullptr ? choose.blocks : scratch.blocks.data();
        return Blocks::of(all, place(pair, g), choose.tokens_max);
    }
};

// Places behind the last block add nothing.
void fill_last_vector(const Work &work, uint32_t pair, uint32_t g) {
    Blocks blocks = work.blocks_of(pair, g);
    uint32_t count = work.blocks(pair), whole = (count + lanes - 1) / lanes * lanes;
    std::fill(blocks.largest + count, blocks.largest + whole, lowest);
    std::fill(blocks.sums + count, blocks.sums + whole, 0.0f);
}

void weigh_near(const Work &work, uint32_t pair) {
    const Shape &shape = work.shape;
    const uint8_t *rows[exact_near_max];
    uint32_t input = work.input(pair), head = work.head(pair);
    uint32_t count = near_rows(shape, work.choose.near, head, work.choose.positions[input], rows);
    const float *queries =
        work.choose.queries +
        (uint64_t(input) * shape.query_heads + head * work.group) * shape.head_dim;
    with_row_type(shape.kv_type, [&]<Type type>() {
        by_queries(work.group, [&]<uint32_t Queries>(uint32_t g) {
            alignas(64) float logits[Queries][(exact_near_max + lanes - 1) / lanes * lanes];
            for (uint32_t i = 0; i < count; i += lanes) {
                uint32_t part = std::min(lanes, count - i);
                Floats products[Queries];
                dot_rows<type, Queries>(
                    part, queries + uint64_t(g) * shape.head_dim, shape.head_dim,
                    [&](uint32_t r) { return rows[i + r]; }, [](uint32_t) {}, products);
                for (uint32_t q = 0; q < Queries; q++) {
                    store(logits[q] + i, products[q] * shape.scale);
                    std::fill(logits[q] + i + part, logits[q] + i + lanes, lowest);
                }
            }
            for (uint32_t q = 0; q < Queries; q++) {
                work.scratch.near[work.place(pair, g + q)] =
                    weigh(logits[q], count, logits[q], [] {});
                fill_last_vector(work, pair, g + q);
            }
        });
    });
}

// Where scan left logits.
void weigh_block(const Work &work, uint32_t pair, uint32_t block) {
    uint32_t first = block * block_pages, end = std::min(work.pages(pair), first + block_pages);
    for (uint32_t g = 0; g < work.group; g++) {
        uint64_t at = work.choose.tokens_max * work.place(pair, g) + first * page_tokens;
        Part part = weigh(work.choose.logits + at, (end - first) * page_tokens,
                          work.scratch.weights.data() + at, [] {});
        Blocks blocks = work.blocks_of(pair, g);
        blocks.largest[block] = part.largest;
        blocks.sums[block] = part.sum;
    }
}

// What a block's weights are multiplied by to be a query's softmax probabilities / group.
float share_of(const Work &work, uint32_t pair, uint32_t g, uint32_t block) {
    Blocks blocks = work.blocks_of(pair, g);
    const Part &near = work.scratch.near[work.place(pair, g)];
    Floats most = spread(near.largest), all{};
    uint32_t count = work.blocks(pair);
    for (uint32_t i = 0; i < count; i += lanes) most = larger(most, load(blocks.largest + i));
    float top = largest_of(most);
    for (uint32_t i = 0; i < count; i += lanes) {
        all += load(blocks.sums + i) * exponential(load(blocks.largest + i) - top);
    }
    float sum = sum_of(all) + near.sum * exponential(near.largest - top);
    // A logit that is no number or infinite leaves no sum; the row behind it is refused elsewhere.
    return sum > 0 ? exponential(blocks.largest[block] - top) / (float(work.group) * sum) : 0;
}

// values[j] = mean over the group of the softmax probability of tail token j.
void block_values(const Work &work, uint32_t pair, uint32_t block) {
    uint32_t first = block * block_pages, end = std::min(work.pages(pair), first + block_pages);
    float *values = work.values(pair);
    std::fill(values + first * page_tokens, values + end * page_tokens, 0.0f);
    by_queries(work.group, [&]<uint32_t Queries>(uint32_t g) {
        float shares[Queries];
        for (uint32_t q = 0; q < Queries; q++) shares[q] = share_of(work, pair, g + q, block);
        for (uint32_t page = first; page < end; page++) {
            Floats most{};
            for (uint32_t j = page * page_tokens; j < (page + 1) * page_tokens; j += lanes) {
                Floats value = load(values + j);
                for (uint32_t q = 0; q < Queries; q++) {
                    value += shares[q] * load(work.weights(pair, g + q) + j);
                }
                store(values + j, value);
                most = larger(most, value);
            }
            store(work.lanes_of(pair) + page * lanes, most);
            work.tops(pair)[page] = largest_of(most);
        }
    });
}

// The k-th largest of numbers, which change places.
template <class Number>
Number kth_largest(std::vector<Number> &numbers, uint32_t count, uint32_t k) {
    std::nth_element(numbers.begin(), numbers.begin() + k - 1, numbers.begin() + count,
                     std::greater<>());
    return numbers[k - 1];
}

// A value that at least k tokens are not below: the k-th largest of the largest of disjoint sets,
// 1 to 16 of each page. Twice as many sets as k make it so high that few more tokens reach it.
float threshold_of(const Work &work, uint32_t pair, uint32_t k) {
    static thread_local std::vector<float> largest;
    uint32_t pages = work.pages(pair), sets = 1;
    while (sets < lanes && pages * sets < 2 * k) sets *= 2;
    if (pages * sets < k) return 0;
    grown(largest, pages * lanes);
    for (uint32_t page = 0; page < pages; page++) {
        Floats x = load(work.lanes_of(pair) + page * lanes);
        if (sets <= 8) x = larger(x, halves_swapped<8>(x));
        if (sets <= 4) x = larger(x, halves_swapped<4>(x));
        if (sets <= 2) x = larger(x, halves_swapped<2>(x));
        if (sets <= 1) x = larger(x, halves_swapped<1>(x));
        store(largest.data() + page * sets, x);  // the next page's go over what is too much
    }
    return kth_largest(largest, pages * sets, k);
}

// Ranks of the tokens of [sink_tokens, tail) whose value is not below `threshold`, ascending.
void gather(const Work &work, uint32_t pair, float threshold, std::vector<uint64_t> &ranks) {
    const float *values = work.values(pair), *tops = work.tops(pair);
    uint32_t pages = work.pages(pair);
    ranks.clear();
    for (uint32_t page = 0; page < pages; page++) {
        if (tops[page] < threshold) continue;
        for (uint32_t j = page * page_tokens; j < (page + 1) * page_tokens; j += lanes) {
            uint32_t bits = not_below(load(values + j), threshold);
            if (j == 0) bits &= ~0u << sink_tokens;
            for (; bits != 0; bits &= bits - 1) {
                uint32_t token = j + uint32_t(std::countr_zero(bits));
                ranks.push_back(ranked(values[token], token));
            }
        }
    }
}

void choose_pair(const Work &work, uint32_t pair) {
    const Choose &choose = work.choose;
    static thread_local std::vector<uint64_t> ranks, sorted;
    uint32_t tail = work.pages(pair) * page_tokens;
    uint32_t at = work.input(pair) * work.shape.kv_heads + work.head(pair);
    uint32_t k = tail == 0 ? 0 : std::min(choose.k, tail - sink_tokens);
    choose.counts[at] = k;
    if (k == 0) return;
    if (ranks.capacity() < tail) ranks.reserve(choose.tokens_max);
    gather(work, pair, threshold_of(work, pair, k), ranks);
    uint32_t found = uint32_t(ranks.size()), count = 0;
    uint64_t least = 0;
    if (found != k) {
        sorted.assign(ranks.begin(), ranks.end());
        least = kth_largest(sorted, found, k);
    }
    uint32_t *chosen = choose.chosen + uint64_t(at) * choose.k_max;
    float *of = choose.values + uint64_t(at) * choose.k_max;
    for (uint64_t rank : ranks) {
        if (rank < least) continue;
        chosen[count] = ~uint32_t(rank);
        of[count++] = std::bit_cast<float>(uint32_t(rank >> 32));
    }
}

// Without logits: the whole tail.
void choose_all(const Choose &choose) {
    for (uint32_t input = 0; input < choose.inputs; input++) {
        uint32_t tail = coded_pages(choose.positions[input]) * page_tokens;
        uint32_t count = tail == 0 ? 0 : tail - sink_tokens;
        for (uint32_t i = 0; i < choose.heads.count; i++) {
            uint64_t pair = uint64_t(input) * choose.shape.kv_heads + choose.heads.first + i;
            uint32_t *chosen = choose.chosen + pair * choose.k_max;
            std::iota(chosen, chosen + count, sink_tokens);
            std::fill_n(choose.values + pair * choose.k_max, count, 0.0f);
            choose.counts[pair] = count;
        }
    }
}

}  // namespace

void choose(Stream &stream, const Choose &choose) {
    if (choose.logits == nullptr) return choose_all(choose);
    static thread_local Scratch scratch;
    Work work{choose, scratch};
    uint64_t queries = uint64_t(work.pairs) * work.group;
    grown(scratch.near, queries);
    grown(scratch.values, uint64_t(work.pairs) * work.pages_max * page_tokens);
    grown(scratch.tops, uint64_t(work.pairs) * work.pages_max);
    grown(scratch.lanes, uint64_t(work.pairs) * work.pages_max * lanes);
    if (choose.blocks == nullptr) {
        grown(scratch.blocks, queries * 2 * Blocks::places(choose.tokens_max));
        grown(scratch.weights, queries * choose.tokens_max);
    }
    uint32_t parts = work.blocks_max + 1;  // the last is the near rows'
    parallel(stream, work.pairs * parts, [&](uint32_t index) {
        uint32_t pair = index / parts, block = index % parts;
        if (block == work.blocks_max) weigh_near(work, pair);
        else if (choose.blocks == nullptr && block < work.blocks(pair)) {
            weigh_block(work, pair, block);
        }
    });
    parallel(stream, work.pairs * parts, [&](uint32_t index) {
        uint32_t pair = index / parts, block = index % parts;
        if (block < work.blocks(pair)) block_values(work, pair, block);
    });
    parallel(stream, work.pairs, [&](uint32_t pair) { choose_pair(work, pair); });
}

}  // namespace specache::SPECACHE_ISA

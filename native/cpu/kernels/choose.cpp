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
#include "heads.h"
#include "rows.h"
#include "weigh.h"

namespace specache::SPECACHE_ISA {
namespace {

struct Scratch {
    std::vector<Part> near;      // [pairs][group] of the near rows
    std::vector<float> blocks;   // as Scan's, where that has none, [pairs][group],
    std::vector<float> weights;  // and [pairs][group][tokens_max]
    std::vector<float> values;   // [pairs][tail]
    std::vector<float> tops;     // [pairs][pages] the largest value of each page
    std::vector<float> lanes;    // [pairs][pages][16] and of tokens j, j + 16, j + 32, j + 48 of it
};

struct Work {
    const Choose &choose;
    Scratch &scratch;
    HeadRun run;  // choose's heads, or one of them
    const Shape &shape = choose.shape;
    uint32_t group = shape.query_heads / shape.kv_heads;
    uint32_t pairs = choose.inputs * run.count;
    uint32_t pages_max = coded_pages(choose.positions[choose.inputs - 1]);
    uint32_t blocks_max = (pages_max + block_pages - 1) / block_pages;

    // Of pair number `pair` of the run.
    uint32_t input(uint32_t pair) const { return pair / run.count; }
    uint32_t head(uint32_t pair) const { return run.first + pair % run.count; }
    uint32_t pages(uint32_t pair) const { return coded_pages(choose.positions[input(pair)]); }
    uint32_t blocks(uint32_t pair) const { return (pages(pair) + block_pages - 1) / block_pages; }
    // Among all of choose's heads.
    uint64_t place(uint32_t pair, uint32_t g) const {
        return logits_place(shape, choose.heads, input(pair), head(pair) * group + g);
    }
    Part &near(uint32_t pair, uint32_t g) const { return scratch.near[pair * group + g]; }
    float *values(uint32_t pair) const {
        return &scratch.values[uint64_t(pair) * pages_max * page_tokens];
    }
    float *tops(uint32_t pair) const { return &scratch.tops[uint64_t(pair) * pages_max]; }
    float *lanes_of(uint32_t pair) const {
        return &scratch.lanes[uint64_t(pair) * pages_max * lanes];
    }
    float *own_weights(uint32_t pair, uint32_t g) const {
        return scratch.weights.data() + choose.tokens_max * (uint64_t(pair) * group + g);
    }
    const float *weights(uint32_t pair, uint32_t g) const {
        if (choose.blocks == nullptr) return own_weights(pair, g);
        return choose.logits + choose.tokens_max * place(pair, g);
    }
    Blocks blocks_of(uint32_t pair, uint32_t g) const {
        if (choose.blocks != nullptr) {
            return Blocks::of(choose.blocks, place(pair, g), choose.tokens_max);
        }
        return Blocks::of(scratch.blocks.data(), pair * group + g, choose.tokens_max);
    }
};

Work work_on(const Choose &choose, const HeadRun &run) {
    static thread_local Scratch scratch;
    Work work{choose, scratch, run};
    uint64_t queries = uint64_t(work.pairs) * work.group;
    grown(scratch.near, queries);
    grown(scratch.values, uint64_t(work.pairs) * work.pages_max * page_tokens);
    grown(scratch.tops, uint64_t(work.pairs) * work.pages_max);
    grown(scratch.lanes, uint64_t(work.pairs) * work.pages_max * lanes);
    if (choose.blocks == nullptr) {
        grown(scratch.blocks, queries * 2 * Blocks::places(choose.tokens_max));
        grown(scratch.weights, queries * choose.tokens_max);
    }
    return work;
}

// Places behind the last block add nothing.
void fill_last_vector(const Work &work, uint32_t pair, uint32_t g) {
    Blocks blocks = work.blocks_of(pair, g);
    uint32_t count = work.blocks(pair), whole = (count + lanes - 1) / lanes * lanes;
    std::fill(blocks.largest + count, blocks.largest + whole, lowest);
    std::fill(blocks.sums + count, blocks.sums + whole, 0.0f);
}

// near_logits [group][near_logits_room] or null.
void weigh_near(const Work &work, uint32_t pair, float *near_logits) {
    const Shape &shape = work.shape;
    const uint8_t *rows[exact_near_max];
    uint32_t input = work.input(pair), head = work.head(pair);
    uint32_t count = near_rows(shape, work.choose.near, head, work.choose.positions[input], rows);
    const float *queries =
        work.choose.queries +
        (uint64_t(input) * shape.query_heads + head * work.group) * shape.head_dim;
    // Whole rows, since attend reads their values soon.
    constexpr uint32_t first_asked = 16;
    Ahead ahead(count, row_bytes(shape), [&](uint32_t r) { return rows[r]; });
    ahead.ask(first_asked * uint32_t(row_bytes(shape) / line_bytes));
    with_row_type(shape.kv_type, [&]<Type type>() {
        by_queries(work.group, [&]<uint32_t Queries>(uint32_t g) {
            alignas(64) float room[Queries][near_logits_room];
            auto logits = [&](uint32_t q) {
                return near_logits == nullptr ? room[q] : near_logits + (g + q) * near_logits_room;
            };
            for (uint32_t i = 0; i < count; i += lanes) {
                uint32_t part = std::min(lanes, count - i);
                Floats products[Queries];
                dot_rows<type, Queries>(
                    part, queries + uint64_t(g) * shape.head_dim, shape.head_dim,
                    [&](uint32_t r) { return rows[i + r]; },
                    [&](uint32_t lines) { ahead.ask(2 * lines); }, products);
                for (uint32_t q = 0; q < Queries; q++) {
                    store(logits(q) + i, products[q] * shape.scale);
                    std::fill(logits(q) + i + part, logits(q) + i + lanes, lowest);
                }
            }
            for (uint32_t q = 0; q < Queries; q++) {
                work.near(pair, g + q) = weigh(logits(q), count, room[q], [] {});
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
                          work.own_weights(pair, g) + first * page_tokens, [] {});
        Blocks blocks = work.blocks_of(pair, g);
        blocks.largest[block] = part.largest;
        blocks.sums[block] = part.sum;
    }
}

// What a block's weights are multiplied by to be a query's softmax probabilities / group.
float share_of(const Work &work, uint32_t pair, uint32_t g, uint32_t block) {
    Blocks blocks = work.blocks_of(pair, g);
    const Part &near = work.near(pair, g);
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

// How many of numbers in whole vectors are not below `least`.
uint32_t count_not_below(const float *numbers, uint32_t count, float least) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i += lanes) {
        found += uint32_t(std::popcount(not_below(load(numbers + i), least)));
    }
    return found;
}

// The largest number not below `least` that at least k of the numbers are not below: their k-th
// largest, or one next to it with no number between. `most` is the largest of them. Of numbers that
// are not negative the bits order as they do, so each pass halves what is left; a pass has no
// branch that a core could guess wrong.
float kth_largest(const float *numbers, uint32_t count, uint32_t k, float least, float most) {
    uint32_t reached = std::bit_cast<uint32_t>(least), missed = std::bit_cast<uint32_t>(most) + 1;
    while (missed - reached > 1) {
        uint32_t middle = reached + (missed - reached) / 2;
        uint32_t found = count_not_below(numbers, count, std::bit_cast<float>(middle));
        (found >= k ? reached : missed) = middle;
        if (found == k) break;
    }
    return std::bit_cast<float>(reached);
}

// A value that at least k tokens are not below: the k-th largest of the largest of disjoint sets,
// 1 to 16 of each page. Twice as many sets as k make it so high that few more tokens reach it.
// Where all sets are fewer the tail is short: the k-th largest of its values.
float threshold_of(const Work &work, uint32_t pair, uint32_t k, float most) {
    static thread_local std::vector<float> largest;
    uint32_t pages = work.pages(pair), sets = 1;
    while (sets < lanes && pages * sets < 2 * k) sets *= 2;
    if (pages * sets < 2 * k) {
        return kth_largest(work.values(pair), pages * page_tokens, k, 0, most);
    }
    grown(largest, (pages + 1) * lanes);
    for (uint32_t page = 0; page < pages; page++) {
        Floats x = load(work.lanes_of(pair) + page * lanes);
        if (sets <= 8) x = larger(x, halves_swapped<8>(x));
        if (sets <= 4) x = larger(x, halves_swapped<4>(x));
        if (sets <= 2) x = larger(x, halves_swapped<2>(x));
        if (sets <= 1) x = larger(x, halves_swapped<1>(x));
        store(largest.data() + page * sets, x);  // the next page's go over what is too much
    }
    store(largest.data() + pages * sets, spread(-1));  // to a whole vector
    return kth_largest(largest.data(), pages * sets, k, 0, most);
}

// Tokens and their values.
struct Found {
    std::vector<uint32_t> tokens;
    std::vector<float> values;  // and a vector of -1 behind them
    uint32_t count = 0;
};

// Of [sink_tokens, tail) those whose value is not below `threshold`, ascending.
void gather(const Work &work, uint32_t pair, float threshold, Found &found) {
    const float *values = work.values(pair), *tops = work.tops(pair);
    uint32_t pages = work.pages(pair), count = 0;
    grown(found.tokens, pages * page_tokens + lanes);
    grown(found.values, pages * page_tokens + lanes);
    for (uint32_t page = 0; page < pages; page++) {
        if (tops[page] < threshold) continue;
        for (uint32_t j = page * page_tokens; j < (page + 1) * page_tokens; j += lanes) {
            uint32_t bits = not_below(load(values + j), threshold);
            if (j == 0) bits &= ~0u << sink_tokens;
            for (; bits != 0; bits &= bits - 1) {
                uint32_t token = j + uint32_t(std::countr_zero(bits));
                found.tokens[count] = token;
                found.values[count++] = values[token];
            }
        }
    }
    store(found.values.data() + count, spread(-1));
    found.count = count;
}

// All but the k largest of what was found, where values are equal those of the lower tokens.
void drop_least(Found &found, uint32_t k, float least, float most) {
    float *values = found.values.data(), kth = kth_largest(values, found.count, k, least, most);
    uint32_t above = count_not_below(values, found.count, std::nextafter(kth, INFINITY));
    uint32_t equal = k - above, count = 0;
    for (uint32_t i = 0; i < found.count; i++) {
        if (values[i] < kth || (values[i] == kth && equal == 0)) continue;
        if (values[i] == kth) equal--;
        found.tokens[count] = found.tokens[i];
        values[count++] = values[i];
    }
    found.count = count;
}

// Nothing is known of a value that is no number, so fewer than k may be found.
void choose_pair(const Work &work, uint32_t pair) {
    const Choose &choose = work.choose;
    static thread_local Found found;
    uint32_t pages = work.pages(pair);
    uint32_t at = work.input(pair) * work.shape.kv_heads + work.head(pair);
    uint32_t k = pages == 0 ? 0 : std::min(choose.k, pages * page_tokens - sink_tokens);
    choose.counts[at] = k;
    if (k == 0) return;
    float most = *std::max_element(work.tops(pair), work.tops(pair) + pages);
    float threshold = threshold_of(work, pair, k, most);
    gather(work, pair, threshold, found);
    uint64_t list = uint64_t(at) * choose.k_max;
    if (found.count > k) drop_least(found, k, threshold, most);
    std::copy_n(found.tokens.data(), found.count, choose.chosen + list);
    std::copy_n(found.values.data(), found.count, choose.values + list);
    choose.counts[at] = found.count;
}

// Without logits: the whole tail.
void choose_all(const Choose &choose, uint32_t head) {
    for (uint32_t input = 0; input < choose.inputs; input++) {
        uint32_t tail = coded_pages(choose.positions[input]) * page_tokens;
        uint32_t count = tail == 0 ? 0 : tail - sink_tokens;
        uint64_t pair = uint64_t(input) * choose.shape.kv_heads + head;
        uint32_t *chosen = choose.chosen + pair * choose.k_max;
        std::iota(chosen, chosen + count, sink_tokens);
        std::fill_n(choose.values + pair * choose.k_max, count, 0.0f);
        choose.counts[pair] = count;
    }
}

}  // namespace

void choose_head(const Choose &choose, uint32_t head, float *near_logits) {
    if (choose.logits == nullptr) return choose_all(choose, head);
    Work work = work_on(choose, {head, 1});
    for (uint32_t pair = 0; pair < work.pairs; pair++) {
        uint64_t place = uint64_t(work.input(pair)) * work.group * near_logits_room;
        weigh_near(work, pair, near_logits == nullptr ? nullptr : near_logits + place);
        for (uint32_t block = 0; block < work.blocks(pair); block++) {
            if (choose.blocks == nullptr) weigh_block(work, pair, block);
        }
        for (uint32_t block = 0; block < work.blocks(pair); block++) {
            block_values(work, pair, block);
        }
        choose_pair(work, pair);
    }
}

void choose(Stream &stream, const Choose &choose) {
    if (choose.logits == nullptr) {
        for (uint32_t head = choose.heads.first; choose.heads.has(head); head++) {
            choose_all(choose, head);
        }
        return;
    }
    Work work = work_on(choose, choose.heads);
    uint32_t parts = work.blocks_max + 1;  // the last is the near rows'
    parallel(stream, work.pairs * parts, [&](uint32_t index) {
        uint32_t pair = index / parts, block = index % parts;
        if (block == work.blocks_max) weigh_near(work, pair, nullptr);
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

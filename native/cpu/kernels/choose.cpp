// choose.cpp - the k tail tokens of largest value (DESIGN section 8, "Top-k"), without sorting all.
//
// Three passes: the softmax's parts, one for each piece of the tail and one for the near rows; each
// token's value, from the parts added in their order, and the largest of each page; then the k
// largest. At least k tokens are not below the k-th largest of all pages' largest values, so only
// pages that reach it are looked at. Pieces have fixed places: threads change no bit.
#include <algorithm>

#include "../kernels.h"
#include "../simd.h"
#include "../threads.h"
#include "exact.h"
#include "rows.h"

namespace specache::SPECACHE_ISA {
namespace {

constexpr uint32_t piece_pages = 64;
constexpr float lowest = -3e38f;  // below every logit of a token that may be chosen

// A value and its token as one number: larger is better, and of equal values the lower token.
uint64_t ranked(float value, uint32_t token) {
    return uint64_t(std::bit_cast<uint32_t>(value)) << 32 | uint32_t(~token);
}

struct Part {  // of one query's softmax: its largest logit, and the sum of weights beside it
    float largest, sum;
};

struct Scratch {
    std::vector<Part> parts;    // [pairs][pieces + 1][group], near rows last
    std::vector<float> values;  // [pairs][tokens_max]
    std::vector<float> tops;    // [pairs][pages] the largest value of each page
};

struct Work {
    const Choose &choose;
    Scratch &scratch;
    const Shape &shape = choose.shape;
    const HeadRun &run = choose.heads;
    uint32_t group = shape.query_heads / shape.kv_heads;
    uint32_t pairs = choose.inputs * run.count;
    uint32_t pages_max = coded_pages(choose.positions[choose.inputs - 1]);
    uint32_t pieces_max = (pages_max + piece_pages - 1) / piece_pages;
    uint64_t values_of_pair = uint64_t(pages_max) * page_tokens;

    // Of pair number `pair` of the run.
    uint32_t input(uint32_t pair) const { return pair / run.count; }
    uint32_t head(uint32_t pair) const { return run.first + pair % run.count; }
    uint32_t pages(uint32_t pair) const { return coded_pages(choose.positions[input(pair)]); }
    uint32_t pieces(uint32_t pair) const { return (pages(pair) + piece_pages - 1) / piece_pages; }
    Part &part(uint32_t pair, uint32_t piece, uint32_t g) const {
        return scratch.parts[(uint64_t(pair) * (pieces_max + 1) + piece) * group + g];
    }
    float *values(uint32_t pair) const { return &scratch.values[pair * values_of_pair]; }
    float *tops(uint32_t pair) const { return &scratch.tops[uint64_t(pair) * pages_max]; }
    const float *logits(uint32_t pair, uint32_t g) const {
        return choose.logits + choose.tokens_max * logits_place(shape, run, input(pair),
                                                                head(pair) * group + g);
    }
};

Part softmax_part(const float *logits, uint32_t count) {
    Floats most = spread(lowest), sum{};
    for (uint32_t j = 0; j < count; j += lanes) most = larger(most, load(logits + j));
    float largest = largest_of(most);
    for (uint32_t j = 0; j < count; j += lanes) sum += exponential(load(logits + j) - largest);
    return {largest, sum_of(sum)};
}

void near_part(const Work &work, uint32_t pair) {
    const Shape &shape = work.shape;
    const uint8_t *rows[exact_near_max];
    uint32_t input = work.input(pair), head = work.head(pair);
    uint32_t count = near_rows(shape, work.choose.near, head, work.choose.positions[input], rows);
    const float *queries =
        work.choose.queries +
        (uint64_t(input) * shape.query_heads + head * work.group) * shape.head_dim;
    with_row_type(shape.kv_type, [&]<Type type>() {
        by_queries(work.group, [&]<uint32_t Queries>(uint32_t g) {
            float logits[Queries][(exact_near_max + lanes - 1) / lanes * lanes];
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
                work.part(pair, work.pieces(pair), g + q) = softmax_part(logits[q], count);
            }
        });
    });
}

void tail_part(const Work &work, uint32_t pair, uint32_t piece) {
    uint32_t first = piece * piece_pages, end = std::min(work.pages(pair), first + piece_pages);
    for (uint32_t g = 0; g < work.group; g++) {
        work.part(pair, piece, g) = softmax_part(work.logits(pair, g) + first * page_tokens,
                                                 (end - first) * page_tokens);
    }
}

// A query's softmax: factors of its weights, so that values are means over the group.
Part softmax_of(const Work &work, uint32_t pair, uint32_t g) {
    uint32_t parts = work.pieces(pair) + 1;
    Part all{lowest, 0};
    for (uint32_t i = 0; i < parts; i++) {
        all.largest = std::max(all.largest, work.part(pair, i, g).largest);
    }
    for (uint32_t i = 0; i < parts; i++) {
        const Part &part = work.part(pair, i, g);
        all.sum += part.sum * exponential(part.largest - all.largest);
    }
    return {all.largest, 1.0f / float(work.group) / all.sum};
}

// values[j] = sum over the group of softmax probability of tail token j / group.
void piece_values(const Work &work, uint32_t pair, uint32_t piece) {
    uint32_t first = piece * piece_pages, end = std::min(work.pages(pair), first + piece_pages);
    float *values = work.values(pair);
    for (uint32_t g = 0; g < work.group; g++) {
        Part softmax = softmax_of(work, pair, g);
        const float *logits = work.logits(pair, g);
        for (uint32_t j = first * page_tokens; j < end * page_tokens; j += lanes) {
            Floats before = g == 0 ? Floats{} : load(values + j);
            Floats weight = exponential(load(logits + j) - softmax.largest);
            store(values + j, before + softmax.sum * weight);
        }
    }
    for (uint32_t page = first; page < end; page++) {
        Floats most{};
        for (uint32_t j = 0; j < page_tokens; j += lanes) {
            most = larger(most, load(values + page * page_tokens + j));
        }
        work.tops(pair)[page] = largest_of(most);
    }
}

// A value that at least k tokens are not below; 0 where no page's largest tells one.
float threshold_of(const float *tops, uint32_t pages, uint32_t k) {
    static thread_local std::vector<float> sorted;
    if (k > pages) return 0;
    grown(sorted, pages);
    std::copy(tops, tops + pages, sorted.begin());
    std::nth_element(sorted.begin(), sorted.begin() + k - 1, sorted.begin() + pages,
                     std::greater<>());
    return sorted[k - 1];
}

// The ranks of the k largest values of tokens [sink_tokens, tail), in any order, first in `ranks`.
void select(const float *values, const float *tops, uint32_t pages, uint32_t k,
            std::vector<uint64_t> &ranks) {
    float threshold = threshold_of(tops, pages, k);
    ranks.clear();
    for (uint32_t page = 0; page < pages; page++) {
        if (tops[page] < threshold) continue;
        uint32_t first = page * page_tokens, j = page == 0 ? sink_tokens : 0;
        for (; j < page_tokens; j++) {
            if (values[first + j] >= threshold) {
                ranks.push_back(ranked(values[first + j], first + j));
            }
        }
    }
    if (ranks.size() > k) {
        std::nth_element(ranks.begin(), ranks.begin() + k - 1, ranks.end(), std::greater<>());
    }
}

void choose_pair(const Work &work, uint32_t pair) {
    const Choose &choose = work.choose;
    static thread_local std::vector<uint64_t> ranks;
    uint32_t pages = work.pages(pair), tail = pages * page_tokens;
    uint32_t at = work.input(pair) * work.shape.kv_heads + work.head(pair);
    uint32_t k = tail == 0 ? 0 : std::min(choose.k, tail - sink_tokens);
    choose.counts[at] = k;
    if (k == 0) return;
    const float *values = work.values(pair);
    if (ranks.capacity() < tail) ranks.reserve(choose.tokens_max);
    select(values, work.tops(pair), pages, k, ranks);
    uint32_t *chosen = choose.chosen + uint64_t(at) * choose.k_max;
    for (uint32_t i = 0; i < k; i++) chosen[i] = ~uint32_t(ranks[i]);
    std::sort(chosen, chosen + k);
    float *of = choose.values + uint64_t(at) * choose.k_max;
    for (uint32_t i = 0; i < k; i++) of[i] = values[chosen[i]];
}

}  // namespace

void choose(Stream &stream, const Choose &choose) {
    static thread_local Scratch scratch;
    Work work{choose, scratch};
    grown(scratch.parts, uint64_t(work.pairs) * (work.pieces_max + 1) * work.group);
    grown(scratch.values, work.pairs * work.values_of_pair);
    grown(scratch.tops, uint64_t(work.pairs) * work.pages_max);
    uint32_t places = work.pieces_max + 1;  // the last is the near rows'
    auto each = [&](auto body) {
        parallel(stream, work.pairs * places, [&](uint32_t index) {
            uint32_t pair = index / places, piece = index % places;
            if (choose.k != 0) body(pair, piece);
        });
    };
    each([&](uint32_t pair, uint32_t piece) {
        if (piece == work.pieces_max) near_part(work, pair);
        else if (piece < work.pieces(pair)) tail_part(work, pair, piece);
    });
    each([&](uint32_t pair, uint32_t piece) {
        if (piece < work.pieces(pair)) piece_values(work, pair, piece);
    });
    parallel(stream, work.pairs, [&](uint32_t pair) { choose_pair(work, pair); });
}

}  // namespace specache::SPECACHE_ISA

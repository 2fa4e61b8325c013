// attend.cpp - one softmax over sinks, tail, window and inputs: tail tokens by row where one is
// named, else by their codes.
//
// Two passes: weights and value sums of the exact rows (a piece for each input and KV head) and of
// each block of pages (a piece for each KV head and block, whatever number of inputs), each beside
// its own largest logit; then the pieces are added in their order. So neither threads nor inputs
// change a bit.
#include <algorithm>
#include <cmath>
#include <limits>

#include "../kernels.h"
#include "../simd.h"
#include "../threads.h"
#include "exact.h"
#include "rows.h"
#include "values.h"
#include "weigh.h"

namespace specache::SPECACHE_ISA {
namespace {

constexpr float hidden = -std::numeric_limits<float>::infinity();
constexpr uint32_t rows_at_a_time = 32;  // keys and values of them are in the first-level cache
constexpr uint32_t pages_ahead = 2;  // that are asked for while one is summed

struct Work {
    const Attend &attend;
    const Shape &shape = attend.shape;
    uint32_t dim = shape.head_dim, group = shape.query_heads / shape.kv_heads;
    bool coded = attend.codes_of[0].rule != Rule::none;
    AttendScratch scratch = attend_scratch(shape, attend.inputs, attend.pages_max, attend.k_max,
                                           attend.value_planes, false, attend.scratch);
    uint32_t exact_max = scratch.exact_max;
    uint32_t pages = coded_pages(attend.positions[attend.inputs - 1]);
    uint32_t blocks = (pages + block_pages - 1) / block_pages;

    // The logits of an input's query head, [tokens_max].
    float *logits(uint32_t at) const {
        return attend.logits + attend.tokens_max * logits_place(shape, attend.heads,
                                                                at / shape.query_heads,
                                                                at % shape.query_heads);
    }
    const float *query(uint32_t at) const { return attend.queries + uint64_t(at) * dim; }
    ValueSums sums(uint32_t block, uint32_t at) const {
        uint64_t index = uint64_t(block) * attend.inputs * shape.query_heads + at;
        return value_sums(scratch.sums + index * scratch.sum_floats, dim);
    }
    ValueSums exact(uint32_t at) const { return sums(blocks, at); }
    void clear(const ValueSums &sums) const {
        std::memset(sums.sum, 0, scratch.sum_floats * sizeof(float));
        *sums.largest = lowest;
    }
    uint32_t first_query(uint32_t input, uint32_t head) const {
        return input * shape.query_heads + head * group;
    }
};

// The rows of an input and head that are attended as rows: near ones, then chosen ones.
uint32_t exact_rows(const Work &work, uint32_t input, uint32_t head, const uint8_t **rows) {
    const Attend &attend = work.attend;
    uint32_t count = near_rows(work.shape, attend.near, head, attend.positions[input], rows);
    uint32_t pair = input * work.shape.kv_heads + head;
    const uint8_t *const *chosen = attend.rows + uint64_t(pair) * attend.k_max;
    for (uint32_t i = 0; i < attend.counts[pair]; i++) {
        if (chosen[i] != nullptr) rows[count++] = chosen[i];
    }
    return count;
}

// The running sums of up to four neighbouring queries over rows: the largest logit is not known
// beforehand, so it runs along.
template <Type type, uint32_t Queries>
struct RunningSums {
    const Work &work;
    uint32_t first;  // query
    ValueSums sums[Queries];

    // `of` gives a query's sums.
    template <class Of>
    RunningSums(const Work &work_in, uint32_t first_in, Of of) : work(work_in), first(first_in) {
        for (uint32_t q = 0; q < Queries; q++) {
            sums[q] = of(first + q);
            work.clear(sums[q]);
        }
    }
    // `count` rows, at most a page's, that begin at row(r); the first `hidden_rows` are not seen.
    // Before row r is read, soon(r) may prefetch another.
    template <class Row, class Soon>
    void add(uint32_t count, uint32_t hidden_rows, Row row, Soon soon) {
        alignas(64) float logits[Queries][page_tokens];
        for (uint32_t r = 0; r < count; r += lanes) {
            Floats products[Queries];
            uint32_t part = std::min(lanes, count - r);
            dot_rows<type, Queries>(
                part, work.query(first), work.dim, [&](uint32_t i) { return row(r + i); },
                [&](uint32_t i) { soon(r + i); }, products);
            for (uint32_t q = 0; q < Queries; q++) {
                store(logits[q] + r, products[q] * work.shape.scale);
                std::fill(logits[q] + r + part, logits[q] + r + lanes, hidden);
            }
        }
        const float *weights[Queries];
        float *out[Queries];
        for (uint32_t q = 0; q < Queries; q++) {
            weights[q] = logits[q];
            out[q] = sums[q].dense;
            std::fill(logits[q], logits[q] + hidden_rows, hidden);
            soften_beside(sums[q], logits[q], count);
        }
        uint64_t half = row_bytes(work.shape) / 2;
        add_rows<type, Queries>(
            count, weights, work.dim, [&](uint32_t r) { return row(r) + half; }, out);
    }

private:
    void soften_beside(const ValueSums &to, float *logits, uint32_t count) const {
        Floats most = spread(*to.largest);
        for (uint32_t j = 0; j < count; j += lanes) most = larger(most, load(logits + j));
        float largest = largest_of(most);
        if (largest > *to.largest) {
            float shrink = exponential(*to.largest - largest);
            *to.largest = largest;
            *to.sum *= shrink;
            for (uint32_t i = 0; i < work.dim; i++) to.dense[i] *= shrink;
        }
        *to.sum += weights_beside(largest, logits, count, logits);
    }
};

void sum_exact(const Work &work, uint32_t input, uint32_t head) {
    uint32_t pair = input * work.shape.kv_heads + head;
    const uint8_t **rows = &work.scratch.rows[uint64_t(pair) * work.exact_max];
    uint32_t count = exact_rows(work, input, head, rows);
    uint64_t bytes = row_bytes(work.shape);
    constexpr uint32_t ahead = lanes;  // rows lie anywhere: each is asked for 16 rows before
    for (uint32_t r = 0; r < std::min(count, ahead); r++) prefetch_row(rows[r], bytes);
    with_row_type(work.shape.kv_type, [&]<Type type>() {
        by_queries(work.group, [&]<uint32_t Queries>(uint32_t g) {
            RunningSums<type, Queries> running(work, work.first_query(input, head) + g,
                                               [&](uint32_t at) { return work.exact(at); });
            for (uint32_t i = 0; i < count; i += lanes) {
                running.add(
                    std::min(lanes, count - i), 0, [&](uint32_t r) { return rows[i + r]; },
                    [&](uint32_t r) {
                        if (i + r + ahead < count) prefetch_row(rows[i + r + ahead], bytes);
                    });
            }
        });
    });
}

// The largest logit of each query over a block, before chosen tokens leave it.
void find_largest(const Work &work, uint32_t input, uint32_t head, uint32_t page, uint32_t end) {
    const Attend &attend = work.attend;
    for (uint32_t g = 0; g < work.group; g++) {
        uint32_t at = work.first_query(input, head) + g;
        ValueSums sums = work.sums(page / block_pages, at);
        work.clear(sums);
        if (attend.blocks != nullptr) {
            uint64_t place = logits_place(work.shape, attend.heads, input, head * work.group + g);
            Blocks blocks = Blocks::of(attend.blocks, place, attend.tokens_max);
            *sums.largest = blocks.largest[page / block_pages];
            continue;
        }
        *sums.largest = largest_logit(work.logits(at) + page * page_tokens,
                                      (end - page) * page_tokens);
    }
}

// A chosen token leaves the codes.
void hide_chosen(const Work &work, uint32_t input, uint32_t head, uint32_t begin, uint32_t end) {
    const Attend &attend = work.attend;
    uint32_t pair = input * work.shape.kv_heads + head;
    uint64_t list = uint64_t(pair) * attend.k_max;
    for (uint32_t i = 0; i < attend.counts[pair]; i++) {
        uint32_t token = attend.chosen[list + i];
        if (token - begin >= end - begin || attend.rows[list + i] == nullptr) continue;
        uint32_t first = work.first_query(input, head);
        for (uint32_t g = 0; g < work.group; g++) {
            work.logits(first + g)[token] = attend.blocks != nullptr ? 0 : hidden;
        }
    }
}

// Pages [page, end) of a block, whose sums have their largest logit.
template <uint32_t Queries>
void sum_coded_pages(const Work &work, uint32_t head, uint32_t page, uint32_t end,
                     uint32_t first) {
    const HeadCode &code = work.attend.codes_of[head];
    CodeLayout layout = code_layout(code, work.dim);
    ValueSums sums[Queries];
    for (uint32_t q = 0; q < Queries; q++) sums[q] = work.sums(page / block_pages, first + q);
    for (; page < end; page++) {
        alignas(64) float room[Queries][page_tokens];
        const float *weights[Queries];
        for (uint32_t q = 0; q < Queries; q++) {
            weights[q] = work.logits(first + q) + page * page_tokens;
            if (work.attend.blocks != nullptr) continue;
            weights_beside(*sums[q].largest, weights[q], page_tokens, room[q]);
            weights[q] = room[q];
        }
        if (page + pages_ahead < end) {
            const uint8_t *soon = code.page(work.attend.pages[page + pages_ahead]);
            prefetch_row(soon + layout.values, layout.bytes - layout.values);
        }
        add_page_values(code, layout, code.page(work.attend.pages[page]), work.dim, Queries,
                        weights, sums);
    }
}

// Mode full: the rows of pages [page, end), without the sinks.
template <Type type, uint32_t Queries>
void sum_resident_pages(const Work &work, uint32_t head, uint32_t page, uint32_t end,
                        uint32_t first) {
    uint64_t row = row_bytes(work.shape);
    RunningSums<type, Queries> running(
        work, first, [&](uint32_t at) { return work.sums(page / block_pages, at); });
    for (; page < end; page++) {
        const uint8_t *rows =
            work.attend.near.resident.page(page) + uint64_t(head) * page_tokens * row;
        for (uint32_t j = 0; j < page_tokens; j += rows_at_a_time) {
            running.add(
                rows_at_a_time, page == 0 && j == 0 ? sink_tokens : 0,
                [&](uint32_t r) { return rows + (j + r) * row; },
                [](uint32_t) {});
        }
    }
}

void sum_block(const Work &work, uint32_t head, uint32_t block) {
    const Attend &attend = work.attend;
    uint32_t page = block * block_pages;
    for (uint32_t input = 0; input < attend.inputs; input++) {
        uint32_t end = std::min(coded_pages(attend.positions[input]), page + block_pages);
        if (end <= page) continue;  // finish() does not ask for it
        if (work.coded) {
            find_largest(work, input, head, page, end);
            hide_chosen(work, input, head, page * page_tokens, end * page_tokens);
        }
        by_queries(work.group, [&]<uint32_t Queries>(uint32_t g) {
            uint32_t first = work.first_query(input, head) + g;
            if (work.coded) return sum_coded_pages<Queries>(work, head, page, end, first);
            with_row_type(work.shape.kv_type, [&]<Type type>() {
                sum_resident_pages<type, Queries>(work, head, page, end, first);
            });
        });
    }
}

// to += share * from.
void add_sums(const ValueSums &to, const ValueSums &from, float share, uint32_t dim,
              uint32_t planes) {
    *to.sum += share * *from.sum;
    *to.total += share * *from.total;
    for (uint32_t i = 0; i < value_groups_max; i++) to.zero[i] += share * from.zero[i];
    for (uint32_t i = 0; i < dim; i++) to.dense[i] += share * from.dense[i];
    for (uint32_t i = 0; i < planes; i++) to.set[i] += share * from.set[i];
}

// The logit that all sums are brought to: the largest of the piece that weighs most. That of
// another piece may be larger, where the codes held a chosen token for far more than its row says.
float reference_of(const Work &work, uint32_t at, uint32_t blocks) {
    ValueSums exact = work.exact(at);
    float largest = *exact.largest, height = largest + std::log(*exact.sum);
    for (uint32_t block = 0; block < blocks; block++) {
        ValueSums sums = work.sums(block, at);
        if (*sums.sum <= 0 || *sums.largest + std::log(*sums.sum) <= height) continue;
        largest = *sums.largest;
        height = largest + std::log(*sums.sum);
    }
    return largest;
}

// What a piece's sums are multiplied by. A factor that float does not hold belongs to weights that
// it does not hold either.
float share_of(const ValueSums &sums, float largest) {
    float above = *sums.largest - largest;
    if (above <= 0) return exponential(above);
    return above < 88 ? std::exp(above) : 0;
}

// Blocks in order, back from the codes' space, then the exact rows.
void finish(const Work &work, uint32_t input, uint32_t head, uint32_t g) {
    const Attend &attend = work.attend;
    const HeadCode &code = attend.codes_of[head];
    uint32_t at = work.first_query(input, head) + g, dim = work.dim;
    uint32_t pages = coded_pages(attend.positions[input]);
    uint32_t blocks = (pages + block_pages - 1) / block_pages;
    ValueSums exact = work.exact(at);
    float largest = reference_of(work, at, blocks);
    alignas(64) float room[value_sum_floats(256, 4 * 256)] = {};
    ValueSums all = value_sums(room, dim);
    for (uint32_t block = 0; block < blocks; block++) {
        ValueSums sums = work.sums(block, at);
        add_sums(all, sums, share_of(sums, largest), dim, code.value_planes);
    }
    float out[256] = {}, share = share_of(exact, largest);
    if (!work.coded) std::copy(all.dense, all.dense + dim, out);
    else if (blocks != 0) finish_values(code, dim, all, out);
    float *to = attend.outputs + uint64_t(at) * dim, sum = *all.sum + share * *exact.sum;
    for (uint32_t i = 0; i < dim; i++) to[i] = (out[i] + share * exact.dense[i]) / sum;
}

}  // namespace

void attend(Stream &stream, const Attend &attend) {
    Work work{attend};
    const HeadRun &run = attend.heads;
    uint32_t pairs = attend.inputs * run.count;
    parallel(stream, pairs + run.count * work.blocks, [&](uint32_t piece) {
        if (piece < pairs) {
            return sum_exact(work, piece / run.count, run.first + piece % run.count);
        }
        piece -= pairs;
        sum_block(work, run.first + piece / work.blocks, piece % work.blocks);
    });
    parallel(stream, attend.inputs * run.count * work.group, [&](uint32_t i) {
        uint32_t pair = i / work.group;
        finish(work, pair / run.count, run.first + pair % run.count, i % work.group);
    });
}

}  // namespace specache::SPECACHE_ISA

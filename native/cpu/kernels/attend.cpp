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
#include "heads.h"
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
    uint32_t pages = pages_of(attend.inputs - 1);  // most of any input
    uint32_t blocks = (pages + block_pages - 1) / block_pages;

    // Pages that an input attends: none where its whole tail is among the exact rows.
    uint32_t pages_of(uint32_t input) const {
        return coded && attend.logits == nullptr ? 0 : coded_pages(attend.positions[input]);
    }

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
uint32_t exact_rows(const Work &work, uint32_t input, uint32_t head, const uint8_t **rows,
                    uint32_t &near) {
    const Attend &attend = work.attend;
    near = near_rows(work.shape, attend.near, head, attend.positions[input], rows);
    uint32_t count = near;
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

    // `of` gives a query's sums, which go on from what they are.
    template <class Of>
    RunningSums(const Work &work_in, uint32_t first_in, Of of) : work(work_in), first(first_in) {
        for (uint32_t q = 0; q < Queries; q++) sums[q] = of(first + q);
    }
    // `count` rows, at most a page's, that begin at row(r); the first `hidden_rows` are not seen.
    // known(r, part, q) are the logits of `part` rows from r on where they were made before, or
    // null. ask(lines) may ask for as many lines as were read.
    template <class Row, class Known, class Ask>
    void add(uint32_t count, uint32_t hidden_rows, Row row, Known known, Ask ask) {
        alignas(64) float logits[Queries][page_tokens];
        for (uint32_t r = 0; r < count; r += lanes) {
            Floats products[Queries];
            uint32_t part = std::min(lanes, count - r);
            if (known(r, part, 0) != nullptr) {
                for (uint32_t q = 0; q < Queries; q++) {
                    store(logits[q] + r, load(known(r, part, q)));
                    std::fill(logits[q] + r + part, logits[q] + r + lanes, hidden);
                }
                ask(part * uint32_t(row_bytes(work.shape) / (2 * line_bytes)));
                continue;
            }
            dot_rows<type, Queries>(
                part, work.query(first), work.dim, [&](uint32_t i) { return row(r + i); },
                ask, products);
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
            count, weights, work.dim, [&](uint32_t r) { return row(r) + half; }, ask, out);
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

// near_logits as in heads.h.
void sum_exact(const Work &work, uint32_t input, uint32_t head, const float *near_logits) {
    uint32_t pair = input * work.shape.kv_heads + head;
    const uint8_t **rows = &work.scratch.rows[uint64_t(pair) * work.exact_max];
    uint32_t near, count = exact_rows(work, input, head, rows, near);
    // Rows lie anywhere: each is asked for while those before it are read, and behind them what
    // finish() reads of the head's basis, whose rows are as long.
    constexpr uint32_t first_asked = rows_at_a_time;
    const HeadCode &code = work.attend.codes_of[head];
    uint32_t planes = code.rule == Rule::rotated && code.value_bits == 0 ? code.value_planes : 0;
    Ahead ahead(count + planes, row_bytes(work.shape), [&](uint32_t r) {
        if (r < count) return rows[r];
        const float *row = code.value_basis + code.plane_channel[r - count] * work.dim;
        return reinterpret_cast<const uint8_t *>(row);
    });
    uint32_t row_lines = uint32_t((row_bytes(work.shape) + line_bytes - 1) / line_bytes);
    ahead.ask(row_lines * first_asked);
    with_row_type(work.shape.kv_type, [&]<Type type>() {
        by_queries(work.group, [&]<uint32_t Queries>(uint32_t g) {
            auto of = [&](uint32_t at) { return work.exact(at); };
            RunningSums<type, Queries> running(work, work.first_query(input, head) + g, of);
            for (uint32_t q = 0; q < Queries; q++) work.clear(running.sums[q]);
            for (uint32_t i = 0; i < count; i += rows_at_a_time) {
                running.add(
                    std::min(rows_at_a_time, count - i), 0,
                    [&](uint32_t r) { return rows[i + r]; },
                    [&](uint32_t r, uint32_t part, uint32_t q) -> const float * {
                        if (near_logits == nullptr || i + r + part > near) return nullptr;
                        uint64_t query = uint64_t(input) * work.group + g + q;
                        return near_logits + query * near_logits_room + i + r;
                    },
                    [&](uint32_t lines) { ahead.ask(lines); });
            }
        });
    });
    ahead.ask(row_lines * planes);
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
    const uint32_t *chosen = attend.chosen + uint64_t(pair) * attend.k_max;
    const uint8_t *const *rows = attend.rows + uint64_t(pair) * attend.k_max;
    const uint32_t *last = chosen + attend.counts[pair];
    uint32_t i = uint32_t(std::lower_bound(chosen, last, begin) - chosen);
    uint32_t stop = uint32_t(std::lower_bound(chosen + i, last, end) - chosen);
    for (uint32_t g = 0; g < work.group; g++) {
        float *logits = work.logits(work.first_query(input, head) + g);
        float none = attend.blocks != nullptr ? 0 : hidden;
        for (uint32_t j = i; j < stop; j++) {
            if (rows[j] != nullptr) logits[chosen[j]] = none;
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
            for (uint32_t at = layout.values; at < layout.bytes; at += line_bytes) {
                __builtin_prefetch(soon + at);
            }
        }
        add_page_values(code, layout, code.page(work.attend.pages[page]), work.dim, Queries,
                        weights, sums);
    }
}

void sum_block(const Work &work, uint32_t head, uint32_t block) {
    const Attend &attend = work.attend;
    uint32_t page = block * block_pages;
    for (uint32_t input = 0; input < attend.inputs; input++) {
        uint32_t end = std::min(coded_pages(attend.positions[input]), page + block_pages);
        if (end <= page) continue;  // finish() does not ask for it
        find_largest(work, input, head, page, end);
        hide_chosen(work, input, head, page * page_tokens, end * page_tokens);
        by_queries(work.group, [&]<uint32_t Queries>(uint32_t g) {
            uint32_t first = work.first_query(input, head) + g;
            sum_coded_pages<Queries>(work, head, page, end, first);
        });
    }
}

// Mode full: pages are read where they lie, [heads][64] rows each, by neighbouring heads.
struct ResidentHeads {
    uint32_t at_once, pieces;  // heads of a piece, pieces of a block: many enough for the threads
    explicit ResidentHeads(const Work &work) {
        constexpr uint32_t pieces_least = 16;
        uint32_t heads = work.attend.heads.count, blocks = std::max(work.blocks, 1u);
        at_once = std::max(heads / std::max(pieces_least / blocks, 1u), 1u);
        pieces = (heads + at_once - 1) / at_once;
    }
};

// The rows of a page of one head for an input's queries [first, first + Queries), without the
// sinks.
template <Type type, uint32_t Queries, class Ask>
void sum_resident_page(const Work &work, const uint8_t *rows, uint32_t page, uint32_t first,
                       Ask ask) {
    uint64_t row = row_bytes(work.shape);
    uint32_t block = page / block_pages;
    RunningSums<type, Queries> running(work, first,
                                       [&](uint32_t at) { return work.sums(block, at); });
    for (uint32_t q = 0; page % block_pages == 0 && q < Queries; q++) work.clear(running.sums[q]);
    for (uint32_t j = 0; j < page_tokens; j += rows_at_a_time) {
        running.add(
            rows_at_a_time, page == 0 && j == 0 ? sink_tokens : 0,
            [&](uint32_t r) { return rows + (j + r) * row; },
            [](uint32_t, uint32_t, uint32_t) -> const float * { return nullptr; }, ask);
    }
}

void sum_resident_block(const Work &work, uint32_t block, uint32_t first_head, uint32_t heads) {
    const Attend &attend = work.attend;
    uint64_t bytes = page_tokens * row_bytes(work.shape);
    uint32_t begin = block * block_pages, end = std::min(work.pages, begin + block_pages);
    auto rows_at = [&](uint32_t i) {  // the i-th page of a head in the order in which they lie
        return attend.near.resident.page(begin + i / heads) + (first_head + i % heads) * bytes;
    };
    uint32_t count = (end - begin) * heads;
    Ahead ahead(count - 1, bytes, [&](uint32_t i) { return rows_at(i + 1); });
    for (uint32_t i = 0; i < count; i++) {
        uint32_t page = begin + i / heads, head = first_head + i % heads;
        for (uint32_t input = 0; input < attend.inputs; input++) {
            if (page >= coded_pages(attend.positions[input])) continue;
            with_row_type(work.shape.kv_type, [&]<Type type>() {
                by_queries(work.group, [&]<uint32_t Queries>(uint32_t g) {
                    bool leads = input == 0 && g == 0;
                    sum_resident_page<type, Queries>(
                        work, rows_at(i), page, work.first_query(input, head) + g,
                        [&](uint32_t lines) { if (leads) ahead.ask(lines); });
                });
            });
        }
    }
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

// Blocks in order, back from the codes' space, then the exact rows.
void finish(const Work &work, uint32_t input, uint32_t head, uint32_t g) {
    const Attend &attend = work.attend;
    const HeadCode &code = attend.codes_of[head];
    uint32_t at = work.first_query(input, head) + g, dim = work.dim;
    uint32_t blocks = (work.pages_of(input) + block_pages - 1) / block_pages;
    ValueSums exact = work.exact(at);
    float largest = reference_of(work, at, blocks);
    alignas(64) float room[value_sum_floats(256, 4 * 256)];
    std::fill_n(room, value_sum_floats(dim, code.value_planes), 0.0f);
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

void attend_exact(const Attend &attend, uint32_t input, uint32_t head, const float *near_logits) {
    sum_exact(Work{attend}, input, head, near_logits);
}

void attend_codes(const Attend &attend, uint32_t head) {
    Work work{attend};
    for (uint32_t block = 0; block < work.blocks; block++) sum_block(work, head, block);
}

void attend_end(const Attend &attend, uint32_t input, uint32_t head) {
    Work work{attend};
    for (uint32_t g = 0; g < work.group; g++) finish(work, input, head, g);
}

void attend(Stream &stream, const Attend &attend) {
    Work work{attend};
    const HeadRun &run = attend.heads;
    uint32_t pairs = attend.inputs * run.count;
    ResidentHeads resident(work);
    uint32_t pieces = (work.coded ? run.count : resident.pieces) * work.blocks;
    parallel(stream, pairs + pieces, [&](uint32_t piece) {
        if (piece < pairs) {
            return sum_exact(work, piece / run.count, run.first + piece % run.count, nullptr);
        }
        piece -= pairs;
        if (work.coded) {
            return sum_block(work, run.first + piece / work.blocks, piece % work.blocks);
        }
        uint32_t head = piece % resident.pieces * resident.at_once;
        sum_resident_block(work, piece / resident.pieces, run.first + head,
                           std::min(resident.at_once, run.count - head));
    });
    parallel(stream, attend.inputs * run.count * work.group, [&](uint32_t i) {
        uint32_t pair = i / work.group;
        finish(work, pair / run.count, run.first + pair % run.count, i % work.group);
    });
}

}  // namespace specache::SPECACHE_ISA

// attend.cpp - one softmax over sinks, tail, window and inputs: tail tokens by row where one is
// named, else by their codes.
//
// Three passes: exact logits replace the codes' and the largest logit is found (one piece for each
// input and KV head); weights and value sums (one for each KV head and block of pages, whatever
// number of inputs); the sums of the blocks are added in their order. So neither threads nor inputs
// change a bit.
#include <algorithm>
#include <limits>

#include "../kernels.h"
#include "../simd.h"
#include "../threads.h"
#include "exact.h"
#include "values.h"

namespace specache::SPECACHE_ISA {
namespace {

constexpr float hidden = -std::numeric_limits<float>::infinity();

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
    void clear(const ValueSums &sums) const {
        std::memset(sums.sum, 0, scratch.sum_floats * sizeof(float));
    }
};

// The exact rows of an input and head; a chosen token leaves the codes.
void place_exact(const Work &work, uint32_t input, uint32_t head) {
    const Attend &attend = work.attend;
    uint32_t pair = input * work.shape.kv_heads + head;
    const uint8_t **rows = &work.scratch.rows[uint64_t(pair) * work.exact_max];
    uint32_t count = near_rows(work.shape, attend.near, head, attend.positions[input], rows);
    uint64_t list = uint64_t(pair) * attend.k_max;
    for (uint32_t i = 0; i < attend.counts[pair]; i++) {
        if (attend.rows[list + i] == nullptr) continue;
        rows[count++] = attend.rows[list + i];
        for (uint32_t g = 0; g < work.group; g++) {
            uint32_t at = input * work.shape.query_heads + head * work.group + g;
            work.logits(at)[attend.chosen[list + i]] = hidden;
        }
    }
    work.scratch.counts[pair] = count;
    uint32_t tail = work.coded ? coded_pages(attend.positions[input]) * page_tokens : 0;
    for (uint32_t g = 0; g < work.group; g++) {
        uint32_t at = input * work.shape.query_heads + head * work.group + g;
        float *exact = &work.scratch.logits[uint64_t(at) * work.exact_max];
        Floats largest = spread(-3e38f);
        for (uint32_t i = 0; i < count; i++) {
            exact[i] = dot_row(work.shape.kv_type, rows[i], work.query(at), work.dim) *
                       work.shape.scale;
        }
        for (uint32_t i = count; i < count + lanes; i++) exact[i] = hidden;
        for (uint32_t i = 0; i < count; i += lanes) largest = larger(largest, load(exact + i));
        const float *logits = work.logits(at);
        for (uint32_t j = 0; j < tail; j += lanes) largest = larger(largest, load(logits + j));
        work.scratch.largest[at] = largest_of(largest);
    }
}

void sum_coded_page(const Work &work, uint32_t head, uint32_t page, uint32_t at,
                    const ValueSums &sums) {
    const Attend &attend = work.attend;
    const HeadCode &code = attend.codes_of[head];
    const float *logits = work.logits(at) + page * page_tokens;
    float weights[page_tokens];
    Floats sum{}, largest = spread(work.scratch.largest[at]);
    for (uint32_t j = 0; j < page_tokens; j += lanes) {
        Floats weight = exponential(load(logits + j) - largest);
        store(weights + j, weight);
        sum += weight;
    }
    *sums.sum += sum_of(sum);
    add_page_values(code, code_layout(code, work.dim), code.page(attend.pages[page]), work.dim,
                    weights, sums);
}

// Mode full: the rows of a page, without the sinks. The largest logit is not known beforehand, so
// it runs along: `sums.largest` holds it.
void sum_resident_page(const Work &work, uint32_t head, uint32_t page, uint32_t at,
                       const ValueSums &sums) {
    const Shape &shape = work.shape;
    uint64_t row = row_bytes(shape);
    const uint8_t *rows = work.attend.near.resident.page(page) +
                          uint64_t(head) * page_tokens * row;
    float logits[page_tokens];
    uint32_t first = page == 0 ? sink_tokens : 0, half = uint32_t(row / 2);
    std::fill(logits, logits + first, hidden);
    for (uint32_t j = first; j < page_tokens; j++) {
        logits[j] = dot_row(shape.kv_type, rows + j * row, work.query(at), work.dim) * shape.scale;
    }
    float largest = *sums.largest;
    for (float logit : logits) largest = std::max(largest, logit);
    float shrink = exponential(*sums.largest - largest);
    *sums.largest = largest;
    *sums.sum *= shrink;
    for (uint32_t i = 0; i < work.dim; i++) sums.dense[i] *= shrink;
    Floats sum{};
    for (uint32_t j = 0; j < page_tokens; j += lanes) {
        Floats weight = exponential(load(logits + j) - largest);
        store(logits + j, weight);
        sum += weight;
    }
    *sums.sum += sum_of(sum);
    for (uint32_t j = first; j < page_tokens; j++) {
        add_row(shape.kv_type, rows + j * row + half, logits[j], work.dim, sums.dense);
    }
}

void sum_block(const Work &work, uint32_t head, uint32_t block) {
    const Attend &attend = work.attend;
    for (uint32_t input = 0; input < attend.inputs; input++) {
        uint32_t end = std::min(coded_pages(attend.positions[input]), (block + 1) * block_pages);
        for (uint32_t g = 0; g < work.group; g++) {
            uint32_t at = input * work.shape.query_heads + head * work.group + g;
            ValueSums sums = work.sums(block, at);
            work.clear(sums);
            *sums.largest = -3e38f;
        }
        for (uint32_t page = block * block_pages; page < end; page++) {
            for (uint32_t g = 0; g < work.group; g++) {
                uint32_t at = input * work.shape.query_heads + head * work.group + g;
                if (work.coded) sum_coded_page(work, head, page, at, work.sums(block, at));
                else sum_resident_page(work, head, page, at, work.sums(block, at));
            }
        }
    }
}

void add_sums(const ValueSums &to, const ValueSums &from, uint32_t dim, uint32_t planes) {
    *to.sum += *from.sum;
    *to.total += *from.total;
    for (uint32_t i = 0; i < value_groups_max; i++) to.zero[i] += from.zero[i];
    for (uint32_t i = 0; i < dim; i++) to.dense[i] += from.dense[i];
    for (uint32_t i = 0; i < planes; i++) to.set[i] += from.set[i];
}

// Blocks in order, then the exact rows, then back from the codes' space.
void finish(const Work &work, uint32_t input, uint32_t head, uint32_t g) {
    const Attend &attend = work.attend;
    const HeadCode &code = attend.codes_of[head];
    uint32_t pair = input * work.shape.kv_heads + head;
    uint32_t at = input * work.shape.query_heads + head * work.group + g, dim = work.dim;
    ValueSums all = work.sums(work.blocks, at);
    work.clear(all);
    uint32_t pages = coded_pages(attend.positions[input]);
    uint32_t blocks = (pages + block_pages - 1) / block_pages;
    float largest = work.scratch.largest[at];
    for (uint32_t block = 0; block < blocks; block++) {
        if (work.coded) add_sums(all, work.sums(block, at), dim, code.value_planes);
        else largest = std::max(largest, *work.sums(block, at).largest);
    }
    float out[256] = {};
    if (work.coded && blocks != 0) finish_values(code, dim, all, out);
    for (uint32_t block = 0; block < blocks && !work.coded; block++) {
        ValueSums sums = work.sums(block, at);
        float shrink = exponential(*sums.largest - largest);
        *all.sum += shrink * *sums.sum;
        for (uint32_t i = 0; i < dim; i++) out[i] += shrink * sums.dense[i];
    }
    const uint8_t **rows = &work.scratch.rows[uint64_t(pair) * work.exact_max];
    float *exact = &work.scratch.logits[uint64_t(at) * work.exact_max];
    uint32_t count = work.scratch.counts[pair], half = uint32_t(row_bytes(work.shape) / 2);
    Floats sum{};
    for (uint32_t i = 0; i < count; i += lanes) {
        Floats weight = exponential(load(exact + i) - largest);
        store(exact + i, weight);
        sum += weight;
    }
    *all.sum += sum_of(sum);
    for (uint32_t i = 0; i < count; i++) {
        add_row(work.shape.kv_type, rows[i] + half, exact[i], dim, out);
    }
    float *to = attend.outputs + uint64_t(at) * dim;
    for (uint32_t i = 0; i < dim; i++) to[i] = out[i] / *all.sum;
}

}  // namespace

void attend(Stream &stream, const Attend &attend) {
    Work work{attend};
    const HeadRun &run = attend.heads;
    parallel(stream, attend.inputs * run.count, [&](uint32_t pair) {
        place_exact(work, pair / run.count, run.first + pair % run.count);
    });
    parallel(stream, run.count * work.blocks, [&](uint32_t piece) {
        sum_block(work, run.first + piece / work.blocks, piece % work.blocks);
    });
    parallel(stream, attend.inputs * run.count * work.group, [&](uint32_t i) {
        uint32_t pair = i / work.group;
        finish(work, pair / run.count, run.first + pair % run.count, i % work.group);
    });
}

}  // namespace specache::SPECACHE_ISA

// scratch.h - what the attend kernel, and choose on a CUDA device, need beside their arguments,
// carved here so that plan() can count it. Smaller scratch of other kernels belongs to their
// threads and grows once.
#pragma once
#include "kernels.h"

namespace specache {

// Pages whose sums are one piece of work; it fixes the order of sums. Larger pieces need less
// scratch, smaller ones more threads: 32 pages are 16 pieces a KV head at 32K tokens.
constexpr uint32_t block_pages = 32;
constexpr uint32_t exact_part = 64;  // exact rows that are one piece of work of a CUDA device
constexpr uint32_t exact_near_max = sink_tokens + 128;  // sinks and at most 128 of the window
constexpr uint32_t vector_floats = 16;                  // a vector of the CPU's kernels
constexpr uint32_t value_groups_max = 8;                // of the paper's channels: 256 / 32

// Where a CPU's scan leaves weights in `logits`: beside the largest logit of each block of pages.
struct Blocks {
    float *largest, *sums;  // [places()] of one query: those logits, and the sums of weights
    static constexpr uint32_t places(uint32_t tokens_max) {  // whole vectors
        constexpr uint32_t vector = block_pages * page_tokens * vector_floats;
        return (tokens_max + vector - 1) / vector * vector_floats;
    }
    // all: [inputs][heads.count * group][2][places()], of query number `place` of a run.
    static Blocks of(float *all, uint64_t place, uint32_t tokens_max) {
        float *at = all + place * 2 * places(tokens_max);
        return {at, at + places(tokens_max)};
    }
};

// Floats of one query's value sums (cpu/kernels/values.h): a head of 2 vectors, the channels, the
// planes.
constexpr uint32_t value_sum_floats(uint32_t head_dim, uint32_t planes) {
    auto whole = [](uint32_t x) { return (x + vector_floats - 1) / vector_floats * vector_floats; };
    return 2 * vector_floats + whole(head_dim) + whole(planes);
}

struct AttendScratch {
    const uint8_t **rows;  // [inputs][kv_heads][exact_max] exact rows
    uint32_t *counts;      // [inputs][kv_heads]
    float *logits;         // [inputs][query_heads][exact_max] of them
    float *largest;        // [inputs][query_heads]
    float *sums;           // [blocks + exact_parts][inputs][query_heads][sum_floats], exact rows
                           // last, in parts on a CUDA device
    uint32_t exact_max, exact_parts, sum_floats;
    uint64_t bytes;
};

// base null: sizes only.
inline AttendScratch attend_scratch(const Shape &shape, uint32_t inputs, uint32_t pages_max,
                                    uint32_t k_max, uint32_t planes, bool in_parts,
                                    uint8_t *base) {
    AttendScratch scratch{};
    scratch.exact_max = (exact_near_max + k_max + 2 * vector_floats - 1) / vector_floats *
                        vector_floats;  // whole vectors: stored ones may pass the last row
    uint32_t parts = (exact_near_max + k_max + exact_part - 1) / exact_part;
    scratch.exact_parts = in_parts ? parts : 1;
    scratch.sum_floats = value_sum_floats(shape.head_dim, planes);
    uint64_t pairs = uint64_t(inputs) * shape.kv_heads;
    uint64_t heads = uint64_t(inputs) * shape.query_heads;
    uint64_t blocks = (pages_max + block_pages - 1) / block_pages, at = 0;
    auto take = [&]<class T>(T *&pointer, uint64_t count) {
        pointer = reinterpret_cast<T *>(reinterpret_cast<uintptr_t>(base) + at);
        at += (count * sizeof(T) + 63) / 64 * 64;
    };
    take(scratch.rows, pairs * scratch.exact_max);
    take(scratch.counts, pairs);
    take(scratch.logits, heads * scratch.exact_max);
    take(scratch.largest, heads);
    take(scratch.sums, (blocks + scratch.exact_parts) * heads * scratch.sum_floats);
    scratch.bytes = at;
    return scratch;
}

// Floats of a query head's probabilities: the tail, sinks and window, and a whole vector more.
inline uint64_t audit_stride(uint32_t tokens_max) { return uint64_t(tokens_max) + 160; }
inline uint64_t audit_floats(const Shape &shape, uint32_t tokens_max) {
    uint64_t group = shape.query_heads / shape.kv_heads;
    return (2 * group + 1) * audit_stride(tokens_max) + 2 * group;
}

// ---- choose, device cuda -----------------------------------------------------------------------

constexpr uint32_t choose_piece = 2048;    // tokens of a block; it fixes the order of sums
constexpr uint32_t choose_runs = 4;        // of a piece: a warp's tokens
constexpr uint32_t choose_near_rows = 16;  // sinks and rows of the window of a block
constexpr uint32_t choose_near_parts =
    (sink_tokens + window_rows + choose_near_rows - 1) / choose_near_rows;
constexpr uint32_t choose_digits = 1024, choose_rounds = 3;  // of the bits of a value

struct ChooseWeights {
    float largest, sum;  // logit; weights below it
};
struct ChooseCut {  // the k-th value
    uint32_t bits;  // its upper ones
    uint32_t left;  // how many of the values that have them are chosen
};

struct ChooseScratch {
    // heads: those of a HeadRun
    ChooseWeights *parts;    // [inputs][heads * group][choose_near_parts + pieces]
    ChooseWeights *softmax;  // [inputs][heads * group]; 1 / (sum * group) for the sum
    uint32_t *values;        // [inputs][heads][tokens_max] bits of them
    uint32_t *digits;        // [inputs][heads][choose_rounds][choose_digits] values that have it
    ChooseCut *cuts;         // [inputs][heads][choose_rounds]
    uint64_t *counts;        // [inputs][heads][pieces][choose_runs] tokens above the k-th value
                             // << 32 | equal to it
    uint32_t pieces;
    uint64_t bytes;
};

// Of a run of as many KV heads. base null: sizes only.
inline ChooseScratch choose_scratch(const Shape &shape, uint32_t heads, uint32_t inputs,
                                    uint32_t tokens_max, uint8_t *base) {
    ChooseScratch scratch{};
    scratch.pieces = (tokens_max + choose_piece - 1) / choose_piece;
    uint64_t pairs = uint64_t(inputs) * heads, at = 0;
    uint64_t vectors = pairs * (shape.query_heads / shape.kv_heads);
    auto take = [&]<class T>(T *&pointer, uint64_t count) {
        pointer = reinterpret_cast<T *>(reinterpret_cast<uintptr_t>(base) + at);
        at += (count * sizeof(T) + 63) / 64 * 64;
    };
    take(scratch.parts, vectors * (choose_near_parts + scratch.pieces));
    take(scratch.softmax, vectors);
    take(scratch.values, pairs * tokens_max);
    take(scratch.digits, pairs * choose_rounds * choose_digits);
    take(scratch.cuts, pairs * choose_rounds);
    take(scratch.counts, pairs * scratch.pieces * choose_runs);
    scratch.bytes = at;
    return scratch;
}

}  // namespace specache

// audit.cpp - exact attention of one KV head beside what the step used. Three passes: exact logits
// (pieces of pages), two softmaxes for each query head, values. A query head's sums run over tokens
// in order, so threads change no bit.
#include <algorithm>
#include <cmath>
#include <limits>

#include "../kernels.h"
#include "../simd.h"
#include "../threads.h"
#include "exact.h"

namespace specache::SPECACHE_ISA {
namespace {

constexpr float hidden = -std::numeric_limits<float>::infinity();

struct Work {
    const Audit &audit;
    const Shape &shape = audit.shape;
    uint32_t dim = shape.head_dim, group = shape.query_heads / shape.kv_heads;
    uint32_t tail = coded_pages(audit.position) * page_tokens;
    uint64_t row = row_bytes(shape), stride = audit_stride(audit.tokens_max);
    const uint8_t *near[exact_near_max];
    uint32_t near_count = near_rows(shape, audit.near, audit.head, audit.position, near);
    uint32_t count = tail + near_count;

    explicit Work(const Audit &audit_in) : audit(audit_in) {}
    // Logits, then probabilities, of the tail's tokens, then of the near rows.
    float *exact(uint32_t g) const { return audit.scratch + 2 * g * stride; }
    float *used(uint32_t g) const { return audit.scratch + (2 * g + 1) * stride; }
    float *values() const { return audit.scratch + 2 * group * stride; }
    const float *query(uint32_t g) const {
        return audit.queries + (uint64_t(audit.head) * group + g) * dim;
    }
    const uint8_t *row_of(uint32_t index) const {
        if (index >= tail) return near[index - tail];
        return audit.pages.page(index / page_tokens) + (index % page_tokens) * row;
    }
};

void logits_of(const Work &work, uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; i++) {
        const uint8_t *row = work.row_of(i);
        for (uint32_t g = 0; g < work.group; g++) {
            work.exact(g)[i] = i < sink_tokens && work.tail != 0  // sinks are among the near rows
                ? hidden
                : dot_row(work.shape.kv_type, row, work.query(g), work.dim) * work.shape.scale;
        }
    }
}

// Logits to probabilities, in place.
void softmax(float *logits, uint32_t count) {
    uint32_t whole = (count + lanes - 1) / lanes * lanes;
    std::fill(logits + count, logits + whole, hidden);
    Floats most = spread(-3e38f), sum{};
    for (uint32_t i = 0; i < whole; i += lanes) most = larger(most, load(logits + i));
    float largest = largest_of(most);
    for (uint32_t i = 0; i < whole; i += lanes) {
        Floats weight = exponential(load(logits + i) - largest);
        store(logits + i, weight);
        sum += weight;
    }
    float scale = 1 / sum_of(sum);
    for (uint32_t i = 0; i < whole; i += lanes) store(logits + i, load(logits + i) * scale);
}

// What a query head lost, and how far its output is off.
void compare(const Work &work, uint32_t g, float *lost, float *divergence) {
    const Audit &audit = work.audit;
    float *exact = work.exact(g), *used = work.used(g);
    const float *codes = audit.logits + uint64_t(g) * audit.tokens_max;
    std::copy(codes, codes + work.tail, used);
    std::copy(exact + work.tail, exact + work.count, used + work.tail);
    if (work.tail != 0) std::fill(used, used + sink_tokens, hidden);
    for (uint32_t i = 0; i < *audit.exact_count; i++) {
        if (audit.rows[i] != nullptr) used[audit.exact[i]] = exact[audit.exact[i]];
    }
    softmax(exact, work.count);
    softmax(used, work.count);
    Floats missing{};
    for (uint32_t i = 0; i < work.count; i += lanes) {
        missing += larger(load(exact + i) - load(used + i), Floats{});
    }
    *lost = sum_of(missing);
    float output[256] = {};
    uint32_t half = uint32_t(work.row / 2);
    for (uint32_t i = 0; i < work.count; i++) {
        if (exact[i] == 0) continue;
        add_row(work.shape.kv_type, work.row_of(i) + half, exact[i], work.dim, output);
    }
    const float *got = audit.outputs + (uint64_t(audit.head) * work.group + g) * work.dim;
    double off = 0, norm = 0;
    for (uint32_t i = 0; i < work.dim; i++) {
        off += (double(got[i]) - double(output[i])) * (double(got[i]) - double(output[i]));
        norm += double(output[i]) * double(output[i]);
    }
    *divergence = norm > 0 ? float(std::sqrt(off / norm)) : 0;
}

// Mass of the exact set, and of the k tail tokens that have most.
void masses(const Work &work, AuditResult &result) {
    const Audit &audit = work.audit;
    float *values = work.values();
    for (uint32_t i = 0; i < work.tail; i++) {
        float sum = 0;
        for (uint32_t g = 0; g < work.group; g++) sum += work.exact(g)[i];
        values[i] = sum / float(work.group);
    }
    for (uint32_t i = 0; i < *audit.exact_count; i++) {
        if (audit.rows[i] != nullptr) result.chosen += double(values[audit.exact[i]]);
    }
    uint32_t best = std::min(audit.k, work.tail);
    std::nth_element(values, values + best, values + work.tail, std::greater<float>());
    for (uint32_t i = 0; i < best; i++) result.best += double(values[i]);
}

}  // namespace

void audit(Stream &stream, const Audit &audit) {
    Work work(audit);
    uint32_t piece = block_pages * page_tokens, pieces = (work.count + piece - 1) / piece;
    parallel(stream, pieces, [&](uint32_t index) {
        logits_of(work, index * piece, std::min(work.count, (index + 1) * piece));
    });
    float *lost = work.values() + work.stride, *divergence = lost + work.group;  // [group]
    parallel(stream, work.group, [&](uint32_t g) { compare(work, g, &lost[g], &divergence[g]); });
    AuditResult &result = *audit.result;
    result = {};
    for (uint32_t g = 0; g < work.group; g++) {
        result.lost += double(lost[g]) / work.group;
        result.divergence += double(divergence[g]) / work.group;
    }
    masses(work, result);
}

}  // namespace specache::SPECACHE_ISA

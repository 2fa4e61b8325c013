// audit.cpp - the audit in plain loops and double precision.
#include <algorithm>
#include <cmath>
#include <vector>

#include "../numbers.h"
#include "reference.h"

namespace specache {
namespace {

// Rows of the tail, without the sinks, then sinks and window.
std::vector<const uint8_t *> rows_of(const Audit &audit, uint32_t tail) {
    std::vector<const uint8_t *> rows;
    uint64_t row = row_bytes(audit.shape);
    for (uint32_t i = sink_tokens; i < tail; i++) {
        rows.push_back(audit.pages.page(i / page_tokens) + (i % page_tokens) * row);
    }
    for (uint32_t i = 0; tail != 0 && i < sink_tokens; i++) {
        rows.push_back(audit.near.sinks + (uint64_t(audit.head) * sink_tokens + i) * row);
    }
    for (uint32_t token = tail; token <= audit.position; token++) {
        rows.push_back(audit.near.window +
                       (uint64_t(audit.head) * window_rows + token % window_rows) * row);
    }
    return rows;
}

void softmax(std::vector<double> &logits) {
    double largest = *std::max_element(logits.begin(), logits.end()), sum = 0;
    for (double &x : logits) sum += x = std::exp(x - largest);
    for (double &x : logits) x /= sum;
}

}  // namespace

void reference_audit(Stream &, const Audit &audit) {
    const Shape &shape = audit.shape;
    uint32_t dim = shape.head_dim, group = shape.query_heads / shape.kv_heads;
    uint32_t tail = coded_pages(audit.position) * page_tokens;
    std::vector<const uint8_t *> rows = rows_of(audit, tail);
    std::vector<double> values(tail);
    AuditResult result{};
    for (uint32_t g = 0; g < group; g++) {
        uint64_t at = uint64_t(audit.head) * group + g;
        std::vector<double> exact(rows.size()), used;
        for (size_t i = 0; i < rows.size(); i++) {
            for (uint32_t c = 0; c < dim; c++) {
                exact[i] += double(load_number(shape.kv_type, rows[i], c)) *
                            double(audit.queries[at * dim + c]) * double(shape.scale);
            }
        }
        used = exact;
        for (uint32_t i = sink_tokens; i < tail; i++) {
            const uint32_t *end = audit.exact + *audit.exact_count;
            const uint32_t *found = std::find(audit.exact, end, i);
            if (found != end && audit.rows[found - audit.exact] != nullptr) continue;
            used[i - sink_tokens] = double(audit.logits[g * audit.tokens_max + i]);
        }
        softmax(exact);
        softmax(used);
        std::vector<double> output(dim);
        for (size_t i = 0; i < rows.size(); i++) {
            result.lost += std::max(0.0, exact[i] - used[i]) / group;
            for (uint32_t c = 0; c < dim; c++) {
                output[c] += exact[i] * double(load_number(shape.kv_type, rows[i], dim + c));
            }
        }
        for (uint32_t i = sink_tokens; i < tail; i++) values[i] += exact[i - sink_tokens] / group;
        double off = 0, norm = 0;
        for (uint32_t c = 0; c < dim; c++) {
            double difference = double(audit.outputs[at * dim + c]) - output[c];
            off += difference * difference;
            norm += output[c] * output[c];
        }
        result.divergence += norm > 0 ? std::sqrt(off / norm) / group : 0;
    }
    for (uint32_t i = 0; i < *audit.exact_count; i++) {
        if (audit.rows[i] != nullptr) result.chosen += values[audit.exact[i]];
    }
    std::sort(values.begin(), values.end(), std::greater<double>());
    for (uint32_t i = 0; i < std::min(audit.k, tail); i++) result.best += values[i];
    *audit.result = result;
}

}  // namespace specache

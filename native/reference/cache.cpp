// cache.cpp - rows, scan, choice and attention in plain loops and double precision.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "../numbers.h"
#include "../query.h"
#include "codes.h"

namespace specache {
namespace {

struct Token {  // what one input sees of one token
    double logit;
    std::vector<double> value;
};

double number(const Shape &shape, const uint8_t *row, uint32_t i) {
    return load_number(shape.kv_type, row, i);
}

Token exact(const Shape &shape, const float *query, const uint8_t *row) {
    Token token{0, std::vector<double>(shape.head_dim)};
    for (uint32_t i = 0; i < shape.head_dim; i++) {
        token.logit += double(query[i]) * number(shape, row, i) * double(shape.scale);
        token.value[i] = number(shape, row, shape.head_dim + i);
    }
    return token;
}

// Tokens that the input sees by rows whatever it chose.
std::map<uint32_t, const uint8_t *> near_rows(const Shape &shape, const NearRows &near,
                                              uint32_t head, uint32_t position) {
    std::map<uint32_t, const uint8_t *> rows;
    uint64_t row = row_bytes(shape);
    uint32_t first = coded_pages(position) * page_tokens;
    for (uint32_t token = 0; token < sink_tokens && first > 0; token++) {
        rows[token] = near.sinks + (uint64_t(head) * sink_tokens + token) * row;
    }
    for (uint32_t token = sink_tokens; token < first && near.resident.base != nullptr; token++) {
        rows[token] = near.resident.page(token / page_tokens) +
                      (uint64_t(head) * page_tokens + token % page_tokens) * row;
    }
    for (uint32_t token = first; token <= position; token++) {
        rows[token] = near.window + (uint64_t(head) * window_rows + token % window_rows) * row;
    }
    return rows;
}

void softmax(std::map<uint32_t, Token> &tokens) {  // logits become probabilities
    double largest = -INFINITY, sum = 0;
    for (auto &[at, token] : tokens) largest = std::max(largest, token.logit);
    for (auto &[at, token] : tokens) sum += token.logit = std::exp(token.logit - largest);
    for (auto &[at, token] : tokens) token.logit /= sum;
}

float paper_logit(const Shape &shape, const float *query, const double *key) {
    double sum = 0;
    for (uint32_t i = 0; i < shape.head_dim; i++) sum += double(query[i]) * key[i];
    return float(sum * double(shape.scale));
}

float rotated_logit(const Shape &shape, const HeadCode &code, const uint8_t *codes,
                    const CodedQuery &coded, uint32_t token) {
    uint32_t dim = shape.head_dim;
    CodeLayout layout = code_layout(code, dim);
    double centre = 0;
    int64_t score = 0;
    for (uint32_t i = 0; i < dim; i++) {
        centre += double(coded.rotated[i]) * int8_t(codes[layout.key_centre + i]);
        score += coded.levels[i] * reference_key_level(code, layout, codes, token, i);
    }
    centre *= load_number(Type::f16, codes + layout.key_parameters, 0);
    double largest = load_number(Type::f16, codes + layout.key_parameters, 1);
    double scale = largest * codes[layout.key_scales + token] / 255;
    return float((centre + double(coded.unit) * scale * double(score)) * double(shape.scale));
}

}  // namespace

void reference_make_rows(Stream &, const MakeRows &make) {
    const Shape &shape = make.shape;
    for (uint64_t at = 0; at < uint64_t(make.tokens) * shape.kv_heads; at++) {
        uint8_t *row = make.row(uint32_t(at / shape.kv_heads), uint32_t(at % shape.kv_heads));
        bool finite = true;
        for (uint32_t i = 0; i < 2 * shape.head_dim; i++) {
            const float *from = i < shape.head_dim ? make.keys : make.values;
            store_number(shape.kv_type, row, i, from[at * shape.head_dim + i % shape.head_dim]);
            finite = finite && std::isfinite(load_number(shape.kv_type, row, i));
        }
        if (finite) continue;
        *make.fault = std::min(*make.fault, make.first * shape.kv_heads + uint32_t(at));
    }
}

void reference_copy_rows(Stream &, const CopyRows &copy) {
    uint64_t row = row_bytes(copy.shape);
    for (uint32_t i = 0; i < copy.shape.kv_heads * copy.tokens; i++) {
        uint32_t head = i / copy.tokens, token = copy.first + i % copy.tokens;
        uint8_t *places[2];
        for (int side = 0; side < 2; side++) {
            const RowPlaces &of = side == 0 ? copy.from : copy.to;
            uint32_t index = of.ring != 0 ? token % of.ring : token - of.origin;
            places[side] = of.rows + head * of.head_stride + index * row;
        }
        std::copy_n(places[0], row, places[1]);
    }
}

void reference_scan(Stream &, const Scan &scan) {
    const Shape &shape = scan.shape;
    uint32_t group = shape.query_heads / shape.kv_heads, dim = shape.head_dim;
    std::vector<double> keys(page_tokens * dim), values(page_tokens * dim);
    for (uint32_t at = 0; at < scan.inputs * shape.query_heads; at++) {
        uint32_t head = at % shape.query_heads / group;
        const HeadCode &code = scan.codes_of[head];
        if (code.rule == Rule::none || !scan.heads.has(head)) continue;
        const float *query = scan.queries + uint64_t(at) * dim;
        float *logits = scan.logits + scan.tokens_max * logits_place(
            shape, scan.heads, at / shape.query_heads, at % shape.query_heads);
        CodedQuery coded{};
        if (code.rule == Rule::rotated) coded = code_query(query, dim, code.key_bits);
        for (uint32_t page = 0; page < coded_pages(scan.positions[at / shape.query_heads]);
             page++) {
            const uint8_t *codes = code.page(scan.pages[page]);
            if (code.rule == Rule::paper) {
                reference_decode(code, dim, codes, keys.data(), values.data());
            }
            for (uint32_t j = 0; j < page_tokens; j++) {
                logits[page * page_tokens + j] =
                    code.rule == Rule::paper ? paper_logit(shape, query, keys.data() + j * dim)
                                             : rotated_logit(shape, code, codes, coded, j);
            }
        }
        bool tail = coded_pages(scan.positions[at / shape.query_heads]) > 0;
        std::fill(logits, logits + (tail ? sink_tokens : 0),
                  -std::numeric_limits<float>::infinity());
    }
}

void reference_choose(Stream &, const Choose &choose) {
    const Shape &shape = choose.shape;
    uint32_t group = shape.query_heads / shape.kv_heads;
    for (uint32_t pair = 0; pair < choose.inputs * shape.kv_heads; pair++) {
        uint32_t input = pair / shape.kv_heads, head = pair % shape.kv_heads;
        if (!choose.heads.has(head)) continue;
        uint32_t position = choose.positions[input], tail = coded_pages(position) * page_tokens;
        std::vector<double> values(tail);
        for (uint32_t g = 0; choose.logits != nullptr && g < group; g++) {
            uint64_t at = uint64_t(input) * shape.query_heads + head * group + g;
            std::map<uint32_t, Token> tokens;
            for (auto [token, row] : near_rows(shape, choose.near, head, position)) {
                tokens[token] = exact(shape, choose.queries + at * shape.head_dim, row);
            }
            const float *logits = choose.logits + choose.tokens_max * logits_place(
                shape, choose.heads, input, head * group + g);
            for (uint32_t token = sink_tokens; token < tail; token++) {
                tokens[token] = {logits[token], {}};
            }
            softmax(tokens);
            for (uint32_t token = sink_tokens; token < tail; token++) {
                values[token] += tokens[token].logit / group;
            }
        }
        std::vector<uint32_t> order;
        for (uint32_t token = sink_tokens; token < tail; token++) order.push_back(token);
        std::stable_sort(order.begin(), order.end(),
                         [&](uint32_t a, uint32_t b) { return values[a] > values[b]; });
        order.resize(std::min<size_t>(order.size(), choose.k));
        std::sort(order.begin(), order.end());
        choose.counts[pair] = uint32_t(order.size());
        for (size_t i = 0; i < order.size(); i++) {
            choose.chosen[uint64_t(pair) * choose.k_max + i] = order[i];
            choose.values[uint64_t(pair) * choose.k_max + i] = float(values[order[i]]);
        }
    }
}

void reference_attend(Stream &, const Attend &attend) {
    const Shape &shape = attend.shape;
    uint32_t group = shape.query_heads / shape.kv_heads, dim = shape.head_dim;
    for (uint32_t at = 0; at < attend.inputs * shape.query_heads; at++) {
        uint32_t input = at / shape.query_heads, head = at % shape.query_heads / group;
        if (!attend.heads.has(head)) continue;
        uint32_t position = attend.positions[input], pair = input * shape.kv_heads + head;
        const HeadCode &code = attend.codes_of[head];
        bool coded = code.rule != Rule::none && attend.logits != nullptr;
        uint32_t tail = coded ? coded_pages(position) * page_tokens : 0;
        uint64_t place = attend.tokens_max * logits_place(shape, attend.heads, input,
                                                          at % shape.query_heads);
        std::map<uint32_t, Token> tokens;
        std::vector<double> keys(page_tokens * dim), values(page_tokens * dim);
        for (uint32_t token = 0; token < tail; token++) {
            if (token % page_tokens == 0) {
                const uint8_t *codes = code.page(attend.pages[token / page_tokens]);
                reference_decode(code, dim, codes, keys.data(), values.data());
            }
            if (token < sink_tokens) continue;
            const double *value = values.data() + token % page_tokens * dim;
            tokens[token] = {attend.logits[place + token], {value, value + dim}};
        }
        const float *query = attend.queries + uint64_t(at) * dim;
        for (auto [token, row] : near_rows(shape, attend.near, head, position)) {
            tokens[token] = exact(shape, query, row);
        }
        for (uint32_t i = 0; i < attend.counts[pair]; i++) {
            uint64_t place = uint64_t(pair) * attend.k_max + i;
            if (attend.rows[place] == nullptr) continue;
            tokens[attend.chosen[place]] = exact(shape, query, attend.rows[place]);
        }
        softmax(tokens);
        for (uint32_t i = 0; i < dim; i++) {
            double sum = 0;
            for (auto &[token, seen] : tokens) sum += seen.logit * seen.value[i];
            attend.outputs[uint64_t(at) * dim + i] = float(sum);
        }
    }
}

void reference_prefill_attend(Stream &, const PrefillAttend &attend) {
    const Shape &shape = attend.shape;
    uint32_t group = shape.query_heads / shape.kv_heads, dim = shape.head_dim;
    uint64_t row = row_bytes(shape);
    for (uint32_t at = 0; at < attend.tokens * shape.query_heads; at++) {
        uint32_t position = attend.first_position + at / shape.query_heads;
        uint32_t head = at % shape.query_heads / group;
        float *sums = attend.sums + uint64_t(at) * (dim + 2);
        if (attend.start) std::fill(sums, sums + dim + 2, 0.0f);
        if (attend.start) sums[dim] = -3e38f;
        std::vector<double> out(sums, sums + dim);
        double largest = double(sums[dim]), total = double(sums[dim + 1]);
        for (uint32_t j = 0; j < attend.page_count * page_tokens; j++) {
            if (attend.first_page * page_tokens + j > position) break;
            const uint8_t *page = attend.pages[j / page_tokens];
            Token token = exact(shape, attend.queries + uint64_t(at) * dim,
                                page + (uint64_t(head) * page_tokens + j % page_tokens) * row);
            double shrink = std::exp(std::min(0.0, largest - token.logit));
            largest = std::max(largest, token.logit);
            double weight = std::exp(token.logit - largest);
            total = total * shrink + weight;
            for (uint32_t i = 0; i < dim; i++) out[i] = out[i] * shrink + weight * token.value[i];
        }
        std::copy(out.begin(), out.end(), sums);
        sums[dim] = float(largest);
        sums[dim + 1] = float(total);
    }
}

void reference_prefill_finish(Stream &, const PrefillFinish &finish) {
    uint32_t dim = finish.shape.head_dim;
    for (uint64_t at = 0; at < uint64_t(finish.tokens) * finish.shape.query_heads; at++) {
        const float *sums = finish.sums + at * (dim + 2);
        for (uint32_t i = 0; i < dim; i++) finish.outputs[at * dim + i] = sums[i] / sums[dim + 1];
    }
}

const Kernels reference_kernels = {
    "reference", reference_embed, reference_project, reference_normalize, reference_rotate,
    reference_gate, reference_argmax, reference_make_rows, reference_copy_rows, reference_encode,
    reference_scan, reference_choose, reference_resolve, reference_attend, reference_settle,
    reference_prefill_attend, reference_prefill_finish, reference_audit, nullptr, reference_draw};

}  // namespace specache

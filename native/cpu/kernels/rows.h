// rows.h - products with stored rows, for up to four queries at a time: a row is widened once.
#pragma once
#include <algorithm>

#include "../kernels.h"
#include "../simd.h"
#include "ahead.h"

namespace specache::SPECACHE_ISA {

constexpr uint32_t queries_at_a_time = 4;  // whose sums registers hold

// Calls body with the type of a row as a constant.
template <class Body>
static inline void with_row_type(Type type, Body body) {
    if (type == Type::bf16) body.template operator()<Type::bf16>();
    else if (type == Type::f16) body.template operator()<Type::f16>();
    else body.template operator()<Type::f32>();
}

// Calls body with the first of up to four neighbours of [0, count) and their number as a constant.
template <class Body>
static inline void by_queries(uint32_t count, Body body) {
    uint32_t first = 0;
    for (; first + 4 <= count; first += 4) body.template operator()<4>(first);
    if (count - first == 3) body.template operator()<3>(first);
    if (count - first == 2) body.template operator()<2>(first);
    if (count - first == 1) body.template operator()<1>(first);
}

// sums[q][first + r]: the vectors of products of row r. A query is loaded once for all rows.
template <Type type, uint32_t Queries, uint32_t Rows>
static inline uint32_t dot_vectors(const uint8_t *const *rows, const float *queries, uint32_t dim,
                                   Floats (*sums)[lanes], uint32_t first) {
    const float *query[Queries];
    Floats sum[Queries][Rows] = {};
    for (uint32_t q = 0; q < Queries; q++) query[q] = queries + q * dim;
    uint32_t i = 0;
    for (; i + lanes <= dim; i += lanes) {
        Floats x[Rows];
        for (uint32_t r = 0; r < Rows; r++) x[r] = widen(type, rows[r] + i * type_bytes(type));
        SPECACHE_UNROLL
        for (uint32_t q = 0; q < Queries; q++) {
            Floats number = load(query[q] + i);
            for (uint32_t r = 0; r < Rows; r++) sum[q][r] += x[r] * number;
        }
    }
    SPECACHE_UNROLL
    for (uint32_t q = 0; q < Queries; q++) {
        for (uint32_t r = 0; r < Rows; r++) sums[q][first + r] = sum[q][r];
    }
    return i;
}

// products[q][r] = query q . row r of up to 16 rows, whose keys begin at key(r): as dot_row().
// ask(lines) may ask for as many lines as were read. queries [Queries][dim].
template <Type type, uint32_t Queries, class Key, class Ask>
static inline void dot_rows(uint32_t count, const float *queries, uint32_t dim, Key key, Ask ask,
                            Floats *products) {
    constexpr uint32_t at_once = Queries * 2 <= sums_held ? 2 : 1;
    Floats sums[Queries][lanes];
    float rest[Queries][lanes] = {};
    // Of rows that are not there: cleared only where there are such, which takes as long as a row.
    for (uint32_t q = 0; q < Queries; q++) std::fill(sums[q] + count, sums[q] + lanes, Floats{});
    for (uint32_t r = 0; r < count; r += at_once) {
        const uint8_t *rows[at_once];  // where an odd one is left, that one twice
        for (uint32_t i = 0; i < at_once; i++) rows[i] = key(std::min(r + i, count - 1));
        ask(at_once * ((dim * type_bytes(type) + line_bytes - 1) / line_bytes));
        uint32_t whole = dot_vectors<type, Queries, at_once>(rows, queries, dim, sums, r);
        for (uint32_t q = 0; whole < dim && q < Queries; q++) {
            for (uint32_t k = whole; k < dim; k++) {
                for (uint32_t i = 0; i < at_once; i++) {
                    rest[q][r + i] += load_number(type, rows[i], k) * queries[q * dim + k];
                }
            }
        }
    }
    for (uint32_t q = 0; q < Queries; q++) products[q] = sums_of(sums[q]) + load(rest[q]);
}

// out[q][dim] += sum over rows of weights[q][r] * row r, whose values begin at value(r); ask() as
// above.
template <Type type, uint32_t Queries, class Value, class Ask>
static inline void add_rows(uint32_t count, const float *const *weights, uint32_t dim, Value value,
                            Ask ask, float *const *out) {
    auto add = [&]<uint32_t Vectors>(uint32_t i) {
        Floats sum[Queries][Vectors];
        for (uint32_t q = 0; q < Queries; q++) {
            for (uint32_t v = 0; v < Vectors; v++) sum[q][v] = load(out[q] + i + v * lanes);
        }
        for (uint32_t r = 0; r < count; r++) {
            ask((Vectors * lanes * type_bytes(type) + line_bytes - 1) / line_bytes);
            const uint8_t *row = value(r) + i * type_bytes(type);
            Floats x[Vectors];
            for (uint32_t v = 0; v < Vectors; v++) {
                x[v] = widen(type, row + v * lanes * type_bytes(type));
            }
            for (uint32_t q = 0; q < Queries; q++) {
                Floats weight = spread(weights[q][r]);
                for (uint32_t v = 0; v < Vectors; v++) sum[q][v] += weight * x[v];
            }
        }
        for (uint32_t q = 0; q < Queries; q++) {
            for (uint32_t v = 0; v < Vectors; v++) store(out[q] + i + v * lanes, sum[q][v]);
        }
    };
    uint32_t i = 0;
    if constexpr (2 * Queries <= sums_held) {
        for (; i + 2 * lanes <= dim; i += 2 * lanes) add.template operator()<2>(i);
    }
    for (; i + lanes <= dim; i += lanes) add.template operator()<1>(i);
    for (; i < dim; i++) {
        for (uint32_t q = 0; q < Queries; q++) {
            for (uint32_t r = 0; r < count; r++) {
                out[q][i] += weights[q][r] * load_number(type, value(r), i);
            }
        }
    }
}

}  // namespace specache::SPECACHE_ISA

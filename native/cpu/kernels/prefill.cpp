// prefill.cpp - exact causal attention of a chunk, page by page.
//
// A piece of work is one KV head and 32 tokens: with the group that is about a hundred queries,
// which share each page's keys and values, widened once to panels. Products of panels are register
// blocked: 4 queries by 64 columns, or by 16. A query's sums depend on its own page order alone: a
// page that it may not see adds exact zeroes.
#include <algorithm>
#include <limits>

#include "../kernels.h"
#include "../simd.h"
#include "chunk.h"

namespace specache::SPECACHE_ISA {
namespace {

constexpr uint32_t tokens_at_a_time = 32;
constexpr uint32_t tile = 4;  // queries of a register block
constexpr float hidden = -std::numeric_limits<float>::infinity();

struct Panels {
    std::vector<float> keys;     // [head_dim][64] transposed
    std::vector<float> values;   // [64][wide]
    std::vector<float> weights;  // [queries][64] logits, then weights
    std::vector<float> output;   // [queries][wide] running sums
    std::vector<float> queries;  // [queries][head_dim] queries of the block
    std::vector<float> state;    // [queries][2] largest, sum
};

// out[q][v] (+)= sum over i of a[q][i] * b[i][v], `tile` rows and `Vectors` vectors at a time; i
// ascends, so each number's sum is the same whatever rows stand beside it.
template <uint32_t Vectors, bool Add>
void product(const float *a, uint32_t a_stride, const float *b, uint32_t b_stride, uint32_t inner,
             float *out, uint32_t out_stride) {
    Floats sum[tile][Vectors];
    for (uint32_t q = 0; q < tile; q++) {
        for (uint32_t v = 0; v < Vectors; v++) {
            sum[q][v] = Add ? load(out + q * out_stride + v * lanes) : Floats{};
        }
    }
    for (uint32_t i = 0; i < inner; i++) {
        Floats column[Vectors];
        for (uint32_t v = 0; v < Vectors; v++) column[v] = load(b + i * b_stride + v * lanes);
        for (uint32_t q = 0; q < tile; q++) {
            Floats weight = spread(a[q * a_stride + i]);
            for (uint32_t v = 0; v < Vectors; v++) sum[q][v] += weight * column[v];
        }
    }
    for (uint32_t q = 0; q < tile; q++) {
        for (uint32_t v = 0; v < Vectors; v++) store(out + q * out_stride + v * lanes, sum[q][v]);
    }
}

// The sum of a and b is fused the same way in every instance: one multiply and add a step.
template <bool Add>
void product_wide(const float *a, uint32_t a_stride, const float *b, uint32_t b_stride,
                  uint32_t inner, float *out, uint32_t out_stride, uint32_t columns) {
    uint32_t v = 0;
    if constexpr (4 * tile <= sums_held) {
        for (; v + 4 * lanes <= columns; v += 4 * lanes) {
            product<4, Add>(a, a_stride, b + v, b_stride, inner, out + v, out_stride);
        }
    }
    for (; v < columns; v += lanes) {
        product<1, Add>(a, a_stride, b + v, b_stride, inner, out + v, out_stride);
    }
}

struct Piece : ChunkPiece {
    Panels &panels;
    uint32_t wide = (dim + lanes - 1) / lanes * lanes;
    uint32_t padded = (queries + tile - 1) / tile * tile;
};

void load_state(const Piece &piece) {
    Panels &panels = piece.panels;
    std::fill_n(grown(panels.queries, piece.padded * piece.dim), piece.padded * piece.dim, 0.0f);
    std::fill_n(grown(panels.output, piece.padded * piece.wide), piece.padded * piece.wide, 0.0f);
    std::fill_n(grown(panels.state, piece.padded * 2), piece.padded * 2, 0.0f);
    grown(panels.weights, piece.padded * page_tokens);
    grown(panels.keys, piece.dim * page_tokens);
    std::fill_n(grown(panels.values, page_tokens * piece.wide), page_tokens * piece.wide, 0.0f);
    for (uint32_t q = 0; q < piece.queries; q++) {
        std::copy_n(piece.attend.queries + piece.at(q) * piece.dim, piece.dim,
                    panels.queries.data() + q * piece.dim);
        const float *sums = piece.attend.sums + piece.at(q) * (piece.dim + 2);
        float *state = panels.state.data() + q * 2;
        state[0] = piece.attend.start ? -3e38f : sums[piece.dim];
        state[1] = piece.attend.start ? 0 : sums[piece.dim + 1];
        if (piece.attend.start) continue;
        std::copy_n(sums, piece.dim, panels.output.data() + q * piece.wide);
    }
}

void save_state(const Piece &piece) {
    for (uint32_t q = 0; q < piece.queries; q++) {
        float *sums = piece.attend.sums + piece.at(q) * (piece.dim + 2);
        std::copy_n(piece.panels.output.data() + q * piece.wide, piece.dim, sums);
        sums[piece.dim] = piece.panels.state[q * 2];
        sums[piece.dim + 1] = piece.panels.state[q * 2 + 1];
    }
}

void load_page(const Piece &piece, uint32_t page) {
    uint64_t row = row_bytes(piece.shape);
    const uint8_t *rows = piece.attend.pages[page] + uint64_t(piece.head) * page_tokens * row;
    float key[256 + lanes];
    for (uint32_t j = 0; j < page_tokens; j++) {
        widen_row(piece.shape.kv_type, rows + j * row, piece.dim, key);
        for (uint32_t i = 0; i < piece.dim; i++) piece.panels.keys[i * page_tokens + j] = key[i];
        widen_row(piece.shape.kv_type, rows + j * row + row / 2, piece.dim,
                  piece.panels.values.data() + j * piece.wide);
    }
}

// Logits of a query become weights under its new largest; its sums shrink accordingly.
void soften(const Piece &piece, uint32_t query, uint32_t first_token) {
    float *weights = piece.panels.weights.data() + query * page_tokens;
    float *state = piece.panels.state.data() + query * 2;
    float *output = piece.panels.output.data() + query * piece.wide;
    uint32_t position = piece.position(query);
    uint32_t seen = position < first_token ? 0 : std::min(page_tokens, position - first_token + 1);
    Floats largest = spread(state[0]);
    for (uint32_t j = 0; j < page_tokens; j += lanes) {
        store(weights + j, load(weights + j) * piece.shape.scale);
    }
    std::fill(weights + seen, weights + page_tokens, hidden);
    for (uint32_t j = 0; j < page_tokens; j += lanes) largest = larger(largest, load(weights + j));
    float top = largest_of(largest), shrink = exponential(state[0] - top);
    Floats sum{};
    for (uint32_t j = 0; j < page_tokens; j += lanes) {
        Floats weight = exponential(load(weights + j) - top);
        store(weights + j, weight);
        sum += weight;
    }
    state[0] = top;
    state[1] = state[1] * shrink + sum_of(sum);
    for (uint32_t i = 0; i < piece.wide; i += lanes) store(output + i, load(output + i) * shrink);
}

void attend_piece(const Piece &piece) {
    load_state(piece);
    Panels &panels = piece.panels;
    uint32_t last = piece.attend.first_position + piece.first + piece.tokens - 1;
    for (uint32_t page = 0; page < piece.attend.page_count; page++) {
        uint32_t first_token = (piece.attend.first_page + page) * page_tokens;
        if (first_token > last) break;
        load_page(piece, page);
        for (uint32_t q = 0; q < piece.padded; q += tile) {
            float *weights = panels.weights.data() + q * page_tokens;
            product_wide<false>(panels.queries.data() + q * piece.dim, piece.dim,
                                panels.keys.data(), page_tokens, piece.dim, weights, page_tokens,
                                page_tokens);
            for (uint32_t i = q; i < q + tile; i++) {
                if (i < piece.queries) soften(piece, i, first_token);
                else std::fill_n(panels.weights.data() + i * page_tokens, page_tokens, 0.0f);
            }
            product_wide<true>(weights, page_tokens, panels.values.data(), piece.wide, page_tokens,
                               panels.output.data() + q * piece.wide, piece.wide, piece.wide);
        }
    }
    save_state(piece);
}

}  // namespace

void prefill_attend(Stream &stream, const PrefillAttend &attend) {
    for_chunk_pieces(stream, attend, tokens_at_a_time, [](const ChunkPiece &piece) {
        static thread_local Panels panels;
        attend_piece({piece, panels});
    });
}

void prefill_finish(Stream &, const PrefillFinish &finish) {
    uint32_t dim = finish.shape.head_dim;
    for (uint64_t at = 0; at < uint64_t(finish.tokens) * finish.shape.query_heads; at++) {
        const float *sums = finish.sums + at * (dim + 2);
        float *out = finish.outputs + at * dim;
        for (uint32_t i = 0; i < dim; i++) out[i] = sums[i] / sums[dim + 1];
    }
}

}  // namespace specache::SPECACHE_ISA

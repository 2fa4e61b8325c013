// prefill.cpp - exact causal attention of a chunk by AMX: as kernels/prefill.cpp, but 16 queries
// meet a page's 64 tokens by tiles. Keys and values are bf16 as they lie, queries and weights the
// sum of three: products are exact, and a query's sums have the order of its own pages alone.
#include <algorithm>
#include <limits>

#include "../kernels/chunk.h"
#include "../tables.h"
#include "thirds.h"
#include "tiles.h"

namespace specache::SPECACHE_ISA {
namespace {

constexpr uint32_t queries_at_a_time = 128;  // of a piece: a page is made tiles once for them
constexpr uint32_t token_tiles = page_tokens / lanes, token_parts = page_tokens / part_values;
constexpr float hidden = -std::numeric_limits<float>::infinity();

struct Panels {
    std::vector<uint16_t> keys;     // [token_tiles][dim / 32] tiles B: pairs of channels, tokens
    std::vector<uint16_t> values;   // [dim / 16][token_parts] tiles B: pairs of tokens, channels
    std::vector<uint16_t> queries;  // [blocks][dim / 32][thirds] tiles A
    std::vector<float> output;      // [blocks * 16][dim] running sums
    std::vector<float> state;       // [blocks * 16][2] largest, sum
    alignas(64) float weights[tile_rows * page_tokens];  // [16][64] logits, then weights
    alignas(64) uint16_t thirds[token_parts * input_thirds * tile_numbers];  // tiles A of them
};

struct Piece : ChunkPiece {
    Panels &panels;
    uint32_t parts = dim / part_values;
    uint32_t blocks = (queries + tile_rows - 1) / tile_rows;
};

void load_state(const Piece &piece) {
    Panels &panels = piece.panels;
    uint32_t rows = piece.blocks * tile_rows, dim = piece.dim;
    uint16_t *tiles = grown_aligned(
        panels.queries, uint64_t(piece.blocks) * piece.parts * input_thirds * tile_numbers);
    float *output = grown_aligned(panels.output, uint64_t(rows) * dim);
    float *state = grown_aligned(panels.state, rows * 2);
    std::fill_n(output, uint64_t(rows) * dim, 0.0f);
    for (uint32_t q = 0; q < rows; q++) {
        uint16_t *to = tiles + uint64_t(q / tile_rows) * piece.parts * input_thirds * tile_numbers +
                       q % tile_rows * part_values;
        state[2 * q] = -3e38f;
        state[2 * q + 1] = 0;
        // Rows behind the last query are its own again: they have weights, and go nowhere.
        uint64_t at = piece.at(std::min(q, piece.queries - 1));
        for (uint32_t part = 0; part < piece.parts; part++) {
            split_in_order(piece.attend.queries + at * dim + part * part_values,
                           to + part * input_thirds * tile_numbers);
        }
        if (q >= piece.queries || piece.attend.start) continue;
        const float *sums = piece.attend.sums + at * (dim + 2);
        std::copy_n(sums, dim, output + uint64_t(q) * dim);
        std::copy_n(sums + dim, 2, state + 2 * q);
    }
}

void save_state(const Piece &piece) {
    const float *output = aligned(piece.panels.output), *state = aligned(piece.panels.state);
    for (uint32_t q = 0; q < piece.queries; q++) {
        float *sums = piece.attend.sums + piece.at(q) * (piece.dim + 2);
        std::copy_n(output + uint64_t(q) * piece.dim, piece.dim, sums);
        std::copy_n(state + 2 * q, 2, sums + piece.dim);
    }
}

void load_page(const Piece &piece, uint32_t page) {
    uint64_t row = row_bytes(piece.shape);
    const uint8_t *rows = piece.attend.pages[page] + uint64_t(piece.head) * page_tokens * row;
    uint16_t *keys = grown_aligned(piece.panels.keys, page_tokens * piece.dim);
    uint16_t *values = grown_aligned(piece.panels.values, page_tokens * piece.dim);
    for (uint32_t t = 0; t < token_tiles; t++) {
        for (uint32_t part = 0; part < piece.parts; part++) {
            __m512i tile[tile_rows];
            for (uint32_t j = 0; j < lanes; j++) {
                tile[j] = _mm512_loadu_si512(rows + (t * lanes + j) * row + part * tile_stride);
            }
            transpose(tile);
            std::memcpy(keys + (t * piece.parts + part) * tile_numbers, tile, sizeof tile);
        }
    }
    rows += row / 2;
    for (uint32_t pair = 0; pair < page_tokens / 2; pair++) {
        for (uint32_t n = 0; n < piece.dim / lanes; n++) {
            Halves even, odd;
            std::memcpy(&even, rows + 2 * pair * row + n * sizeof even, sizeof even);
            std::memcpy(&odd, rows + (2 * pair + 1) * row + n * sizeof odd, sizeof odd);
            Words both = words_of(even) | words_of(odd) << 16;
            uint32_t tile = n * token_parts + pair / lanes;
            std::memcpy(values + tile * tile_numbers + pair % lanes * part_values, &both,
                        sizeof both);
        }
    }
}

// C [16][64] = or += tiles a [parts][thirds] times tiles b [4][parts]: four products share what is
// read of a. The last thirds, which are smallest, come first.
template <bool add>
void multiply_four(const uint16_t *a, const uint16_t *b, uint32_t parts, float *out,
                   uint64_t stride) {
    const uint64_t next = uint64_t(parts) * tile_numbers;
    if constexpr (add) {
        _tile_loadd(0, out, stride);
        _tile_loadd(1, out + lanes, stride);
        _tile_loadd(2, out + 2 * lanes, stride);
        _tile_loadd(3, out + 3 * lanes, stride);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (uint32_t third = input_thirds; third-- > 0;) {
        for (uint32_t part = 0; part < parts; part++) {
            const uint16_t *at = b + part * tile_numbers;
            _tile_loadd(4, a + (part * input_thirds + third) * tile_numbers, tile_stride);
            _tile_loadd(5, at, tile_stride);
            _tile_dpbf16ps(0, 4, 5);
            _tile_loadd(6, at + next, tile_stride);
            _tile_dpbf16ps(1, 4, 6);
            _tile_loadd(5, at + 2 * next, tile_stride);
            _tile_dpbf16ps(2, 4, 5);
            _tile_loadd(6, at + 3 * next, tile_stride);
            _tile_dpbf16ps(3, 4, 6);
        }
    }
    _tile_stored(0, out, stride);
    _tile_stored(1, out + lanes, stride);
    _tile_stored(2, out + 2 * lanes, stride);
    _tile_stored(3, out + 3 * lanes, stride);
}

// Logits of a query [64] become weights under its new largest; its sums shrink accordingly.
void soften(const Piece &piece, uint32_t query, uint32_t first_token, float *weights,
            float *state, float *output) {
    uint32_t position = piece.position(std::min(query, piece.queries - 1));
    uint32_t seen = position < first_token ? 0 : std::min(page_tokens, position - first_token + 1);
    Floats logits[token_tiles], largest = spread(state[0]), sum{};
    const Ints lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (uint32_t t = 0; t < token_tiles; t++) {
        Ints sees = lane + int32_t(t * lanes) < int32_t(seen);
        logits[t] = select(sees, load(weights + t * lanes) * piece.shape.scale, spread(hidden));
        largest = larger(largest, logits[t]);
    }
    float top = largest_of(largest), shrink = exponential(state[0] - top);
    for (uint32_t t = 0; t < token_tiles; t++) {
        Floats weight = exponential(logits[t] - top);
        store(weights + t * lanes, weight);
        sum += weight;
    }
    state[0] = top;
    state[1] = state[1] * shrink + sum_of(sum);
    for (uint32_t i = 0; i < piece.dim; i += lanes) store(output + i, load(output + i) * shrink);
}

// A block of 16 queries with the page that is loaded.
void attend_block(const Piece &piece, uint32_t block, uint32_t first_token) {
    Panels &panels = piece.panels;
    uint32_t dim = piece.dim, first = block * tile_rows;
    const uint16_t *queries = aligned(panels.queries) +
                              uint64_t(block) * piece.parts * input_thirds * tile_numbers;
    float *output = aligned(panels.output) + uint64_t(first) * dim;
    float *state = aligned(panels.state) + 2 * first;
    multiply_four<false>(queries, aligned(panels.keys), piece.parts, panels.weights,
                         page_tokens * sizeof(float));
    for (uint32_t q = 0; q < tile_rows; q++) {
        float *weights = panels.weights + q * page_tokens;
        soften(piece, first + q, first_token, weights, state + 2 * q, output + q * dim);
        for (uint32_t part = 0; part < token_parts; part++) {
            split_in_order(weights + part * part_values,
                           panels.thirds + part * input_thirds * tile_numbers + q * part_values);
        }
    }
    constexpr uint32_t four = token_tiles * lanes;  // channels
    for (uint32_t channel = 0; channel < dim; channel += four) {
        multiply_four<true>(panels.thirds,
                            aligned(panels.values) + channel / lanes * token_parts * tile_numbers,
                            token_parts, output + channel, dim * sizeof(float));
    }
}

void attend_piece(const Piece &piece) {
    Tiles::hold(part_values);
    load_state(piece);
    uint32_t last = piece.position(piece.queries - 1);
    for (uint32_t page = 0; page < piece.attend.page_count; page++) {
        uint32_t first_token = (piece.attend.first_page + page) * page_tokens;
        if (first_token > last) break;
        load_page(piece, page);
        for (uint32_t block = 0; block < piece.blocks; block++) {
            attend_block(piece, block, first_token);
        }
    }
    save_state(piece);
}

}  // namespace

void prefill_attend(Stream &stream, const PrefillAttend &attend) {
    const Shape &shape = attend.shape;
    if (shape.kv_type != Type::bf16 || shape.head_dim % (token_tiles * lanes) != 0) {
        return avx512::kernels.prefill_attend(stream, attend);
    }
    uint32_t group = shape.query_heads / shape.kv_heads;
    uint32_t tokens = std::max(1u, queries_at_a_time / group);
    Tiles::release();
    for_chunk_pieces(stream, attend, tokens, [](const ChunkPiece &piece) {
        static thread_local Panels panels;
        attend_piece({piece, panels});
    });
    Tiles::release();
}

}  // namespace specache::SPECACHE_ISA

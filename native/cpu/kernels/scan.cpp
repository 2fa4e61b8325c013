// scan.cpp - logits of all tail tokens from the codes (DESIGN sections 5 and 8). A page's codes are
// loaded once for all inputs and all query heads of the group.
#include <algorithm>
#include <limits>

#include "../../codes.h"
#include "../../query.h"
#include "../../scratch.h"
#include "../kernels.h"
#include "../simd.h"
#include "../threads.h"
#include "heads.h"
#include "rotate.h"
#include "rows.h"
#include "scores.h"
#include "weigh.h"

namespace specache::SPECACHE_ISA {
namespace {

struct Query {
    CodedQuery coded;
    Tables tables;
};

// products[q] = Hq . (levels of c').
template <uint32_t Queries, class Ask>
void centre_products(const Query *const *queries, const int8_t *levels, uint32_t dim, Ask ask,
                     float *products) {
    Floats sums[Queries] = {};
    uint32_t i = 0;
    for (; i + lanes <= dim; i += lanes) {
        Floats level = signed_bytes_at(levels + i);
        ask();
        for (uint32_t q = 0; q < Queries; q++) {
            sums[q] += load(queries[q]->coded.rotated + i) * level;
        }
    }
    for (uint32_t q = 0; q < Queries; q++) {
        products[q] = sum_of(sums[q]);
        for (uint32_t rest = i; rest < dim; rest++) {
            products[q] += queries[q]->coded.rotated[rest] * float(levels[rest]);
        }
    }
}

// One page, `Queries` queries: logit = (Hq . c' + unit s_j I_j) scale. ask() as in scores.h.
template <uint32_t Queries, class Ask>
void score_page(const Query *const *queries, const CodeLayout &layout, const uint8_t *codes,
                Ask ask, uint32_t dim, float scale, float *const *logits) {
    const Tables *tables[Queries];
    for (uint32_t q = 0; q < Queries; q++) tables[q] = &queries[q]->tables;
    alignas(64) int32_t scores[Queries][page_tokens];
    integer_scores<Queries>(tables, codes + layout.keys, ask, layout.key_tables, scores);
    const int8_t *levels = reinterpret_cast<const int8_t *>(codes + layout.key_centre);
    float products[Queries];
    centre_products<Queries>(queries, levels, dim, ask, products);
    float centre_scale = half_at(codes + layout.key_parameters) * scale;
    float largest = half_at(codes + layout.key_parameters + 2) / 255 * scale;
    for (uint32_t q = 0; q < Queries; q++) {
        const CodedQuery &coded = queries[q]->coded;
        Floats centre = spread(products[q] * centre_scale);
        float unit = coded.unit * largest;
        for (uint32_t j = 0; j < page_tokens; j += lanes) {
            Ints score = load(scores[q] + j);
            Floats step = unit * bytes_at(codes + layout.key_scales + j);
            store(logits[q] + j, centre + step * floats_of(score));
        }
    }
}

// Paper: sum of q_c (zero + scale code), channel by channel over masks of 64 tokens.
void score_paper_page(const float *query, const HeadCode &code, const CodeLayout &layout,
                      const uint8_t *codes, uint32_t dim, float scale, float *logits) {
    uint32_t groups = page_tokens / code.group, vectors = page_tokens / lanes / groups;
    Floats sums[4] = {};
    for (uint32_t i = 0; i < dim; i++) {
        for (uint32_t group = 0; group < groups; group++) {
            const uint8_t *parameters = codes + layout.key_parameters + (i * groups + group) * 4;
            float zero = query[i] * half_at(parameters), step = query[i] * half_at(parameters + 2);
            for (uint32_t v = group * vectors; v < (group + 1) * vectors; v++) {
                sums[v] += zero;
                for (uint32_t bit = 0; bit < code.key_bits; bit++) {
                    uint64_t mask;
                    std::memcpy(&mask, codes + layout.keys + (uint64_t(bit) * dim + i) * 8, 8);
                    sums[v] = masked_add(sums[v], uint32_t(mask >> v * lanes & 0xFFFF),
                                         spread(step * float(1 << bit)));
                }
            }
        }
    }
    for (uint32_t v = 0; v < 4; v++) store(logits + v * lanes, sums[v] * scale);
}

void hide_sinks(float *logits) {
    std::fill(logits, logits + sink_tokens, -std::numeric_limits<float>::infinity());
}

// Queries [first, first + Queries) of a KV head over a page. Query c of the head is that of input
// c / group; `queries` [inputs * group] are the head's.
template <uint32_t Queries, class Ask>
void scan_queries(const Scan &scan, const Query *queries, uint32_t head, uint32_t first,
                  uint32_t page, Ask ask) {
    const Shape &shape = scan.shape;
    uint32_t group = shape.query_heads / shape.kv_heads;
    const HeadCode &code = scan.codes_of[head];
    const Query *of[Queries];
    float *logits[Queries];
    for (uint32_t q = 0; q < Queries; q++) {
        uint32_t c = first + q;
        uint64_t at = logits_place(shape, scan.heads, c / group, head * group + c % group);
        of[q] = queries + c;
        logits[q] = scan.logits + at * scan.tokens_max + page * page_tokens;
    }
    score_page<Queries>(of, code_layout(code, shape.head_dim), code.page(scan.pages[page]),
                        ask, shape.head_dim, shape.scale, logits);
    for (uint32_t q = 0; page == 0 && q < Queries; q++) hide_sinks(logits[q]);
}

template <class Ask>
void scan_rotated(const Scan &scan, const Query *queries, uint32_t head, uint32_t page, Ask ask) {
    // Later inputs see more pages: those that see this one are the last.
    uint32_t group = scan.shape.query_heads / scan.shape.kv_heads, first = 0;
    while (page >= coded_pages(scan.positions[first / group])) first += group;
    by_queries(scan.inputs * group - first, [&]<uint32_t Queries>(uint32_t next) {
        bool leads = next == 0;  // it reads what the others find in the caches
        scan_queries<Queries>(scan, queries, head, first + next, page,
                              [&] { if (leads) ask(); });
    });
}

void scan_paper(const Scan &scan, uint32_t head, uint32_t first_page, uint32_t end_page) {
    const Shape &shape = scan.shape;
    uint32_t dim = shape.head_dim, group = shape.query_heads / shape.kv_heads;
    const HeadCode &code = scan.codes_of[head];
    CodeLayout layout = code_layout(code, dim);
    for (uint32_t c = 0; c < scan.inputs * group; c++) {
        uint64_t query = uint64_t(c / group) * shape.query_heads + head * group + c % group;
        uint32_t end = std::min(end_page, coded_pages(scan.positions[c / group]));
        for (uint32_t page = first_page; page < end; page++) {
            uint64_t place = logits_place(shape, scan.heads, c / group, head * group + c % group);
            float *logits = scan.logits + place * scan.tokens_max + page * page_tokens;
            score_paper_page(scan.queries + query * dim, code, layout,
                             code.page(scan.pages[page]), dim, shape.scale, logits);
            if (page == 0) hide_sinks(logits);
        }
    }
}

// The logits of a block are still in the first-level cache when they become weights.
void weigh_block(const Scan &scan, uint32_t head, uint32_t first_page, uint32_t end_page) {
    const Shape &shape = scan.shape;
    uint32_t group = shape.query_heads / shape.kv_heads;
    for (uint32_t c = 0; c < scan.inputs * group; c++) {
        uint32_t end = std::min(end_page, coded_pages(scan.positions[c / group]));
        if (end <= first_page) continue;
        uint64_t place = logits_place(shape, scan.heads, c / group, head * group + c % group);
        float *logits = scan.logits + place * scan.tokens_max + first_page * page_tokens;
        Part part = weigh(logits, (end - first_page) * page_tokens, logits, [] {});
        Blocks blocks = Blocks::of(scan.blocks, place, scan.tokens_max);
        blocks.largest[first_page / block_pages] = part.largest;
        blocks.sums[first_page / block_pages] = part.sum;
    }
}

// A piece of work: neighbouring pages of a head.
struct Piece {
    uint32_t head, first, end;  // page
};

void scan_piece(const Scan &scan, const Query *queries, const Piece &piece, const Piece &next) {
    // In each page's steps a page some places further on is asked for, behind the piece the next
    // one's: not the whole next piece, which would throw logits out of the second level.
    constexpr uint32_t places = 4, steps = 24;
    const HeadCode &code = scan.codes_of[piece.head], &next_code = scan.codes_of[next.head];
    uint32_t pages = piece.end - piece.first, next_pages = std::min(places, next.end - next.first);
    uint32_t bytes = code_layout(code, scan.shape.head_dim).bytes;
    uint32_t lines = (bytes + steps * line_bytes - 1) / (steps * line_bytes);
    uint32_t own = pages - std::min(pages, places);
    Ahead ahead(own + next_pages, bytes, [&](uint32_t i) {
        return i < own ? code.page(scan.pages[piece.first + places + i])
                       : next_code.page(scan.pages[next.first + i - own]);
    });
    auto ask = [&] { ahead.ask(lines); };
    if (code.rule == Rule::paper) scan_paper(scan, piece.head, piece.first, piece.end);
    for (uint32_t page = piece.first; code.rule != Rule::paper && page < piece.end; page++) {
        scan_rotated(scan, queries, piece.head, page, ask);
    }
    if (scan.blocks != nullptr) weigh_block(scan, piece.head, piece.first, piece.end);
}

// Query c of a head.
void code(const Scan &scan, uint32_t head, uint32_t c, Query &query) {
    const Shape &shape = scan.shape;
    const HeadCode &code = scan.codes_of[head];
    if (code.rule == Rule::paper) return;
    uint32_t dim = shape.head_dim, group = shape.query_heads / shape.kv_heads;
    uint64_t at = uint64_t(c / group) * shape.query_heads + head * group + c % group;
    std::copy_n(scan.queries + at * dim, dim, query.coded.rotated);
    rotate_row_forward(query.coded.rotated, dim);
    find_levels(query.coded, dim, code.key_bits);
    fill_tables(query.coded.levels, dim, code.key_bits, query.tables);
}

}  // namespace

void scan_head(const Scan &scan, uint32_t head) {
    static thread_local std::vector<Query> scratch;
    uint32_t of_head = scan.inputs * (scan.shape.query_heads / scan.shape.kv_heads);
    uint32_t pages = coded_pages(scan.positions[scan.inputs - 1]);
    Query *queries = grown(scratch, of_head);
    for (uint32_t c = 0; pages != 0 && c < of_head; c++) code(scan, head, c, queries[c]);
    for (uint32_t first = 0; first < pages; first += block_pages) {
        Piece piece{head, first, std::min(pages, first + block_pages)};
        scan_piece(scan, queries, piece, {head, 0, 0});
    }
}

void scan(Stream &stream, const Scan &scan) {
    uint32_t pages = coded_pages(scan.positions[scan.inputs - 1]), first_head = scan.heads.first;
    if (pages == 0 || scan.codes_of[0].rule == Rule::none) return;
    static thread_local std::vector<Query> scratch;  // [heads][of_head]
    uint32_t of_head = scan.inputs * (scan.shape.query_heads / scan.shape.kv_heads);
    Query *queries = grown(scratch, scan.heads.count * of_head);
    parallel(stream, scan.heads.count * of_head, [&](uint32_t i) {
        code(scan, first_head + i / of_head, i % of_head, queries[i]);
    });
    uint32_t blocks = (pages + block_pages - 1) / block_pages, pieces = scan.heads.count * blocks;
    auto piece_of = [&](uint32_t i) {
        uint32_t first = i % blocks * block_pages;
        return Piece{first_head + i / blocks, first, std::min(pages, first + block_pages)};
    };
    parallel(stream, pieces, [&](uint32_t i) {
        // A thread mostly goes on with the next piece.
        Piece next = i + 1 < pieces ? piece_of(i + 1) : Piece{first_head, 0, 0};
        scan_piece(scan, queries + i / blocks * of_head, piece_of(i), next);
    });
}

}  // namespace specache::SPECACHE_ISA

// scan.cpp - logits of all tail tokens from the codes (DESIGN sections 5 and 8).
//
// Four planes of 64 tokens are 64 nibbles; a table of 16 partial sums of the 8-bit query turns each
// into a number by one byte shuffle. The integer scores are exact, so that every instruction set
// gives the same ones. A page's codes are unpacked once for all inputs and all query heads of the
// group.
#include <algorithm>
#include <limits>

#include "../../codes.h"
#include "../../query.h"
#include "../kernels.h"
#include "../simd.h"
#include "../threads.h"

namespace specache::SPECACHE_ISA {
namespace {

constexpr uint32_t tables_max = 256 * 2 / 4;
constexpr uint32_t pages_at_a_time = 16;  // one piece of work for a thread

struct Query {
    CodedQuery coded;
    int8_t tables[tables_max][16];  // partial sums of one query for four planes
};

void fill_tables(Query &query, uint32_t dim, uint32_t bits) {
    uint32_t channels = 4 / bits;
    for (uint32_t t = 0; t < dim / channels; t++) {
        const int16_t *n = query.coded.levels + t * channels;
        for (int index = 0; index < 16; index++) {
            int sum = 0;
            for (uint32_t i = 0; i < 4; i++) {
                int sign = index >> i & 1 ? 1 : -1;
                sum += bits == 1 ? sign * n[i] : sign * n[i / 2] * (i % 2 == 0 ? 2 : 1);
            }
            query.tables[t][index] = int8_t(sum);
        }
    }
}

// indices[t][j]: the four planes of token j.
void unpack(const uint8_t *keys, uint32_t tables, uint8_t (*indices)[page_tokens]) {
    typedef uint8_t Bytes __attribute__((vector_size(32)));
    for (uint32_t t = 0; t < tables; t++) {
        Bytes both;
        std::memcpy(&both, keys + t * 32, 32);
        Bytes low = both & 15, high = both >> 4;
        std::memcpy(indices[t], &low, 32);
        std::memcpy(indices[t] + 32, &high, 32);
    }
}

// sums[j] = I_j: at most 128 tables of |127|, which 16 bits hold.
void integer_scores(const Query &query, uint32_t tables, const uint8_t (*indices)[page_tokens],
                    int16_t *sums) {
#if defined(__AVX512BW__)
    __m512i even = _mm512_setzero_si512(), odd = even;  // tokens 0, 2, .. and 1, 3, ..
    for (uint32_t t = 0; t < tables; t++) {
        __m512i table = _mm512_maskz_broadcast_i32x4(
            0xFFFF, _mm_loadu_si128(reinterpret_cast<const __m128i *>(query.tables[t])));
        __m512i value = _mm512_shuffle_epi8(table, _mm512_loadu_si512(indices[t]));
        even = _mm512_add_epi16(even, _mm512_srai_epi16(_mm512_slli_epi16(value, 8), 8));
        odd = _mm512_add_epi16(odd, _mm512_srai_epi16(value, 8));
    }
    // Interleaved by eights: part p of `low` is tokens 16 p .. 16 p + 7, of `high` the next eight.
    alignas(64) int16_t low[32], high[32];
    _mm512_store_si512(low, _mm512_unpacklo_epi16(even, odd));
    _mm512_store_si512(high, _mm512_unpackhi_epi16(even, odd));
    for (uint32_t part = 0; part < 4; part++) {
        std::memcpy(sums + part * 16, low + part * 8, 16);
        std::memcpy(sums + part * 16 + 8, high + part * 8, 16);
    }
#elif defined(__AVX2__)
    for (uint32_t first = 0; first < page_tokens; first += 32) {
        __m256i even = _mm256_setzero_si256(), odd = even;
        for (uint32_t t = 0; t < tables; t++) {
            __m256i table = _mm256_broadcastsi128_si256(
                _mm_loadu_si128(reinterpret_cast<const __m128i *>(query.tables[t])));
            __m256i index =
                _mm256_loadu_si256(reinterpret_cast<const __m256i *>(indices[t] + first));
            __m256i value = _mm256_shuffle_epi8(table, index);
            even = _mm256_add_epi16(even, _mm256_srai_epi16(_mm256_slli_epi16(value, 8), 8));
            odd = _mm256_add_epi16(odd, _mm256_srai_epi16(value, 8));
        }
        alignas(32) int16_t low[16], high[16];
        _mm256_store_si256(reinterpret_cast<__m256i *>(low), _mm256_unpacklo_epi16(even, odd));
        _mm256_store_si256(reinterpret_cast<__m256i *>(high), _mm256_unpackhi_epi16(even, odd));
        for (uint32_t part = 0; part < 2; part++) {
            std::memcpy(sums + first + part * 16, low + part * 8, 16);
            std::memcpy(sums + first + part * 16 + 8, high + part * 8, 16);
        }
    }
#else
    std::fill(sums, sums + page_tokens, int16_t(0));
    for (uint32_t t = 0; t < tables; t++) {
        for (uint32_t j = 0; j < page_tokens; j++) {
            sums[j] = int16_t(sums[j] + query.tables[t][indices[t][j]]);
        }
    }
#endif
}

float half_at(const uint8_t *from) {
    uint16_t half;
    std::memcpy(&half, from, 2);
    return half_to_float(half);
}

// The queries of a KV head as columns, so that a page's centre meets 16 of them at once:
// columns[i][c] = channel i of query c.
struct Columns {
    alignas(64) float columns[256][lanes];
};

// products[c] = Hq_c . (levels of c'), channels ascending. A sum of 128 steps is slow for one
// query, since each step waits for the one before; here 16 sums run side by side.
void centre_products(const Columns &queries, const int8_t *levels, uint32_t dim, float *products) {
    Floats sum{};
    for (uint32_t i = 0; i < dim; i++) sum += load(queries.columns[i]) * float(levels[i]);
    store(products, sum);
}

// One page, one query: logit = (Hq . c' + unit s_j I_j) scale.
void score_page(const Query &query, const CodeLayout &layout, const uint8_t *codes, float product,
                const uint8_t (*indices)[page_tokens], float scale, float *logits) {
    int16_t sums[page_tokens];
    integer_scores(query, layout.key_tables, indices, sums);
    float centre = product * half_at(codes + layout.key_parameters);
    float unit = query.coded.unit * half_at(codes + layout.key_parameters + 2) / 255;
    const uint8_t *scales = codes + layout.key_scales;
    for (uint32_t j = 0; j < page_tokens; j++) {
        logits[j] = (centre + unit * float(scales[j]) * float(sums[j])) * scale;
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

// Queries number `first` on of a KV head, at most 16, over a run of pages. Query c of the head is
// that of input c / group; `queries` lie as logits do.
void scan_rotated(const Scan &scan, const Query *queries, uint32_t head, uint32_t first,
                  uint32_t first_page, uint32_t end_page) {
    const Shape &shape = scan.shape;
    uint32_t dim = shape.head_dim, group = shape.query_heads / shape.kv_heads;
    uint32_t count = std::min(lanes, scan.inputs * group - first);
    CodeLayout layout = code_layout(scan.codes_of[head], dim);
    auto index = [&](uint32_t c) {
        return logits_place(shape, scan.heads, (first + c) / group,
                            head * group + (first + c) % group);
    };
    Columns columns;
    for (uint32_t i = 0; i < dim; i++) {
        for (uint32_t c = 0; c < lanes; c++) {
            columns.columns[i][c] = c < count ? queries[index(c)].coded.rotated[i] : 0;
        }
    }
    alignas(64) uint8_t indices[tables_max][page_tokens];
    for (uint32_t page = first_page; page < end_page; page++) {
        const uint8_t *codes = scan.codes_of[head].page(scan.pages[page]);
        float products[lanes];
        unpack(codes + layout.keys, layout.key_tables, indices);
        centre_products(columns, reinterpret_cast<const int8_t *>(codes + layout.key_centre), dim,
                        products);
        for (uint32_t c = 0; c < count; c++) {
            if (page >= coded_pages(scan.positions[(first + c) / group])) continue;
            float *logits = scan.logits + index(c) * scan.tokens_max + page * page_tokens;
            score_page(queries[index(c)], layout, codes, products[c], indices, shape.scale, logits);
            if (page == 0) hide_sinks(logits);
        }
    }
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

void scan_pages(const Scan &scan, const Query *queries, uint32_t head, uint32_t first_page,
                uint32_t end_page) {
    if (scan.codes_of[head].rule == Rule::paper) {
        return scan_paper(scan, head, first_page, end_page);
    }
    uint32_t count = scan.inputs * (scan.shape.query_heads / scan.shape.kv_heads);
    for (uint32_t first = 0; first < count; first += lanes) {
        scan_rotated(scan, queries, head, first, first_page, end_page);
    }
}

}  // namespace

void scan(Stream &stream, const Scan &scan) {
    const Shape &shape = scan.shape;
    uint32_t dim = shape.head_dim, group = shape.query_heads / shape.kv_heads;
    uint32_t pages = coded_pages(scan.positions[scan.inputs - 1]);
    if (pages == 0 || scan.codes_of[0].rule == Rule::none) return;
    static thread_local std::vector<Query> scratch;
    uint32_t of_input = scan.heads.count * group;  // query heads of the run
    Query *queries = grown(scratch, scan.inputs * of_input);
    parallel(stream, scan.inputs * of_input, [&](uint32_t i) {
        uint32_t query_head = scan.heads.first * group + i % of_input;
        const HeadCode &code = scan.codes_of[query_head / group];
        if (code.rule == Rule::paper) return;
        uint64_t at = uint64_t(i / of_input) * shape.query_heads + query_head;
        queries[i].coded = code_query(scan.queries + at * dim, dim, code.key_bits);
        fill_tables(queries[i], dim, code.key_bits);
    });
    uint32_t pieces = (pages + pages_at_a_time - 1) / pages_at_a_time;
    parallel(stream, scan.heads.count * pieces, [&](uint32_t piece) {
        uint32_t head = scan.heads.first + piece / pieces, first = piece % pieces * pages_at_a_time;
        scan_pages(scan, queries, head, first, std::min(pages, first + pages_at_a_time));
    });
}

}  // namespace specache::SPECACHE_ISA

// scan.cu - logits of every tail token from the codes: rotated keys by tensor-core products of
// 8-bit integers, a warp a page for 8 queries; the paper's keys by plain sums.
#include "../native/codes.h"
#include "../native/numbers.h"
#include "kernels.h"
#include "rotation.cuh"

namespace specache::cuda {
namespace {

constexpr uint32_t scan_queries = 8;  // columns of one product: inputs * group of a KV head
constexpr uint32_t product_channels = 32;
constexpr uint32_t word_tables = 16;  // four a lane of a group of four: 32 channels at 2 bits
constexpr uint32_t pages_each = 8;  // of a warp, at least: coding the queries has to pay

struct Queries {
    // Hq, in units of the logit; 16 more: other banks for the queries that a load has at a time.
    alignas(16) float rotated[scan_queries][head_dim_max + 16];
    // In the order of the products' words; 32 more: as above.
    alignas(8) int8_t levels[scan_queries][head_dim_max + 32];
    float unit[scan_queries];      // of a level
    int sum[scan_queries];         // of the levels
    float *logits[scan_queries];   // of page 0
    uint32_t pages[scan_queries];  // that it sees

    // Of four tokens, the first a multiple of 4; the sinks are hidden.
    __device__ void put(uint32_t q, uint32_t page, uint32_t token, const float (&of)[4]) const {
        float4 four{of[0], of[1], of[2], of[3]};
        if (page == 0 && token == 0) four = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
        *reinterpret_cast<float4 *>(logits[q] + page * page_tokens + token) = four;
    }
    __device__ void put(uint32_t q, uint32_t page, uint32_t token, float logit) const {
        if (page == 0 && token < sink_tokens) logit = -INFINITY;
        logits[q][page * page_tokens + token] = logit;
    }
};

// sum over 32 channels of a (16 tokens, codes) by b (8 queries, levels).
__device__ void multiply(int (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (uint32_t i = 0; i < 4; i++) {  // 8 tokens and 16 channels at a time
        int *sums = c + i % 2 * 2;
        asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32 "
                     "{%0, %1}, {%2}, {%3}, {%0, %1};"
                     : "+r"(sums[0]), "+r"(sums[1])
                     : "r"(a[i]), "r"(b[i / 2]));
    }
#endif
}

// Where a channel's level stands: byte i of word t, or of word t + 4, of a product of 32 channels
// belongs to table 16 s + 4 i + t, so that four lanes load 128 bytes of keys side by side.
__device__ uint32_t place_of_level(uint32_t channel, uint32_t bits) {
    uint32_t of_table = 4 / bits, table = channel / of_table, within = channel % of_table;
    uint32_t product = table / word_tables * (3 - bits) + within / 2;
    uint32_t byte = table % word_tables / 4, word = table % 4;
    return product * product_channels + word * 8 + within % 2 * 4 + byte;
}

// The integers of query.h for query q, by its warp.
__device__ void code_query(Queries &to, uint32_t q, uint32_t dim, uint32_t bits,
                           const Cosines &cosines) {
    float *x = to.rotated[q];
    __syncwarp();
    rotate_forward(Warp(), x, dim, cosines);
    uint32_t channels = 4 / bits;
    float largest = 0;
    for (uint32_t first = lane_of() * channels; first < dim; first += lanes * channels) {
        float sum = 0;
        for (uint32_t i = first; i < first + channels; i++) sum = __fadd_rn(sum, fabsf(x[i]));
        largest = fmaxf(largest, sum);
    }
    largest = over_warp(largest, Largest());
    float unit = largest > 0 ? __fdiv_rn(largest, bits == 1 ? 125.0f : 41.0f) : 1.0f;
    if (!(unit > 0)) unit = 1;
    int sum = 0;
    for (uint32_t i = lane_of(); i < head_dim_max; i += lanes) {
        int level = i < dim ? int(nearbyintf(__fdiv_rn(x[i], unit))) : 0;
        to.levels[q][place_of_level(i, bits)] = int8_t(level);
        sum += level;
    }
    sum = over_warp(sum, Sum());
    if (lane_of() == 0) to.unit[q] = unit, to.sum[q] = sum;
    __syncwarp();
}

// Lane's share of a page: queries lane % 4 * 2 and the next; tokens lane / 4 * 4 + j, then 32 more.
struct PageScores {
    int scores[2][4][2];  // sums of codes by levels; [1] of the upper half of the tokens, times 16
};

// Tables 16 s + 4 i + lane % 4 (i 0..3) of the keys: byte j of rows[i] is token lane / 4 * 4 + j.
// Beyond the last table are none: their levels are 0.
struct KeyWords {
    uint32_t tables[4];
};
__device__ KeyWords load_keys(const uint8_t *keys, uint32_t first, uint32_t tables) {
    KeyWords words{};
    uint32_t table = first + lane_of() % 4;
    const uint32_t *from = reinterpret_cast<const uint32_t *>(keys + table * 32) + lane_of() / 4;
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
        if (table + 4 * i < tables) words.tables[i] = load_once<uint32_t>(from + i * 32);
    }
    return words;
}

// Bytes by token instead of by table: byte i of word j was byte j of word i.
__device__ KeyWords turn(const KeyWords &x) {
    const uint32_t *of = x.tables;
    uint32_t a = __byte_perm(of[0], of[1], 0x5140), b = __byte_perm(of[2], of[3], 0x5140);
    uint32_t c = __byte_perm(of[0], of[1], 0x7362), d = __byte_perm(of[2], of[3], 0x7362);
    return {{__byte_perm(a, b, 0x5410), __byte_perm(a, b, 0x7632), __byte_perm(c, d, 0x5410),
             __byte_perm(c, d, 0x7632)}};
}

// One product's 32 channels for all 64 tokens: `even` and `odd` have the codes of two channels of
// each table in their bits `mask`, of the upper tokens 4 bits higher.
__device__ void add_channels(PageScores &page, const uint32_t (&even)[4], const uint32_t (&odd)[4],
                             uint32_t mask, const int8_t *levels) {
    uint2 both = *reinterpret_cast<const uint2 *>(levels);
    const uint32_t b[2] = {both.x, both.y};
#pragma unroll
    for (uint32_t half = 0; half < 2; half++) {
#pragma unroll
        for (uint32_t j = 0; j < 4; j += 2) {
            uint32_t of = mask << 4 * half;
            const uint32_t a[4] = {even[j] & of, even[j + 1] & of, odd[j] & of, odd[j + 1] & of};
            int(&at)[4][2] = page.scores[half];
            int c[4] = {at[j][0], at[j][1], at[j + 1][0], at[j + 1][1]};
            multiply(c, a, b);
            at[j][0] = c[0], at[j][1] = c[1], at[j + 1][0] = c[2], at[j + 1][1] = c[3];
        }
    }
}

template <uint32_t bits>
__device__ PageScores score_page(const Queries &queries, const uint8_t *keys, uint32_t tables) {
    PageScores page{};
    const int8_t *levels = &queries.levels[lane_of() / 4][lane_of() % 4 * 8];
#pragma unroll 1
    for (uint32_t first = 0; first < tables; first += word_tables) {
        KeyWords words = load_keys(keys, first, tables);
        if constexpr (bits == 2) {  // the first bit weighs 2
            for (uint32_t &word : words.tables) {
                word = (word << 1 & 0xAAAAAAAAu) | (word >> 1 & 0x55555555u);
            }
        }
        words = turn(words);
#pragma unroll
        for (uint32_t i = 0; i < 4; i += 2 * bits) {  // bits i and i + bits of each nibble
            uint32_t even[4], odd[4];
            for (uint32_t j = 0; j < 4; j++) {
                even[j] = words.tables[j] >> i;
                odd[j] = words.tables[j] >> (i + bits);
            }
            add_channels(page, even, odd, bits == 2 ? 0x03030303u : 0x01010101u, levels);
            levels += product_channels;
        }
    }
    return page;
}

// The centre's part of a query's logits: four lanes a query, four channels at a time.
__device__ float score_centre(const Queries &queries, const uint8_t *centre, uint32_t dim) {
    float sum = 0;
    const float *query = queries.rotated[lane_of() / 4];
#pragma unroll 2
    for (uint32_t i = lane_of() % 4 * 4; i < dim; i += 16) {
        float4 x = *reinterpret_cast<const float4 *>(query + i);
        uint32_t levels = *reinterpret_cast<const uint32_t *>(centre + i);
        sum += x.x * float(int8_t(levels)) + x.y * float(int8_t(levels >> 8)) +
               (x.z * float(int8_t(levels >> 16)) + x.w * float(int8_t(levels >> 24)));
    }
    sum += __shfl_xor_sync(whole_warp, sum, 1);
    return sum + __shfl_xor_sync(whole_warp, sum, 2);
}

template <uint32_t bits>
__device__ void scan_rotated(const Shape &shape, const uint8_t *codes, const CodeLayout &layout,
                             const Queries &queries, uint32_t page) {
    uint32_t dim = shape.head_dim, token = lane_of() / 4 * 4;
    PageScores scores = score_page<bits>(queries, codes + layout.keys, layout.key_tables);
    float centre = score_centre(queries, codes + layout.key_centre, dim) *
                   load_number(Type::f16, codes + layout.key_parameters, 0) * shape.scale;
    float largest = load_number(Type::f16, codes + layout.key_parameters, 1) * (shape.scale / 255);
    const uint32_t *scales = reinterpret_cast<const uint32_t *>(codes + layout.key_scales + token);
    const uint32_t of_half[2] = {scales[0], scales[8]};
#pragma unroll
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t q = lane_of() % 4 * 2 + i;
        float of_centre = __shfl_sync(whole_warp, centre, int(q * 4));
        if (page >= queries.pages[q]) continue;
        float unit = queries.unit[q] * largest;
        int less = (bits == 1 ? 1 : 3) * queries.sum[q];
#pragma unroll
        for (uint32_t half = 0; half < 2; half++) {
            float logits[4];
#pragma unroll
            for (uint32_t j = 0; j < 4; j++) {  // integers below 2^24: floats have them exactly
                int score = 2 * (scores.scores[half][j][i] >> 4 * half) - less;
                logits[j] = of_centre + unit * float(int(of_half[half] >> 8 * j & 255) * score);
            }
            queries.put(q, page, token + 32 * half, logits);
        }
    }
}

// Two tokens a lane. rotated holds the queries as they are.
__device__ void scan_paper(const Shape &shape, const HeadCode &code, const uint8_t *codes,
                           const CodeLayout &layout, const Queries &queries, uint32_t page) {
    uint32_t dim = shape.head_dim, groups = page_tokens / code.group;
    for (uint32_t token = lane_of(); token < page_tokens; token += lanes) {
        float sums[scan_queries] = {};
#pragma unroll 1
        for (uint32_t i = 0; i < dim; i++) {
            const uint8_t *parameters =
                codes + layout.key_parameters + (i * groups + token / code.group) * 4;
            uint32_t level = 0;
            for (uint32_t bit = 0; bit < code.key_bits; bit++) {
                const uint8_t *mask = codes + layout.keys + (uint64_t(bit) * dim + i) * 8;
                level |= (mask[token / 8] >> token % 8 & 1u) << bit;
            }
            float key = load_number(Type::f16, parameters, 0) +
                        load_number(Type::f16, parameters, 1) * float(level);
            for (uint32_t q = 0; q < scan_queries; q++) sums[q] += queries.rotated[q][i] * key;
        }
        for (uint32_t q = 0; q < scan_queries; q++) {
            if (page < queries.pages[q]) queries.put(q, page, token, sums[q] * shape.scale);
        }
    }
}

// Query first + q of the inputs * group of a KV head, by its warp; one beyond them sees nothing.
__device__ void start_query(const Scan &scan, Queries &to, uint32_t q, uint32_t head,
                            uint32_t first, const HeadCode &code, const Cosines &cosines) {
    uint32_t group = scan.shape.query_heads / scan.shape.kv_heads, dim = scan.shape.head_dim;
    bool any = first + q < scan.inputs * group;
    uint32_t at = any ? first + q : first, input = at / group;
    uint64_t vector = uint64_t(input) * scan.shape.query_heads + head * group + at % group;
    for (uint32_t i = lane_of(); i < dim; i += lanes) {
        to.rotated[q][i] = scan.queries[vector * dim + i];
    }
    if (lane_of() == 0) {
        to.logits[q] = scan.logits + scan.tokens_max * logits_place(
            scan.shape, scan.heads, input, head * group + at % group);
        to.pages[q] = any ? coded_pages(scan.positions[input]) : 0;
    }
    if (code.rule == Rule::rotated) code_query(to, q, dim, code.key_bits, cosines);
}

__global__ void __launch_bounds__(block_threads, 8)
scan_pages(Scan scan, const __grid_constant__ Cosines cosines) {
    __shared__ Queries queries;
    uint32_t head = scan.heads.first + blockIdx.y, first = blockIdx.z * scan_queries;
    const HeadCode &code = scan.codes_of[head];
    if (code.rule == Rule::none) return;
    uint32_t pages = 0, begun = blockIdx.x * warps_of_block();
    for (uint32_t i = 0; i < scan.inputs; i++) pages = max(pages, coded_pages(scan.positions[i]));
    if (begun >= pages) return;
#pragma unroll 1
    for (uint32_t q = warp_of(); q < scan_queries; q += warps_of_block()) {
        start_query(scan, queries, q, head, first, code, cosines);
    }
    __syncthreads();
    CodeLayout layout = code_layout(code, scan.shape.head_dim);
    bool paper = code.rule == Rule::paper, one_bit = code.key_bits == 1;
#pragma unroll 1
    for (uint32_t page = begun + warp_of(); page < pages; page += gridDim.x * warps_of_block()) {
        const uint8_t *codes = code.page(scan.pages[page]);
        if (paper) scan_paper(scan.shape, code, codes, layout, queries, page);
        else if (one_bit) scan_rotated<1>(scan.shape, codes, layout, queries, page);
        else scan_rotated<2>(scan.shape, codes, layout, queries, page);
    }
}

}  // namespace

void scan(Stream &stream, const Scan &scan) {
    uint32_t group = scan.shape.query_heads / scan.shape.kv_heads;
    uint32_t pages = blocks_of(scan.tokens_max, page_tokens);
    dim3 grid(blocks_of(pages, block_threads / lanes * pages_each), scan.heads.count,
              blocks_of(uint64_t(scan.inputs) * group, scan_queries));
    scan_pages<<<grid, block_threads, 0, queue(stream)>>>(scan, cosines_of(scan.shape.head_dim));
    launched("scan");
}

}  // namespace specache::cuda

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
constexpr uint32_t pages_each = 8;  // of a warp, at least: coding the queries has to pay

struct Queries {
    float rotated[scan_queries][head_dim_max];                     // Hq, in units of the logit
    alignas(4) int8_t levels[scan_queries][head_dim_max + 4];      // 4: other banks for each query
    float unit[scan_queries];  // of a level
    int sum[scan_queries];     // of the levels
};

// sum over 32 channels of a (16 tokens, codes 0..3) by b (8 queries, levels).
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

// Codes of channels [4 word, 4 word + 4) of a token, a byte each: 0, 1 at one bit, 0..3 at two; the
// level is 2 code - 1 or 2 code - 3.
__device__ uint32_t codes_of_token(const uint8_t *keys, uint32_t bits, uint32_t word,
                                   uint32_t token) {
    uint32_t at = token % 32, shift = token < 32 ? 0 : 4;
    if (bits == 1) {  // bit i of the nibble to byte i: copies 7 bits apart
        uint32_t nibble = keys[word * 32 + at] >> shift & 15u;
        return nibble * 0x00204081u & 0x01010101u;
    }
    uint32_t low = keys[2 * word * 32 + at] >> shift & 15u;
    uint32_t high = keys[(2 * word + 1) * 32 + at] >> shift & 15u;
    uint32_t nibbles = low | high << 16;
    uint32_t pairs = (nibbles | nibbles << 6) & 0x03030303u;
    return (pairs & 0x01010101u) << 1 | (pairs >> 1 & 0x01010101u);  // the first bit weighs 2
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
        to.levels[q][i] = int8_t(level);
        sum += level;
    }
    sum = over_warp(sum, Sum());
    if (lane_of() == 0) to.unit[q] = unit, to.sum[q] = sum;
    __syncwarp();
}

// Lane's share of a page: tokens 8 r + lane / 4 (r 0..7), queries lane % 4 * 2 and the next.
struct PageScores {
    int scores[8][2];
};

__device__ PageScores score_page(const Queries &queries, const uint8_t *keys, uint32_t dim,
                                 uint32_t bits) {
    PageScores page{};
    uint32_t row = lane_of() / 4, word = lane_of() % 4;
#pragma unroll 1
    for (uint32_t first = 0; first < dim; first += product_channels) {
        const uint32_t *levels = reinterpret_cast<const uint32_t *>(queries.levels[row]);
        uint32_t at = first / 4 + word;
        uint32_t b[2] = {levels[at], levels[at + 4]};
        for (uint32_t tile = 0; tile < 4; tile++) {
            uint32_t a[4];
            for (uint32_t i = 0; i < 4; i++) {
                uint32_t of = at + i / 2 * 4, token = tile * 16 + i % 2 * 8 + row;
                a[i] = of * 4 < dim ? codes_of_token(keys, bits, of, token) : 0;
            }
            int c[4] = {page.scores[2 * tile][0], page.scores[2 * tile][1],
                        page.scores[2 * tile + 1][0], page.scores[2 * tile + 1][1]};
            multiply(c, a, b);
            for (uint32_t i = 0; i < 4; i++) page.scores[2 * tile + i / 2][i % 2] = c[i];
        }
    }
    return page;
}

struct Wanted {  // queries [first, first + count) of the inputs * group of a head
    const Scan &scan;
    uint32_t head, first, count;
    uint32_t group = scan.shape.query_heads / scan.shape.kv_heads;
    __device__ uint32_t input(uint32_t q) const { return (first + q) / group; }
    __device__ uint64_t vector(uint32_t q) const {  // of [inputs][query_heads]
        return uint64_t(input(q)) * scan.shape.query_heads + head * group + (first + q) % group;
    }
    __device__ bool sees(uint32_t q, uint32_t page) const {
        return q < count && page < coded_pages(scan.positions[input(q)]);
    }
    __device__ void put(uint32_t q, uint32_t page, uint32_t token, float logit) const {
        if (page == 0 && token < sink_tokens) logit = -INFINITY;
        scan.logits[vector(q) * scan.tokens_max + page * page_tokens + token] = logit;
    }
};

__device__ void scan_rotated(const Wanted &wanted, const HeadCode &code, const CodeLayout &layout,
                             const Queries &queries, uint32_t page) {
    uint32_t dim = wanted.scan.shape.head_dim, bits = code.key_bits;
    const uint8_t *codes = code.page(wanted.scan.pages[page]);
    PageScores scores = score_page(queries, codes + layout.keys, dim, bits);
    // The centre's part: four lanes a query, then the lane's two queries from their lanes.
    float centre = 0;
    for (uint32_t i = lane_of() % 4; i < dim; i += 4) {
        centre += queries.rotated[lane_of() / 4][i] * float(int8_t(codes[layout.key_centre + i]));
    }
    centre += __shfl_xor_sync(whole_warp, centre, 1);
    centre += __shfl_xor_sync(whole_warp, centre, 2);
    centre *= load_number(Type::f16, codes + layout.key_parameters, 0);
    float largest = load_number(Type::f16, codes + layout.key_parameters, 1);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t q = lane_of() % 4 * 2 + i;
        float of_centre = __shfl_sync(whole_warp, centre, int(q * 4));
        if (!wanted.sees(q, page)) continue;
        for (uint32_t r = 0; r < 8; r++) {
            uint32_t token = 8 * r + lane_of() / 4;
            int score = 2 * scores.scores[r][i] - (bits == 1 ? 1 : 3) * queries.sum[q];
            float scale = largest * float(codes[layout.key_scales + token]) / 255;
            wanted.put(q, page, token, (of_centre + queries.unit[q] * scale * float(score)) *
                                           wanted.scan.shape.scale);
        }
    }
}

// Two tokens a lane. rotated holds the queries as they are.
__device__ void scan_paper(const Wanted &wanted, const HeadCode &code, const CodeLayout &layout,
                           const Queries &queries, uint32_t page) {
    uint32_t dim = wanted.scan.shape.head_dim, groups = page_tokens / code.group;
    const uint8_t *codes = code.page(wanted.scan.pages[page]);
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
            if (wanted.sees(q, page)) wanted.put(q, page, token, sums[q] * wanted.scan.shape.scale);
        }
    }
}

__global__ void __launch_bounds__(block_threads)
scan_pages(Scan scan, const __grid_constant__ Cosines cosines) {
    __shared__ Queries queries;
    uint32_t dim = scan.shape.head_dim, group = scan.shape.query_heads / scan.shape.kv_heads;
    uint32_t head = blockIdx.y, first = blockIdx.z * scan_queries;
    const HeadCode &code = scan.codes_of[head];
    if (code.rule == Rule::none) return;
    Wanted wanted{scan, head, first, min(scan_queries, scan.inputs * group - first)};
    uint32_t pages = 0;
    for (uint32_t q = 0; q < wanted.count; q++) {
        pages = max(pages, coded_pages(scan.positions[wanted.input(q)]));
    }
    uint32_t begun = blockIdx.x * warps_of_block();
    if (begun >= pages) return;
#pragma unroll 1
    for (uint32_t q = warp_of(); q < scan_queries; q += warps_of_block()) {
        const float *query = scan.queries + wanted.vector(q < wanted.count ? q : 0) * dim;
        for (uint32_t i = lane_of(); i < dim; i += lanes) queries.rotated[q][i] = query[i];
        if (code.rule == Rule::rotated) code_query(queries, q, dim, code.key_bits, cosines);
    }
    __syncthreads();
    CodeLayout layout = code_layout(code, dim);
#pragma unroll 1
    for (uint32_t page = begun + warp_of(); page < pages; page += gridDim.x * warps_of_block()) {
        if (code.rule == Rule::paper) scan_paper(wanted, code, layout, queries, page);
        else scan_rotated(wanted, code, layout, queries, page);
    }
}

}  // namespace

void scan(Stream &stream, const Scan &scan) {
    uint32_t group = scan.shape.query_heads / scan.shape.kv_heads;
    uint32_t pages = blocks_of(scan.tokens_max, page_tokens);
    dim3 grid(blocks_of(pages, block_threads / lanes * pages_each), scan.shape.kv_heads,
              blocks_of(uint64_t(scan.inputs) * group, scan_queries));
    scan_pages<<<grid, block_threads, 0, queue(stream)>>>(scan, cosines_of(scan.shape.head_dim));
    launched("scan");
}

}  // namespace specache::cuda

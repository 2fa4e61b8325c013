// coded.cuh - weighted sums of coded values, 8 queries at a time, a warp a page: each byte of codes
// is unpacked once for all of them.
//   weights  e^(logit - largest of the chunk), made in the lane that the product wants them from
//   planes   signs times weights, by tensor cores: +1 and -1 are exact in 16 bits, and a weight is
//            the sum of two numbers of 11 bits, so that its share of 2^-22 at most is lost
//   tokens   4 of a lane side by side, so that one load has them; a product may sum in any order
// Sums go by pages alone: a warp adds pages w, w + 8, ... of the chunk, then the warps are added.
#pragma once
#include "../native/codes.h"
#include "../native/numbers.h"
#include "../native/scratch.h"
#include "block.cuh"

namespace specache::cuda {

constexpr uint32_t coded_queries = 8;  // columns of one product: inputs * group of a KV head
constexpr uint32_t coded_planes = 32;  // (paper: channels) that one pass over the pages sums
constexpr uint32_t coded_threads = 256;
constexpr uint32_t coded_warps = coded_threads / lanes;
constexpr uint32_t step_tokens = 16;   // of one product
constexpr float weight_bits = 15;      // weights are up to 2^15, a 16-bit number's largest power
constexpr float weight_unit = 1.0f / 32768;
constexpr float no_logit = -3e38f;

struct CodedTile {
    float largest[coded_warps][coded_queries];
    float page_weights[block_pages][coded_queries];  // of each page the sum of its weights
    float warps[coded_warps][page_tokens * coded_queries];  // paper: weights; then a warp's sums
};

// What a lane loads: the logits of query lane / 4, tokens lane % 4 * 4 on of each 16.
struct LaneQuery {
    const float *logits;  // of the lane's first token in the chunk
    uint32_t seen;        // pages of the chunk
    float largest;
    __device__ float4 at(uint32_t page, uint32_t step) const {
        return *reinterpret_cast<const float4 *>(logits + page * page_tokens + step * step_tokens);
    }
};

__device__ inline float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// The largest logit of each query among the warp's pages, then of all: in every lane its query's.
__device__ inline float largest_of_chunk(CodedTile &tile, const LaneQuery &query) {
    float largest = no_logit;
#pragma unroll 1
    for (uint32_t page = warp_of(); page < query.seen; page += coded_warps) {
#pragma unroll
        for (uint32_t step = 0; step < page_tokens / step_tokens; step++) {
            float4 logits = query.at(page, step);
            largest = fmaxf(largest, fmaxf(fmaxf(logits.x, logits.y), fmaxf(logits.z, logits.w)));
        }
    }
    __syncwarp();
    largest = fmaxf(largest, __shfl_xor_sync(whole_warp, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(whole_warp, largest, 2));
    uint32_t q = lane_of() / 4;
    if (lane_of() % 4 == 0) tile.largest[warp_of()][q] = largest;
    __syncthreads();
#pragma unroll
    for (uint32_t warp = 0; warp < coded_warps; warp++) {
        largest = fmaxf(largest, tile.largest[warp][q]);
    }
    return largest;
}

struct StepWeights {
    float of[4];  // of the lane's tokens of a step, times 2^15
};
__device__ inline StepWeights step_weights(const LaneQuery &query, uint32_t page, uint32_t step) {
    StepWeights weights{};
    if (page >= query.seen) return weights;
    constexpr float log2_e = 1.44269504f;
    float4 logits = query.at(page, step);
    const float x[4] = {logits.x, logits.y, logits.z, logits.w};
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
        weights.of[i] = exp2_fast((x[i] - query.largest) * log2_e + weight_bits);
    }
    return weights;
}

// Two numbers rounded to 16 bits, the first in the low half.
__device__ inline uint32_t pack_halves(float low, float high) {
#if __CUDA_ARCH__ >= 800
    uint32_t both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
#else
    uint16_t halves[2];
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(halves[0]) : "f"(low));
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(halves[1]) : "f"(high));
    return halves[0] | uint32_t(halves[1]) << 16;
#endif
}

// Weights as the product's B: the upper 11 bits of each, and the rest.
struct SplitWeights {
    uint32_t upper[2], rest[2];
};
__device__ inline SplitWeights split(const StepWeights &weights) {
    SplitWeights both;
    float upper[4];
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
        upper[i] = __uint_as_float(__float_as_uint(weights.of[i]) & 0xFFFFE000u);
    }
#pragma unroll
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t first = 2 * i, second = first + 1;
        both.upper[i] = pack_halves(upper[first], upper[second]);
        both.rest[i] = pack_halves(weights.of[first] - upper[first],
                                   weights.of[second] - upper[second]);
    }
    return both;
}

// c += signs (16 planes, 16 tokens) by weights (16 tokens, 8 queries).
__device__ inline void add_product(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (uint32_t i = 0; i < 2; i++) {  // 8 tokens at a time
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
                     "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(a[2 * i]), "r"(a[2 * i + 1]), "r"(b[i]));
    }
#endif
}

// 32 planes of 4 tokens of a page, as words: plane p is bit p. What lies behind the last plane is
// other codes of the page.
struct TokenPlanes {
    uint32_t of[4];
};
template <bool one_word>  // a token's planes are a word
__device__ TokenPlanes load_planes(const uint8_t *values, uint32_t stride, uint32_t token,
                                   uint32_t byte) {
    TokenPlanes planes;
    if constexpr (one_word) {  // pages lie at multiples of 8
        const uint64_t *pairs = reinterpret_cast<const uint64_t *>(values + token * 4);
        uint64_t first = load_once<uint64_t>(pairs), second = load_once<uint64_t>(pairs + 1);
        planes = {{uint32_t(first), uint32_t(first >> 32), uint32_t(second),
                   uint32_t(second >> 32)}};
    } else {
#pragma unroll
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t at = (token + i) * stride + byte;
            const uint32_t *words = reinterpret_cast<const uint32_t *>(values) + at / 4;
            planes.of[i] = __funnelshift_r(words[0], words[1], at % 4 * 8);
        }
    }
    return planes;
}

// Adds a step's products to those of planes 0..15 and 16..31. Row r of A is plane r: a lane's rows
// are bits lane / 4 of a word's bytes, and a set bit is +1.
__device__ inline void add_signs(float (&sums)[2][4], const TokenPlanes &planes,
                                 const SplitWeights &weights) {
    uint32_t up = 7 - lane_of() / 4, of[4];
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) of[i] = planes.of[i] << up;
#pragma unroll
    for (uint32_t tile = 0; tile < 2; tile++) {
        uint32_t a[4];
#pragma unroll
        for (uint32_t i = 0; i < 4; i++) {  // byte 2 tile + i % 2 of two tokens
            uint32_t pick = (2 * tile + i % 2) * 0x1010u + 0x4000u;
            uint32_t both = __byte_perm(of[i / 2 * 2], of[i / 2 * 2 + 1], pick);
            a[i] = (both & 0x80008000u) ^ 0xBC00BC00u;
        }
        add_product(sums[tile], a, weights.upper);
        add_product(sums[tile], a, weights.rest);
    }
}

}  // namespace specache::cuda

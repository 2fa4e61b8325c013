// exact.cuh - exact attention of a few queries over rows, tile after tile of 64 rows with a running
// softmax: what a step's attention and mode full share.
#pragma once
#include "../native/numbers.h"
#include "block.cuh"

namespace specache::cuda {

constexpr uint32_t tile_rows = page_tokens;
constexpr uint32_t tile_queries = 8;  // a group of 8 query heads reads its KV head's rows once
constexpr uint32_t exact_threads = 128;
constexpr uint32_t channels_each = 256 / exact_threads;  // of a thread, head_dim <= 256
constexpr float nothing = -3e38f;  // the largest logit of no row at all

// Shared by the block's threads.
struct ExactTile {
    float queries[tile_queries][256];         // scaled
    float weights[tile_queries][tile_rows];   // logits, then weights
    const uint8_t *rows[tile_rows];           // null: not seen by any query
    float largest[tile_queries], total[tile_queries];  // of the softmax so far
    float shrink[tile_queries];
};

// What a thread holds of the queries' weighted values.
struct ExactSums {
    float out[channels_each][tile_queries];  // channel threadIdx.x + i * exact_threads
};

// Before the first tile; a barrier follows in load_queries.
__device__ inline void clear_sums(ExactTile &tile, ExactSums &sums) {
    for (uint32_t i = 0; i < channels_each; i++) {
        for (uint32_t q = 0; q < tile_queries; q++) sums.out[i][q] = 0;
    }
    if (threadIdx.x >= tile_queries) return;
    tile.largest[threadIdx.x] = nothing;
    tile.total[threadIdx.x] = 0;
}

// Queries `count` of tile_queries, each head_dim floats at query_at(q); the others are zeros, so
// that no loop over a tile's queries has to ask.
template <class At>
__device__ void load_queries(ExactTile &tile, const Shape &shape, uint32_t count, At query_at) {
#pragma unroll 1
    for (uint32_t q = 0; q < tile_queries; q++) {
        const float *query = q < count ? query_at(q) : nullptr;
        for (uint32_t i = threadIdx.x; i < shape.head_dim; i += blockDim.x) {
            tile.queries[q][i] = query == nullptr ? 0 : query[i] * shape.scale;
        }
    }
    __syncthreads();
}

// The lanes' sums of each query: lanes 4 q to 4 q + 3 get that of query q. A lane gives half of its
// queries away and takes the other half of its partner's: 9 shuffles in all, where one sum after
// the other takes 40.
__device__ inline float over_lanes(float (&sums)[tile_queries]) {
#pragma unroll
    for (uint32_t keep = tile_queries / 2; keep > 0; keep /= 2) {
        uint32_t apart = keep * 4;
        bool upper = lane_of() & apart;
#pragma unroll
        for (uint32_t i = 0; i < keep; i++) {
            float given = upper ? sums[i] : sums[i + keep];
            float kept = upper ? sums[i + keep] : sums[i];
            sums[i] = kept + __shfl_xor_sync(whole_warp, given, int(apart));
        }
    }
    float sum = sums[0] + __shfl_xor_sync(whole_warp, sums[0], 2);
    return sum + __shfl_xor_sync(whole_warp, sum, 1);
}

// A warp a row: its logits of all queries. seen(q, row) says whether a query sees it.
template <class Seen>
__device__ void tile_logits(ExactTile &tile, const Shape &shape, uint32_t count, Seen seen) {
#pragma unroll 1
    for (uint32_t r = warp_of(); r < tile_rows; r += warps_of_block()) {
        const uint8_t *row = tile.rows[r];
        float sums[tile_queries] = {};
#pragma unroll 1
        for (uint32_t i = lane_of(); row != nullptr && i < shape.head_dim; i += lanes) {
            float key = load_number(shape.kv_type, row, i);
            for (uint32_t q = 0; q < tile_queries; q++) sums[q] += key * tile.queries[q][i];
        }
        float logit = over_lanes(sums);
        uint32_t q = lane_of() / 4;
        bool hidden = q >= count || row == nullptr || !seen(q, r);
        if (lane_of() % 4 == 0) tile.weights[q][r] = hidden ? nothing : logit;
    }
}

// Takes the tile's rows into the sums. All threads come with tile.rows set and a barrier behind it;
// the tile may be set anew when this returns.
template <class Seen>
__device__ void add_tile(ExactTile &tile, ExactSums &sums, const Shape &shape, uint32_t count,
                         Seen seen) {
    tile_logits(tile, shape, count, seen);
    __syncthreads();
#pragma unroll 1
    for (uint32_t q = warp_of(); q < tile_queries; q += warps_of_block()) {  // a warp a query
        float a = tile.weights[q][lane_of()], b = tile.weights[q][lane_of() + lanes];
        float most = fmaxf(tile.largest[q], over_warp(fmaxf(a, b), Largest()));
        a = a == nothing ? 0 : __expf(a - most);
        b = b == nothing ? 0 : __expf(b - most);
        tile.weights[q][lane_of()] = a;
        tile.weights[q][lane_of() + lanes] = b;
        float total = over_warp(a + b, Sum());
        __syncwarp();  // all lanes have read the largest so far
        if (lane_of() == 0) {
            float shrink = __expf(tile.largest[q] - most);  // 0 where nothing was seen before
            tile.shrink[q] = shrink;
            tile.largest[q] = most;
            tile.total[q] = tile.total[q] * shrink + total;
        }
    }
    __syncthreads();
    for (uint32_t i = 0; i < channels_each; i++) {
        uint32_t channel = threadIdx.x + i * exact_threads;
        if (channel >= shape.head_dim) break;
        for (uint32_t q = 0; q < tile_queries; q++) sums.out[i][q] *= tile.shrink[q];
#pragma unroll 1
        for (uint32_t r = 0; r < tile_rows; r++) {
            if (tile.rows[r] == nullptr) continue;
            float value = load_number(shape.kv_type, tile.rows[r], shape.head_dim + channel);
            for (uint32_t q = 0; q < tile_queries; q++) {
                sums.out[i][q] += tile.weights[q][r] * value;
            }
        }
    }
    __syncthreads();
}

}  // namespace specache::cuda

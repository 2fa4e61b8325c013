// prefill.cu - exact causal attention of a chunk, page by page, over rows in near memory. A block
// takes 8 (token, query head) pairs of one KV head, so a page's rows are read once for them.
#include "exact.cuh"
#include "kernels.h"

namespace specache::cuda {
namespace {

__global__ void __launch_bounds__(exact_threads) attend_chunk(PrefillAttend attend) {
    __shared__ ExactTile tile;
    const Shape &shape = attend.shape;
    uint32_t dim = shape.head_dim, group = shape.query_heads / shape.kv_heads;
    uint32_t head = blockIdx.y, first = blockIdx.x * tile_queries;  // pairs: token * group + g
    uint32_t count = min(tile_queries, attend.tokens * group - first);
    auto vector_of = [&](uint32_t q) {  // [tokens][query_heads]
        uint32_t pair = first + q;
        return uint64_t(pair / group) * shape.query_heads + head * group + pair % group;
    };
    auto position_of = [&](uint32_t q) { return attend.first_position + (first + q) / group; };
    ExactSums sums;
    clear_sums(tile, sums);
    load_queries(tile, shape, count,
                 [&](uint32_t q) { return attend.queries + vector_of(q) * dim; });
    if (!attend.start) {
        for (uint32_t q = 0; q < tile_queries; q++) {
            if (q >= count) break;
            const float *kept = attend.sums + vector_of(q) * (dim + 2);
            for (uint32_t i = 0; i < channels_each; i++) {
                uint32_t channel = threadIdx.x + i * exact_threads;
                if (channel < dim) sums.out[i][q] = kept[channel];
            }
            if (threadIdx.x == 0) tile.largest[q] = kept[dim], tile.total[q] = kept[dim + 1];
        }
    }
    uint32_t last = position_of(count - 1);
#pragma unroll 1
    for (uint32_t page = 0; page < attend.page_count; page++) {
        uint32_t begun = (attend.first_page + page) * page_tokens;
        if (begun > last) break;
        for (uint32_t r = threadIdx.x; r < tile_rows; r += blockDim.x) {
            tile.rows[r] = begun + r > last ? nullptr : attend.pages[page] +
                (uint64_t(head) * page_tokens + r) * row_bytes(shape);
        }
        __syncthreads();
        add_tile(tile, sums, shape, count,
                 [&](uint32_t q, uint32_t r) { return begun + r <= position_of(q); });
    }
    for (uint32_t q = 0; q < tile_queries; q++) {
        if (q >= count) break;
        float *kept = attend.sums + vector_of(q) * (dim + 2);
        for (uint32_t i = 0; i < channels_each; i++) {
            uint32_t channel = threadIdx.x + i * exact_threads;
            if (channel < dim) kept[channel] = sums.out[i][q];
        }
        if (threadIdx.x == 0) kept[dim] = tile.largest[q], kept[dim + 1] = tile.total[q];
    }
}

__global__ void divide(PrefillFinish finish) {
    uint32_t dim = finish.shape.head_dim;
    const float *sums = finish.sums + uint64_t(blockIdx.x) * (dim + 2);
    for (uint32_t i = threadIdx.x; i < dim; i += blockDim.x) {
        finish.outputs[uint64_t(blockIdx.x) * dim + i] = sums[i] / sums[dim + 1];
    }
}

}  // namespace

void prefill_attend(Stream &stream, const PrefillAttend &attend) {
    uint32_t group = attend.shape.query_heads / attend.shape.kv_heads;
    dim3 grid(blocks_of(uint64_t(attend.tokens) * group, tile_queries), attend.shape.kv_heads);
    attend_chunk<<<grid, exact_threads, 0, queue(stream)>>>(attend);
    launched("prefill_attend");
}

void prefill_finish(Stream &stream, const PrefillFinish &finish) {
    divide<<<finish.tokens * finish.shape.query_heads, block_threads, 0, queue(stream)>>>(finish);
    launched("prefill_finish");
}

}  // namespace specache::cuda

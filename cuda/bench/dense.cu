// dense.cu - split-K attention over a dense cache. A block takes a run of tokens of one KV head for
// its 4 query heads; half a warp takes a row with loads of 128 bits, and eight rows of keys and
// values are under way in a warp at once. A second kernel joins the runs.
#include "dense.h"

#include <cuda_fp16.h>

#include "../block.cuh"

namespace bench {
namespace {

using namespace specache;
using namespace specache::cuda;

constexpr uint32_t threads = 128, warps = threads / lanes;
constexpr uint32_t part_lanes = 16, channels = dense_dim / part_lanes;  // a lane's 8 of a row
constexpr uint32_t rows_each = 4;  // of half a warp at a time; times 4 heads is one sum a lane
constexpr uint32_t tile = 2 * rows_each;
constexpr uint32_t workers = 2 * warps;
constexpr float none = -1e30f;

template <Type type> __device__ void widen(const uint4 &raw, float (&x)[channels]) {
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
        if (type == Type::bf16) {
            x[2 * i] = __uint_as_float(words[i] << 16);
            x[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000u);
        } else {
            x[2 * i] = __half2float(__ushort_as_half(uint16_t(words[i])));
            x[2 * i + 1] = __half2float(__ushort_as_half(uint16_t(words[i] >> 16)));
        }
    }
}

// What half a warp has of its rows. largest, total: of head part % 4, the same in four lanes.
struct Held {
    float out[dense_group][channels];
    float largest, total;
};

// Sixteen sums over sixteen lanes: lane p gets sum p, which is row p / 4 and head p % 4.
__device__ float over_part(float (&sums)[rows_each * dense_group], uint32_t part) {
#pragma unroll
    for (uint32_t keep = part_lanes / 2; keep > 0; keep /= 2) {
        bool upper = part & keep;
#pragma unroll
        for (uint32_t i = 0; i < keep; i++) {
            float given = upper ? sums[i] : sums[i + keep];
            float kept = upper ? sums[i + keep] : sums[i];
            sums[i] = kept + __shfl_xor_sync(whole_warp, given, int(keep));
        }
    }
    return sums[0];
}

template <Type type>
__device__ float logit_of(const uint4 (&keys)[rows_each],
                          const float (&query)[dense_group][channels], uint32_t part) {
    float sums[rows_each * dense_group];
#pragma unroll
    for (uint32_t r = 0; r < rows_each; r++) {
        float key[channels];
        widen<type>(keys[r], key);
#pragma unroll
        for (uint32_t g = 0; g < dense_group; g++) {
            float sum = 0;
#pragma unroll
            for (uint32_t i = 0; i < channels; i++) sum += query[g][i] * key[i];
            sums[r * dense_group + g] = sum;
        }
    }
    return over_part(sums, part);
}

template <Type type>
__device__ void add_values(Held &held, const uint4 (&values)[rows_each], float weight,
                           uint32_t base) {
#pragma unroll
    for (uint32_t r = 0; r < rows_each; r++) {
        float value[channels];
        widen<type>(values[r], value);
#pragma unroll
        for (uint32_t g = 0; g < dense_group; g++) {
            float w = __shfl_sync(whole_warp, weight, int(base + r * dense_group + g));
#pragma unroll
            for (uint32_t i = 0; i < channels; i++) held.out[g][i] += w * value[i];
        }
    }
}

// Logits are in powers of 2.
__device__ float take_logit(Held &held, float logit, uint32_t base) {
    float most = fmaxf(logit, __shfl_xor_sync(whole_warp, logit, 4));
    most = fmaxf(held.largest, fmaxf(most, __shfl_xor_sync(whole_warp, most, 8)));
    float weight = logit == none ? 0 : exp2f(logit - most);
    float sum = weight + __shfl_xor_sync(whole_warp, weight, 4);
    sum += __shfl_xor_sync(whole_warp, sum, 8);
    if (__any_sync(whole_warp, most > held.largest)) {
        float shrink = exp2f(held.largest - most);
        held.total *= shrink;
#pragma unroll
        for (uint32_t g = 0; g < dense_group; g++) {
            float by = __shfl_sync(whole_warp, shrink, int(base + g));
#pragma unroll
            for (uint32_t i = 0; i < channels; i++) held.out[g][i] *= by;
        }
        held.largest = most;
    }
    held.total += sum;
    return weight;
}

struct Joined {
    float out[workers][dense_group][dense_dim];
    float largest[workers][dense_group], total[workers][dense_group];
};

// The halves of the warps to one partial: [largest, total, 128 channels].
__device__ void join(Joined &at, const Held &held, float *partial, uint64_t apart) {
    uint32_t part = lane_of() % part_lanes, worker = warp_of() * 2 + lane_of() / part_lanes;
#pragma unroll
    for (uint32_t g = 0; g < dense_group; g++) {
#pragma unroll
        for (uint32_t i = 0; i < channels; i++) {
            at.out[worker][g][part * channels + i] = held.out[g][i];
        }
    }
    if (part < dense_group) {
        at.largest[worker][part] = held.largest;
        at.total[worker][part] = held.total;
    }
    __syncthreads();
#pragma unroll
    for (uint32_t g = 0; g < dense_group; g++) {
        float most = none, total = 0, out = 0;
        for (uint32_t w = 0; w < workers; w++) most = fmaxf(most, at.largest[w][g]);
        for (uint32_t w = 0; w < workers; w++) {
            float shrink = exp2f(at.largest[w][g] - most);
            total += at.total[w][g] * shrink;
            out += at.out[w][g][threadIdx.x] * shrink;
        }
        partial[g * apart + 2 + threadIdx.x] = out;
        if (threadIdx.x == 0) partial[g * apart] = most, partial[g * apart + 1] = total;
    }
}

// A block a (run of `each` tokens, KV head, sequence).
template <Type type>
__global__ void __launch_bounds__(threads) dense_run(Dense of, uint32_t each) {
    __shared__ Joined at;
    uint32_t part = lane_of() % part_lanes, half = lane_of() / part_lanes;
    uint64_t head = uint64_t(blockIdx.z) * of.kv_heads + blockIdx.y;
    const uint4 *keys = static_cast<const uint4 *>(of.keys) + head * of.tokens * part_lanes;
    const uint4 *values = static_cast<const uint4 *>(of.values) + head * of.tokens * part_lanes;
    float query[dense_group][channels];
    const float *from = of.queries + head * dense_group * dense_dim + part * channels;
#pragma unroll
    for (uint32_t g = 0; g < dense_group; g++) {
#pragma unroll
        for (uint32_t i = 0; i < channels; i++) {
            query[g][i] = from[g * dense_dim + i] * of.scale * 1.44269504f;  // log2 of e
        }
    }
    Held held{{}, none, 0};
    uint32_t first = blockIdx.x * each, end = min(of.tokens, first + each);
#pragma unroll 1
    for (uint32_t begun = first + warp_of() * tile; begun < end; begun += warps * tile) {
        uint4 key[rows_each], value[rows_each];
#pragma unroll
        for (uint32_t r = 0; r < rows_each; r++) {
            uint32_t token = min(begun + 2 * r + half, end - 1);
            key[r] = __ldcs(keys + uint64_t(token) * part_lanes + part);
            value[r] = __ldcs(values + uint64_t(token) * part_lanes + part);
        }
        float logit = logit_of<type>(key, query, part);
        if (begun + 2 * (part / dense_group) + half >= end) logit = none;
        float weight = take_logit(held, logit, half * part_lanes);
        add_values<type>(held, value, weight, half * part_lanes);
    }
    uint64_t apart = uint64_t(gridDim.x) * (dense_dim + 2);
    join(at, held, of.partials + head * dense_group * apart + blockIdx.x * (dense_dim + 2), apart);
}

// A block a (query head, sequence), a thread a channel.
__global__ void __launch_bounds__(dense_dim) dense_join(Dense of, uint32_t runs) {
    uint64_t vector = uint64_t(blockIdx.y) * of.kv_heads * dense_group + blockIdx.x;
    const float *partials = of.partials + vector * runs * (dense_dim + 2);
    float most = none, total = 0, out = 0;
    for (uint32_t s = 0; s < runs; s++) most = fmaxf(most, partials[s * (dense_dim + 2)]);
    for (uint32_t s = 0; s < runs; s++) {
        const float *partial = partials + s * (dense_dim + 2);
        float shrink = exp2f(partial[0] - most);
        total += partial[1] * shrink;
        out += partial[2 + threadIdx.x] * shrink;
    }
    of.outputs[vector * dense_dim + threadIdx.x] = out / total;
}

}  // namespace

void dense(cudaStream_t stream, const Dense &of) {
    uint32_t each = blocks_of(blocks_of(of.tokens, of.splits), warps * tile) * warps * tile;
    uint32_t runs = blocks_of(of.tokens, each);
    dim3 grid(runs, of.kv_heads, of.sequences);
    if (of.type == Type::bf16) dense_run<Type::bf16><<<grid, threads, 0, stream>>>(of, each);
    else dense_run<Type::f16><<<grid, threads, 0, stream>>>(of, each);
    launched("dense");
    dense_join<<<dim3(of.kv_heads * dense_group, of.sequences), dense_dim, 0, stream>>>(of, runs);
    launched("dense");
}

}  // namespace bench

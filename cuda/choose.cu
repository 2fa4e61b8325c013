// choose.cu - the k tail tokens of largest value for each input and KV head, lower tokens first
// where values are equal. A block a pair reads the logits once for each pass: the softmax's largest
// and sum of every query head, four passes of 8 bits that narrow down the k-th value, and one that
// writes the chosen in their order. A value is computed by the same operations in every pass.
#include "../native/numbers.h"
#include "block.cuh"
#include "kernels.h"

namespace specache::cuda {
namespace {

constexpr uint32_t group_most = 64;  // query heads of a KV head whose softmax a block can hold
constexpr uint32_t digits = 256;

struct Softmax {
    float largest[group_most], inverse[group_most];  // inverse of the sum, over the group
};

struct Pair {
    const Choose &choose;
    uint32_t input, head;
    uint32_t group = choose.shape.query_heads / choose.shape.kv_heads;
    uint32_t position = choose.positions[input];
    uint32_t tail = coded_pages(position) * page_tokens;
    uint64_t row = row_bytes(choose.shape);

    __device__ uint64_t vector(uint32_t g) const {
        return uint64_t(input) * choose.shape.query_heads + head * group + g;
    }
    __device__ const float *logits(uint32_t g) const {
        return choose.logits + vector(g) * choose.tokens_max;
    }
    // Sinks, then window and inputs, where there is a tail.
    __device__ uint32_t near_count() const { return sink_tokens + position - tail + 1; }
    __device__ const uint8_t *near_row(uint32_t i) const {
        if (i < sink_tokens) {
            return choose.near.sinks + (uint64_t(head) * sink_tokens + i) * row;
        }
        uint32_t token = tail + i - sink_tokens;
        return choose.near.window + (uint64_t(head) * window_rows + token % window_rows) * row;
    }
    // Mean over the group of the softmax probability.
    __device__ float value(const Softmax &softmax, uint32_t token) const {
        float sum = 0;
        for (uint32_t g = 0; g < group; g++) {
            float weight = __expf(__fsub_rn(logits(g)[token], softmax.largest[g]));
            sum = __fadd_rn(sum, __fmul_rn(weight, softmax.inverse[g]));
        }
        return sum;
    }
};

// A warp a row.
__device__ float near_logit(const Pair &pair, uint32_t g, uint32_t i) {
    const Shape &shape = pair.choose.shape;
    const float *query = pair.choose.queries + pair.vector(g) * shape.head_dim;
    float sum = 0;
    for (uint32_t c = lane_of(); c < shape.head_dim; c += lanes) {
        sum += query[c] * shape.scale * load_number(shape.kv_type, pair.near_row(i), c);
    }
    return over_warp(sum, Sum());
}

__device__ void find_softmax(const Pair &pair, float (&near)[sink_tokens + window_rows],
                             Softmax &softmax) {
#pragma unroll 1
    for (uint32_t g = 0; g < pair.group; g++) {
        float largest = -INFINITY, total = 0;
        for (uint32_t i = warp_of(); i < pair.near_count(); i += warps_of_block()) {
            float logit = near_logit(pair, g, i);
            if (lane_of() == 0) near[i] = logit;
            largest = fmaxf(largest, logit);
        }
        const float *logits = pair.logits(g);
        for (uint32_t token = sink_tokens + threadIdx.x; token < pair.tail; token += blockDim.x) {
            largest = fmaxf(largest, logits[token]);
        }
        largest = over_block(largest, Largest());  // its barriers show near to all
        for (uint32_t i = threadIdx.x; i < pair.near_count(); i += blockDim.x) {
            total += __expf(near[i] - largest);
        }
        for (uint32_t token = sink_tokens + threadIdx.x; token < pair.tail; token += blockDim.x) {
            total += __expf(logits[token] - largest);
        }
        total = over_block(total, Sum());
        if (threadIdx.x == 0) {
            softmax.largest[g] = largest;
            softmax.inverse[g] = 1 / (total * float(pair.group));
        }
    }
    __syncthreads();
}

// The bits of the k-th value, and how many of exactly that value are chosen.
struct Cut {
    uint32_t bits, equal;
};

// Values are not negative, so their bits order as they do.
__device__ Cut find_cut(const Pair &pair, const Softmax &softmax, uint32_t (&counts)[digits],
                        uint32_t k) {
    __shared__ Cut cut;
    uint32_t bits = 0, left = k;
#pragma unroll 1
    for (int shift = 24; shift >= 0; shift -= 8) {
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < digits; i += blockDim.x) counts[i] = 0;
        __syncthreads();
        for (uint32_t token = sink_tokens + threadIdx.x; token < pair.tail; token += blockDim.x) {
            uint32_t of = __float_as_uint(pair.value(softmax, token));
            bool same = shift == 24 || of >> (shift + 8) == bits >> (shift + 8);
            if (same) atomicAdd(&counts[of >> shift & 255u], 1u);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            uint32_t digit = digits - 1, above = 0;
            while (above + counts[digit] < left) above += counts[digit--];
            cut = {bits | digit << shift, left - above};
        }
        __syncthreads();
        bits = cut.bits;
        left = cut.equal;
    }
    return {bits, left};
}

__global__ void __launch_bounds__(block_threads) choose_tokens(Choose choose) {
    __shared__ Softmax softmax;
    __shared__ float near[sink_tokens + window_rows];
    __shared__ uint32_t counts[digits];
    Pair pair{choose, blockIdx.x / choose.shape.kv_heads, blockIdx.x % choose.shape.kv_heads};
    uint32_t tokens = pair.tail > sink_tokens ? pair.tail - sink_tokens : 0;
    uint32_t k = min(choose.k, tokens);
    if (threadIdx.x == 0) choose.counts[blockIdx.x] = k;
    if (k == 0) return;
    find_softmax(pair, near, softmax);
    Cut cut = find_cut(pair, softmax, counts, k);
    uint32_t written = 0, equal = 0;
#pragma unroll 1
    for (uint32_t first = sink_tokens; first < pair.tail; first += blockDim.x) {
        uint32_t token = first + threadIdx.x;
        float value = token < pair.tail ? pair.value(softmax, token) : 0;
        uint32_t bits = __float_as_uint(value);
        Place same = place_in_block(token < pair.tail && bits == cut.bits);
        bool chosen = token < pair.tail &&
                      (bits > cut.bits || (bits == cut.bits && equal + same.before < cut.equal));
        Place place = place_in_block(chosen);
        if (chosen) {
            uint64_t at = uint64_t(blockIdx.x) * choose.k_max + written + place.before;
            choose.chosen[at] = token;
            choose.values[at] = value;
        }
        written += place.all;
        equal += same.all;
    }
}

}  // namespace

void choose(Stream &stream, const Choose &choose) {
    uint32_t group = choose.shape.query_heads / choose.shape.kv_heads;
    if (group > group_most) {
        fail(SPECACHE_UNSUPPORTED, "%u query heads of a KV head are above the CUDA device's %u",
             group, group_most);
    }
    choose_tokens<<<choose.inputs * choose.shape.kv_heads, block_threads, 0, queue(stream)>>>(
        choose);
    launched("choose");
}

}  // namespace specache::cuda

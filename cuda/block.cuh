// block.cuh - what the threads of a warp or a block find together. Every thread of a block calls
// these; results are the same in all threads, and do not depend on which warp runs first.
#pragma once
#include <cstdint>

#include "stream.h"

namespace specache::cuda {

constexpr uint32_t whole_warp = 0xFFFFFFFFu;
constexpr uint32_t warps_max = 32;  // of a block

__device__ inline uint32_t lane_of() { return threadIdx.x % lanes; }
__device__ inline uint32_t warp_of() { return threadIdx.x / lanes; }
__device__ inline uint32_t warps_of_block() { return blockDim.x / lanes; }

struct Sum {
    template <class T> __device__ T operator()(T a, T b) const { return a + b; }
};
struct Largest {
    template <class T> __device__ T operator()(T a, T b) const { return a > b ? a : b; }
};

template <class T, class Join> __device__ T over_warp(T x, Join join) {
    for (uint32_t apart = lanes / 2; apart > 0; apart /= 2) {
        x = join(x, __shfl_xor_sync(whole_warp, x, int(apart)));
    }
    return x;
}

// The warps' results in the order of the warps.
template <class T, class Join> __device__ T over_block(T x, Join join) {
    __shared__ T parts[warps_max];
    x = over_warp(x, join);
    __syncthreads();  // the parts of the call before are read
    if (lane_of() == 0) parts[warp_of()] = x;
    __syncthreads();
    T all = parts[0];
    for (uint32_t warp = 1; warp < warps_of_block(); warp++) all = join(all, parts[warp]);
    return all;
}

// Of memory that a step reads once, codes (for 8 queries) and weights (for 4 inputs): it leaves the
// caches first, so that logits stay there.
template <class Vector> __device__ Vector load_once(const void *from) {
    return __ldcs(static_cast<const Vector *>(from));
}

// How many threads before this one say yes, and of all how many.
struct Place {
    uint32_t before, all;
};
__device__ inline Place place_in_block(bool yes) {
    __shared__ uint32_t counts[warps_max];
    uint32_t votes = __ballot_sync(whole_warp, yes);
    __syncthreads();
    if (lane_of() == 0) counts[warp_of()] = __popc(votes);
    __syncthreads();
    Place place{uint32_t(__popc(votes & ((1u << lane_of()) - 1))), 0};
    for (uint32_t warp = 0; warp < warps_of_block(); warp++) {
        if (warp < warp_of()) place.before += counts[warp];
        place.all += counts[warp];
    }
    return place;
}

}  // namespace specache::cuda

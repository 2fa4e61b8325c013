// merge.cuh - what attention's kernels hand on: partial sums of chunks, and how sums of planes
// become the head's channels.
#pragma once
#include "../native/scratch.h"
#include "block.cuh"
#include "rotation.cuh"

namespace specache::cuda {

constexpr uint32_t planes_most = 4 * head_dim_max;

// The sums of one (chunk, input, query head), in scratch.h's sums: largest logit, sum of weights,
// from 2 * vector_floats on the channels, then the planes.
struct Partial {
    float *at;
    uint32_t channels;
    __device__ float &largest() const { return at[0]; }
    __device__ float &total() const { return at[1]; }
    __device__ float *channel() const { return at + 2 * vector_floats; }
    __device__ float *plane() const { return channel() + channels; }
};

struct Sums {  // [chunks + exact parts][inputs][query_heads]
    float *base;
    uint32_t floats, heads, channels;  // floats of each; inputs * query_heads; whole vectors
    uint32_t exact_parts;
    __host__ explicit Sums(const Attend &attend) {
        AttendScratch scratch = attend_scratch(attend.shape, attend.inputs, attend.pages_max,
                                               attend.k_max, attend.value_planes, true,
                                               attend.scratch);
        base = scratch.sums;
        floats = scratch.sum_floats;
        exact_parts = scratch.exact_parts;
        heads = attend.inputs * attend.shape.query_heads;
        channels = (attend.shape.head_dim + vector_floats - 1) / vector_floats * vector_floats;
    }
    __device__ Partial of(uint32_t chunk, uint32_t vector) const {
        return {base + (uint64_t(chunk) * heads + vector) * floats, channels};
    }
};

struct Merged {
    float coded[head_dim_max];    // rotated centres, or values as they are (paper, resident)
    float planes[planes_most];
    float basis[head_dim_max];    // plane sums by channel
};

// Plane sums to channels, as planes_of and decode_rotated of reference/codes.cpp do.
__device__ inline void turn_planes(Merged &at, const HeadCode &code, uint32_t dim,
                            const Cosines &cosines) {
    for (uint32_t i = threadIdx.x; i < dim; i += blockDim.x) {
        float sum = 0;
        for (uint32_t p = 0; code.value_bits == 0 && p < code.value_planes; p++) {
            if (code.plane_channel[p] == i) sum += code.plane_weight[p] * at.planes[p];
        }
        if (code.value_bits != 0) {
            sum = code.value_bits == 2 ? 2 * at.planes[i] + at.planes[dim + i] : at.planes[i];
            at.coded[i] += sum;
        }
        at.basis[i] = sum;
    }
    __syncthreads();
    rotate_back(Block(), at.coded, dim, cosines);
    for (uint32_t i = threadIdx.x; code.value_bits == 0 && i < dim; i += blockDim.x) {
        for (uint32_t k = 0; k < dim; k++) {
            at.coded[i] += at.basis[k] * code.value_basis[uint64_t(k) * dim + i];
        }
    }
}

}  // namespace specache::cuda

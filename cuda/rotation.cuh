// rotation.cuh - the rotation of native/rotation.h for a vector in shared memory, by a warp or by a
// block. Additions and products in the order of rotation.h and never fused, so that a query gets
// the bits that it gets there. The device computes no cosine: the host gives it the table.
#pragma once
#include <array>

#include "../native/rotation.h"
#include "block.cuh"

namespace specache::cuda {

constexpr uint32_t head_dim_max = 256;  // a multiple of 8, so that odd <= 31

// A kernel takes it as `const __grid_constant__ Cosines`: 3848 of its 4096 bytes of parameters. It
// copies it to shared memory where a function that is not inlined gets it: the emulated device has
// no addresses of parameters.
struct Cosines {
    uint32_t odd;  // factor of head_dim
    float table[31 * 31];
};

inline const Cosines &cosines_of(uint32_t head_dim) {
    static const auto all = [] {
        std::array<Cosines, 16> made{};
        for (uint32_t odd = 1; odd <= 31; odd += 2) {
            made[odd / 2].odd = odd;
            for (uint32_t k = 0; k < odd; k++) {
                double norm = std::sqrt((k == 0 ? 1.0 : 2.0) / odd);
                for (uint32_t b = 0; b < odd; b++) {
                    made[odd / 2].table[k * odd + b] =
                        float(norm * std::cos(std::numbers::pi * (b + 0.5) * k / odd));
                }
            }
        }
        return made;
    }();
    return all[odd_factor(head_dim) / 2];
}

// Who rotates a vector together. What they wrote before, all of them see after meet().
struct Warp {
    __device__ uint32_t first() const { return lane_of(); }
    __device__ uint32_t apart() const { return lanes; }
    __device__ void meet() const { __syncwarp(); }
};
struct Block {  // of a warp or more
    __device__ uint32_t first() const { return threadIdx.x; }
    __device__ uint32_t apart() const { return blockDim.x; }
    __device__ void meet() const { __syncthreads(); }
};

// Loops are not unrolled: the compiler would make several times the code of what is inlined often.
template <class Team>
__device__ void hadamard(Team team, float *x, uint32_t head_dim, uint32_t odd) {
#pragma unroll 1
    for (uint32_t half = odd; half < head_dim; half *= 2) {
#pragma unroll 1
        for (uint32_t pair = team.first(); pair < head_dim / 2; pair += team.apart()) {
            uint32_t i = pair / half * 2 * half + pair % half;
            float a = x[i], b = x[i + half];
            x[i] = __fadd_rn(a, b);
            x[i + half] = __fsub_rn(a, b);
        }
        team.meet();
    }
    float scale = __fdiv_rn(1, __fsqrt_rn(float(head_dim / odd)));
#pragma unroll 1
    for (uint32_t i = team.first(); i < head_dim; i += team.apart()) x[i] = __fmul_rn(x[i], scale);
    team.meet();
}

// In place: all sums are in registers before one of them is written.
template <class Team>
__device__ void turn_by_cosines(Team team, float *x, uint32_t head_dim, const Cosines &cosines,
                                bool back) {
    constexpr uint32_t most = head_dim_max / lanes;
    uint32_t odd = cosines.odd;
    float sums[most];
#pragma unroll
    for (uint32_t n = 0; n < most; n++) {
        uint32_t at = team.first() + n * team.apart(), i = at % odd;
        if (at >= head_dim) break;
        sums[n] = 0;
#pragma unroll 1
        for (uint32_t j = 0; j < odd; j++) {
            float factor = cosines.table[back ? j * odd + i : i * odd + j];
            sums[n] = __fadd_rn(sums[n], __fmul_rn(factor, x[at - i + j]));
        }
    }
    team.meet();
#pragma unroll
    for (uint32_t n = 0; n < most; n++) {
        uint32_t at = team.first() + n * team.apart();
        if (at < head_dim) x[at] = sums[n];
    }
    team.meet();
}

// Every thread of the team calls these, once all have met after x was written; they end so.
template <class Team>
__device__ void rotate_forward(Team team, float *x, uint32_t head_dim, const Cosines &cosines) {
    if (cosines.odd > 1) turn_by_cosines(team, x, head_dim, cosines, false);
    hadamard(team, x, head_dim, cosines.odd);
}
template <class Team>
__device__ void rotate_back(Team team, float *x, uint32_t head_dim, const Cosines &cosines) {
    hadamard(team, x, head_dim, cosines.odd);
    if (cosines.odd > 1) turn_by_cosines(team, x, head_dim, cosines, true);
}

}  // namespace specache::cuda

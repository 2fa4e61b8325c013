// argmax.cu - the token of the largest logit of each input, in two stages: of slices of the
// vocabulary, which do not depend on how many blocks run, then of the slices.
#include "block.cuh"
#include "kernels.h"

namespace specache::cuda {
namespace {

constexpr uint32_t argmax_threads = 256;

// A logit and its id as one number: larger for a larger logit, among equal ones for the lower id.
// What is not above -infinity has rank 0, and nothing else has.
__device__ uint64_t rank_of(float logit, uint32_t id) {
    if (!(logit > -INFINITY)) return 0;
    uint32_t bits = __float_as_uint(logit == 0 ? 0.0f : logit);  // -0 and 0 are equal
    uint32_t order = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
    return uint64_t(order) << 32 | uint32_t(~id);
}

// A block a slice of an input.
__global__ void argmax_of_slice(Argmax argmax) {
    uint32_t first = blockIdx.x * argmax_slice;
    uint32_t end = min(argmax_slice, argmax.vocabulary - first) + first;
    const float *logits = argmax.logits + uint64_t(blockIdx.y) * argmax.vocabulary;
    uint64_t best = 0;
    for (uint32_t id = first + threadIdx.x; id < end; id += blockDim.x) {
        best = max(best, rank_of(logits[id], id));
    }
    best = over_block(best, Largest{});
    if (threadIdx.x != 0) return;
    argmax.scratch[uint64_t(blockIdx.y) * argmax_slices(argmax.vocabulary) + blockIdx.x] = best;
}

// A block an input.
__global__ void argmax_of_slices(Argmax argmax) {
    uint32_t slices = argmax_slices(argmax.vocabulary);
    const uint64_t *ranks = argmax.scratch + uint64_t(blockIdx.x) * slices;
    uint64_t best = 0;
    for (uint32_t i = threadIdx.x; i < slices; i += blockDim.x) best = max(best, ranks[i]);
    best = over_block(best, Largest{});
    if (threadIdx.x != 0) return;
    Likeliest &out = argmax.out[blockIdx.x];
    out = {no_token, -INFINITY};
    if (best == 0) return;
    out.id = ~uint32_t(best);
    out.logit = argmax.logits[uint64_t(blockIdx.x) * argmax.vocabulary + out.id];
}

}  // namespace

void argmax(Stream &stream, const Argmax &argmax) {
    if (argmax.count == 0) return;
    dim3 blocks(argmax_slices(argmax.vocabulary), argmax.count);
    argmax_of_slice<<<blocks, argmax_threads, 0, queue(stream)>>>(argmax);
    launched("argmax");
    argmax_of_slices<<<argmax.count, argmax_threads, 0, queue(stream)>>>(argmax);
    launched("argmax");
}

}  // namespace specache::cuda

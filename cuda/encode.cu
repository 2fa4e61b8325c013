// encode.cu - a page's rows to codes: centre and sign planes of the residual in a basis, or the
// paper's quarter points. What code a head has is near memory, which the host cannot read: a block
// is launched for the keys and one for the values of each head, and finds out itself. A block
// writes every byte of its own regions of the page, and each byte is made by one thread. With
// head_dim a multiple of 8 every region has an even length: codes end without a pad byte.
#include "encode_paper.cuh"
#include "kernels.h"
#include "rotation.cuh"

namespace specache::cuda {
namespace {

// Functions that one rule needs are not inlined: one function of them all is more than a compiler
// takes well, and a call is nothing beside what they do.

// Half the page's tokens share their bytes of keys with the other half (nibbles): a batch has both.
constexpr uint32_t batch = 16, batches = page_tokens / batch;
__device__ uint32_t token_of(uint32_t part, uint32_t slot) {
    uint32_t pair = part * (batch / 2) + slot % (batch / 2);
    return slot < batch / 2 ? pair : pair + page_tokens / 2;
}

// Step of a uniform quantiser of a unit Gaussian (Max 1960).
__device__ float gaussian_step(uint32_t bits) {
    return bits == 1 ? 1.596f : bits == 2 ? 0.9957f : bits == 3 ? 0.586f : 0.335f;
}

// A block's shared memory. The rows of y are one number longer: threads that look at one channel of
// several tokens find them in different banks.
struct Work {
    float y[batch][head_dim_max + 1];  // residuals of a batch in the basis
    float x[head_dim_max][batch];      // with a profile: residuals before the basis
    float centre[head_dim_max];        // decoded
    float planned[head_dim_max];       // with a profile: what each channel's planes were made for
    float scales[page_tokens];         // as wanted, then decoded
};

// The least fp16 that is not below, so that what it scales never exceeds its range.
__device__ float half_above(float value) {
    uint16_t half = float_to_half(value);
    if (half_to_float(half) < value && half < 0x7BFF) half++;
    return half_to_float(half);
}

// Mean of the page, rotated, 8 bits a channel: c' = scale n. Leaves c' in work.centre.
__device__ __noinline__ void encode_centre(const Half &half, const Cosines &cosines,
                                           const Regions &to, Work &work) {
    for (uint32_t i = threadIdx.x; i < half.dim; i += blockDim.x) {
        double sum = 0;
#pragma unroll 4
        for (uint32_t j = half.first; j < page_tokens; j++) sum += double(half.at(j, i));
        work.centre[i] = float(sum / (page_tokens - half.first));
    }
    __syncthreads();
    rotate_forward(Block{}, work.centre, half.dim, cosines);
    float largest = 0;
    for (uint32_t i = threadIdx.x; i < half.dim; i += blockDim.x) {
        largest = fmaxf(largest, fabsf(work.centre[i]));
    }
    float scale = half_above(over_block(largest, Largest{}) / 127);
    if (threadIdx.x == 0) put_half(to.parameters, scale);
    for (uint32_t i = threadIdx.x; i < half.dim; i += blockDim.x) {
        float level = scale > 0 ? rintf(work.centre[i] / scale) : 0;
        level = fminf(fmaxf(level, -127), 127);
        to.centre[i] = uint8_t(int8_t(level));
        work.centre[i] = scale * level;
    }
    __syncthreads();
}

// y = H x - c': a warp a token.
__device__ void rotate_batch(const Half &half, const Cosines &cosines, uint32_t part, Work &work) {
    __syncthreads();  // the batch before is read
#pragma unroll 1
    for (uint32_t slot = warp_of(); slot < batch; slot += warps_of_block()) {
        float *y = work.y[slot];
        for (uint32_t i = lane_of(); i < half.dim; i += lanes) {
            y[i] = half.at(token_of(part, slot), i);
        }
        __syncwarp();
        rotate_forward(Warp{}, y, half.dim, cosines);
        for (uint32_t i = lane_of(); i < half.dim; i += lanes) y[i] -= work.centre[i];
    }
    __syncthreads();
}

// y = T (x - c), c in work.centre: a thread a channel of all tokens, so that a batch reads the
// basis once.
__device__ void transform_batch(const Half &half, const float *basis, uint32_t part, Work &work) {
    for (uint32_t at = threadIdx.x; at < batch * half.dim; at += blockDim.x) {
        uint32_t slot = at / half.dim, k = at % half.dim;
        work.x[k][slot] = half.at(token_of(part, slot), k) - work.centre[k];
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < half.dim; i += blockDim.x) {
        float sums[batch] = {};
        for (uint32_t k = 0; k < half.dim; k++) {
            float factor = basis[uint64_t(i) * half.dim + k];
#pragma unroll
            for (uint32_t slot = 0; slot < batch; slot++) sums[slot] += factor * work.x[k][slot];
        }
#pragma unroll
        for (uint32_t slot = 0; slot < batch; slot++) work.y[slot][i] = sums[slot];
    }
    __syncthreads();
}

// What scale a token wants: a warp a token of the batch.
__device__ void measure_batch(const Half &half, uint32_t bits, uint32_t part, Work &work) {
#pragma unroll 1
    for (uint32_t slot = warp_of(); slot < batch; slot += warps_of_block()) {
        float sum = 0;
#pragma unroll 1
        for (uint32_t i = lane_of(); i < half.dim; i += lanes) {
            float y = work.y[slot][i];
            sum += bits == 1 ? fabsf(y) : y * y;
        }
        float mean = over_warp(sum, Sum{}) / float(half.dim);
        float wanted = bits == 1 ? mean : gaussian_step(2) / 2 * sqrtf(mean);
        uint32_t token = token_of(part, slot);
        if (lane_of() == 0) work.scales[token] = token < half.first ? 0 : wanted;
    }
}

// One scale a token, u8 in 255ths of the page's largest. Leaves them decoded in work.scales.
__device__ void encode_scales(const Regions &to, Work &work) {
    __syncthreads();
    float wanted = threadIdx.x < page_tokens ? work.scales[threadIdx.x] : 0;
    float top = half_above(over_block(wanted, Largest{}));
    if (threadIdx.x == 0) put_half(to.parameters + 2, top);
    if (threadIdx.x < page_tokens) {
        float level = top > 0 ? fminf(rintf(wanted / top * 255), 255) : 0;
        to.scales[threadIdx.x] = uint8_t(level);
        work.scales[threadIdx.x] = top * level / 255;
    }
}

// The planes of one number: bit 0 has the larger weight. 2 bits: levels -3 -1 1 3.
__device__ uint32_t sign_planes(const Half &half, const Work &work, uint32_t part, uint32_t slot,
                                uint32_t channel, uint32_t bits) {
    uint32_t token = token_of(part, slot);
    if (token < half.first) return 0;
    float y = work.y[slot][channel];
    uint32_t high = y > 0;
    if (bits == 1) return high;
    float rest = y - (high ? 2 : -2) * work.scales[token];
    return high | uint32_t(rest > 0) << 1;
}

__device__ void put_keys(const Half &half, uint32_t bits, uint32_t part, const Regions &to,
                         const Work &work) {
    uint32_t channels = 4 / bits, pairs = batch / 2;
    for (uint32_t at = threadIdx.x; at < half.dim / channels * pairs; at += blockDim.x) {
        uint32_t table = at / pairs, pair = at % pairs, byte = 0;
#pragma unroll 1
        for (uint32_t c = 0; c < channels; c++) {
            uint32_t channel = table * channels + c;
            byte |= sign_planes(half, work, part, pair, channel, bits) << c * bits;
            byte |= sign_planes(half, work, part, pair + pairs, channel, bits) << (c * bits + 4);
        }
        to.planes[table * 32 + part * pairs + pair] = uint8_t(byte);
    }
}

__device__ void put_values(const Half &half, uint32_t bits, uint32_t stride, uint32_t part,
                           const Regions &to, const Work &work) {
    uint32_t eights = half.dim / 8;
    for (uint32_t at = threadIdx.x; at < batch * eights; at += blockDim.x) {
        uint32_t slot = at / eights, eight = at % eights, high = 0, low = 0;
#pragma unroll 1
        for (uint32_t c = 0; c < 8; c++) {
            uint32_t planes = sign_planes(half, work, part, slot, eight * 8 + c, bits);
            high |= (planes & 1) << c;
            low |= planes >> 1 << c;
        }
        uint8_t *token = to.planes + token_of(part, slot) * stride;
        token[eight] = uint8_t(high);
        if (bits == 2) token[eights + eight] = uint8_t(low);
    }
}

// Keys, or values without a profile: each batch is rotated once for the scales and once more for
// the planes, since a page of residuals is more than a block has memory for.
__device__ __noinline__ void encode_rotated(const Half &half, const Cosines &cosines,
                                            uint32_t bits, uint32_t stride, const Regions &to,
                                            Work &work) {
#pragma unroll 1
    for (uint32_t turn = 0; turn < 2 * batches; turn++) {
        uint32_t part = turn % batches;
        if (turn == batches) encode_scales(to, work);
        rotate_batch(half, cosines, part, work);
        if (turn < batches) measure_batch(half, bits, part, work);
        else if (half.values) put_values(half, bits, stride, part, to, work);
        else put_keys(half, bits, part, to, work);
    }
}

// The mean square that the planes of each channel were made for: sigma^2, sigma = 2 w / step, w the
// least of n weights; 0 where a channel has none.
__device__ void plan_squares(const HeadCode &code, uint32_t dim, Work &work) {
    for (uint32_t i = threadIdx.x; i < dim; i += blockDim.x) {
        uint32_t planes = 0;
        float least = 0;
#pragma unroll 1
        for (uint32_t p = 0; p < code.value_planes; p++) {
            if (code.plane_channel[p] != i) continue;
            least = planes++ == 0 ? code.plane_weight[p] : fminf(least, code.plane_weight[p]);
        }
        float sigma = planes == 0 ? 0 : 2 * least / gaussian_step(planes);
        work.planned[i] = sigma * sigma;
    }
    __syncthreads();
}

struct Squares {  // of a thread's numbers, then of the page
    double measured = 0, planned = 0;
};
__device__ void add_squares(const Half &half, uint32_t part, const Work &work, Squares &sum) {
#pragma unroll 1
    for (uint32_t at = threadIdx.x; at < batch * half.dim; at += blockDim.x) {
        uint32_t slot = at / half.dim, i = at % half.dim;
        if (token_of(part, slot) < half.first || work.planned[i] == 0) continue;
        sum.measured += double(work.y[slot][i]) * double(work.y[slot][i]);
        sum.planned += double(work.planned[i]);
    }
}

// One scale for the page: how much larger its residuals are than the profile's.
__device__ float profile_scale(const Squares &sum, const Regions &to) {
    double measured = over_block(sum.measured, Sum{}), planned = over_block(sum.planned, Sum{});
    float wanted = planned > 0 ? sqrtf(float(measured / planned)) : 0;
    if (threadIdx.x == 0) put_half(to.parameters + 2, wanted);
    return half_to_float(float_to_half(wanted));
}

// A warp makes 32 planes of a token at once. Each bit of a channel codes what the bits before it
// left: planes of one channel among the 32 take turns.
__device__ void put_profile_token(const HeadCode &code, float scale, uint32_t dim, bool coded,
                                  float *y, uint8_t *token, uint32_t stride) {
#pragma unroll 1
    for (uint32_t from = 0; from < code.value_planes; from += lanes) {
        uint32_t plane = from + lane_of();
        bool real = plane < code.value_planes, set = false;
        uint32_t channel = real ? code.plane_channel[plane] : dim + lane_of();
        uint32_t same = __match_any_sync(whole_warp, channel);
        uint32_t turn = __popc(same & ((1u << lane_of()) - 1));
#pragma unroll 1
        for (uint32_t now = 0; __any_sync(whole_warp, turn >= now); now++) {
            if (real && turn == now) {
                float step = scale * code.plane_weight[plane];
                set = y[channel] > 0;
                y[channel] -= set ? step : -step;
            }
            __syncwarp();
        }
        uint32_t planes = __ballot_sync(whole_warp, set && coded), byte = from / 8 + lane_of();
        if (lane_of() < 4 && byte < stride) token[byte] = uint8_t(planes >> 8 * lane_of());
    }
}

// Values with a profile, in two passes as encode_rotated. The centre is rotated back for them.
__device__ __noinline__ void encode_profile(const Half &half, const Cosines &cosines,
                                            const HeadCode &code, uint32_t stride,
                                            const Regions &to, Work &work) {
    rotate_back(Block{}, work.centre, half.dim, cosines);
    plan_squares(code, half.dim, work);
    Squares sum;
    float scale = 0;
#pragma unroll 1
    for (uint32_t turn = 0; turn < 2 * batches; turn++) {
        uint32_t part = turn % batches;
        if (turn == batches) scale = profile_scale(sum, to);
        transform_batch(half, code.value_basis, part, work);
        if (turn < batches) {
            add_squares(half, part, work, sum);
            continue;
        }
#pragma unroll 1
        for (uint32_t slot = warp_of(); slot < batch; slot += warps_of_block()) {
            uint32_t token = token_of(part, slot);
            put_profile_token(code, scale, half.dim, scale > 0 && token >= half.first,
                              work.y[slot], to.planes + token * stride, stride);
        }
    }
}

__global__ void encode_half(Encode encode, const __grid_constant__ Cosines given) {
    __shared__ Work work;
    __shared__ Cosines cosines;  // lanes read it in several places at once: parameters would queue
    uint32_t head = blockIdx.x / 2, dim = encode.shape.head_dim;
    bool values = blockIdx.x % 2 != 0;
    const HeadCode &code = encode.codes_of[head];
    if (code.rule == Rule::none) return;
    CodeLayout layout = code_layout(code, dim);
    uint8_t *codes = code.page(encode.page);
    Regions to(codes, layout, values);
    uint64_t rows = uint64_t(head) * page_tokens * row_bytes(encode.shape);
    Half half{encode.rows + rows, encode.shape.kv_type, dim, encode.first ? sink_tokens : 0,
              values};
    uint32_t stride = layout.value_stride;
    if (code.rule == Rule::paper) {
        if (values) encode_paper_values(half, code, stride, to);
        else encode_paper_keys(half, code, to);
        return;
    }
    if (threadIdx.x == 0) cosines.odd = given.odd;
    for (uint32_t i = threadIdx.x; i < given.odd * given.odd; i += blockDim.x) {
        cosines.table[i] = given.table[i];
    }
    __syncthreads();
    encode_centre(half, cosines, to, work);
    uint32_t bits = values ? code.value_bits : code.key_bits;
    if (bits != 0) encode_rotated(half, cosines, bits, stride, to, work);
    else encode_profile(half, cosines, code, stride, to, work);
}

}  // namespace

void encode(Stream &stream, const Encode &encode) {
    uint32_t blocks = encode.shape.kv_heads * 2;
    encode_half<<<blocks, block_threads, 0, queue(stream)>>>(
        encode, cosines_of(encode.shape.head_dim));
    launched("encode");
}

}  // namespace specache::cuda

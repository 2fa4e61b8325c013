// encode_paper.cuh - where the keys or the values of a page are and where their codes go, and the
// paper's rule: quarter points of groups. Only encode.cu includes it.
#pragma once
#include "../native/codes.h"
#include "../native/numbers.h"
#include "block.cuh"

namespace specache::cuda {
namespace {

// The keys or the values of a page in one head.
struct Half {
    const uint8_t *rows;
    Type type;
    uint32_t dim, first;  // tokens before `first` are sinks: not coded
    bool values;
    __device__ float at(uint32_t token, uint32_t channel) const {
        return load_number(type, rows, uint64_t(2 * token + values) * dim + channel);
    }
};

// Where the codes of one half are.
struct Regions {
    uint8_t *planes, *centre, *scales, *parameters;
    __device__ Regions(uint8_t *codes, const CodeLayout &layout, bool values)
        : planes(codes + (values ? layout.values : layout.keys)),
          centre(codes + (values ? layout.value_centre : layout.key_centre)),
          scales(codes + (values ? layout.value_scales : layout.key_scales)),
          parameters(codes + (values ? layout.value_parameters : layout.key_parameters)) {}
};

// Codes begin at multiples of 2 bytes.
__device__ float put_half(uint8_t *to, float value) {
    uint16_t half = float_to_half(value);
    *reinterpret_cast<uint16_t *>(to) = half;
    return half_to_float(half);
}
// The paper's rule for one group: zero and scale in fp16, codes by the decoded ones, clamped (the
// group's largest is exactly half a level above the top code and would round up to 2).
struct Quarter {
    float zero, scale;
    uint32_t bits;
    __device__ Quarter(float least, float largest, uint32_t bits_in, uint8_t *parameters)
        : bits(bits_in) {
        float span = largest - least;
        zero = put_half(parameters, bits == 1 ? (3 * least + largest) / 4 : least);
        scale = put_half(parameters + 2, bits == 1 ? span / 2 : span / 3);
    }
    __device__ uint32_t code(float x) const {
        if (!(scale > 0)) return 0;
        return uint32_t(fminf(fmaxf(rintf((x - zero) / scale), 0), bits == 1 ? 1 : 3));
    }
};

// A thread a channel.
__device__ __noinline__ void encode_paper_keys(const Half &half, const HeadCode &code,
                                               const Regions &to) {
    uint32_t groups = page_tokens / code.group;
    for (uint32_t i = threadIdx.x; i < half.dim; i += blockDim.x) {
        uint64_t masks[2] = {};
#pragma unroll 1
        for (uint32_t group = 0; group < groups; group++) {
            uint32_t end = (group + 1) * code.group, begin = max(half.first, end - code.group);
            float least = half.at(begin, i), largest = least;
#pragma unroll 1
            for (uint32_t j = begin + 1; j < end; j++) {
                least = fminf(least, half.at(j, i));
                largest = fmaxf(largest, half.at(j, i));
            }
            Quarter quarter(least, largest, code.key_bits,
                            to.parameters + (i * groups + group) * 4);
#pragma unroll 1
            for (uint32_t j = begin; j < end; j++) {
                uint32_t bits = quarter.code(half.at(j, i));
                masks[0] |= uint64_t(bits & 1) << j;
                masks[1] |= uint64_t(bits >> 1) << j;
            }
        }
        for (uint32_t bit = 0; bit < code.key_bits; bit++) {
            uint8_t *mask = to.planes + (bit * half.dim + i) * 8;
            for (uint32_t byte = 0; byte < 8; byte++) mask[byte] = uint8_t(masks[bit] >> 8 * byte);
        }
    }
}

// A thread a group of a token: groups begin at multiples of 32 channels, so no two share a byte.
__device__ __noinline__ void encode_paper_values(const Half &half, const HeadCode &code,
                                                 uint32_t stride, const Regions &to) {
    uint32_t groups = (half.dim + code.group - 1) / code.group;
    for (uint32_t at = threadIdx.x; at < page_tokens * groups; at += blockDim.x) {
        uint32_t j = at / groups, begin = at % groups * code.group;
        uint32_t end = min(half.dim, begin + code.group);
        bool coded = j >= half.first;
        float least = half.at(j, begin), largest = least;
#pragma unroll 1
        for (uint32_t i = begin + 1; i < end; i++) {
            least = fminf(least, half.at(j, i));
            largest = fmaxf(largest, half.at(j, i));
        }
        Quarter quarter(coded ? least : 0, coded ? largest : 0, code.value_bits,
                        to.parameters + at * 4);
#pragma unroll 1
        for (uint32_t i = begin; i < end; i += 8) {
            uint32_t bytes[2] = {};
#pragma unroll 1
            for (uint32_t c = 0; c < 8; c++) {
                uint32_t bits = coded ? quarter.code(half.at(j, i + c)) : 0;
                bytes[0] |= (bits & 1) << c;
                bytes[1] |= bits >> 1 << c;
            }
            for (uint32_t bit = 0; bit < code.value_bits; bit++) {
                to.planes[j * stride + (bit * half.dim + i) / 8] = uint8_t(bytes[bit]);
            }
        }
    }
}

}  // namespace
}  // namespace specache::cuda

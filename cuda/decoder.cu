// decoder.cu - the decoder's kernels without the matrix products: embedding, norm, rope and gate.
#include "../native/dequantize.h"
#include "block.cuh"
#include "kernels.h"

namespace specache::cuda {
namespace {

constexpr uint32_t row_threads = 256;  // few rows a step: many threads for each
constexpr uint32_t heads_of_block = 8;  // that share a token's sines

// A block a token.
__global__ void embed_token(Embed embed) {
    const Tensor &table = embed.table;
    uint64_t token = blockIdx.x;
    const uint8_t *row = static_cast<const uint8_t *>(table.data) +
                         embed.tokens[token] * weight_row_bytes(table.type, table.columns);
    float *out = embed.out + token * table.columns;
    for (uint32_t i = threadIdx.x; i < table.columns; i += blockDim.x) {
        out[i] = dequantize_number(table.type, row, i);
    }
}

// A block a row. Each thread reads again what it alone writes, so that it may be in place.
__global__ void normalize_row(Normalize normalize) {
    uint32_t columns = normalize.columns;
    const float *in = normalize.in + uint64_t(blockIdx.x) * columns;
    float *out = normalize.out + uint64_t(blockIdx.x) * columns;
    float squares = 0;
    for (uint32_t i = threadIdx.x; i < columns; i += blockDim.x) {
        squares = fmaf(in[i], in[i], squares);
    }
    float mean = over_block(squares, Sum{}) / float(columns);
    float factor = 1 / sqrtf(mean + normalize.epsilon);
    for (uint32_t i = threadIdx.x; i < columns; i += blockDim.x) {
        out[i] = in[i] * factor * normalize.weight[i];
    }
}

// The sine and cosine of an angle of any size. 1 / pi has two doubles, and the product's rounding
// is kept: else a far position would lose what its many whole turns take of the double's bits.
__device__ float2 cosine_and_sine(double angle, double magnitude) {
    constexpr double inverse = 0x1.45f306dc9c883p-2, inverse_rest = -0x1.6b01ec5417056p-56;
    double halves = angle * inverse;  // half turns
    double rest = fma(angle, inverse, -halves) + angle * inverse_rest;
    double sine, cosine;
    sincospi(halves - 2 * rint(halves / 2) + rest, &sine, &cosine);
    return {float(cosine * magnitude), float(sine * magnitude)};
}

// A block some heads of a token. turns: [head_dim / 2] cosine and sine
__global__ void rotate_heads(Rotate rotate) {
    extern __shared__ float2 turns[];
    uint32_t pairs = rotate.head_dim / 2;
    for (uint32_t i = threadIdx.x; i < pairs; i += blockDim.x) {
        double angle = double(rotate.positions[blockIdx.x]) * rotate.frequencies[i];
        turns[i] = cosine_and_sine(angle, double(rotate.magnitude));
    }
    __syncthreads();
    uint32_t first = blockIdx.y * heads_of_block;
    uint32_t heads = min(heads_of_block, rotate.head_count - first);
    float *in = rotate.heads +
                (uint64_t(blockIdx.x) * rotate.head_count + first) * rotate.head_dim;
    for (uint32_t at = threadIdx.x; at < heads * pairs; at += blockDim.x) {
        uint32_t pair = at % pairs;
        float *head = in + at / pairs * rotate.head_dim;
        float &x = head[rotate.neighbours ? 2 * pair : pair];
        float &y = head[rotate.neighbours ? 2 * pair + 1 : pair + pairs];
        float a = x, b = y, cosine = turns[pair].x, sine = turns[pair].y;
        x = a * cosine - b * sine;
        y = a * sine + b * cosine;
    }
}

// A thread a value. The exponential's argument is never positive: nothing overflows.
__global__ void gate_value(Gate gate) {
    uint64_t i = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= gate.values) return;
    float x = gate.gate[i], small = expf(-fabsf(x));
    float share = (x < 0 ? small : 1.0f) / (1 + small);
    gate.out[i] = x * share * gate.up[i];
}

}  // namespace

void embed(Stream &stream, const Embed &embed) {
    if (embed.count == 0) return;
    embed_token<<<embed.count, row_threads, 0, queue(stream)>>>(embed);
    launched("embed");
}

void normalize(Stream &stream, const Normalize &normalize) {
    if (normalize.count == 0) return;
    normalize_row<<<normalize.count, row_threads, 0, queue(stream)>>>(normalize);
    launched("normalize");
}

void rotate(Stream &stream, const Rotate &rotate) {
    if (rotate.count == 0 || rotate.head_count == 0) return;
    dim3 blocks(rotate.count, blocks_of(rotate.head_count, heads_of_block));
    uint64_t shared = rotate.head_dim / 2 * sizeof(float2);
    rotate_heads<<<blocks, block_threads, shared, queue(stream)>>>(rotate);
    launched("rotate");
}

void gate(Stream &stream, const Gate &gate) {
    if (gate.values == 0) return;
    gate_value<<<blocks_of(gate.values, block_threads), block_threads, 0, queue(stream)>>>(gate);
    launched("gate");
}

}  // namespace specache::cuda

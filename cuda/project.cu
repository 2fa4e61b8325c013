// project.cu - matrix products. A decode reads every weight once for few inputs and is bound by
// that; a prefill multiplies tiles of weights and inputs in shared memory.
#include <cuda_fp16.h>

#include "../native/dequantize.h"
#include "../native/numbers.h"
#include "block.cuh"
#include "fast.h"
#include "kernels.h"

namespace specache::cuda {
namespace {

constexpr uint32_t batch = 4;         // inputs of a decode that share the loads of weights
constexpr uint32_t piece_values = 8;  // of a row, that a lane takes at once
constexpr uint32_t tile_rows = 64, tile_inputs = 64, tile_threads = 128;
constexpr uint32_t thread_rows = 8, thread_inputs = 4;  // of a tile: what a thread sums
constexpr uint32_t tile_stride = 68;  // floats: whole vectors, and spread over the banks

__host__ __device__ constexpr bool in_nibbles(Type type) {
    return type == Type::q4_0 || type == Type::q4_1;
}

// Eight numbers of a row in two runs of four: the row's next eight, but with nibbles the low ones
// and the high ones of four bytes, which lie 16 columns apart.
struct Piece {
    alignas(16) float numbers[piece_values];
};
template <Type type> __device__ uint32_t piece_column(uint32_t piece) {
    return in_nibbles(type) ? piece / 4 * block_values + piece % 4 * 4 : piece * piece_values;
}
template <Type type> constexpr uint32_t second_run = in_nibbles(type) ? 16 : 4;

template <class Vector> __device__ Vector load(const void *from) {
    return *static_cast<const Vector *>(from);
}
// Four bytes of a block, whose address is even.
__device__ uint32_t load_word(const uint8_t *from) {
    return load<uint16_t>(from) | uint32_t(load<uint16_t>(from + 2)) << 16;
}
__device__ float load_half(const uint8_t *from) {
    return __half2float(__ushort_as_half(load<uint16_t>(from)));
}
__device__ float byte_of(uint32_t word, uint32_t i) { return float(int8_t(word >> 8 * i)); }
__device__ int32_t nibble_of(uint32_t word, uint32_t i) { return word >> 4 * i & 15; }

// What dequantize_number gives, in few loads.
template <Type type> __device__ Piece load_piece(const uint8_t *row, uint32_t piece) {
    Piece result;
    float *numbers = result.numbers;
    const uint8_t *block = row + uint64_t(piece / 4) * block_bytes(type);
    if constexpr (type == Type::f32) {
        const uint8_t *from = row + uint64_t(piece) * sizeof(float[piece_values]);
        *reinterpret_cast<float4 *>(numbers) = load<float4>(from);
        *reinterpret_cast<float4 *>(numbers + 4) = load<float4>(from + sizeof(float4));
    } else if constexpr (type == Type::f16 || type == Type::bf16) {
        uint4 words = load<uint4>(row + uint64_t(piece) * sizeof words);
        const uint32_t pairs[] = {words.x, words.y, words.z, words.w};
        for (uint32_t i = 0; i < piece_values; i++) {
            uint16_t bits = uint16_t(pairs[i / 2] >> i % 2 * 16);
            numbers[i] = type == Type::f16 ? __half2float(__ushort_as_half(bits))
                                           : bf16_to_float(bits);
        }
    } else if constexpr (type == Type::q8_0) {
        float scale = load_half(block);
        for (uint32_t half = 0; half < 2; half++) {
            uint32_t word = load_word(block + 2 + piece % 4 * 8 + half * 4);
            for (uint32_t i = 0; i < 4; i++) numbers[4 * half + i] = scale * byte_of(word, i);
        }
    } else {
        float scale = load_half(block), least = type == Type::q4_1 ? load_half(block + 2) : 0;
        uint32_t word = load_word(block + (type == Type::q4_0 ? 2 : 4) + piece % 4 * 4);
        for (uint32_t i = 0; i < piece_values; i++) {
            int32_t nibble = nibble_of(word, i % 4 * 2 + i / 4);
            numbers[i] = type == Type::q4_0 ? scale * float(nibble - 8)
                                            : fmaf(scale, float(nibble), least);
        }
    }
    return result;
}

// The piece's products added to the sums of each input. in: [inputs][columns]
template <Type type>
__device__ void add_piece(const uint8_t *row, uint32_t at, const float *in, uint32_t columns,
                          uint32_t inputs, float (&sums)[batch]) {
    Piece piece = load_piece<type>(row, at);
    in += piece_column<type>(at);
#pragma unroll
    for (uint32_t c = 0; c < batch; c++) {
        if (c < inputs) {
            const float *from = in + uint64_t(c) * columns;
            float4 x = load<float4>(from), y = load<float4>(from + second_run<type>);
            const float *numbers = piece.numbers;
            float sum = fmaf(numbers[0], x.x, 0.0f);
            sum = fmaf(numbers[1], x.y, sum);
            sum = fmaf(numbers[2], x.z, sum);
            sum = fmaf(numbers[3], x.w, sum);
            sum = fmaf(numbers[4], y.x, sum);
            sum = fmaf(numbers[5], y.y, sum);
            sum = fmaf(numbers[6], y.z, sum);
            sums[c] += fmaf(numbers[7], y.w, sum);
        }
    }
}

// The same to the bit, number by number: for odd addresses, and rows that end within a piece.
template <Type type>
__device__ void add_numbers(const uint8_t *row, uint32_t at, const float *in, uint32_t columns,
                            uint32_t inputs, float (&sums)[batch]) {
    float parts[batch] = {};
#pragma unroll 1
    for (uint32_t i = 0; i < piece_values; i++) {
        uint32_t column = piece_column<type>(at) + (i < 4 ? i : second_run<type> + i - 4);
        if (column >= columns) break;
        const uint8_t *block = row + uint64_t(column / block_values) * block_bytes(type);
        float number = dequantize_number(type, block, column % block_values);
#pragma unroll
        for (uint32_t c = 0; c < batch; c++) {
            if (c < inputs) parts[c] = fmaf(number, in[uint64_t(c) * columns + column], parts[c]);
        }
    }
#pragma unroll
    for (uint32_t c = 0; c < batch; c++) sums[c] += parts[c];
}

__device__ void store(const Project &project, uint32_t row, uint32_t input, float sum) {
    float &out = project.out[uint64_t(input) * project.weights.rows + row];
    if (project.bias != nullptr) sum += project.bias[row];
    out = project.accumulate ? out + sum : sum;
}

// A warp a row and a batch of inputs. The order of a sum: a lane's pieces, then the lanes; whether
// the numbers are aligned changes how they are loaded alone.
template <Type type> __global__ void project_row(Project project, bool aligned) {
    const Tensor &weights = project.weights;
    uint32_t row = blockIdx.x * warps_of_block() + warp_of(), columns = weights.columns;
    if (row >= weights.rows) return;
    uint32_t first = blockIdx.y * batch, inputs = min(batch, project.count - first);
    const uint8_t *bytes =
        static_cast<const uint8_t *>(weights.data) + row * weight_row_bytes(type, columns);
    const float *in = project.in + uint64_t(first) * columns;
    float sums[batch] = {}, mine = 0;
    uint32_t pieces = (columns + piece_values - 1) / piece_values;
#pragma unroll 1
    for (uint32_t at = lane_of(); at < pieces; at += lanes) {
        if (aligned) add_piece<type>(bytes, at, in, columns, inputs, sums);
        else add_numbers<type>(bytes, at, in, columns, inputs, sums);
    }
#pragma unroll
    for (uint32_t c = 0; c < batch; c++) {  // lane c keeps input c's
        float sum = over_warp(sums[c], Sum{});
        if (lane_of() == c) mine = sum;
    }
    if (lane_of() < inputs) store(project, row, first + lane_of(), mine);
}

// What a step of a tile multiplies: a block's columns of its rows and of its inputs.
struct Tile {
    alignas(16) float weights[block_values][tile_stride], in[block_values][tile_stride];
};

// Every warp takes every warps_of_block()th row and input, a lane a column; behind the ends 0.
__device__ void load_tile(Tile &tile, const Project &project, uint32_t column, bool aligned) {
    const Tensor &weights = project.weights;
    Type type = weights.type;
    uint32_t lane = lane_of();
    bool inside = column + lane < weights.columns;
    uint64_t row_size = weight_row_bytes(type, weights.columns);
    const uint8_t *block = static_cast<const uint8_t *>(weights.data) +
                           uint64_t(column / block_values) * block_bytes(type);
#pragma unroll 1
    for (uint32_t r = warp_of(); r < tile_rows; r += warps_of_block()) {
        uint32_t row = blockIdx.x * tile_rows + r;
        float number = 0;
        if (inside && row < weights.rows) {
            const uint8_t *from = block + row * row_size;
            number = !in_blocks(type) && aligned ? load_number(type, from, lane)
                                                 : dequantize_number(type, from, lane);
        }
        tile.weights[lane][r] = number;
    }
#pragma unroll 1
    for (uint32_t c = warp_of(); c < tile_inputs; c += warps_of_block()) {
        uint32_t input = blockIdx.y * tile_inputs + c;
        bool there = inside && input < project.count;
        uint64_t at = uint64_t(input) * weights.columns + column + lane;
        tile.in[lane][c] = there ? project.in[at] : 0;
    }
}

// A block a tile of outputs, a thread 8 rows and 4 inputs of it. The order of a sum: column after
// column.
__global__ void __launch_bounds__(tile_threads) project_tile(Project project, bool aligned) {
    __shared__ Tile tile;
    static_assert(sizeof tile >= sizeof(float[tile_inputs][tile_rows]));
    constexpr uint32_t across = tile_inputs / thread_inputs;
    uint32_t row = threadIdx.x / across * thread_rows;
    uint32_t input = threadIdx.x % across * thread_inputs;
    float sums[thread_rows][thread_inputs] = {};
    for (uint32_t column = 0; column < project.weights.columns; column += block_values) {
        load_tile(tile, project, column, aligned);
        __syncthreads();
#pragma unroll 1
        for (uint32_t i = 0; i < block_values; i++) {
            alignas(16) float weights[thread_rows], in[thread_inputs];
            for (uint32_t r = 0; r < thread_rows; r += 4) {
                *reinterpret_cast<float4 *>(weights + r) =
                    *reinterpret_cast<const float4 *>(&tile.weights[i][row + r]);
            }
            *reinterpret_cast<float4 *>(in) =
                *reinterpret_cast<const float4 *>(&tile.in[i][input]);
            for (uint32_t r = 0; r < thread_rows; r++) {
                for (uint32_t c = 0; c < thread_inputs; c++) {
                    sums[r][c] = fmaf(weights[r], in[c], sums[r][c]);
                }
            }
        }
        __syncthreads();  // the tile is read
    }
    float *out = &tile.weights[0][0];  // [tile_inputs][tile_rows], so that stores are of whole rows
    for (uint32_t r = 0; r < thread_rows; r++) {
        for (uint32_t c = 0; c < thread_inputs; c++) {
            out[(input + c) * tile_rows + row + r] = sums[r][c];
        }
    }
    __syncthreads();
#pragma unroll 1
    for (uint32_t i = threadIdx.x; i < tile_inputs * tile_rows; i += tile_threads) {
        uint32_t at = blockIdx.x * tile_rows + i % tile_rows;
        uint32_t to = blockIdx.y * tile_inputs + i / tile_rows;
        if (at < project.weights.rows && to < project.count) store(project, at, to, out[i]);
    }
}

bool is_multiple(const void *address, uint64_t of) {
    return reinterpret_cast<uintptr_t>(address) % of == 0;
}

template <Type type> void launch(Stream &stream, const Project &project) {
    const Tensor &weights = project.weights;
    if (project.prefill) {
        bool aligned = is_multiple(weights.data, type == Type::f32 ? 4 : 2);
        dim3 blocks(blocks_of(weights.rows, tile_rows), blocks_of(project.count, tile_inputs));
        project_tile<<<blocks, tile_threads, 0, queue(stream)>>>(project, aligned);
    } else {
        uint64_t vector = in_blocks(type) ? 2 : 16;
        bool aligned = weights.columns % piece_values == 0 && is_multiple(weights.data, vector) &&
                       is_multiple(project.in, 16);
        dim3 blocks(blocks_of(weights.rows, block_threads / lanes),
                    blocks_of(project.count, batch));
        project_row<type><<<blocks, block_threads, 0, queue(stream)>>>(project, aligned);
    }
    launched("project");
}

}  // namespace

void project(Stream &stream, const Project &project) {
    if (project.count == 0 || project.weights.rows == 0) return;
    if (project.fast != nullptr) return project_fast(stream, project);
    switch (project.weights.type) {
        case Type::f32: return launch<Type::f32>(stream, project);
        case Type::f16: return launch<Type::f16>(stream, project);
        case Type::bf16: return launch<Type::bf16>(stream, project);
        case Type::q8_0: return launch<Type::q8_0>(stream, project);
        case Type::q4_0: return launch<Type::q4_0>(stream, project);
        case Type::q4_1: return launch<Type::q4_1>(stream, project);
    }
}

}  // namespace specache::cuda

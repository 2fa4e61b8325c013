// project.cu - matrix products. A decode reads every weight once for few inputs and is bound by
// that; a prefill multiplies tiles of weights and inputs by tensor cores.
#include "block.cuh"
#include "fast.h"
#include "kernels.h"
#include "pieces.cuh"
#include "project_tile.cuh"

namespace specache::cuda {
namespace {

constexpr uint32_t batch = 4;  // inputs of a decode that share the loads of weights

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
        float number = dequantize_number(type, row, column);
#pragma unroll
        for (uint32_t c = 0; c < batch; c++) {
            if (c < inputs) parts[c] = fmaf(number, in[uint64_t(c) * columns + column], parts[c]);
        }
    }
#pragma unroll
    for (uint32_t c = 0; c < batch; c++) sums[c] += parts[c];
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

bool is_multiple(const void *address, uint64_t of) {
    return reinterpret_cast<uintptr_t>(address) % of == 0;
}

template <Type type> void launch(Stream &stream, const Project &project) {
    const Tensor &weights = project.weights;
    // Blocks of q4_k and q5_k are whole vectors; of the other types of blocks they are not.
    uint64_t vector = block_bytes(type) % 16 == 0 ? 16 : 2;
    bool aligned = weights.columns % piece_values == 0 && is_multiple(weights.data, vector) &&
                   is_multiple(project.in, 16);
    if (project.prefill) {
        // Blocks of the same rows side by side: weights come from far away once.
        dim3 blocks(blocks_of(project.count, right_rows), blocks_of(weights.rows, tile_rows));
        project_tile<type><<<blocks, product_threads, 0, queue(stream)>>>(project, aligned);
    } else {
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
        case Type::q4_k: return launch<Type::q4_k>(stream, project);
        case Type::q5_k: return launch<Type::q5_k>(stream, project);
        case Type::q6_k: return launch<Type::q6_k>(stream, project);
    }
}

}  // namespace specache::cuda

// fast.cu - the matrix product of a fast prefill: 16-bit operands, products by cuBLAS. Inputs are
// rounded to the type of the operands; so are weights of other types, some rows at a time.
#include "fast.h"

#include <algorithm>

#include "../native/dequantize.h"
#include "cublas.h"

namespace specache::cuda {
namespace {

// A thread a number.
__global__ void narrow_inputs(const float *in, uint64_t numbers, Type type, uint16_t *out) {
    uint64_t i = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < numbers) store_number(type, out, i, in[i]);
}

// A thread a number of rows [first, first + rows).
__global__ void narrow_weights(Tensor weights, uint32_t first, uint32_t rows, Type type,
                               uint16_t *out) {
    uint64_t i = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= uint64_t(rows) * weights.columns) return;
    uint32_t column = uint32_t(i % weights.columns);
    uint64_t row = first + i / weights.columns;
    const uint8_t *bytes = static_cast<const uint8_t *>(weights.data) +
                           row * weight_row_bytes(weights.type, weights.columns);
    store_number(type, out, i, dequantize_number(weights.type, bytes, column));
}

// A thread a number of an output: out [gridDim.y][rows], bias [rows].
__global__ void add_bias(const float *bias, uint32_t rows, float *out) {
    uint32_t row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < rows) out[uint64_t(blockIdx.y) * rows + row] += bias[row];
}

}  // namespace

void project_fast(Stream &stream, const Project &project) {
    const Tensor &weights = project.weights;
    Cublas &cublas = *static_cast<CudaStream &>(stream).cublas;
    Type type = weights.type == Type::f16 ? Type::f16 : Type::bf16;
    uint64_t inputs = uint64_t(project.count) * weights.columns;
    uint16_t *in = project.fast, *tile = in + inputs;
    uint32_t tile_rows = uint32_t(std::min<uint64_t>(
        weights.rows, (project.fast_numbers - inputs) / weights.columns));
    narrow_inputs<<<blocks_of(inputs, block_threads), block_threads, 0, queue(stream)>>>(
        project.in, inputs, type, in);
    launched("narrow_inputs");
    bool as_stored = weights.type == type;
    if (as_stored) tile_rows = weights.rows;
    for (uint32_t first = 0; first < weights.rows; first += tile_rows) {
        uint32_t rows = std::min(tile_rows, weights.rows - first);
        const uint16_t *from = static_cast<const uint16_t *>(weights.data);
        if (!as_stored) {
            uint64_t numbers = uint64_t(rows) * weights.columns;
            narrow_weights<<<blocks_of(numbers, block_threads), block_threads, 0,
                             queue(stream)>>>(weights, first, rows, type, tile);
            launched("narrow_weights");
            from = tile;
        }
        cublas.multiply({type, from, in, project.out + first, rows, weights.columns,
                         project.count, weights.rows, project.accumulate});
    }
    if (project.bias == nullptr) return;
    dim3 blocks(blocks_of(weights.rows, block_threads), project.count);
    add_bias<<<blocks, block_threads, 0, queue(stream)>>>(project.bias, weights.rows, project.out);
    launched("add_bias");
}

}  // namespace specache::cuda

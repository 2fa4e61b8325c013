// rows.cu - keys and values rounded to rows, and rows from place to place.
#include "../native/numbers.h"
#include "block.cuh"
#include "kernels.h"

namespace specache::cuda {
namespace {

// A block a row: 2 * head_dim numbers.
__global__ void make_row(MakeRows make) {
    const Shape &shape = make.shape;
    uint32_t at = blockIdx.x, dim = shape.head_dim;
    uint8_t *row = make.row(at / shape.kv_heads, at % shape.kv_heads);
    bool finite = true;
    for (uint32_t i = threadIdx.x; i < 2 * dim; i += blockDim.x) {
        const float *from = i < dim ? make.keys : make.values;
        store_number(shape.kv_type, row, i, from[uint64_t(at) * dim + i % dim]);
        finite = finite && isfinite(load_number(shape.kv_type, row, i));
    }
    if (!finite) atomicMin(make.fault, make.first * shape.kv_heads + at);
}

__device__ uint8_t *place_of(const RowPlaces &places, uint32_t head, uint32_t token, uint64_t row) {
    uint32_t index = places.ring != 0 ? token % places.ring : token - places.origin;
    return places.rows + head * places.head_stride + index * row;
}

// A warp a row: rows are multiples of 32 bytes and begin at such.
__global__ void copy_row(CopyRows copy) {
    uint32_t at = blockIdx.x * warps_of_block() + warp_of();
    if (at >= copy.shape.kv_heads * copy.tokens) return;
    uint64_t row = row_bytes(copy.shape);
    uint32_t head = at / copy.tokens, token = copy.first + at % copy.tokens;
    const uint4 *from = reinterpret_cast<const uint4 *>(place_of(copy.from, head, token, row));
    uint4 *to = reinterpret_cast<uint4 *>(place_of(copy.to, head, token, row));
    for (uint32_t i = lane_of(); i < row / sizeof(uint4); i += lanes) to[i] = from[i];
}

}  // namespace

void make_rows(Stream &stream, const MakeRows &make) {
    uint32_t rows = make.tokens * make.shape.kv_heads;
    if (rows == 0) return;
    make_row<<<rows, block_threads, 0, queue(stream)>>>(make);
    launched("make_rows");
}

void copy_rows(Stream &stream, const CopyRows &copy) {
    uint32_t rows = copy.tokens * copy.shape.kv_heads;
    if (rows == 0) return;
    uint32_t blocks = blocks_of(rows, block_threads / lanes);
    copy_row<<<blocks, block_threads, 0, queue(stream)>>>(copy);
    launched("copy_rows");
}

}  // namespace specache::cuda

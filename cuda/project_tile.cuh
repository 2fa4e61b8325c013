// project_tile.cuh - matrix products of a prefill: a block a tile of 128 rows by 64 inputs, 32
// columns at a time by tensor cores. Integers of blocks are multiplied as they are, their scales
// with the sums of a block:
//   q8_0, q4_0   scale * sum(integer * in)
//   q4_1         scale * sum((nibble - 8) * in) + (least + 8 scale) * sum(in)
//   q4_k, q5_k   so too, by a part's scale and least number; q5_k with 16 instead of 8
//   q6_k         scale * sum(part's scale * integer * in), products of 13 bits, which are two terms
// The order of a sum is that of the columns; how numbers are aligned changes how they are loaded
// alone, and a tile's other rows and inputs change nothing.
#pragma once
#include <type_traits>

#include "kernels.h"
#include "product.cuh"

namespace specache::cuda {

constexpr uint32_t tile_rows = 128, tile_strips = tile_rows / strip_rows / 2;
constexpr uint32_t row_pieces = tile_rows * step_pieces / product_threads;  // of a thread

template <Type type> struct Tile {
    Operand<tile_rows> weights[terms_of<type>];
    Operand<right_rows> in[right_terms];
    float scales[in_blocks(type) ? tile_rows : 1];         // of the rows' blocks
    float offsets[has_least(type) ? tile_rows : 1];        // least + middle * scale
    float in_sums[has_least(type) ? right_rows : 1];       // of the step's columns
};

// What row threadIdx.x says of its block's numbers: fp16 scale, and the least number above it; in
// q4_k and q5_k the parts' too.
template <Type type>
using Scales = std::conditional_t<has_least(type) && is_k_quant(type), uint4, uint32_t>;

// What a thread fetches of a step while the block multiplies the one before.
template <Type type> struct Fetched {
    uint32_t weights[row_pieces][words_of<type>];
    float in[piece_values];
    int32_t part_scales[type == Type::q6_k ? row_pieces : 1];
    Scales<type> scales;
};

// Where the threads' pieces lie in a step's tile.
struct Places {
    const uint8_t *rows[row_pieces];  // null: behind the last row
    const uint8_t *scales;            // row threadIdx.x; null: behind the last row of the tile
    const float *in;                  // null: behind the last input
};
__device__ inline uint32_t piece_of_thread() { return threadIdx.x % step_pieces; }
__device__ inline uint32_t row_of_thread(uint32_t i) {
    return (threadIdx.x + i * product_threads) / step_pieces;
}

template <Type type>
__device__ void fetch(Fetched<type> &fetched, const Places &places, uint32_t step,
                      uint32_t columns) {
    uint32_t piece = step * step_pieces + piece_of_thread();
    bool inside = piece * piece_values < columns;  // of whole pieces
#pragma unroll
    for (uint32_t i = 0; i < row_pieces; i++) {
        uint32_t (&words)[words_of<type>] = fetched.weights[i];
        for (uint32_t &word : words) word = 0;
        const uint8_t *row = places.rows[i];
        if (!inside || row == nullptr) continue;
        if constexpr (is_k_quant(type)) {
            const uint8_t *block = block_of(type, row, step * step_columns);
            uint32_t part = part_of(type, step * step_columns);
            uint32_t first = piece_of_thread() * piece_values;
            load_k_words<type>(words, block, part, first);
            if constexpr (type == Type::q6_k) {
                fetched.part_scales[i] = int8_t(block[q6_k_scales + 2 * part + first / 16]);
            }
        } else if constexpr (in_blocks(type)) {
            row += uint64_t(step) * block_bytes(type) + (type == Type::q4_1 ? 4 : 2);
            row += piece_of_thread() * sizeof words;
            for (uint32_t w = 0; w < words_of<type>; w++) words[w] = load_word(row + 4 * w);
        } else {
            const uint4 *from = reinterpret_cast<const uint4 *>(row + piece * sizeof words);
#pragma unroll
            for (uint32_t w = 0; w < words_of<type>; w += 4) {
                uint4 four = from[w / 4];
                words[w] = four.x, words[w + 1] = four.y;
                words[w + 2] = four.z, words[w + 3] = four.w;
            }
        }
    }
    fetched.scales = {};
    if (in_blocks(type) && places.scales != nullptr) {
        const uint8_t *block = block_of(type, places.scales, step * step_columns);
        if constexpr (type == Type::q4_k || type == Type::q5_k) fetched.scales = load<uint4>(block);
        else if constexpr (type == Type::q4_1) fetched.scales = load_word(block);
        else fetched.scales = load<uint16_t>(block + (type == Type::q6_k ? q6_k_d : 0));
    }
    for (float &number : fetched.in) number = 0;
    if (!inside || places.in == nullptr) return;
    const float *from = places.in + piece_column<type>(piece);
    float4 x = load<float4>(from), y = load<float4>(from + second_run<type>);
    float (&in)[piece_values] = fetched.in;
    in[0] = x.x, in[1] = x.y, in[2] = x.z, in[3] = x.w;
    in[4] = y.x, in[5] = y.y, in[6] = y.z, in[7] = y.w;
}

// The same numbers one by one: for odd addresses, and rows that end within a piece.
template <Type type>
__device__ float place_numbers(Tile<type> &tile, const Places &places, uint32_t step,
                               uint32_t columns) {
    uint32_t piece = piece_of_thread();
    float sum = 0;
#pragma unroll 1
    for (uint32_t i = 0; i < piece_values; i++) {
        uint32_t column = step * step_columns + piece_column<type>(piece) +
                          (i < 4 ? i : second_run<type> + i - 4);
        bool inside = column < columns;
        for (uint32_t r = 0; r < row_pieces; r++) {
            const uint8_t *row = places.rows[r];
            float number = inside && row != nullptr ? unscaled_number<type>(row, column) : 0;
            put(tile.weights, row_of_thread(r), piece * piece_values + i, number);
        }
        float number = inside && places.in != nullptr ? places.in[column] : 0;
        put(tile.in, row_of_thread(0), piece * piece_values + i, number);
        sum += number;
    }
    return sum;
}

template <Type type>
__device__ float place_fetched(Tile<type> &tile, const Fetched<type> &fetched, uint32_t step) {
    uint32_t piece = piece_of_thread();
#pragma unroll
    for (uint32_t i = 0; i < row_pieces; i++) {
        const uint32_t (&words)[words_of<type>] = fetched.weights[i];
        if constexpr (is_k_quant(type)) {
            int32_t scale = type == Type::q6_k ? fetched.part_scales[i] : 0;
            put(tile.weights, row_of_thread(i), piece,
                terms_from_part<type>(words, part_of(type, step * step_columns), scale));
        } else {
            put(tile.weights, row_of_thread(i), piece, terms_from<type>(words));
        }
    }
    put(tile.in, row_of_thread(0), piece, split<right_terms>(fetched.in));
    float sum = 0;
    for (float number : fetched.in) sum += number;
    return sum;
}

// The scales of a step byte by byte: for odd addresses.
template <Type type> __device__ Scales<type> scales_of(const Places &places, uint32_t step) {
    if (!in_blocks(type) || places.scales == nullptr) return {};
    const uint8_t *block = block_of(type, places.scales, step * step_columns);
    if constexpr (type == Type::q4_k || type == Type::q5_k) {
        return {load_unaligned<uint32_t>(block), load_unaligned<uint32_t>(block + 4),
                load_unaligned<uint32_t>(block + 8), load_unaligned<uint32_t>(block + 12)};
    } else if constexpr (type == Type::q4_1) {
        return load_unaligned<uint32_t>(block);
    } else {
        return load_unaligned<uint16_t>(block + (type == Type::q6_k ? q6_k_d : 0));
    }
}

// What the sums of a block are multiplied with. in_sum: of the thread's piece.
template <Type type>
__device__ void place_scales(Tile<type> &tile, const Scales<type> &scales, uint32_t step,
                             float in_sum) {
    if (in_blocks(type) && threadIdx.x < tile_rows) {
        float2 scale;  // and the least number
        if constexpr (type == Type::q4_k || type == Type::q5_k) {
            scale = k_scale(scales, part_of(type, step * step_columns));
        } else {
            scale.x = __half2float(__ushort_as_half(uint16_t(scales)));
            scale.y = __half2float(__ushort_as_half(uint16_t(scales >> 16)));
        }
        tile.scales[threadIdx.x] = scale.x;
        if (has_least(type)) tile.offsets[threadIdx.x] = fmaf(middle<type>, scale.x, scale.y);
    }
    if constexpr (has_least(type)) {
        in_sum += __shfl_xor_sync(whole_warp, in_sum, 1);
        in_sum += __shfl_xor_sync(whole_warp, in_sum, 2);
        if (piece_of_thread() == 0) tile.in_sums[row_of_thread(0)] = in_sum;
    }
}

template <Type type>
__device__ void add_part(const Tile<type> &tile, Part &sums, const Part &part, uint32_t s) {
#pragma unroll
    for (uint32_t n = 0; n < 2; n++) {
#pragma unroll
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t row = left_row(s) + left_of(i), input = right_row() + right_of(n, i);
            float &sum = sums[n][i];
            if constexpr (!in_blocks(type)) {
                sum += part[n][i];
            } else {
                sum = fmaf(tile.scales[row], part[n][i], sum);
                if constexpr (has_least(type)) {
                    sum = fmaf(tile.offsets[row], tile.in_sums[input], sum);
                }
            }
        }
    }
}

__device__ inline void store(const Project &project, uint32_t row, uint32_t input, float sum) {
    float &out = project.out[uint64_t(input) * project.weights.rows + row];
    if (project.bias != nullptr) sum += project.bias[row];
    out = project.accumulate ? out + sum : sum;
}

template <Type type>
__global__ void __launch_bounds__(product_threads, 2) project_tile(Project project, bool aligned) {
    __shared__ Tile<type> tile;
    const Tensor &weights = project.weights;
    uint32_t first_row = blockIdx.y * tile_rows, first_input = blockIdx.x * right_rows;
    uint32_t rows = min(tile_rows, weights.rows - first_row), columns = weights.columns;
    uint32_t inputs = min(right_rows, project.count - first_input);
    uint64_t row_size = weight_row_bytes(type, columns);
    const uint8_t *bytes = static_cast<const uint8_t *>(weights.data) + first_row * row_size;
    Places places;
    for (uint32_t i = 0; i < row_pieces; i++) {
        uint32_t row = row_of_thread(i);
        places.rows[i] = row < rows ? bytes + row * row_size : nullptr;
    }
    places.scales = threadIdx.x < rows ? bytes + threadIdx.x * row_size : nullptr;
    uint32_t input = first_input + row_of_thread(0);
    places.in = input < project.count ? project.in + uint64_t(input) * columns : nullptr;
    uint32_t strips = right_row() < inputs ? strips_of(rows) : 0;
    uint32_t steps = (columns + step_columns - 1) / step_columns;
    Part sums[tile_strips] = {};
    Fetched<type> fetched;
    if (aligned && steps > 0) fetch(fetched, places, 0, columns);
#pragma unroll 1
    for (uint32_t step = 0; step < steps; step++) {
        float in_sum = aligned ? place_fetched(tile, fetched, step)
                               : place_numbers(tile, places, step, columns);
        place_scales(tile, aligned ? fetched.scales : scales_of<type>(places, step), step, in_sum);
        __syncthreads();
        if (aligned && step + 1 < steps) fetch(fetched, places, step + 1, columns);
        multiply<tile_strips, false>(tile.weights, tile.in, strips, [&](uint32_t s, Part &part) {
            add_part(tile, sums[s], part, s);
        });
        __syncthreads();  // the tile is read
    }
#pragma unroll
    for (uint32_t s = 0; s < tile_strips; s++) {
        for (uint32_t n = 0; n < 2; n++) {
            for (uint32_t i = 0; i < 4; i++) {
                uint32_t row = left_row(s) + left_of(i), to = right_row() + right_of(n, i);
                if (row < rows && to < inputs) {
                    store(project, first_row + row, first_input + to, sums[s][n][i]);
                }
            }
        }
    }
}

}  // namespace specache::cuda

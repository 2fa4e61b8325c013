// product.cuh - products of two tiles in shared memory by tensor cores, as exact as in float: what
// the products of a prefill and its attention share.
//
//   terms    a number is the sum of bf16 numbers of 8 bits each: a float of three, fp16 of two, and
//            bf16 and integers up to 8 bits are one. Two terms' product is exact.
//   lost     products of terms l and r with l + r > 2, of f16 and f32 alone: each is a share of
//            2^-24 of the numbers' product at most, since a term rounds to nearest (2^-8)
//   sums     32 columns by the tensor cores, which may cut bits off as they add; those sums are
//            added in float, so that what is cut off does not grow with the columns
//
// A block's warps take every second strip of 16 rows of the left operand and 16 of the 64 rows of
// the right one. Nothing that a warp leaves out changes a bit of another output.
#pragma once
#include "block.cuh"
#include "terms.cuh"

namespace specache::cuda {

constexpr uint32_t product_threads = 256;
constexpr uint32_t step_columns = 32, step_pieces = step_columns / piece_values;
constexpr uint32_t right_rows = 64, right_terms = 3;
constexpr uint32_t strip_rows = 16;  // of either operand
constexpr uint32_t rights = product_threads / lanes / 2;  // warps beside each other

// One operand's columns of a step, one term: bf16 [rows][32]. The places of pieces are such that 8
// rows' same piece, and two rows' all, lie in different banks.
template <uint32_t rows> struct Operand {
    uint4 pieces[rows * step_pieces];

    __device__ static uint32_t place(uint32_t row, uint32_t piece) {
        return row * step_pieces + (piece ^ (row / 2 % step_pieces));
    }
    __device__ uint16_t &number(uint32_t row, uint32_t column) {
        uint4 &piece = pieces[place(row, column / piece_values)];
        return reinterpret_cast<uint16_t *>(&piece)[column % piece_values];
    }
    __device__ float number(uint32_t row, uint32_t column) const {
        return bf16_to_float(const_cast<Operand *>(this)->number(row, column));
    }
};

template <uint32_t rows, uint32_t terms>
__device__ void put(Operand<rows> (&operand)[terms], uint32_t row, uint32_t piece,
                    const Terms<terms> &numbers) {
#pragma unroll
    for (uint32_t t = 0; t < terms; t++) {
        operand[t].pieces[operand[t].place(row, piece)] = numbers.of[t];
    }
}
// One number, as split() splits it.
template <uint32_t rows, uint32_t terms>
__device__ void put(Operand<rows> (&operand)[terms], uint32_t row, uint32_t column, float number) {
#pragma unroll
    for (uint32_t t = 0; t < terms; t++) {
        uint16_t term = float_to_bf16(number);
        operand[t].number(row, column) = term;
        number -= bf16_to_float(term);
    }
}

// A lane's four words of four matrices of 8 rows of 8 numbers: lane 8 i + j says where row j of
// matrix i is, in shared memory.
template <bool transposed> __device__ void load_matrices(uint32_t (&to)[4], uint32_t at) {
    if constexpr (transposed) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(at) : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(at) : "memory");
    }
}

// c += a (16 rows, 16 columns) by b (8 rows, 16 columns).
__device__ inline void add_product(float (&c)[4], const uint32_t (&a)[4], const uint32_t *b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The warp's rows: of the left operand's strip s, and of the right one.
__device__ inline uint32_t left_row(uint32_t s) {
    return (2 * s + warp_of() / rights) * strip_rows;
}
__device__ inline uint32_t right_row() { return warp_of() % rights * strip_rows; }
// How many of its strips hold one of the left operand's first `rows` rows.
__device__ inline uint32_t strips_of(uint32_t rows) {
    return ((rows + strip_rows - 1) / strip_rows + 1 - warp_of() / rights) / 2;
}

// A lane's sums of a strip. Number [n][i] is of left row left_row(s) + left_of(i) and of right row
// right_row() + right_of(n, i).
using Part = float[2][4];
__device__ inline uint32_t left_of(uint32_t i) { return lane_of() / 4 + i / 2 * 8; }
__device__ inline uint32_t right_of(uint32_t n, uint32_t i) {
    return n * 8 + lane_of() % 4 * 2 + i % 2;
}

constexpr uint32_t step_halves = 2;  // of 16 columns, one product's

// Where the lane's rows of the left operand's matrices lie, of the warp's first strip.
template <bool transposed, uint32_t rows>
__device__ void place_left(uint32_t (&at)[step_halves], const Operand<rows> &left) {
    uint32_t lane = lane_of(), row = left_row(0);
    uint32_t first = uint32_t(__cvta_generic_to_shared(left.pieces));
#pragma unroll
    for (uint32_t k = 0; k < step_halves; k++) {
        uint32_t place = transposed
            ? Operand<rows>::place(k * 16 + lane / 16 * 8 + lane % 8, row / 8 + lane / 8 % 2)
            : Operand<rows>::place(row + lane % 16, 2 * k + lane / 16);
        at[k] = first + place * sizeof(uint4);
    }
}

// The warp's rows of the right operand, every term.
using Right = uint32_t[step_halves][right_terms][4];
__device__ inline void load_right(Right &b, const Operand<right_rows> (&right)[right_terms]) {
    uint32_t lane = lane_of(), row = right_row() + lane / 16 * 8 + lane % 8;
    uint32_t first = uint32_t(__cvta_generic_to_shared(right[0].pieces));
#pragma unroll
    for (uint32_t k = 0; k < step_halves; k++) {
        uint32_t place = Operand<right_rows>::place(row, 2 * k + lane / 8 % 2);
        uint32_t at = first + place * sizeof(uint4);
#pragma unroll
        for (uint32_t r = 0; r < right_terms; r++) {
            load_matrices<false>(b[k][r], at + r * sizeof right[0]);
        }
    }
}

// The same sums by FMAs, for devices without products of bf16: of all strips.
template <bool transposed, uint32_t strips, uint32_t rows, uint32_t terms>
__device__ void add_plainly(Part (&parts)[strips], const Operand<rows> (&left)[terms],
                            const Operand<right_rows> (&right)[right_terms]) {
#pragma unroll 1
    for (uint32_t k = 0; k < step_columns; k++) {
        float y[4] = {};
        for (uint32_t j = 0; j < 4; j++) {
            for (uint32_t r = right_terms; r-- > 0;) {
                y[j] += right[r].number(right_row() + right_of(j / 2, j), k);
            }
        }
#pragma unroll
        for (uint32_t s = 0; s < strips; s++) {
            for (uint32_t i = 0; i < 4; i += 2) {
                uint32_t row = left_row(s) + left_of(i);
                float x = 0;
                for (uint32_t l = terms; l-- > 0;) {
                    x += transposed ? left[l].number(row / 32 * 32 + k, row % 32)
                                    : left[l].number(row, k);
                }
                for (uint32_t j = 0; j < 4; j++) {
                    float &sum = parts[s][j / 2][i + j % 2];
                    sum = fmaf(x, y[j], sum);
                }
            }
        }
    }
}

// Calls take(s, part) with the products of each of the warp's first `count` strips, and maybe of
// one more, summed over the step's columns. `strips` is even. Transposed: left row r of column c is
// stored as column r % 32 of row r / 32 * 32 + c.
template <uint32_t strips, bool transposed, uint32_t rows, uint32_t terms, class Take>
__device__ void multiply(const Operand<rows> (&left)[terms],
                         const Operand<right_rows> (&right)[right_terms], uint32_t count,
                         Take take) {
    if (count == 0) return;
#if __CUDA_ARCH__ >= 800
    uint32_t at[step_halves];
    place_left<transposed>(at, left[0]);
    Right b;
    load_right(b, right);
#pragma unroll
    for (uint32_t s = 0; s < strips; s += 2) {  // two at once: a product waits for the one before
        if (s >= count) break;
        Part parts[2] = {};
#pragma unroll
        for (uint32_t k = 0; k < step_halves; k++) {
#pragma unroll
            for (uint32_t l = terms; l-- > 0;) {  // the smallest first
                constexpr uint32_t strip_bytes = 2 * strip_rows * step_pieces * sizeof(uint4);
                uint32_t a[2][4], from = at[k] + s * strip_bytes + l * sizeof left[0];
                load_matrices<transposed>(a[0], from);
                load_matrices<transposed>(a[1], from + strip_bytes);
#pragma unroll
                for (uint32_t r = right_terms - l; r-- > 0;) {
#pragma unroll
                    for (uint32_t i = 0; i < 4; i++) {
                        add_product(parts[i / 2][i % 2], a[i / 2], b[k][r] + i % 2 * 2);
                    }
                }
            }
        }
        take(s, parts[0]);
        take(s + 1, parts[1]);
    }
#else
    Part parts[strips] = {};
    add_plainly<transposed>(parts, left, right);
#pragma unroll
    for (uint32_t s = 0; s < strips; s++) {
        if (s < count) take(s, parts[s]);
    }
#endif
}

}  // namespace specache::cuda

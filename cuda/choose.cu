// choose.cu - the k tail tokens of largest value for each input and KV head, lower tokens first
// where values are equal. The text is cut into pieces of a fixed size, a block each, so that a
// result follows from the logits alone:
//   weigh_pieces   largest logit and sum of weights of each piece and query head, rows of near too
//   merge_weights  the softmax of a query head, from its pieces in their order
//   find_values    the values, written once, and how many have which upper 10 bits
//   narrow_cut     the 10 bits of the k-th value, and how many of these have which next 10 (twice)
//   count_chosen   how many tokens of a warp's run are above the k-th value, and how many equal it
//   write_chosen   the chosen, behind those of the runs before
// Grids are for tokens_max; blocks behind the tail have nothing to do.
#include "../native/numbers.h"
#include "../native/scratch.h"
#include "block.cuh"
#include "kernels.h"

namespace specache::cuda {
namespace {

constexpr uint32_t items = choose_piece / block_threads;  // tokens of a thread
constexpr uint32_t warp_rows = choose_near_rows / choose_runs;
constexpr uint32_t digit_bits = 10;
constexpr uint32_t thread_digits = choose_digits / block_threads;
// Values are 0 to 1 and a rounding error, so that their bits order as they do and 30 tell all.
constexpr uint32_t value_bits = 30;
static_assert(choose_piece == items * block_threads && choose_runs == block_threads / lanes &&
              1u << digit_bits == choose_digits &&
              digit_bits * choose_rounds == value_bits);

// Pairs are (input, KV head of the run), vectors (input, query head of the run): as logits lie.
__device__ uint32_t group_of(const Choose &choose) {
    return choose.shape.query_heads / choose.shape.kv_heads;
}
__device__ uint32_t input_of(const Choose &choose, uint32_t pair) {
    return pair / choose.heads.count;
}
__device__ uint32_t head_of(const Choose &choose, uint32_t pair) {
    return choose.heads.first + pair % choose.heads.count;
}
// Of [inputs][kv_heads].
__device__ uint32_t place_of(const Choose &choose, uint32_t pair) {
    return input_of(choose, pair) * choose.shape.kv_heads + head_of(choose, pair);
}

// What is chosen of an input and KV head, and the tokens of one piece of it that the thread works
// on: item i is token first + i * lanes, so that warps and lanes are in the order of tokens.
struct Piece {
    uint32_t tail, k, first, count;  // items before the tail's end, which no warp's item crosses
    __device__ Piece(const Choose &choose, uint32_t input, uint32_t number)
        : tail(coded_pages(choose.positions[input]) * page_tokens),
          k(tail == 0 ? 0 : min(choose.k, tail - sink_tokens)),
          first(number * choose_piece + warp_of() * items * lanes + lane_of()),
          count(first < tail ? (tail - first + lanes - 1) / lanes : 0) {}
    // The same for all threads of a block.
    __device__ bool idle(uint32_t number) const { return k == 0 || number * choose_piece >= tail; }
    __device__ bool holds(uint32_t i) const {
        return i < count && (i > 0 || first >= sink_tokens);
    }
};
static_assert(page_tokens % lanes == 0 && sink_tokens < lanes);

// Of a few near rows of one query head, sinks, then window and inputs: lane 0 has them.
__device__ void near_logits(const Choose &choose, uint32_t vector, uint32_t tail, uint32_t number,
                            float (&logits)[items]) {
    const Shape &shape = choose.shape;
    uint32_t group = group_of(choose), pair = vector / group, head = head_of(choose, pair);
    uint32_t count = sink_tokens + choose.positions[input_of(choose, pair)] - tail + 1;
    uint32_t first = number * choose_near_rows + warp_of() * warp_rows;
    uint64_t place = uint64_t(place_of(choose, pair)) * group + vector % group;
    const float *query = choose.queries + place * shape.head_dim;
    const uint8_t *rows[warp_rows];
#pragma unroll
    for (uint32_t r = 0; r < warp_rows; r++) {
        uint32_t i = min(first + r, count - 1), token = tail + i - sink_tokens;
        uint64_t sink = uint64_t(head) * sink_tokens + i;
        uint64_t place = uint64_t(head) * window_rows + token % window_rows;
        rows[r] = i < sink_tokens ? choose.near.sinks + sink * row_bytes(shape)
                                  : choose.near.window + place * row_bytes(shape);
    }
    float sums[warp_rows] = {};
#pragma unroll 1
    for (uint32_t c = lane_of(); c < shape.head_dim; c += lanes) {
        float x = query[c] * shape.scale;
#pragma unroll
        for (uint32_t r = 0; r < warp_rows; r++) {
            sums[r] += x * load_number(shape.kv_type, rows[r], c);
        }
    }
#pragma unroll
    for (uint32_t r = 0; r < warp_rows; r++) {
        float sum = over_warp(sums[r], Sum());
        if (lane_of() == 0 && first + r < count) logits[r] = sum;
    }
}

// A block a part and query head; the parts of near come first. One block of each pair makes ready
// what the next kernels count in.
__global__ void __launch_bounds__(block_threads)
    weigh_pieces(Choose choose, ChooseScratch scratch) {
    uint32_t part = blockIdx.x, vector = blockIdx.y;
    uint32_t group = group_of(choose), pair = vector / group;
    bool near = part < choose_near_parts;
    uint32_t number = near ? 0 : part - choose_near_parts;
    Piece piece(choose, input_of(choose, pair), number);
    if (part == 0 && vector % group == 0) {
        if (threadIdx.x == 0) choose.counts[place_of(choose, pair)] = piece.k;
        uint32_t *digits = scratch.digits + uint64_t(pair) * choose_rounds * choose_digits;
#pragma unroll 1
        for (uint32_t i = threadIdx.x; i < choose_rounds * choose_digits; i += blockDim.x) {
            digits[i] = 0;
        }
    }
    if (piece.idle(number)) return;
    float logits[items], largest = -INFINITY, sum = 0;
#pragma unroll
    for (uint32_t i = 0; i < items; i++) logits[i] = -INFINITY;
    if (near) {
        near_logits(choose, vector, piece.tail, part, logits);
    } else {
        const float *from = choose.logits + uint64_t(vector) * choose.tokens_max + piece.first;
#pragma unroll
        for (uint32_t i = 0; i < items; i++) {
            if (piece.holds(i)) logits[i] = from[i * lanes];
        }
    }
#pragma unroll
    for (uint32_t i = 0; i < items; i++) largest = fmaxf(largest, logits[i]);
    largest = over_block(largest, Largest());
    float base = largest == -INFINITY ? 0 : largest;  // where there is no row
#pragma unroll
    for (uint32_t i = 0; i < items; i++) sum += __expf(logits[i] - base);
    sum = over_block(sum, Sum());
    uint64_t at = uint64_t(vector) * (choose_near_parts + scratch.pieces) + part;
    if (threadIdx.x == 0) scratch.parts[at] = {largest, sum};
}

// A warp a query head.
__global__ void __launch_bounds__(block_threads) merge_weights(Choose choose,
                                                               ChooseScratch scratch) {
    uint32_t vector = blockIdx.x * warps_of_block() + warp_of();
    uint32_t group = group_of(choose);
    if (vector >= choose.inputs * choose.heads.count * group) return;
    Piece piece(choose, input_of(choose, vector / group), 0);
    if (piece.k == 0) return;
    uint32_t parts = choose_near_parts + (piece.tail + choose_piece - 1) / choose_piece;
    const ChooseWeights *from =
        scratch.parts + uint64_t(vector) * (choose_near_parts + scratch.pieces);
    float largest = -INFINITY, sum = 0;
#pragma unroll 1
    for (uint32_t i = lane_of(); i < parts; i += lanes) largest = fmaxf(largest, from[i].largest);
    largest = over_warp(largest, Largest());
#pragma unroll 1
    for (uint32_t i = lane_of(); i < parts; i += lanes) {
        sum += from[i].sum * __expf(from[i].largest - largest);
    }
    sum = over_warp(sum, Sum());
    if (lane_of() == 0) scratch.softmax[vector] = {largest, 1 / (sum * float(group))};
}

// Adds the digits that are counted in a block's memory to those of its pair.
__device__ void add_digits(const uint32_t (&own)[choose_digits], uint32_t *all) {
    __syncthreads();
#pragma unroll
    for (uint32_t i = 0; i < thread_digits; i++) {
        uint32_t digit = threadIdx.x + i * block_threads;
        if (own[digit] != 0) atomicAdd(&all[digit], own[digit]);
    }
}
__device__ void clear_digits(uint32_t (&own)[choose_digits]) {
#pragma unroll
    for (uint32_t i = 0; i < thread_digits; i++) own[threadIdx.x + i * block_threads] = 0;
    __syncthreads();
}

// A block a piece and pair. The value: mean over the group of the softmax probability.
__global__ void __launch_bounds__(block_threads) find_values(Choose choose, ChooseScratch scratch) {
    __shared__ uint32_t digits[choose_digits];
    uint32_t pair = blockIdx.y, group = group_of(choose);
    Piece piece(choose, input_of(choose, pair), blockIdx.x);
    if (piece.idle(blockIdx.x)) return;
    clear_digits(digits);
    float values[items] = {};
#pragma unroll 1
    for (uint32_t g = 0; g < group; g++) {
        uint64_t vector = uint64_t(pair) * group + g;
        const float *logits = choose.logits + vector * choose.tokens_max + piece.first;
        ChooseWeights softmax = scratch.softmax[vector];  // its sum is the inverse of one
#pragma unroll
        for (uint32_t i = 0; i < items; i++) {
            float logit = piece.holds(i) ? logits[i * lanes] : -INFINITY;
            float weight = __expf(__fsub_rn(logit, softmax.largest));
            values[i] = __fadd_rn(values[i], __fmul_rn(weight, softmax.sum));
        }
    }
    uint32_t *to = scratch.values + uint64_t(pair) * choose.tokens_max + piece.first;
#pragma unroll
    for (uint32_t i = 0; i < items; i++) {
        // A NaN would count as one digit here and be another there.
        uint32_t bits = min(__float_as_uint(values[i]), (1u << value_bits) - 1);
        if (!piece.holds(i)) continue;
        to[i * lanes] = bits;
        atomicAdd(&digits[bits >> (value_bits - digit_bits)], 1u);
    }
    add_digits(digits, scratch.digits + uint64_t(pair) * choose_rounds * choose_digits);
}

// The sum of what the threads before this one have.
__device__ uint32_t before_in_block(uint32_t x) {
    __shared__ uint32_t sums[block_threads / lanes];
    uint32_t sum = x;
    for (uint32_t apart = 1; apart < lanes; apart *= 2) {
        uint32_t other = __shfl_up_sync(whole_warp, sum, apart);
        if (lane_of() >= apart) sum += other;
    }
    if (lane_of() == lanes - 1) sums[warp_of()] = sum;
    __syncthreads();
    for (uint32_t warp = 0; warp < warp_of(); warp++) sum += sums[warp];
    return sum - x;
}

// Of how many bits the k-th value is known after `round`. Every block of a pair finds the same; the
// first keeps it for the kernels behind.
__device__ ChooseCut find_cut(const ChooseScratch &scratch, const Piece &piece, uint32_t round) {
    __shared__ ChooseCut shared;
    ChooseCut *cuts = scratch.cuts + blockIdx.y * choose_rounds;
    ChooseCut cut = round == 0 ? ChooseCut{0, piece.k} : cuts[round - 1];
    // Threads go through the digits from the largest one down.
    uint32_t top = choose_digits - 1 - threadIdx.x * thread_digits, counts[thread_digits], all = 0;
    const uint32_t *from =
        scratch.digits + (uint64_t(blockIdx.y) * choose_rounds + round) * choose_digits + top;
#pragma unroll
    for (uint32_t i = 0; i < thread_digits; i++) all += counts[i] = *(from - i);
    uint32_t above = before_in_block(all);
#pragma unroll
    for (uint32_t i = 0; i < thread_digits; i++) {
        if (above < cut.left && cut.left <= above + counts[i]) {
            shared = {cut.bits << digit_bits | (top - i), cut.left - above};
        }
        above += counts[i];
    }
    __syncthreads();
    if (blockIdx.x == 0 && threadIdx.x == 0) cuts[round] = shared;
    return shared;
}

__device__ void load_values(const Choose &choose, const ChooseScratch &scratch, const Piece &piece,
                            uint32_t (&values)[items]) {
    const uint32_t *from =
        scratch.values + uint64_t(blockIdx.y) * choose.tokens_max + piece.first;
#pragma unroll
    for (uint32_t i = 0; i < items; i++) values[i] = piece.holds(i) ? from[i * lanes] : 0;
}

__global__ void __launch_bounds__(block_threads) narrow_cut(Choose choose, ChooseScratch scratch,
                                                            uint32_t round) {
    __shared__ uint32_t digits[choose_digits];
    uint32_t pair = blockIdx.y, values[items];
    Piece piece(choose, input_of(choose, pair), blockIdx.x);
    if (piece.idle(blockIdx.x)) return;
    load_values(choose, scratch, piece, values);
    clear_digits(digits);
    ChooseCut cut = find_cut(scratch, piece, round - 1);
    uint32_t shift = value_bits - digit_bits * (round + 1);
#pragma unroll
    for (uint32_t i = 0; i < items; i++) {
        uint32_t upper = values[i] >> shift;
        if (piece.holds(i) && upper >> digit_bits == cut.bits) {
            atomicAdd(&digits[upper % choose_digits], 1u);
        }
    }
    add_digits(digits, scratch.digits + (uint64_t(pair) * choose_rounds + round) * choose_digits);
}

// A warp counts for itself: above the k-th value, and in the lower half those that equal it.
__global__ void __launch_bounds__(block_threads)
    count_chosen(Choose choose, ChooseScratch scratch) {
    uint32_t pair = blockIdx.y, values[items], above = 0, equal = 0;
    Piece piece(choose, input_of(choose, pair), blockIdx.x);
    if (piece.idle(blockIdx.x)) return;
    load_values(choose, scratch, piece, values);
    ChooseCut cut = find_cut(scratch, piece, choose_rounds - 1);
#pragma unroll
    for (uint32_t i = 0; i < items; i++) {
        above += values[i] > cut.bits;
        equal += piece.holds(i) && values[i] == cut.bits;
    }
    uint64_t run = (uint64_t(pair) * scratch.pieces + blockIdx.x) * choose_runs + warp_of();
    uint32_t both = over_warp(above << 16 | equal, Sum());
    if (lane_of() == 0) scratch.counts[run] = uint64_t(both >> 16) << 32 | both % (1u << 16);
}

// A warp of which tokens may be chosen: they go behind those of all runs before its own.
__global__ void __launch_bounds__(block_threads)
    write_chosen(Choose choose, ChooseScratch scratch) {
    uint32_t pair = blockIdx.y, run = blockIdx.x * choose_runs + warp_of(), values[items];
    Piece piece(choose, input_of(choose, pair), blockIdx.x);
    const uint64_t *counts = scratch.counts + uint64_t(pair) * scratch.pieces * choose_runs;
    if (piece.idle(blockIdx.x) || counts[run] == 0) return;
    load_values(choose, scratch, piece, values);
    ChooseCut cut = scratch.cuts[pair * choose_rounds + choose_rounds - 1];
    uint64_t both = 0;
#pragma unroll 1
    for (uint32_t i = lane_of(); i < run; i += lanes) both += counts[i];
    both = over_warp(both, Sum());
    uint32_t above = uint32_t(both >> 32), equal = uint32_t(both), lower = (1u << lane_of()) - 1;
    uint64_t to = uint64_t(place_of(choose, pair)) * choose.k_max;
#pragma unroll
    for (uint32_t i = 0; i < items; i++) {
        bool larger = values[i] > cut.bits, same = piece.holds(i) && values[i] == cut.bits;
        uint32_t all_larger = __ballot_sync(whole_warp, larger);
        uint32_t all_same = __ballot_sync(whole_warp, same);
        uint32_t ties = equal + __popc(all_same & lower);
        if (larger || (same && ties < cut.left)) {
            uint64_t at = to + above + __popc(all_larger & lower) + min(ties, cut.left);
            choose.chosen[at] = piece.first + i * lanes;
            choose.values[at] = __uint_as_float(values[i]);
        }
        above += __popc(all_larger);
        equal += __popc(all_same);
    }
}

}  // namespace

void choose(Stream &stream, const Choose &choose) {
    ChooseScratch scratch = choose_scratch(choose.shape, choose.heads.count, choose.inputs,
                                           choose.tokens_max, choose.scratch);
    uint32_t pairs = choose.inputs * choose.heads.count;
    uint32_t vectors = pairs * (choose.shape.query_heads / choose.shape.kv_heads);
    dim3 pieces(scratch.pieces, pairs);
    dim3 parts(choose_near_parts + scratch.pieces, vectors);
    cudaStream_t on = queue(stream);
    weigh_pieces<<<parts, block_threads, 0, on>>>(choose, scratch);
    merge_weights<<<blocks_of(vectors, block_threads / lanes), block_threads, 0, on>>>(choose,
                                                                                      scratch);
    find_values<<<pieces, block_threads, 0, on>>>(choose, scratch);
    for (uint32_t round = 1; round < choose_rounds; round++) {
        narrow_cut<<<pieces, block_threads, 0, on>>>(choose, scratch, round);
    }
    count_chosen<<<pieces, block_threads, 0, on>>>(choose, scratch);
    write_chosen<<<pieces, block_threads, 0, on>>>(choose, scratch);
    launched("choose");
}

}  // namespace specache::cuda

// slots.cuh - one KV head's slots at work in a block: what resolve (slots.cu) and settle
// (settle.cu) share.
//   lists     ascending and without repeats, so the threads that work on one list never meet in the
//             maps of tokens (slot_of, wanted_value); a barrier stands between two lists
//   the best  of wanted rows and of rows to keep: a radix selection of one 64-bit key, whose lower
//             bits say that of equal ones the lower token comes first
#pragma once
#include "block.cuh"
#include "kernels.h"

namespace specache::cuda {

constexpr uint32_t digits = 256;
constexpr uint32_t token_bits = 24;  // tokens_max is 2^24 at most

// One KV head at work, shared by the block's threads.
struct Head {
    Resolve of;   // scratch is this head's
    Slots slots;  // of this head
    uint64_t row;
    uint32_t head, places;

    __device__ uint32_t pair(uint32_t input) const { return input * of.shape.kv_heads + head; }
    __device__ uint64_t list(uint32_t input) const { return uint64_t(pair(input)) * of.k_max; }
    __device__ uint32_t count(uint32_t input) const { return of.counts[pair(input)]; }
    __device__ uint8_t *slot_row(uint32_t place) const { return slots.rows + place * row; }
    __device__ uint64_t far_row(uint32_t token) const {
        return of.pages[token / page_tokens] * of.far_stride + of.far_at +
               (uint64_t(head) * page_tokens + token % page_tokens) * row;
    }
    __device__ uint32_t place_of(uint32_t token) const {
        return places == 0 ? 0 : of.slot_of[token];
    }
};

__device__ inline void start_head(Head &at, const Resolve &of, uint32_t head) {
    if (threadIdx.x == 0) {
        uint32_t places = of.visible + of.arriving;
        uint64_t row = row_bytes(of.shape), first = uint64_t(head) * places;
        uint32_t listed = of.inputs * of.k_max;  // most that a head's lists have together
        at.of = of;
        at.of.slot_of += uint64_t(head) * of.tokens_max;
        at.of.wanted_value += uint64_t(head) * of.tokens_max;
        at.of.list += uint64_t(head) * listed;
        at.of.candidates += uint64_t(head) * (places + listed);
        at.slots = {of.slots.rows + first * row, of.slots.tokens + first, of.slots.used + first,
                    of.slots.now + first, of.slots.next + first};
        at.row = row;
        at.head = head;
        at.places = places;
    }
    __syncthreads();
}

// slot_of is left clean: entries are set and cleared again.
__device__ inline void map_slots(const Head &at, bool set) {
    for (uint32_t i = threadIdx.x; i < at.places; i += blockDim.x) {
        if (at.slots.now[i] == Slot::visible) at.of.slot_of[at.slots.tokens[i]] = set ? i + 1 : 0;
    }
    __syncthreads();
}

// The first of an ascending list that is not below the token.
__device__ inline uint32_t lower_bound(const uint32_t *list, uint32_t count, uint32_t token) {
    uint32_t first = 0;
    while (count > 0) {
        uint32_t half = count / 2;
        bool below = list[first + half] < token;
        first = below ? first + half + 1 : first;
        count = below ? count - half - 1 : half;
    }
    return first;
}

// Where in `chosen` an input's list has a token; whether it does.
__device__ inline bool find_in_list(const Head &at, uint32_t input, uint32_t token,
                                    uint64_t &found) {
    uint32_t count = at.count(input);
    const uint32_t *list = at.of.chosen + at.list(input);
    uint32_t i = lower_bound(list, count, token);
    found = at.list(input) + i;
    return i < count && list[i] == token;
}

// The row that one of the first `inputs` inputs has of a token, or null.
__device__ inline const uint8_t *row_of(const Head &at, uint32_t inputs,
                                        uint32_t token) {
    uint64_t found;
    for (uint32_t input = 0; input < inputs; input++) {
        if (find_in_list(at, input, token, found) && at.of.rows[found] != nullptr) {
            return at.of.rows[found];
        }
    }
    return nullptr;
}

// 0 means "not wanted" in the map, and a value may underflow to it: the least positive stands in.
__device__ inline void want(float &largest, float value) {
    largest = fmaxf(fmaxf(largest, value), 1e-38f);
}

// What the guesses chose, by the largest value that one gave it.
__device__ inline void mark_wanted(const Head &at, bool set) {
#pragma unroll 1
    for (uint32_t input = at.of.trusted; input < at.of.inputs; input++) {
        uint64_t list = at.list(input);
        for (uint32_t i = threadIdx.x; i < at.count(input); i += blockDim.x) {
            float &largest = at.of.wanted_value[at.of.chosen[list + i]];
            if (set) want(largest, at.of.values[list + i]);
            else largest = 0;
        }
        __syncthreads();
    }
}

__device__ inline uint64_t key_of(const Candidate &candidate) {
    return candidate.worth << token_bits | ((1u << token_bits) - 1 - candidate.token);
}

// The digit of the last of the `left` largest, of how many keys have each; warp 0 alone.
struct Cut {
    uint64_t bits;
    uint32_t left;  // of those with the same digits
};
__device__ inline void find_digit(const uint32_t (&counts)[digits], Cut &cut, Cut before,
                                  int shift) {
    constexpr uint32_t each = digits / lanes;  // of a lane, the largest first
    uint32_t digit = digits - 1 - lane_of() * each, sum = 0;
    for (uint32_t i = 0; i < each; i++) sum += counts[digit - i];
    uint32_t until = sum;
#pragma unroll 1
    for (uint32_t apart = 1; apart < lanes; apart *= 2) {
        uint32_t lower = __shfl_up_sync(whole_warp, until, apart);
        if (lane_of() >= apart) until += lower;
    }
    uint32_t above = until - sum;
    if (above >= before.left || until < before.left) return;
    while (above + counts[digit] < before.left) above += counts[digit--];
    cut = {before.bits | uint64_t(digit) << shift, before.left - above};
}

// The key of the last of the `kept` best, above every key if none is kept.
__device__ inline uint64_t find_cut(const Candidate *list, uint32_t count,
                                    uint32_t kept) {
    __shared__ uint32_t counts[digits];
    __shared__ Cut cut;
    if (kept >= count) return 0;
    if (kept == 0) return UINT64_MAX;
    Cut at{0, kept};
#pragma unroll 1
    for (int shift = 56; shift >= 0; shift -= 8) {
        for (uint32_t i = threadIdx.x; i < digits; i += blockDim.x) counts[i] = 0;
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
            uint64_t key = key_of(list[i]);
            bool same = ((key ^ at.bits) >> shift) < digits;
            if (same) atomicAdd(&counts[key >> shift & (digits - 1)], 1u);
        }
        __syncthreads();
        if (warp_of() == 0) find_digit(counts, cut, at, shift);
        __syncthreads();
        at = cut;
    }
    return at.bits;
}

}  // namespace specache::cuda

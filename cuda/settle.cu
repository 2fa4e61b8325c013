// settle.cu - what the next step finds in slots, once a layer has attended (DESIGN section 4): the
// rows most worth keeping of those that are in slots and those that were late.
#include "slots.cuh"

namespace specache::cuda {
namespace {

// First what a guess chose, then what a trusted input chose, both by value, then the rest by the
// step that used it last. Values are not negative, so their bits order as they do.
__device__ uint64_t worth_of(const Head &at, uint32_t token, uint32_t used) {
    float by_guess = at.of.wanted_value[token], by_truth = 0;
    if (by_guess != 0) return uint64_t(2) << 32 | __float_as_uint(by_guess);
    uint64_t found;
    for (uint32_t input = 0; input < at.of.trusted; input++) {
        if (find_in_list(at, input, token, found)) by_truth = fmaxf(by_truth, at.of.values[found]);
    }
    return by_truth != 0 ? uint64_t(1) << 32 | __float_as_uint(by_truth) : used;
}

// Rows that are near or were late, each once; returns how many.
__device__ uint32_t find_candidates(const Head &at) {
    Candidate *list = at.of.candidates;
    uint32_t count = 0;
#pragma unroll 1
    for (uint32_t first = 0; first < at.places; first += blockDim.x) {
        uint32_t i = first + threadIdx.x;
        bool visible = i < at.places && at.slots.now[i] == Slot::visible;
        Place place = place_in_block(visible);
        if (visible) {
            uint32_t token = at.slots.tokens[i];
            uint64_t worth = worth_of(at, token, at.slots.used[i]);
            list[count + place.before] = {worth, nullptr, token, i};
        }
        count += place.all;
    }
#pragma unroll 1
    for (uint32_t input = 0; input < at.of.trusted; input++) {
        const uint32_t *chosen = at.of.chosen + at.list(input);
        for (uint32_t first = 0; first < at.count(input); first += blockDim.x) {
            uint32_t i = first + threadIdx.x, token = i < at.count(input) ? chosen[i] : 0;
            const uint8_t *row = i < at.count(input) ? at.of.rows[at.list(input) + i] : nullptr;
            bool late = row != nullptr && at.place_of(token) == 0 &&
                        row_of(at, input, token) == nullptr;  // else listed for an input before
            Place place = place_in_block(late);
            if (late) {
                uint64_t worth = worth_of(at, token, *at.of.step);
                list[count + place.before] = {worth, row, token, 0};
            }
            count += place.all;
        }
    }
    __syncthreads();
    return count;
}

// Keeps what is in a slot and at least as good as the cut; of late rows that are, the candidates
// are moved to the front of the list. Returns how many.
__device__ uint32_t keep_slots(const Head &at, uint32_t count, uint64_t cut) {
    Candidate *list = at.of.candidates;
    uint32_t late_rows = 0;
#pragma unroll 1
    for (uint32_t first = 0; first < count; first += blockDim.x) {
        uint32_t i = first + threadIdx.x;
        Candidate candidate{};
        if (i < count) candidate = list[i];
        bool kept = i < count && key_of(candidate) >= cut;
        if (kept && candidate.row == nullptr) at.slots.next[candidate.place] = Slot::visible;
        bool late = kept && candidate.row != nullptr;
        Place place = place_in_block(late);  // its barriers: all have read theirs
        if (late) list[late_rows + place.before] = candidate;
        late_rows += place.all;
    }
    __syncthreads();
    return late_rows;
}

// Late rows to places that the next step would not see.
__device__ void place_late(const Head &at, uint32_t count) {
    Candidate *list = at.of.candidates;
    uint32_t placed = 0;
#pragma unroll 1
    for (uint32_t first = 0; placed < count; first += blockDim.x) {
        uint32_t i = first + threadIdx.x;
        bool open = i < at.places && at.slots.next[i] != Slot::visible;
        Place place = place_in_block(open);
        uint32_t which = placed + place.before;
        if (open && which < count) {
            list[which].place = i;
            at.slots.tokens[i] = list[which].token;
            at.slots.used[i] = *at.of.step;
            at.slots.next[i] = Slot::visible;
        }
        placed += place.all;
    }
    __syncthreads();
}

// Several reads of a thread are under way at once: far rows come over the bus.
__device__ void copy_late(const Head &at, uint32_t count) {
    constexpr uint32_t each = 4;
    uint32_t parts = uint32_t(at.row / sizeof(uint4));
#pragma unroll 1
    for (uint32_t first = 0; first < count * parts; first += each * blockDim.x) {
        uint4 part[each];
#pragma unroll
        for (uint32_t j = 0; j < each; j++) {
            uint32_t i = first + j * blockDim.x + threadIdx.x;
            if (i >= count * parts) continue;
            const uint8_t *row = at.of.candidates[i / parts].row;
            part[j] = reinterpret_cast<const uint4 *>(row)[i % parts];
        }
#pragma unroll
        for (uint32_t j = 0; j < each; j++) {
            uint32_t i = first + j * blockDim.x + threadIdx.x;
            if (i >= count * parts) continue;
            uint8_t *row = at.slot_row(at.of.candidates[i / parts].place);
            reinterpret_cast<uint4 *>(row)[i % parts] = part[j];
        }
    }
}

__device__ uint32_t count_arriving(const Head &at) {
    uint32_t arriving = 0;
    for (uint32_t i = threadIdx.x; i < at.places; i += blockDim.x) {
        arriving += at.slots.next[i] == Slot::visible;
    }
    return over_block(arriving, Sum());
}

__global__ void __launch_bounds__(block_threads, 8)
    settle_head(const __grid_constant__ Resolve resolve) {
    __shared__ Head at;
    start_head(at, resolve, resolve.heads.first + blockIdx.x);
    map_slots(at, true);
    if (at.of.guesses_first) mark_wanted(at, true);
    uint32_t room = at.of.visible - count_arriving(at), count = find_candidates(at);
    map_slots(at, false);  // before a place gets another token
    mark_wanted(at, false);
    uint64_t cut = find_cut(at.of.candidates, count, min(count, room));
    uint32_t late_rows = keep_slots(at, count, cut);
    place_late(at, late_rows);
    copy_late(at, late_rows);
    for (uint32_t i = threadIdx.x; i < at.places; i += blockDim.x) {
        at.slots.now[i] = at.slots.next[i];
    }
}

}  // namespace

void settle(Stream &stream, const Resolve &resolve) {
    settle_head<<<resolve.heads.count, block_threads, 0, queue(stream)>>>(resolve);
    launched("settle");
}

}  // namespace specache::cuda

// slots.cu - which rows are near when a layer attends, as reference/slots.cpp decides it: what of
// the chosen is in slots, what is late, what is wanted. Far rows are pinned host memory, read where
// they lie: nothing is staged.
#include "slots.cuh"

namespace specache::cuda {
namespace {

__device__ void add(uint64_t &counter, uint64_t count) {
    if (count != 0) atomicAdd(reinterpret_cast<unsigned long long *>(&counter), count);
}

// A trusted input's rows: in a slot, late, or late for a trusted input before it.
__device__ void resolve_true(const Head &at, uint32_t input) {
    uint32_t reused = 0, late = 0;
    uint64_t list = at.list(input);
#pragma unroll 1
    for (uint32_t i = threadIdx.x; i < at.count(input); i += blockDim.x) {
        uint32_t token = at.of.chosen[list + i], place = at.place_of(token);
        const uint8_t *row = nullptr;
        if (place != 0) {
            at.slots.used[place - 1] = *at.of.step;
            row = at.slot_row(place - 1);
            reused++;
        } else if (at.of.values[list + i] > at.of.late_above) {
            row = row_of(at, input, token);
            if (row != nullptr) {
                reused++;
            } else {
                row = at.of.far + at.far_row(token);
                late++;
            }
        }
        at.of.rows[list + i] = row;
    }
    reused = over_warp(reused, Sum());
    late = over_warp(late, Sum());
    if (lane_of() == 0) {
        add(at.of.counters->reused_rows, reused);
        add(at.of.counters->late_rows, late);
    }
    __syncthreads();
}

// A guess uses what slots hold; the rest of its choice is wanted, the largest value of any guess.
__device__ uint32_t resolve_guess(const Head &at, uint32_t input, uint32_t wanted) {
    uint64_t list = at.list(input);
    uint32_t count = at.count(input);
#pragma unroll 1
    for (uint32_t first = 0; first < count; first += blockDim.x) {
        uint32_t i = first + threadIdx.x, token = 0;
        bool fresh = false;
        if (i < count) {
            token = at.of.chosen[list + i];
            uint32_t place = at.place_of(token);
            at.of.rows[list + i] = place != 0 ? at.slot_row(place - 1) : nullptr;
            if (at.places != 0) {
                float &largest = at.of.wanted_value[token];
                fresh = largest == 0;
                want(largest, at.of.values[list + i]);
            }
        }
        Place place = place_in_block(fresh);
        if (fresh) at.of.list[wanted + place.before] = token;
        wanted += place.all;
    }
    __syncthreads();
    return wanted;
}

// Puts the tokens of the list in order; candidates serve as scratch.
__device__ void sort_list(const Head &at, uint32_t count) {
    uint32_t *list = at.of.list;
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
        uint32_t token = list[i], below = 0;
#pragma unroll 4
        for (uint32_t other = 0; other < count; other++) below += list[other] < token;
        at.of.candidates[below].token = token;
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
        list[i] = at.of.candidates[i].token;
    }
    __syncthreads();
}

// Of the wanted rows those that are to be fetched, as candidates. A slot that has one of them keeps
// it; a row that is late in this step is near already when the step has attended.
__device__ uint32_t find_missing(const Head &at, uint32_t wanted) {
    bool ahead_only = at.of.ahead_only;
    uint32_t count = 0;
#pragma unroll 1
    for (uint32_t first = 0; first < wanted; first += blockDim.x) {
        uint32_t i = first + threadIdx.x, token = i < wanted ? at.of.list[i] : 0;
        uint32_t slot = i < wanted ? at.place_of(token) : 0;
        if (slot != 0) {
            at.slots.used[slot - 1] = *at.of.step;
            if (ahead_only) at.slots.next[slot - 1] = Slot::visible;
        }
        bool missing = i < wanted && slot == 0 &&
                       (ahead_only || row_of(at, at.of.trusted, token) == nullptr);
        Place place = place_in_block(missing);
        if (missing) {
            uint64_t worth = __float_as_uint(at.of.wanted_value[token]);
            at.of.candidates[count + place.before] = {worth, nullptr, token, 0};
        }
        count += place.all;
    }
    __syncthreads();
    return count;
}

// The most valuable of the candidates to the list, in the order in which far rows lie.
__device__ uint32_t list_best(const Head &at, uint32_t count) {
    uint32_t kept = min(count, at.of.arriving), listed = 0;
    uint64_t cut = find_cut(at.of.candidates, count, kept);
#pragma unroll 1
    for (uint32_t first = 0; first < count; first += blockDim.x) {
        uint32_t i = first + threadIdx.x;
        bool best = i < count && key_of(at.of.candidates[i]) >= cut;
        Place place = place_in_block(best);
        if (best) at.of.list[listed + place.before] = at.of.candidates[i].token;
        listed += place.all;
    }
    __syncthreads();
    if (at.of.inputs - at.of.trusted > 1) sort_list(at, kept);  // one guess's are in order
    return kept;
}

// Starts the fetch of the most valuable wanted rows into places that the running step cannot see.
__device__ void prefetch(const Head &at, uint32_t wanted) {
    __shared__ Copy *copies;  // behind those of the heads that were faster
    const Slots &slots = at.slots;
    for (uint32_t i = threadIdx.x; i < at.places; i += blockDim.x) slots.next[i] = Slot::empty;
    __syncthreads();
    uint32_t count = list_best(at, find_missing(at, wanted)), placed = 0;
    if (threadIdx.x == 0) {
        copies = at.of.copies + atomicAdd(at.of.wanted, count);
        add(at.of.counters->prefetched_rows, count);
        add(at.of.counters->fetched_bytes, count * at.row);
    }
    __syncthreads();
#pragma unroll 1
    for (uint32_t first = 0; placed < count; first += blockDim.x) {
        uint32_t i = first + threadIdx.x;
        bool open = i < at.places && slots.now[i] != Slot::visible;
        Place place = place_in_block(open);
        uint32_t which = placed + place.before;
        if (open && which < count) {
            uint32_t token = at.of.list[which];
            copies[which] = {at.far_row(token), at.slot_row(i)};
            slots.tokens[i] = token;
            slots.used[i] = *at.of.step;
            slots.next[i] = Slot::visible;
        }
        placed += place.all;
    }
    __syncthreads();
}

// Mode paper: exact is what the step before fetched, for every input.
__device__ void resolve_paper(const Head &at) {
    uint32_t count = 0, places = at.of.trusted == 0 ? 0 : at.places;  // the pre-decode: codes alone
#pragma unroll 1
    for (uint32_t first = 0; first < places; first += blockDim.x) {
        uint32_t i = first + threadIdx.x;
        bool visible = i < places && at.slots.now[i] == Slot::visible;
        Place place = place_in_block(visible);
        if (visible) at.of.list[count + place.before] = at.slots.tokens[i];
        count += place.all;
    }
    __syncthreads();
    sort_list(at, count);
#pragma unroll 1
    for (uint32_t input = 0; input < at.of.inputs; input++) {
        // A step that was not kept may have fetched what this one sees in its window.
        uint32_t tail = coded_pages(at.of.positions[input]) * page_tokens;
        uint32_t seen = lower_bound(at.of.list, count, tail);
        for (uint32_t i = threadIdx.x; i < seen; i += blockDim.x) {
            uint32_t token = at.of.list[i];
            at.of.exact[at.list(input) + i] = token;
            at.of.rows[at.list(input) + i] = at.slot_row(at.place_of(token) - 1);
        }
        if (threadIdx.x == 0) at.of.exact_counts[at.pair(input)] = seen;
    }
    __syncthreads();
}

__global__ void __launch_bounds__(block_threads)
    resolve_head(const __grid_constant__ Resolve resolve) {
    __shared__ Head at;
    start_head(at, resolve, resolve.heads.first + blockIdx.x);
    map_slots(at, true);
    uint32_t wanted = 0;
#pragma unroll 1
    for (uint32_t input = 0; input < at.of.inputs; input++) {
        if (input >= at.of.trusted) wanted = resolve_guess(at, input, wanted);
        else if (!at.of.ahead_only) resolve_true(at, input);
    }
    if (at.places != 0) {
        if (!at.of.ahead_only || at.of.inputs > at.of.trusted) prefetch(at, wanted);
        mark_wanted(at, false);
    }
    if (at.of.ahead_only) resolve_paper(at);
    map_slots(at, false);
    if (blockIdx.x == 0 && threadIdx.x == 0) *at.of.late = 0;
}

}  // namespace

void resolve(Stream &stream, const Resolve &resolve) {
    if (resolve.heads.first == 0) {
        check(cudaMemsetAsync(resolve.wanted, 0, sizeof(uint32_t), queue(stream)), "resolve");
    }
    resolve_head<<<resolve.heads.count, block_threads, 0, queue(stream)>>>(resolve);
    launched("resolve");
}

}  // namespace specache::cuda

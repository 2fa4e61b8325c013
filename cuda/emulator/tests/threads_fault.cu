// threads_fault.cu - mistakes inside of a block: barriers, shared memory, lanes, asynchronous
// copies, matrix loads.
#include <cuda_pipeline_primitives.h>

#include <cstdint>

#include "device.h"
#include "faults.h"

namespace {

constexpr int threads = 64;

// With `barriers` below 3 one is missing: after the write, or at the end of a round.
template <int barriers> __global__ void turn(int rounds, float *y) {
    __shared__ float row[threads];
    for (int round = 0; round < rounds; round++) {
        row[threadIdx.x] = float(threadIdx.x + round);
        if constexpr (barriers & 1) __syncthreads();
        y[threadIdx.x] = row[threads - 1 - threadIdx.x];
        if constexpr (barriers & 2) __syncthreads();
    }
}
template <int barriers> void run_turn(int rounds) {
    float *y = on_device<float>(threads);
    turn<barriers><<<1, threads, 0, main_stream()>>>(rounds, y);
    std::vector<float> got = download(y, threads);
    for (int i = 0; i < threads; i++) {
        if (got[i] != float(threads - 1 - i + rounds - 1)) faults::wrong("a row was overtaken");
    }
}

__global__ void broadcast(const float *x, float *y) {  // the right value, and yet a race
    __shared__ float total;
    for (int round = 0; round < 4; round++) {
        if (threadIdx.x == 0) total = x[round];
        __syncthreads();
        y[threadIdx.x] = total;
    }
}

__global__ void barrier_for_some(float *y) {
    if (threadIdx.x < 40) __syncthreads();
    y[threadIdx.x] = 0;
    __syncthreads();
}
__global__ void two_barriers_apart(float *y) {
    if (threadIdx.x < 32) {
        asm volatile("bar.sync 0;");
        y[threadIdx.x] = 1;
    } else {
        asm volatile("bar.sync 0;");
        y[threadIdx.x] = 2;
    }
}
__global__ void named_barrier_of_too_many(int *y) {
    if (threadIdx.x < 32) asm volatile("bar.sync 3, 64;" ::: "memory");
    y[threadIdx.x] = 1;
}

__global__ void shared_past_end(int last, float *y) {
    __shared__ float row[threads];
    row[threadIdx.x] = 1;
    __syncthreads();
    if (threadIdx.x == 0) row[last] = 2;
    __syncthreads();
    y[threadIdx.x] = row[threadIdx.x];
}
__global__ void dynamic_past_end(int last, float *y) {
    extern __shared__ float many[];
    many[threadIdx.x] = 1;
    if (threadIdx.x == 0) y[0] = many[last];
}
__global__ void never_written(float *y) {
    __shared__ float row[threads];
    if (threadIdx.x != 5) row[threadIdx.x] = 1;
    __syncthreads();
    y[threadIdx.x] = row[threads - 1 - threadIdx.x];
}
__global__ void left_by_block_before(float *y) {
    __shared__ volatile float total;
    if (blockIdx.x == 0 && threadIdx.x == 0) total = 7;
    __syncthreads();
    y[blockIdx.x * blockDim.x + threadIdx.x] = total;
}
__global__ void not_aligned(float *y) {
    __shared__ float row[threads + 4];
    row[threadIdx.x] = 1;
    if (threadIdx.x < 4) row[threads + threadIdx.x] = 1;
    __syncthreads();
    float4 four = *reinterpret_cast<const float4 *>(&row[threadIdx.x & 1]);
    y[threadIdx.x] = four.x + four.y + four.z + four.w;
}

__global__ void shuffle_for_half(float *y) {
    float value = float(threadIdx.x);
    if (threadIdx.x < 16) value = __shfl_xor_sync(~0u, value, 1);
    else __syncwarp();
    y[threadIdx.x] = value;
}
__global__ void lane_not_in_mask(float *y) {
    y[threadIdx.x] = __shfl_xor_sync(0xffffu, float(threadIdx.x), 1);
}
__global__ void shuffle_from_absent(float *y) {
    float value = float(threadIdx.x);
    if (threadIdx.x < 16) value = __shfl_xor_sync(0xffffu, value, 16);
    y[threadIdx.x] = value;
}
__global__ void lanes_in_lockstep(float *y) {  // as if a warp went in step
    __shared__ float row[32];
    row[threadIdx.x] = float(threadIdx.x);
    y[threadIdx.x] = row[31 - threadIdx.x];
}

// With `left` above 0 the last stage is used before it has come.
template <int left> __global__ void staged(const int4 *from, int4 *to) {
    __shared__ int4 stage[threads];
    __pipeline_memcpy_async(&stage[threadIdx.x], &from[threadIdx.x], sizeof(int4));
    __pipeline_commit();
    __pipeline_wait_prior(left);
    to[threadIdx.x] = stage[threadIdx.x];
}
template <int left> void run_staged() {
    int4 *from = upload(std::vector<int4>(threads)), *to = on_device<int4>(threads);
    staged<left><<<1, threads, 0, main_stream()>>>(from, to);
    if (download(to, threads)[5].x != 0) faults::wrong("the copy was used before it was there");
}
__global__ void staged_for_others(const int4 *from, int4 *to) {  // own copies are waited for only
    __shared__ int4 stage[threads];
    __pipeline_memcpy_async(&stage[threadIdx.x], &from[threadIdx.x], sizeof(int4));
    __pipeline_commit();
    __pipeline_wait_prior(0);
    to[threadIdx.x] = stage[threads - 1 - threadIdx.x];
}

__global__ void matrix_not_filled(uint32_t *y) {  // no __syncwarp between store and ldmatrix
    __shared__ alignas(16) uint16_t rows[8][8];
    uint32_t got;
    for (int i = 31 - int(threadIdx.x); i < 64; i += 32) rows[i / 8][i % 8] = 1;
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                 : "=r"(got)
                 : "r"(uint32_t(__cvta_generic_to_shared(rows[threadIdx.x % 8])))
                 : "memory");
    y[threadIdx.x] = got;
}

__global__ void counted_in_block(int *y) {
    __shared__ int count;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    volatile int *place = &count;
    for (int i = 0; i < 20; i++) *place = *place + 1;
    __syncthreads();
    if (threadIdx.x == 0) *y = count;
}

template <class... Parameters, class... Values>
void run(void (*kernel)(Parameters...), int blocks, int size, size_t shared, Values... values) {
    kernel<<<blocks, size, shared, main_stream()>>>(values...);
    CALL(cudaGetLastError());
    CALL(cudaStreamSynchronize(main_stream()));
}

}  // namespace

RIGHT(turned_with_both_barriers) { run_turn<3>(4); }
FAULT(barrier_missing_after_write, "plain address thread", "wrong result|data race") {
    run_turn<2>(1);
}
FAULT(barrier_missing_at_end_of_round, "thread", "data race.*|wrong result") { run_turn<1>(4); }
FAULT(barrier_missing_with_right_value, "thread", "data race") {
    run(broadcast, 1, threads, 0, upload(std::vector<float>(4, 1)), on_device<float>(threads));
}
FAULT(barrier_for_some_threads, "plain address thread", "different barriers") {
    run(barrier_for_some, 1, threads, 0, on_device<float>(threads));
}
FAULT(barriers_on_two_branches, "plain address thread", "different barriers") {
    run(two_barriers_apart, 1, threads, 0, on_device<float>(threads));
}
FAULT(named_barrier_of_too_many, "plain address thread", "deadlock") {
    run(named_barrier_of_too_many, 1, threads, 0, on_device<int>(threads));
}
FAULT(shared_array_written_past_its_end, "plain address thread", "of no variable") {
    run(shared_past_end, 1, threads, 0, threads, on_device<float>(threads));
}
FAULT(dynamic_shared_read_past_its_end, "plain address thread", "of no variable") {
    run(dynamic_past_end, 1, threads, threads * 4, threads, on_device<float>(threads));
}
FAULT(shared_memory_never_written, "plain address thread", "wrong result: nan") {
    float *y = on_device<float>(threads);
    run(never_written, 1, threads, 0, y);
    float sum = 0;
    for (float value : download(y, threads)) sum += value;
    if (sum != threads) faults::wrong(sum != sum ? "nan" : "a sum");
}
FAULT(shared_memory_of_block_before, "plain address thread", "wrong result") {
    float *y = on_device<float>(2 * 32);
    run(left_by_block_before, 2, 32, 0, y);
    if (download(y, 64)[40] != 7) faults::wrong("nothing was left there");
}
FAULT(shared_access_not_aligned, "plain address thread", "not aligned") {
    run(not_aligned, 1, threads, 0, on_device<float>(threads));
}
FAULT(full_mask_for_half_a_warp, "plain address thread", "different collectives|deadlock") {
    run(shuffle_for_half, 1, 32, 0, on_device<float>(32));
}
FAULT(lane_outside_of_its_mask, "plain address thread", "not in its own mask") {
    run(lane_not_in_mask, 1, 32, 0, on_device<float>(32));
}
FAULT(shuffle_from_a_lane_outside_of_the_mask, "plain address thread", "shuffles from lane") {
    run(shuffle_from_absent, 1, 32, 0, on_device<float>(32));
}
FAULT(warp_thought_to_go_in_step, "thread", "data race") {
    run(lanes_in_lockstep, 1, 32, 0, on_device<float>(32));
}
RIGHT(copy_waited_for) { run_staged<0>(); }
FAULT(copy_not_waited_for, "plain address thread", "wrong result") { run_staged<1>(); }
FAULT(copy_of_other_threads_without_barrier, "thread", "data race|wrong result") {
    run(staged_for_others, 1, threads, 0, upload(std::vector<int4>(threads)),
        on_device<int4>(threads));
}
FAULT(matrix_loaded_before_it_is_filled, "thread", "data race") {
    run(matrix_not_filled, 1, 32, 0, on_device<uint32_t>(32));
}
FAULT(counted_in_shared_without_atomics, "plain address thread", "wrong result") {
    int *y = on_device<int>(1);
    run(counted_in_block, 1, threads, 0, y);
    if (download(y, 1)[0] != 20 * threads) faults::wrong("a count was lost");
}

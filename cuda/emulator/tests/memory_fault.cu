// memory_fault.cu - mistakes with memory: bounds, lifetimes, whose memory it is, blocks that race.
#include "device.h"
#include "faults.h"

namespace {

__global__ void fill(int n, float value, float *y) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = value;
}
__global__ void up_to_and_with(int n, float *y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n) y[i] = 1;
}
__global__ void gather(int n, const unsigned *chosen, const float *rows, float *y) {
    int i = threadIdx.x;
    if (i < n) y[i] = rows[chosen[i]];
}
__global__ void count_plainly(int *counter) { *counter = *counter + 1; }
__global__ void neighbours(int n, float *y) {  // of another block at the edges
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i + 1 < n) y[i] = y[i + 1] + 1;
}
// The last block reads what the others wrote, but no fence is between.
template <bool fences> __global__ void sum_by_last(float *parts, unsigned *done, float *sum) {
    parts[blockIdx.x] = 1;
    if constexpr (fences) __threadfence();
    if (atomicAdd(done, 1u) != gridDim.x - 1) return;
    if constexpr (fences) __threadfence();
    float total = 0;
    for (unsigned i = 0; i < gridDim.x; i++) total += parts[i];
    *sum = total;
}
template <bool fences> void run_sum_by_last() {
    unsigned *done = upload(std::vector<unsigned>(1));
    sum_by_last<fences><<<8, 1, 0, main_stream()>>>(on_device<float>(8), done, on_device<float>(1));
    CALL(cudaStreamSynchronize(main_stream()));
}
__global__ void float4_at(const float *from, float4 *to) {
    to[threadIdx.x] = *reinterpret_cast<const float4 *>(from + threadIdx.x);
}
__global__ void own_table(int place, int *y) {
    int table[8];
    for (int i = 0; i < 8; i++) table[i] = y[i];
    y[threadIdx.x] = table[place + threadIdx.x];
}

void finish() { CALL(cudaStreamSynchronize(main_stream())); }

}  // namespace

RIGHT(filled_to_its_end) {
    float *y = on_device<float>(100);
    fill<<<1, 32, 0, main_stream()>>>(100, 1, y);
    finish();
    CALL(cudaFree(y));
}
FAULT(buffer_written_past_its_end, "plain address thread", "a kernel reaches for|overflow|poison") {
    up_to_and_with<<<2, 64, 0, main_stream()>>>(100, on_device<float>(100));
    finish();
}
FAULT(gather_off_by_one, "plain address thread", "a kernel reaches for|poison") {
    std::vector<unsigned> chosen{0, 7, 15, 16};
    float *rows = on_device<float>(16);
    fill<<<1, 32, 0, main_stream()>>>(16, 1, rows);
    gather<<<1, 4, 0, main_stream()>>>(4, upload(chosen), rows, on_device<float>(4));
    finish();
}
FAULT(gather_by_a_stale_table, "plain address thread", "freed") {
    float *old_rows = on_device<float>(16), *y = on_device<float>(4);
    unsigned *chosen = upload(std::vector<unsigned>{0, 1, 2, 3});
    CALL(cudaFree(old_rows));  // moved elsewhere, the table was not told
    float *rows = on_device<float>(32);
    fill<<<1, 32, 0, main_stream()>>>(32, 1, rows);
    gather<<<1, 4, 0, main_stream()>>>(4, chosen, old_rows, y);
    finish();
}
FAULT(kernel_uses_freed_memory, "plain address thread", "freed") {
    float *y = on_device<float>(100);
    CALL(cudaFree(y));
    fill<<<1, 32, 0, main_stream()>>>(100, 1, y);
    finish();
}
FAULT(memory_freed_twice, "plain address thread", "cudaErrorInvalidValue") {
    float *y = on_device<float>(100);
    CALL(cudaFree(y));
    CALL(cudaFree(y));
}
FAULT(device_memory_never_written, "plain address thread", "wrong result: nan") {
    float *rows = on_device<float>(16), *y = on_device<float>(4);
    fill<<<1, 32, 0, main_stream()>>>(15, 1, rows);
    gather<<<1, 4, 0, main_stream()>>>(4, upload(std::vector<unsigned>{0, 7, 14, 15}), rows, y);
    float last = download(y, 4)[3];
    if (last != 1) faults::wrong(last != last ? "nan" : "a number");
}
FAULT(pointer_of_the_host_given_to_a_kernel, "plain address thread", "no memory of the device") {
    std::vector<float> y(100);
    fill<<<1, 32, 0, main_stream()>>>(100, 1, y.data());
    finish();
}
FAULT(pinned_memory_read_past_its_end, "plain address thread", "a kernel reaches for|poison") {
    float *rows = pinned<float>(16);
    for (int i = 0; i < 16; i++) rows[i] = 1;
    unsigned *chosen = upload(std::vector<unsigned>{0, 7, 15, 16});
    gather<<<1, 4, 0, main_stream()>>>(4, chosen, rows, on_device<float>(4));
    finish();
}
FAULT(host_writes_device_memory, "plain address thread", "host reaches|SEGV|poison") {
    on_device<float>(100)[3] = 1;
}
FAULT(host_reads_device_memory, "plain address thread", "host reaches|SEGV|poison") {
    float *y = on_device<float>(100);
    fill<<<1, 32, 0, main_stream()>>>(100, 1, y);
    finish();
    if (y[3] != 1) faults::wrong("it was filled");
}
FAULT(copy_longer_than_its_buffer, "plain address thread", "cudaErrorInvalidValue") {
    float *y = on_device<float>(100), *from = pinned<float>(200);
    CALL(cudaMemcpyAsync(y, from, 101 * sizeof(float), cudaMemcpyHostToDevice, main_stream()));
}
FAULT(copy_in_the_wrong_direction, "plain address thread", "cudaErrorInvalidValue") {
    float *y = on_device<float>(100), *to = pinned<float>(100);
    CALL(cudaMemcpyAsync(to, y, 400, cudaMemcpyHostToDevice, main_stream()));
}
FAULT(blocks_count_without_atomics, "thread", "data race") {
    count_plainly<<<2, 1, 0, main_stream()>>>(upload(std::vector<int>(1)));
    finish();
}
FAULT(block_reads_what_its_neighbour_writes, "thread", "data race") {
    neighbours<<<2, 32, 0, main_stream()>>>(64, upload(std::vector<float>(64)));
    finish();
}
RIGHT(last_block_with_fences) { run_sum_by_last<true>(); }
FAULT(last_block_without_fences, "thread", "data race") { run_sum_by_last<false>(); }
FAULT(vector_access_not_aligned, "plain address thread", "not aligned") {
    float *from = on_device<float>(64);
    fill<<<1, 32, 0, main_stream()>>>(64, 1, from);
    float4_at<<<1, 8, 0, main_stream()>>>(from, on_device<float4>(8));
    finish();
}
FAULT(local_array_read_past_its_end, "address", "stack-buffer-overflow|poison|data race") {
    own_table<<<1, 4, 0, main_stream()>>>(6, upload(std::vector<int>(8)));
    finish();
}

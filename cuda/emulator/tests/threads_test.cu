// threads_test.cu - grids, tails, barriers, shared memory and atomic operations.
#include "../../../native/tests/test.h"
#include "device.h"

namespace {

__global__ void saxpy(int n, float a, const float *x, float *y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + y[i];
}

// sums (gridDim.x) f32: each block's sum of its part of x.
__global__ void block_sums(int n, const float *x, float *sums) {
    __shared__ float of_warp[4];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = i < n ? x[i] : 0;
    for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) sums[blockIdx.x] = of_warp[0] + of_warp[1] + of_warp[2] + of_warp[3];
}

__global__ void transpose(int rows, int columns, const int *from, int *to) {
    __shared__ int tile[8][9];
    int row = blockIdx.y * 8 + threadIdx.y, column = blockIdx.x * 8 + threadIdx.x;
    if (row < rows && column < columns) {
        tile[threadIdx.y][threadIdx.x] = from[row * columns + column];
    }
    __syncthreads();
    int to_row = blockIdx.x * 8 + threadIdx.y, to_column = blockIdx.y * 8 + threadIdx.x;
    if (to_row < columns && to_column < rows) {
        to[to_row * rows + to_column] = tile[threadIdx.x][threadIdx.y];
    }
}

__global__ void histogram(int n, const unsigned *values, unsigned *bins, float *sum) {
    __shared__ unsigned own[8];
    if (threadIdx.x < 8) own[threadIdx.x] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        atomicAdd(&own[values[i] % 8], 1u);
        atomicAdd(sum, 1.0f);
    }
    __syncthreads();
    if (threadIdx.x < 8) atomicAdd(&bins[threadIdx.x], own[threadIdx.x]);
}

__global__ void other_atomics(unsigned *words, unsigned long long *wide) {
    unsigned i = threadIdx.x;
    atomicMax(&words[0], i);
    atomicMin(&words[1], i);
    atomicOr(&words[2], 1u << i % 32);
    atomicInc(&words[3], 9);
    atomicCAS(&words[4], 0xffffffffu, i);
    atomicAdd(wide, 1ull << 33);
}

// The block that comes last adds up what all blocks left.
__global__ void sum_by_last(const float *x, float *parts, unsigned *done, float *sum) {
    __shared__ bool last;
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = x[blockIdx.x];
        __threadfence();
        last = atomicAdd(done, 1u) == gridDim.x - 1;
        __threadfence();
    }
    __syncthreads();
    if (!last || threadIdx.x != 0) return;
    float total = 0;
    for (unsigned i = 0; i < gridDim.x; i++) total += parts[i];
    *sum = total;
}

// Warp 0 makes rounds that warp 1 takes: two named barriers of 64 threads.
__global__ void producer_consumer(int rounds, int *taken) {
    __shared__ int stage[32];
    for (int round = 0; round < rounds; round++) {
        if (threadIdx.x < 32) {
            stage[threadIdx.x] = round * 32 + threadIdx.x;
            asm volatile("bar.arrive 1, 64;" ::: "memory");
            asm volatile("bar.sync 2, 64;" ::: "memory");
        } else {
            asm volatile("bar.sync 1, 64;" ::: "memory");
            taken[round * 32 + threadIdx.x - 32] = stage[threadIdx.x - 32];
            asm volatile("bar.arrive 2, 64;" ::: "memory");
        }
    }
}

__global__ void count_in_block(int n, int *counts) {
    bool in = int(threadIdx.x) < n;
    int count = __syncthreads_count(in), all = __syncthreads_and(in), any = __syncthreads_or(in);
    if (threadIdx.x == 0) counts[0] = count, counts[1] = all, counts[2] = any;
}

__global__ void some_leave_early(int n, int *y) {
    __shared__ int row[64];
    if (int(threadIdx.x) >= n) return;
    row[threadIdx.x] = threadIdx.x;
    __syncthreads();
    y[threadIdx.x] = row[n - 1 - threadIdx.x];
}

__global__ void much_shared(int n, int *y) {
    extern __shared__ int many[];
    for (int i = threadIdx.x; i < n; i += blockDim.x) many[i] = i;
    __syncthreads();
    if (threadIdx.x == 0) y[0] = many[n - 1];
}

__global__ void places(int *y) {
    int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    y[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}

}  // namespace

TEST("a grid with a tail touches each element once") {
    for (int n : {1, 31, 32, 33, 127, 128, 129, 1000}) {
        std::vector<float> x(n), y(n);
        for (int i = 0; i < n; i++) x[i] = float(i), y[i] = float(2 * i);
        float *device_x = upload(x), *device_y = upload(y);
        saxpy<<<(n + 63) / 64, 64, 0, main_stream()>>>(n, 3.0f, device_x, device_y);
        CALL(cudaGetLastError());
        std::vector<float> got = download(device_y, n);
        for (int i = 0; i < n; i++) CHECK_NEAR(got[i], 5 * i, 0);
        CALL(cudaFree(device_x));
        CALL(cudaFree(device_y));
    }
}

TEST("blocks reduce by shuffles and shared memory") {
    std::vector<float> x(300);
    for (int i = 0; i < 300; i++) x[i] = float(i % 7);
    float *device_x = upload(x), *sums = on_device<float>(3);
    block_sums<<<3, 128, 0, main_stream()>>>(300, device_x, sums);
    std::vector<float> got = download(sums, 3);
    for (int block = 0; block < 3; block++) {
        float sum = 0;
        for (int i = block * 128; i < 300 && i < block * 128 + 128; i++) sum += x[i];
        CHECK_NEAR(got[block], sum, 0);
    }
}

TEST("a matrix is transposed through shared memory, odd sizes too") {
    int rows = 13, columns = 21;
    std::vector<int> from(rows * columns);
    for (int i = 0; i < rows * columns; i++) from[i] = i;
    int *device_from = upload(from), *to = on_device<int>(rows * columns);
    transpose<<<dim3(3, 2), dim3(8, 8), 0, main_stream()>>>(rows, columns, device_from, to);
    std::vector<int> got = download(to, rows * columns);
    for (int row = 0; row < rows; row++) {
        for (int column = 0; column < columns; column++) {
            CHECK_NEAR(got[column * rows + row], row * columns + column, 0);
        }
    }
}

TEST("atomic operations count in shared and in global memory") {
    std::vector<unsigned> values(200);
    for (unsigned i = 0; i < 200; i++) values[i] = i * 2654435761u >> 9;
    unsigned *device_values = upload(values), *bins = upload(std::vector<unsigned>(8));
    float *sum = upload(std::vector<float>(1));
    histogram<<<3, 32, 0, main_stream()>>>(200, device_values, bins, sum);
    std::vector<unsigned> wanted(8), got = download(bins, 8);
    for (unsigned value : values) wanted[value % 8]++;
    for (int i = 0; i < 8; i++) CHECK_NEAR(got[i], wanted[i], 0);
    CHECK_NEAR(download(sum, 1)[0], 200, 0);
}

TEST("atomic max, min, or, inc, cas and 64-bit add") {
    unsigned *words = upload(std::vector<unsigned>{0, 99, 0, 0, 0xffffffffu});
    auto *wide = upload(std::vector<unsigned long long>(1));
    other_atomics<<<1, 64, 0, main_stream()>>>(words, wide);
    std::vector<unsigned> got = download(words, 5);
    CHECK_NEAR(got[0], 63, 0);
    CHECK_NEAR(got[1], 0, 0);
    CHECK_NEAR(got[2], 0xffffffffu, 0);
    CHECK_NEAR(got[3], 64 % 10, 0);
    CHECK(got[4] < 64);
    CHECK(download(wide, 1)[0] == 64ull << 33);
}

TEST("the last block sees what the others wrote before their fences") {
    std::vector<float> x(20, 2.0f);
    float *device_x = upload(x), *parts = on_device<float>(20), *sum = on_device<float>(1);
    unsigned *done = upload(std::vector<unsigned>(1));
    sum_by_last<<<20, 32, 0, main_stream()>>>(device_x, parts, done, sum);
    CHECK_NEAR(download(sum, 1)[0], 40, 0);
}

TEST("named barriers hand rounds from one warp to another") {
    int *taken = on_device<int>(160);
    producer_consumer<<<1, 64, 0, main_stream()>>>(5, taken);
    std::vector<int> got = download(taken, 160);
    for (int i = 0; i < 160; i++) CHECK_NEAR(got[i], i, 0);
}

TEST("barriers count votes of the block") {
    int *counts = on_device<int>(3);
    for (int n : {0, 5, 64}) {
        count_in_block<<<1, 64, 0, main_stream()>>>(n, counts);
        std::vector<int> got = download(counts, 3);
        CHECK_NEAR(got[0], n, 0);
        CHECK((got[1] != 0) == (n == 64));
        CHECK((got[2] != 0) == (n > 0));
    }
}

TEST("threads that have ended are not waited for") {
    int *y = on_device<int>(64);
    some_leave_early<<<1, 64, 0, main_stream()>>>(37, y);
    std::vector<int> got = download(y, 37);
    for (int i = 0; i < 37; i++) CHECK_NEAR(got[i], 36 - i, 0);
}

TEST("shared memory above 48 KiB is refused until it is asked for") {
    int n = 25000, *y = on_device<int>(1);
    much_shared<<<1, 32, n * sizeof(int), main_stream()>>>(n, y);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
    CALL(cudaFuncSetAttribute(much_shared, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              n * sizeof(int)));
    much_shared<<<1, 32, n * sizeof(int), main_stream()>>>(n, y);
    CHECK_NEAR(download(y, 1)[0], n - 1, 0);
}

TEST("grids and blocks of three dimensions reach every place") {
    int *y = on_device<int>(2 * 3 * 2 * 24);
    places<<<dim3(2, 3, 2), dim3(4, 3, 2), 0, main_stream()>>>(y);
    std::vector<int> got = download(y, 12 * 24);
    for (int i = 0; i < 12 * 24; i++) CHECK_NEAR(got[i], i / 24 * 1000 + i % 24, 0);
}

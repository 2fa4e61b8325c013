// module_test.cu - constants, variables, device functions, local memory, asynchronous copies.
#include <cuda_pipeline_primitives.h>

#include "../../../native/tests/test.h"
#include "device.h"

namespace {

__constant__ float weights[4] = {1, 2, 4, 8};
__constant__ int offset;  // given by the host
__device__ int counter = 5;
__device__ float rows[2][3] = {{1, 2, 3}, {4, 5, 6}};

struct Shape {
    int rows, columns;
    float scale;
    const float *from;
};

__noinline__ __device__ float weighted(float value, int place) { return value * weights[place]; }
__noinline__ __device__ int fibonacci(int n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

__global__ void use_variables(float *y) {
    int i = threadIdx.x;
    y[i] = weighted(rows[i % 2][i % 3], i % 4) + float(offset);
    atomicAdd(&counter, 1);
}
__global__ void recur(int *y) { y[threadIdx.x] = fibonacci(int(threadIdx.x)); }
__global__ void by_struct(Shape shape, float *y) {
    int i = threadIdx.x;
    if (i < shape.rows * shape.columns) y[i] = shape.from[i] * shape.scale;
}

// y[i]: the place of i in a table that stands in local memory, indexed by data.
__global__ void local_table(const int *order, int *y) {
    int table[16];
    for (int i = 0; i < 16; i++) table[order[i]] = i;
    y[threadIdx.x] = table[threadIdx.x];
}

__global__ void say(int value) {
    if (threadIdx.x == 1) printf("device says %d and %.1f\n", value, 2.5);
}

// to = from + 1, by stages of 32 x 16 bytes, one ahead; what is past n comes as zeros.
__global__ void pipeline(int n, const int4 *from, int4 *to) {
    __shared__ int4 stage[2][32];
    int lane = threadIdx.x, stages = (n + 31) / 32;
    auto load = [&](int s) {
        int i = s * 32 + lane;
        size_t missing = i < n ? 0 : sizeof(int4);
        __pipeline_memcpy_async(&stage[s % 2][lane], &from[i < n ? i : 0], sizeof(int4), missing);
        __pipeline_commit();
    };
    load(0);
    for (int s = 0; s < stages; s++) {
        if (s + 1 < stages) load(s + 1);
        __pipeline_wait_prior(s + 1 < stages ? 1 : 0);
        __syncwarp();
        int4 value = stage[s % 2][31 - lane];  // of another lane
        __syncwarp();
        to[s * 32 + 31 - lane] = {value.x + 1, value.y + 1, value.z + 1, value.w + 1};
    }
}

}  // namespace

TEST("constants and initialised variables, as the source and as the host gave them") {
    int given = 10, count = 0;
    CALL(cudaMemcpyToSymbol(offset, &given, sizeof given));
    float *y = on_device<float>(12);
    use_variables<<<1, 12, 0, main_stream()>>>(y);
    std::vector<float> got = download(y, 12);
    for (int i = 0; i < 12; i++) {
        CHECK_NEAR(got[i], (i % 2 * 3 + i % 3 + 1) * (1 << i % 4) + 10, 0);
    }
    CALL(cudaMemcpyFromSymbol(&count, counter, sizeof count));
    CHECK_NEAR(count, 17, 0);
}

TEST("device functions call themselves") {
    int *y = on_device<int>(10);
    recur<<<1, 10, 0, main_stream()>>>(y);
    std::vector<int> got = download(y, 10);
    CHECK_NEAR(got[9], 34, 0);
}

TEST("a structure is passed to a kernel as it was when it was launched") {
    Shape shape{2, 3, 0.5f, upload(std::vector<float>{1, 2, 3, 4, 5, 6})};
    float *y = on_device<float>(6);
    by_struct<<<1, 32, 0, main_stream()>>>(shape, y);
    shape.scale = 9;
    std::vector<float> got = download(y, 6);
    for (int i = 0; i < 6; i++) CHECK_NEAR(got[i], (i + 1) * 0.5f, 0);
}

TEST("local memory is each thread's own") {
    std::vector<int> order(16);
    for (int i = 0; i < 16; i++) order[i] = i * 5 % 16;
    int *y = on_device<int>(16);
    local_table<<<1, 16, 0, main_stream()>>>(upload(order), y);
    std::vector<int> got = download(y, 16);
    for (int i = 0; i < 16; i++) CHECK_NEAR(order[got[i]], i, 0);
}

TEST("device code prints") {
    say<<<1, 2, 0, main_stream()>>>(42);
    CALL(cudaStreamSynchronize(main_stream()));
}

TEST("asynchronous copies run one stage ahead, with a tail of zeros") {
    for (int n : {32, 70, 128}) {
        std::vector<int4> from(n);
        for (int i = 0; i < n; i++) from[i] = {i, 2 * i, 3 * i, 4 * i};
        int whole = (n + 31) / 32 * 32;
        int4 *to = on_device<int4>(whole);
        pipeline<<<1, 32, 0, main_stream()>>>(n, upload(from), to);
        std::vector<int4> got = download(to, whole);
        for (int i = 0; i < whole; i++) CHECK_NEAR(got[i].w, i < n ? 4 * i + 1 : 1, 0);
    }
}

// threads_test.cu - grids, tails, barriers, shared memory and warps.
#include "../../../native/tests/test.h"
#include "device.h"

namespace {

__global__ void saxpy(int n, float a, const float *x, float *y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + y[i];
}

}  // namespace

TEST("a grid with a tail touches each element once") {
    for (int n : {1, 31, 32, 33, 127, 128, 129, 1000}) {
        std::vector<float> x(n), y(n);
        for (int i = 0; i < n; i++) x[i] = float(i), y[i] = float(2 * i);
        float *device_x = upload(x), *device_y = upload(y);
        cudaStream_t stream = new_stream();
        saxpy<<<(n + 63) / 64, 64, 0, stream>>>(n, 3.0f, device_x, device_y);
        CALL(cudaGetLastError());
        std::vector<float> got = download(device_y, n);
        for (int i = 0; i < n; i++) CHECK_NEAR(got[i], 5 * i, 0);
        CALL(cudaStreamDestroy(stream));
        CALL(cudaFree(device_x));
        CALL(cudaFree(device_y));
    }
}

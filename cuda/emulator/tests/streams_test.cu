// streams_test.cu - streams, events, memory of the host, graphs and errors of the runtime.
#include <cstring>

#include "../../../native/tests/test.h"
#include "device.h"

namespace {

__global__ void add(int n, const int *x, int by, int *y) {
    int i = threadIdx.x;
    if (i < n) y[i] = x[i] + by;
}
__global__ void sum_rows(const int *rows, const unsigned *chosen, int *y) {
    y[threadIdx.x] = rows[chosen[threadIdx.x]];
}

void mark(void *at) { ++*static_cast<int *>(at); }

}  // namespace

TEST("two streams are ordered by an event, and the host by synchronising") {
    int *from = pinned<int>(16), *to = pinned<int>(16), *x = on_device<int>(16);
    int *y = on_device<int>(16);
    cudaStream_t copies = new_stream(), compute = main_stream();
    cudaEvent_t arrived = new_event(), done = new_event();
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 16; i++) from[i] = i * round;
        CALL(cudaMemcpyAsync(x, from, 64, cudaMemcpyHostToDevice, copies));
        CALL(cudaEventRecord(arrived, copies));
        CALL(cudaStreamWaitEvent(compute, arrived, 0));
        add<<<1, 32, 0, compute>>>(16, x, 1, y);
        CALL(cudaEventRecord(done, compute));
        CALL(cudaStreamWaitEvent(copies, done, 0));
        CALL(cudaMemcpyAsync(to, y, 64, cudaMemcpyDeviceToHost, copies));
        CALL(cudaStreamSynchronize(copies));
        for (int i = 0; i < 16; i++) CHECK_NEAR(to[i], i * round + 1, 0);
    }
    CALL(cudaEventDestroy(arrived));
    CALL(cudaEventDestroy(done));
    CALL(cudaStreamDestroy(copies));
    CALL(cudaFreeHost(from));
    CALL(cudaFreeHost(to));
}

TEST("time goes on from event to event, and a query comes to an end") {
    cudaEvent_t begin = new_event(0), end = new_event(0);
    int *x = on_device<int>(4);
    CHECK(cudaEventQuery(begin) == cudaSuccess);  // never recorded
    CALL(cudaEventRecord(begin, main_stream()));
    CALL(cudaMemsetAsync(x, 0, 16, main_stream()));
    CALL(cudaEventRecord(end, main_stream()));
    while (cudaEventQuery(end) == cudaErrorNotReady) continue;
    float milliseconds = 0;
    CALL(cudaEventElapsedTime(&milliseconds, begin, end));
    CHECK(milliseconds > 0);
    CHECK(cudaStreamQuery(main_stream()) == cudaSuccess);
    CALL(cudaEventDestroy(begin));
    CALL(cudaEventDestroy(end));
}

TEST("a kernel reads rows in place from pinned memory") {
    int *rows = pinned<int>(100), *at_device;
    for (int i = 0; i < 100; i++) rows[i] = i * i;
    CALL(cudaHostGetDevicePointer(reinterpret_cast<void **>(&at_device), rows, 0));
    unsigned *chosen = upload(std::vector<unsigned>{3, 99, 0, 50});
    int *y = on_device<int>(4);
    sum_rows<<<1, 4, 0, main_stream()>>>(at_device, chosen, y);
    std::vector<int> got = download(y, 4);
    CHECK(got[0] == 9 && got[1] == 9801 && got[2] == 0 && got[3] == 2500);
    std::vector<int> own(8, 7);  // registered afterwards
    CHECK(cudaHostGetDevicePointer(reinterpret_cast<void **>(&at_device), own.data(), 0) ==
          cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
    CALL(cudaHostRegister(own.data(), 32, cudaHostRegisterMapped));
    CALL(cudaHostGetDevicePointer(reinterpret_cast<void **>(&at_device), own.data(), 0));
    add<<<1, 8, 0, main_stream()>>>(4, at_device, 1, y);
    CHECK_NEAR(download(y, 4)[3], 8, 0);
    CALL(cudaHostUnregister(own.data()));
    CALL(cudaFreeHost(rows));
}

TEST("a captured step runs only when launched, each time anew, and across two streams") {
    int *x = upload(std::vector<int>(16, 1)), *y = on_device<int>(16), *z = on_device<int>(16);
    int *to = pinned<int>(16);
    cudaStream_t compute = main_stream(), copies = new_stream();
    cudaEvent_t fork = new_event(), join = new_event();
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CALL(cudaStreamBeginCapture(compute, cudaStreamCaptureModeGlobal));
    CALL(cudaEventRecord(fork, compute));
    CALL(cudaStreamWaitEvent(copies, fork, 0));
    add<<<1, 32, 0, copies>>>(16, x, 10, y);
    add<<<1, 32, 0, compute>>>(16, x, 20, z);
    CALL(cudaEventRecord(join, copies));
    CALL(cudaStreamWaitEvent(compute, join, 0));
    add<<<1, 32, 0, compute>>>(16, y, 1, x);
    CALL(cudaMemcpyAsync(to, x, 64, cudaMemcpyDeviceToHost, compute));
    CALL(cudaStreamEndCapture(compute, &graph));
    size_t nodes = 0;
    CALL(cudaGraphGetNodes(graph, nullptr, &nodes));
    CHECK_NEAR(nodes, 4, 0);
    CALL(cudaGraphInstantiate(&exec, graph, 0));
    CHECK_NEAR(download(x, 16)[3], 1, 0);
    for (int round = 1; round <= 3; round++) {
        CALL(cudaGraphLaunch(exec, compute));
        CALL(cudaStreamSynchronize(compute));
        CHECK_NEAR(to[5], 1 + 11 * round, 0);
    }
    CHECK_NEAR(download(z, 16)[5], 1 + 22 + 20, 0);
    CALL(cudaGraphExecDestroy(exec));
    CALL(cudaGraphDestroy(graph));
    CALL(cudaEventDestroy(fork));
    CALL(cudaEventDestroy(join));
    CALL(cudaStreamDestroy(copies));
    CALL(cudaFreeHost(to));
}

TEST("a capture refuses what would wait, allocate or be left unjoined") {
    cudaStream_t stream = new_stream(), other = new_stream();
    cudaEvent_t event = new_event(), outside = new_event();
    cudaGraph_t graph;
    int *x = on_device<int>(4);
    void *more = nullptr;
    CALL(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CHECK(cudaMalloc(&more, 16) == cudaErrorStreamCaptureUnsupported);
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
    CALL(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CALL(cudaEventRecord(event, stream));
    CALL(cudaStreamWaitEvent(other, event, 0));
    CALL(cudaMemsetAsync(x, 0, 16, other));
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureUnjoined);
    CALL(cudaEventRecord(outside, other));
    CALL(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CHECK(cudaStreamWaitEvent(stream, outside, 0) == cudaErrorStreamCaptureIsolation);
    CALL(cudaStreamEndCapture(stream, &graph));
    CALL(cudaGraphDestroy(graph));
    cudaGetLastError();
    for (cudaEvent_t each : {event, outside}) CALL(cudaEventDestroy(each));
    for (cudaStream_t each : {stream, other}) CALL(cudaStreamDestroy(each));
}

TEST("errors are returned, named and remembered once") {
    int *x = on_device<int>(4), host[4] = {};
    add<<<1, 2000, 0, main_stream()>>>(4, x, 1, x);
    CHECK(cudaPeekAtLastError() == cudaErrorInvalidConfiguration);
    CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
    CHECK(cudaGetLastError() == cudaSuccess);
    void *much = nullptr;
    CHECK(cudaMalloc(&much, size_t{1} << 40) == cudaErrorMemoryAllocation);
    CHECK(cudaMemcpy(x, host, 17, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    CHECK(cudaMemcpy(host, x, 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    CALL(cudaFree(x));
    CHECK(cudaFree(x) == cudaErrorInvalidValue);
    cudaStream_t stream = new_stream();
    CALL(cudaStreamDestroy(stream));
    CHECK(cudaStreamSynchronize(stream) == cudaErrorInvalidResourceHandle);
    CHECK(std::strcmp(cudaGetErrorName(cudaErrorInvalidValue), "cudaErrorInvalidValue") == 0);
    cudaGetLastError();
}

TEST("the device says what it is") {
    int count = 0, optin = 0;
    CALL(cudaGetDeviceCount(&count));
    CHECK_NEAR(count, 1, 0);
    cudaDeviceProp properties;
    CALL(cudaGetDeviceProperties(&properties, 0));
    CHECK(properties.major == 8 && properties.warpSize == 32 && properties.canMapHostMemory);
    CALL(cudaDeviceGetAttribute(&optin, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    CHECK_NEAR(optin, 163 << 10, 0);
    size_t free = 0, total = 0, before = 0;
    CALL(cudaMemGetInfo(&before, &total));
    int *x = on_device<int>(1 << 16);
    CALL(cudaMemGetInfo(&free, &total));
    CHECK(free < before && free < total);
    CALL(cudaFree(x));
}

TEST("memory is given out again when all of it was used") {
    for (int round = 0; round < 6; round++) {
        char *x = on_device<char>(size_t{25} << 20);
        CALL(cudaMemsetAsync(x, 1, 64, main_stream()));
        CALL(cudaFree(x));
    }
}

TEST("a call of the host and copies of rows stand in the stream's order") {
    int count = 0, *to = pinned<int>(6);
    int *x = upload(std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
    CALL(cudaLaunchHostFunc(main_stream(), mark, &count));
    CALL(cudaMemcpy2DAsync(to, 12, x, 16, 12, 2, cudaMemcpyDeviceToHost, main_stream()));
    CALL(cudaLaunchHostFunc(main_stream(), mark, &count));
    CALL(cudaStreamSynchronize(main_stream()));
    CHECK_NEAR(count, 2, 0);
    CHECK(to[2] == 2 && to[3] == 4);
    CALL(cudaFreeHost(to));
}

// cublas.cpp - a libcublas of the four functions that a fast prefill calls, for the emulated
// device: cublas.h with the CUDA runtime that is in the library of SPECACHE_LIBRARY. It tells on
// standard error how many products it was asked for when its handle is destroyed.
#include "../cublas.h"

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>

extern "C" {

int cublasCreate_v2(void **handle) {
    const char *path = std::getenv("SPECACHE_LIBRARY");
    void *library = path == nullptr ? nullptr : dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    if (library == nullptr) return stand_in::not_initialized;
    stand_in::Runtime &with = stand_in::runtime();
    with.copy = reinterpret_cast<decltype(with.copy)>(dlsym(library, "cudaMemcpyAsync"));
    with.finish = reinterpret_cast<decltype(with.finish)>(dlsym(library, "cudaStreamSynchronize"));
    with.call = reinterpret_cast<decltype(with.call)>(dlsym(library, "cudaLaunchHostFunc"));
    return stand_in::create(handle);
}

int cublasSetStream_v2(void *handle, void *stream) { return stand_in::set_stream(handle, stream); }

int cublasGemmEx(void *handle, int operation_a, int operation_b, int m, int n, int k,
                 const void *alpha, const void *a, int a_type, int a_stride, const void *b,
                 int b_type, int b_stride, const void *beta, void *c, int c_type, int c_stride,
                 int compute_type, int algorithm) {
    return stand_in::multiply(handle, operation_a, operation_b, m, n, k, alpha, a, a_type, a_stride,
                              b, b_type, b_stride, beta, c, c_type, c_stride, compute_type,
                              algorithm);
}

int cublasDestroy_v2(void *handle) {
    std::fprintf(stderr, "%d products by cuBLAS\n", stand_in::products());
    return stand_in::destroy(handle);
}

}  // extern "C"

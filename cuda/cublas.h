// cublas.h - the four functions of cuBLAS that a fast prefill calls. The library is opened at run
// time, where one is asked for: neither to build nor to load ours is any part of it needed.
#pragma once
#include "stream.h"

namespace specache::cuda {

class Cublas {
public:
    // As NVIDIA documents them for cuBLAS 11 to 13; enums are passed as int, and a status of 0 is
    // success.
    using Handle = void *;
    struct Functions {
        int (*create)(Handle *handle);                          // cublasCreate_v2
        int (*set_stream)(Handle handle, cudaStream_t stream);  // cublasSetStream_v2
        int (*multiply)(Handle handle, int operation_a, int operation_b, int m, int n, int k,
                        const void *alpha, const void *a, cudaDataType_t a_type, int a_stride,
                        const void *b, cudaDataType_t b_type, int b_stride, const void *beta,
                        void *c, cudaDataType_t c_type, int c_stride, int compute_type,
                        int algorithm);                         // cublasGemmEx
        int (*destroy)(Handle handle);                          // cublasDestroy_v2
    };
    // Of the first library that opens, which then stays; throws Failure naming what was tried.
    static Functions open();

    Cublas(const Functions &functions, cudaStream_t stream);
    ~Cublas();
    Cublas(const Cublas &) = delete;

    // out[c][r] = (accumulate ? out[c][r] : 0) + sum over columns of weights[r][i] * in[c][i], on
    // the stream, sums in float.
    struct Product {
        Type type;                // of weights and inputs: f16 or bf16
        const uint16_t *weights;  // [rows][columns]
        const uint16_t *in;       // [count][columns]
        float *out;               // [count], each `out_stride` numbers after the one before: [rows]
        uint32_t rows, columns, count, out_stride;
        bool accumulate;
    };
    void multiply(const Product &product);

private:
    Functions functions_;
    Handle handle_ = nullptr;
};

}  // namespace specache::cuda

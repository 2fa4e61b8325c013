// cublas.cu - cuBLAS, opened at run time.
#include "cublas.h"

#include <dlfcn.h>

namespace specache::cuda {
namespace {

// Values of cublas_api.h, as documented.
constexpr int operation_none = 0, operation_transpose = 1;  // CUBLAS_OP_N, CUBLAS_OP_T
constexpr int compute_float = 68;                           // CUBLAS_COMPUTE_32F
constexpr int algorithm_default = -1;                       // CUBLAS_GEMM_DEFAULT
constexpr int no_memory = 3;                                // CUBLAS_STATUS_ALLOC_FAILED

void accept(int status, const char *function) {
    if (status == 0) return;
    fail(status == no_memory ? SPECACHE_MEMORY : SPECACHE_DEVICE,
         "prefill fast: %s answers status %d", function, status);
}

template <class Function> void find(Function &to, void *library, const char *name) {
    to = reinterpret_cast<Function>(dlsym(library, name));
    if (to == nullptr) fail(SPECACHE_DEVICE, "prefill fast: cuBLAS has no function %s", name);
}

}  // namespace

Cublas::Functions Cublas::open() {
    void *library = nullptr;
    for (const char *name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"}) {
        library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        if (library != nullptr) break;
    }
    if (library == nullptr) {
        const char *reason = dlerror();
        fail(SPECACHE_DEVICE, "prefill fast needs cuBLAS, and none of libcublas.so.13, "
             "libcublas.so.12 and libcublas.so opens: %s", reason ? reason : "no reason given");
    }
    Functions functions{};
    find(functions.create, library, "cublasCreate_v2");
    find(functions.set_stream, library, "cublasSetStream_v2");
    find(functions.multiply, library, "cublasGemmEx");
    find(functions.destroy, library, "cublasDestroy_v2");
    return functions;
}

Cublas::Cublas(const Functions &functions, cudaStream_t stream) : functions_(functions) {
    accept(functions_.create(&handle_), "cublasCreate");
    int status = functions_.set_stream(handle_, stream);
    if (status != 0) functions_.destroy(handle_);
    accept(status, "cublasSetStream");
}

Cublas::~Cublas() { functions_.destroy(handle_); }

// cuBLAS stores matrices column by column: our weights are its [columns][rows], to be transposed,
// our inputs its [columns][count], and our outputs its [rows][count].
void Cublas::multiply(const Product &product) {
    const float one = 1, before = product.accumulate ? 1 : 0;
    cudaDataType_t type = product.type == Type::f16 ? CUDA_R_16F : CUDA_R_16BF;
    int rows = int(product.rows), columns = int(product.columns), count = int(product.count);
    accept(functions_.multiply(handle_, operation_transpose, operation_none, rows, count, columns,
                               &one, product.weights, type, columns, product.in, type, columns,
                               &before, product.out, CUDA_R_32F, int(product.out_stride),
                               compute_float, algorithm_default),
           "cublasGemmEx");
}

}  // namespace specache::cuda

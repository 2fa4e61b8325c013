// cublas.h - what stands for cuBLAS in tests: its four functions as documented, in plain loops on
// the host, which waits for the stream to have the operands copied there. A GPU can run it, too.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../../native/numbers.h"

namespace stand_in {

enum : int { success = 0, not_initialized = 1, invalid = 7, unsupported = 15 };  // statuses
constexpr int any_direction = 4;  // cudaMemcpyDefault

// The CUDA runtime that the streams are of: cudaMemcpyAsync, cudaStreamSynchronize and
// cudaLaunchHostFunc.
struct Runtime {
    int (*copy)(void *to, const void *from, size_t bytes, int kind, void *stream) = nullptr;
    int (*finish)(void *stream) = nullptr;
    int (*call)(void *stream, void (*function)(void *), void *argument) = nullptr;
};
inline Runtime &runtime() {
    static Runtime one;
    return one;
}
inline int &handles() {  // made and not yet destroyed
    static int count = 0;
    return count;
}
inline int &products() {  // asked for
    static int count = 0;
    return count;
}

struct Handle {
    void *stream = nullptr;
};

// c[j][i] = beta * c[j][i] + sum over l of a[i][l] * b[j][l]; i < m, j < n, l < k.
struct Product {
    specache::Type type;
    int m, n, k, a_stride, b_stride, c_stride;
    float beta;
    std::vector<uint16_t> a, b;
    std::vector<float> c;

    void work() {
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < m; i++) {
                double sum = 0;
                for (int l = 0; l < k; l++) {
                    sum += double(load(a, i * a_stride + l)) * double(load(b, j * b_stride + l));
                }
                float &out = c[size_t(j * c_stride + i)];
                out = float(sum + (beta == 0 ? 0 : double(beta) * double(out)));
            }
        }
    }
    float load(const std::vector<uint16_t> &from, int at) const {
        return specache::load_number(type, from.data(), uint64_t(at));
    }
};

inline int create(void **handle) {
    const Runtime &with = runtime();
    if (!with.copy || !with.finish || !with.call) return not_initialized;
    *handle = new Handle;
    handles()++;
    return success;
}
inline int set_stream(void *handle, void *stream) {
    static_cast<Handle *>(handle)->stream = stream;
    return success;
}
inline int destroy(void *handle) {
    delete static_cast<Handle *>(handle);
    handles()--;
    return success;
}

inline int multiply(void *handle, int operation_a, int operation_b, int m, int n, int k,
                    const void *alpha, const void *a, int a_type, int a_stride, const void *b,
                    int b_type, int b_stride, const void *beta, void *c, int c_type, int c_stride,
                    int compute_type, int algorithm) {
    constexpr int f32 = 0, f16 = 2, bf16 = 14, transpose = 1, none = 0, sums_in_float = 68;
    products()++;
    if (operation_a != transpose || operation_b != none) return unsupported;
    if (a_type != b_type || (a_type != f16 && a_type != bf16)) return unsupported;
    if (c_type != f32 || compute_type != sums_in_float || algorithm != -1) return unsupported;
    if (*static_cast<const float *>(alpha) != 1) return unsupported;
    if (m < 1 || n < 1 || k < 1 || a_stride < k || b_stride < k || c_stride < m) return invalid;
    auto *product = new Product{a_type == f16 ? specache::Type::f16 : specache::Type::bf16,
                                m, n, k, a_stride, b_stride, c_stride,
                                *static_cast<const float *>(beta), {}, {}, {}};
    product->a.resize(size_t(m - 1) * size_t(a_stride) + size_t(k));
    product->b.resize(size_t(n - 1) * size_t(b_stride) + size_t(k));
    product->c.resize(size_t(n - 1) * size_t(c_stride) + size_t(m));
    void *stream = static_cast<Handle *>(handle)->stream;
    size_t c_bytes = product->c.size() * 4;
    const Runtime &with = runtime();
    with.copy(product->a.data(), a, product->a.size() * 2, any_direction, stream);
    with.copy(product->b.data(), b, product->b.size() * 2, any_direction, stream);
    with.copy(product->c.data(), c, c_bytes, any_direction, stream);
    with.finish(stream);
    product->work();
    with.copy(c, product->c.data(), c_bytes, any_direction, stream);  // it may be read later
    with.call(stream, [](void *of) { delete static_cast<Product *>(of); }, product);
    return success;
}

}  // namespace stand_in

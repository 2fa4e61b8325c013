// fast_test.cpp - the matrix products of a fast prefill, by what stands for cuBLAS: the operands
// that they round and how their parts are put together, against the reference of the rounded ones.
#include <cstring>

#include "../../native/tests/product.h"
#include "../cublas.h"
#include "cublas.h"

using namespace specache;
using fixture::columns_for;
using fixture::Near;
using fixture::near_stream;
using fixture::Product;
using fixture::weight_types;

namespace {

cuda::Cublas::Functions functions() {
    stand_in::runtime().copy = [](void *to, const void *from, size_t bytes, int kind,
                                  void *stream) {
        return int(cudaMemcpyAsync(to, from, bytes, cudaMemcpyKind(kind),
                                   static_cast<cudaStream_t>(stream)));
    };
    stand_in::runtime().finish = [](void *stream) {
        return int(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)));
    };
    stand_in::runtime().call = [](void *stream, void (*function)(void *), void *argument) {
        return int(cudaLaunchHostFunc(static_cast<cudaStream_t>(stream), function, argument));
    };
    return {stand_in::create,
            [](void *handle, cudaStream_t stream) { return stand_in::set_stream(handle, stream); },
            [](void *handle, int operation_a, int operation_b, int m, int n, int k,
               const void *alpha, const void *a, cudaDataType_t a_type, int a_stride,
               const void *b, cudaDataType_t b_type, int b_stride, const void *beta, void *c,
               cudaDataType_t c_type, int c_stride, int compute_type, int algorithm) {
                return stand_in::multiply(handle, operation_a, operation_b, m, n, k, alpha, a,
                                          a_type, a_stride, b, b_type, b_stride, beta, c, c_type,
                                          c_stride, compute_type, algorithm);
            },
            stand_in::destroy};
}

// The tests' stream has it for as long as this lives.
struct WithCublas {
    cuda::Cublas cublas{functions(), near_stream().stream};
    WithCublas() { near_stream().cublas = &cublas; }
    ~WithCublas() { near_stream().cublas = nullptr; }
};

// Scratch for `rows` rows of weights beside the inputs.
Near<float> fast(const Product &product, uint32_t rows) {
    constexpr uint16_t untouched = 0x5A5A;
    const Tensor &weights = product.weights.tensor;
    uint64_t numbers = uint64_t(product.count + rows) * weights.columns;
    Near<uint16_t> scratch(numbers + 1, untouched);
    Near<float> out = product.out;
    out.push_back(Product::untouched);
    cuda::project(near_stream(), {weights, product.bias.empty() ? nullptr : product.bias.data(),
                                  product.in.data(), out.data(), product.count,
                                  product.accumulate, true, scratch.data(), numbers});
    fixture::finish_near();
    CHECK(scratch.back() == untouched && out.back() == Product::untouched);
    out.pop_back();
    return out;
}

// The product of the operands as they are rounded, by the reference.
Near<float> of_rounded(const Product &product) {
    std::mt19937 random;  // what it makes is written over
    Product rounded(Type::f32, product.weights.tensor.rows, product.weights.tensor.columns,
                    product.count, false, product.accumulate, random);
    bool half = product.weights.tensor.type == Type::f16;
    auto round = [&](float x) {
        return half ? half_to_float(float_to_half(x)) : bf16_to_float(float_to_bf16(x));
    };
    float *weights = reinterpret_cast<float *>(rounded.weights.bytes.data());
    for (uint32_t r = 0; r < product.weights.tensor.rows; r++) {
        for (float x : product.weights.row(r)) *weights++ = round(x);
    }
    rounded.out = product.out;
    rounded.bias = product.bias;
    for (size_t i = 0; i < product.in.size(); i++) rounded.in[i] = round(product.in[i]);
    return rounded.by(reference_project, false, product.count);
}

}  // namespace

TEST("fast products are those of operands of 16 bits, for every type, shape and size of scratch") {
    WithCublas with;
    std::mt19937 random(21);
    uint32_t made = 0;
    for (Type type : weight_types) {
        for (auto [rows, columns] : {std::pair{1u, 257u}, {31u, 1u}, {33u, 95u}, {95u, 33u},
                                     {5u, 544u}, {129u, 64u}}) {
            const uint32_t counts[] = {1, 2, 3, 9, 65};
            Product product(type, rows, columns_for(type, columns), counts[made % 5],
                            made % 3 == 0, made % 2 == 0, random);
            std::vector<double> mass = product.bounds().mass;
            Near<float> truth = of_rounded(product);
            for (uint32_t scratch_rows : {1u, 7u, rows, rows + 3}) {
                Near<float> got = fast(product, scratch_rows);
                for (size_t i = 0; i < got.size(); i++) {
                    // Rounding to bf16, by 2^-9 at most, makes no product 1 % larger.
                    double off = tolerance::product(columns_for(type, columns), 1.01 * mass[i]);
                    CHECK_NEAR(got[i], truth[i], off);
                }
            }
            made++;
        }
    }
}

TEST("weights of 16 bits are read where they lie: one product each, whatever the scratch") {
    WithCublas with;
    std::mt19937 random(22);
    for (Type type : weight_types) {
        Product product(type, 10, columns_for(type, 64), 3, false, false, random);
        stand_in::products() = 0;
        fast(product, 4);
        CHECK(stand_in::products() == (type == Type::f16 || type == Type::bf16 ? 1 : 3));
    }
}

TEST("what cuBLAS refuses is told with the function and its status, and no handle is left") {
    auto refused = [](cuda::Cublas::Functions with, const char *sentence) {
        try {
            cuda::Cublas cublas(with, near_stream().stream);
            cublas.multiply({Type::bf16, nullptr, nullptr, nullptr, 1, 1, 1, 1, false});
            CHECK(false);
        } catch (const Failure &failure) {
            CHECK(failure.status == SPECACHE_DEVICE && failure.text == sentence);
        }
        CHECK(stand_in::handles() == 0);
    };
    cuda::Cublas::Functions with = functions();
    with.create = [](void **) { return 1; };
    refused(with, "prefill fast: cublasCreate answers status 1");
    with = functions();
    with.set_stream = [](void *, cudaStream_t) { return 7; };
    refused(with, "prefill fast: cublasSetStream answers status 7");
    with = functions();
    with.multiply = [](void *, int, int, int, int, int, const void *, const void *, cudaDataType_t,
                       int, const void *, cudaDataType_t, int, const void *, void *,
                       cudaDataType_t, int, int, int) { return 13; };
    refused(with, "prefill fast: cublasGemmEx answers status 13");
}

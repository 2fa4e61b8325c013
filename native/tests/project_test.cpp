// project_test.cpp - the matrix products of every kernel table against the reference: each stored
// type, decode and prefill, odd rows, columns and numbers of inputs.
#include <algorithm>

#include "tables.h"
#include "test.h"
#include "tolerances.h"
#include "weights.h"

using namespace specache;
using fixture::columns_for;
using fixture::normals;
using fixture::odd_sizes;
using fixture::weight_types;
using fixture::Weights;

namespace {

constexpr float untouched = -12345;  // stands behind the output, where no kernel may write

struct Product {
    Weights weights;
    uint32_t count;
    bool accumulate;
    std::vector<float> bias, in, out;  // [rows] or none, [count][columns], [count][rows] at first

    Product(Type type, uint32_t rows, uint32_t columns, uint32_t count_in, bool with_bias,
            bool accumulate_in, std::mt19937 &random)
        : weights(type, rows, columns, random), count(count_in), accumulate(accumulate_in),
          bias(normals(with_bias ? rows : 0, random)), in(normals(count * columns, random)),
          out(normals(count * rows, random)) {}

    // The first `inputs` of the product.
    std::vector<float> by(const Kernels &kernels, bool prefill, uint32_t inputs,
                          Threads *threads = nullptr) const {
        uint64_t values = uint64_t(inputs) * weights.tensor.rows;
        CpuStream stream;
        stream.threads = threads;
        std::vector<float> result(out.begin(), out.begin() + int64_t(values));
        result.push_back(untouched);
        kernels.project(stream, {weights.tensor, bias.empty() ? nullptr : bias.data(), in.data(),
                                 result.data(), inputs, accumulate, prefill});
        CHECK(result.back() == untouched);
        result.pop_back();
        return result;
    }

    // The sum of the magnitudes of all that goes into each output: [count][rows].
    std::vector<double> masses() const {
        uint32_t rows = weights.tensor.rows, columns = weights.tensor.columns;
        std::vector<double> mass(out.size());
        for (uint32_t r = 0; r < rows; r++) {
            std::vector<float> row = weights.row(r);
            for (uint32_t c = 0; c < count; c++) {
                double &sum = mass[uint64_t(c) * rows + r];
                if (accumulate) sum += std::fabs(double(out[uint64_t(c) * rows + r]));
                if (!bias.empty()) sum += std::fabs(double(bias[r]));
                for (uint32_t i = 0; i < columns; i++) {
                    sum += std::fabs(double(row[i]) * double(in[uint64_t(c) * columns + i]));
                }
            }
        }
        return mass;
    }

    void check() const {
        std::vector<double> mass = masses();
        std::vector<float> truth = by(reference_kernels, false, count);
        for (const Kernels *kernels : fast_tables()) {
            for (bool prefill : {false, true}) {
                std::vector<float> got = by(*kernels, prefill, count);
                for (size_t i = 0; i < got.size(); i++) {
                    double off = tolerance::product(weights.tensor.columns, mass[i]);
                    CHECK_NEAR(got[i], truth[i], off);
                }
            }
        }
    }
};

}  // namespace

TEST("project() gives the reference's products for every type, rows and columns") {
    std::mt19937 random(11);
    const uint32_t counts[] = {1, 2, 3, 4, 5, 8, 9, 17};
    uint32_t made = 0;
    for (Type type : weight_types) {
        for (uint32_t rows : odd_sizes) {
            for (uint32_t columns : odd_sizes) {
                // Counts go by eights and sizes by sevens, so that all pairs of them meet.
                Product(type, rows, columns_for(type, columns), counts[made % 8], made % 3 == 0,
                        made % 2 == 0, random).check();
                made++;
            }
        }
    }
}

TEST("project() gives the reference's products for every number of inputs, bias and sum") {
    std::mt19937 random(12);
    for (Type type : weight_types) {
        for (uint32_t count : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 16u, 17u}) {
            for (uint32_t how = 0; how < 4; how++) {
                Product(type, 35, columns_for(type, 40), count, how & 1, how & 2, random).check();
            }
        }
    }
}

TEST("neither the number of inputs nor of threads changes a bit of a product") {
    std::mt19937 random(13);
    Threads threads(3);
    for (Type type : weight_types) {
        Product product(type, 95, columns_for(type, 300), 17, true, true, random);
        for (const Kernels *kernels : kernel_tables()) {
            for (bool prefill : {false, true}) {
                std::vector<float> all = product.by(*kernels, prefill, 17, &threads);
                for (uint32_t count : {1u, 2u, 3u, 4u, 5u, 8u, 9u}) {
                    std::vector<float> few = product.by(*kernels, prefill, count);
                    CHECK(std::equal(few.begin(), few.end(), all.begin()));
                }
            }
        }
    }
}

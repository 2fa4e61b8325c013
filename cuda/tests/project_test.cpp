// project_test.cpp - the matrix products of the CUDA device against the reference: each stored
// type, decode and prefill, odd rows, columns and numbers of inputs.
#include <algorithm>

#include "../../native/reference/reference.h"
#include "../../native/tests/test.h"
#include "../../native/tests/tolerances.h"
#include "near_weights.h"

using namespace specache;
using fixture::columns_for;
using fixture::Near;
using fixture::near_normals;
using fixture::weight_types;

namespace {

constexpr float untouched = -12345;  // stands behind the output, where no kernel may write

struct Product {
    fixture::NearWeights weights;
    uint32_t count;
    bool accumulate;
    Near<float> bias, in, out;  // [rows] or none, [count][columns], [count][rows] at first

    Product(Type type, uint32_t rows, uint32_t columns, uint32_t count_in, bool with_bias,
            bool accumulate_in, std::mt19937 &random)
        : weights(type, rows, columns, random), count(count_in), accumulate(accumulate_in),
          bias(near_normals(with_bias ? rows : 0, random)),
          in(near_normals(count * columns, random)), out(near_normals(count * rows, random)) {}

    // The first `inputs` of the product.
    template <class Kernel> Near<float> by(Kernel kernel, bool prefill, uint32_t inputs) const {
        uint64_t values = uint64_t(inputs) * weights.tensor.rows;
        Near<float> result(out.begin(), out.begin() + int64_t(values));
        result.push_back(untouched);
        kernel(fixture::near_stream(),
               Project{weights.tensor, bias.empty() ? nullptr : bias.data(), in.data(),
                       result.data(), inputs, accumulate, prefill});
        fixture::finish_near();
        CHECK(result.back() == untouched);
        result.pop_back();
        return result;
    }

    // The sum of the magnitudes of all that goes into each output: [count][rows].
    std::vector<double> masses() const {
        std::vector<double> mass(out.size());
        std::vector<float> row(weights.tensor.columns);
        const uint8_t *data = static_cast<const uint8_t *>(weights.tensor.data);
        uint32_t rows = weights.tensor.rows, columns = weights.tensor.columns;
        for (uint32_t r = 0; r < rows; r++) {
            dequantize_row(weights.tensor.type,
                           data + r * weight_row_bytes(weights.tensor.type, columns), columns,
                           row.data());
            for (uint32_t c = 0; c < count; c++) {
                double sum = accumulate ? std::fabs(double(out[uint64_t(c) * rows + r])) : 0;
                if (!bias.empty()) sum += std::fabs(double(bias[r]));
                for (uint32_t i = 0; i < columns; i++) {
                    sum += std::fabs(double(row[i]) * double(in[uint64_t(c) * columns + i]));
                }
                mass[uint64_t(c) * rows + r] = sum;
            }
        }
        return mass;
    }

    void check() const {
        std::vector<double> mass = masses();
        Near<float> truth = by(reference_project, false, count);
        for (bool prefill : {false, true}) {
            Near<float> got = by(cuda::project, prefill, count);
            for (size_t i = 0; i < got.size(); i++) {
                double off = tolerance::product(weights.tensor.columns, mass[i]);
                CHECK_NEAR(got[i], truth[i], off);
            }
        }
    }
};

}  // namespace

TEST("CUDA project() gives the reference's products for every type, rows and columns") {
    std::mt19937 random(11);
    const uint32_t counts[] = {1, 2, 3, 4, 5, 9};
    uint32_t made = 0;
    for (Type type : weight_types) {
        for (auto [rows, columns] : {std::pair{1u, 257u}, {31u, 1u}, {33u, 95u}, {95u, 33u},
                                     {5u, 544u}}) {
            // Counts go by sixes and shapes by fives, so that all pairs of them meet.
            Product(type, rows, columns_for(type, columns), counts[made % 6], made % 3 == 0,
                    made % 2 == 0, random).check();
            made++;
        }
    }
}

TEST("CUDA project() gives the reference's products of more inputs than a tile has") {
    std::mt19937 random(12);
    Product(Type::bf16, 3, 40, 67, true, true, random).check();
    Product(Type::q4_1, 3, 64, 67, false, false, random).check();
}

TEST("CUDA project() gives the same bits however the weights of blocks and the inputs lie") {
    std::mt19937 random(13);
    for (Type type : weight_types) {
        Product product(type, 5, 320, 3, true, false, random);
        Near<float> truth = product.by(cuda::project, false, 3);
        Near<uint8_t> &bytes = product.weights.bytes;
        const uint8_t *data = static_cast<const uint8_t *>(product.weights.tensor.data);
        bool odd = data != bytes.data();
        if (odd) bytes.erase(bytes.begin());  // from an odd address to an even one
        else bytes.insert(bytes.begin(), type == Type::f32 ? 4 : 2, 0);
        product.weights.tensor.data = bytes.data() + (odd ? 0 : type == Type::f32 ? 4 : 2);
        CHECK(product.by(cuda::project, false, 3) == truth);
    }
}

TEST("the number of inputs changes no bit of a product of the CUDA device") {
    std::mt19937 random(14);
    for (Type type : weight_types) {
        Product product(type, 9, columns_for(type, 300), 9, true, true, random);
        for (bool prefill : {false, true}) {
            Near<float> all = product.by(cuda::project, prefill, 9);
            for (uint32_t count : {1u, 2u, 3u, 4u, 5u}) {
                Near<float> few = product.by(cuda::project, prefill, count);
                CHECK(std::equal(few.begin(), few.end(), all.begin()));
            }
        }
    }
}

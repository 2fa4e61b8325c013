// product.h - a matrix product made up at random, by any kernel, and how near it must come.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "../quantize.h"
#include "../reference/reference.h"
#include "test.h"
#include "tolerances.h"
#include "weights.h"

namespace fixture {

struct Product {
    using Kernel = void (*)(Stream &, const Project &);
    static constexpr float untouched = -12345;  // behind the output, where no kernel may write
    Weights weights;
    uint32_t count;
    bool accumulate;
    bool int8 = false;  // decode with inputs of 8 bits
    Near<float> bias, in, out;  // [rows] or none, [count][columns], [count][rows] at first

    Product(Type type, uint32_t rows, uint32_t columns, uint32_t count_in, bool with_bias,
            bool accumulate_in, std::mt19937 &random)
        : weights(type, rows, columns, random), count(count_in), accumulate(accumulate_in),
          bias(normals(with_bias ? rows : 0, random)), in(normals(count * columns, random)),
          out(normals(count * rows, random)) {}

    // The first `inputs` of the product.
    Near<float> by(Kernel kernel, bool prefill, uint32_t inputs,
                   Stream &stream = near_stream(), bool again = false) const {
        uint64_t values = uint64_t(inputs) * weights.tensor.rows;
        Near<float> result(out.begin(), out.begin() + int64_t(values));
        result.push_back(untouched);
        kernel(stream, {weights.tensor, bias.empty() ? nullptr : bias.data(), in.data(),
                        result.data(), inputs, accumulate, prefill, nullptr, 0, int8, again});
        finish_near();
        CHECK(result.back() == untouched);
        result.pop_back();
        return result;
    }

    // How far rounding to 8 bits, or to 24, may move each input: [count][columns].
    std::vector<double> rounding(double (*far_of)(double most)) const {
        std::vector<double> far(in.size());
        for (size_t i = 0; in_blocks(weights.tensor.type) && i < in.size(); i += part_values) {
            float most = 0;
            for (size_t j = i; j < i + part_values; j++) most = std::max(most, std::fabs(in[j]));
            for (size_t j = i; j < i + part_values; j++) far[j] = far_of(most);
        }
        return far;
    }

    struct Bounds {
        std::vector<double> mass;  // of the magnitudes of all that goes into each output
        std::vector<double> moved;  // what rounded inputs may change it by
    };
    // [count][rows]. Least numbers may be summed apart from the rest of their weights, which they
    // may cancel.
    Bounds bounds() const {
        std::vector<double> half_steps = rounding(int8 ? tolerance::quantized : tolerance::whole);
        uint32_t rows = weights.tensor.rows, columns = weights.tensor.columns;
        Bounds bounds{std::vector<double>(out.size()), std::vector<double>(out.size())};
        for (uint32_t r = 0; r < rows; r++) {
            std::vector<float> row = weights.row(r);
            for (uint32_t c = 0; c < count; c++) {
                double &sum = bounds.mass[uint64_t(c) * rows + r];
                double &moved = bounds.moved[uint64_t(c) * rows + r];
                if (accumulate) sum += std::fabs(double(out[uint64_t(c) * rows + r]));
                if (!bias.empty()) sum += std::fabs(double(bias[r]));
                for (uint32_t i = 0; i < columns; i++) {
                    uint64_t at = uint64_t(c) * columns + i;
                    double weight = std::fabs(double(row[i]));
                    weight += 2 * std::fabs(double(weights.least(r, i)));
                    sum += weight * (std::fabs(double(in[at])) + half_steps[at]);
                    if (!int8) moved += weight * half_steps[at];
                }
            }
        }
        return bounds;
    }

    void check(const std::vector<Kernel> &kernels) const {
        Bounds far = bounds();
        for (bool prefill : {false, true}) {
            Near<float> truth = by(reference_project, prefill, count);
            for (Kernel kernel : kernels) {
                Near<float> got = by(kernel, prefill, count);
                for (size_t i = 0; i < got.size(); i++) {
                    double off = tolerance::product(weights.tensor.columns, far.mass[i]) +
                                 far.moved[i];
                    CHECK_NEAR(got[i], truth[i], off);
                }
            }
        }
    }
};

}  // namespace fixture

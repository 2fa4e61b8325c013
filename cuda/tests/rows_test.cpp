// rows_test.cpp - rows made and copied by the CUDA device against the reference.
#include <iterator>
#include <limits>
#include <random>

#include "../../native/numbers.h"
#include "../../native/reference/reference.h"
#include "../../native/tests/test.h"
#include "near.h"

using namespace specache;
using fixture::Near;

namespace {

// Ties of fp16 and bf16 to both sides, the least normal and subnormal numbers, the largest ones.
const float edges[] = {0, -0.0f, 1 + 0x1p-11f, 1 + 0x3p-11f, 1 + 0x1p-8f, 1 + 0x3p-8f, 0x1p-14f,
                       0x1.ffcp-15f, 0x1.ffep-15f, -0x1p-24f, 0x1p-25f, 0x1.8p-24f, 65504, -65519};

}  // namespace

TEST("CUDA make_rows() gives the reference's bytes and the first row that is not finite") {
    for (Type type : {Type::f32, Type::f16, Type::bf16}) {
        for (uint32_t dim : {24u, 64u, 80u, 128u, 256u}) {
            Shape shape{3, 3, dim, type, 1};
            std::mt19937 random(1);
            std::normal_distribution<float> normal(0, 100);
            Near<float> keys(5 * 3 * dim), values(keys.size());
            for (float &x : keys) x = normal(random);
            for (float &x : values) x = normal(random) * 0x1p-23f;  // fp16 has few bits for them
            for (uint32_t i = 0; i < dim; i++) values[i] = edges[i % std::size(edges)];
            uint64_t row = row_bytes(shape);
            Near<uint8_t> rows(15 * row), truth(15 * row);
            Near<uint32_t> fault(1);
            auto make = [&](auto by, Near<uint8_t> &to) {
                fault[0] = no_fault;
                by(fixture::near_stream(), MakeRows{shape, keys.data(), values.data(), to.data(),
                                                    3 * row, row, 5, 2, fault.data()});
                fixture::finish_near();
                return fault[0];
            };
            CHECK(make(cuda::make_rows, rows) == no_fault);
            CHECK(make(reference_make_rows, truth) == no_fault);
            CHECK(rows == truth);
            values[(3 * 3 + 2) * dim + dim - 1] = std::numeric_limits<float>::quiet_NaN();
            CHECK(make(cuda::make_rows, rows) == 6 + 11);
            keys[(2 * 3 + 1) * dim] = type == Type::f16 ? 65520.0f : 3.4e38f;
            CHECK(make(cuda::make_rows, rows) == 6 + (type == Type::f32 ? 11 : 7));
        }
    }
}

TEST("CUDA copy_rows() moves rows between a page, a window and sinks as the reference does") {
    for (uint32_t dim : {16u, 80u}) {
        Shape shape{3, 3, dim, Type::bf16, 1};
        uint64_t row = row_bytes(shape);
        Near<uint8_t> page(3 * page_tokens * row);
        std::mt19937 random(2);
        for (uint8_t &byte : page) byte = uint8_t(random());
        RowPlaces in_page{page.data(), page_tokens * row, 2 * page_tokens, 0};
        auto copied = [&](auto by, uint32_t first, uint32_t tokens) {
            Near<uint8_t> to(3 * window_rows * row, 0x5A);
            RowPlaces in_window{to.data(), window_rows * row, 0, window_rows};
            by(fixture::near_stream(), CopyRows{shape, in_page, in_window, first, tokens});
            fixture::finish_near();
            return to;
        };
        for (auto [first, tokens] : {std::pair{128u, 64u}, {129u, 1u}, {130u, 62u}, {191u, 1u}}) {
            CHECK(copied(cuda::copy_rows, first, tokens) ==
                  copied(reference_copy_rows, first, tokens));
        }
    }
}

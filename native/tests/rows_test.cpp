// rows_test.cpp - keys and values to rows, and rows from place to place.
#include <limits>
#include <random>

#include "../numbers.h"
#include "fixture.h"
#include "tables.h"
#include "test.h"

using namespace specache;

TEST("make_rows() rounds as the reference does and finds the first row that is not finite") {
    for (const Kernels *kernels : kernel_tables()) {
        for (Type type : {Type::f32, Type::f16, Type::bf16}) {
            Shape shape{3, 3, 24, type, 1};
            std::mt19937 random(1);
            std::normal_distribution<float> normal(0, 100);
            std::vector<float> keys(5 * 3 * 24), values(keys.size());
            for (float &x : keys) x = normal(random);
            for (float &x : values) x = normal(random);
            uint64_t row = row_bytes(shape);
            std::vector<uint8_t> rows(15 * row), truth(15 * row);
            CpuStream stream;
            auto make = [&](const Kernels *by, std::vector<uint8_t> &to) {
                uint32_t fault = no_fault;
                by->make_rows(stream, {shape, keys.data(), values.data(), to.data(), 3 * row, row,
                                       5, 2, &fault});
                return fault;
            };
            CHECK(make(kernels, rows) == no_fault);
            CHECK(make(&reference_kernels, truth) == no_fault);
            CHECK(rows == truth);
            // Two tokens of three heads came before, and what was found first stays if it is less.
            values[(3 * 3 + 2) * 24 + 23] = std::numeric_limits<float>::quiet_NaN();
            CHECK(make(kernels, rows) == 6 + 11);
            keys[(2 * 3 + 1) * 24] = type == Type::f16 ? 65520.0f : 3.4e38f;
            CHECK(make(kernels, rows) == 6 + (type == Type::f32 ? 11 : 7));
        }
    }
}

TEST("copy_rows() moves rows between a page, a window and sinks as the reference does") {
    Shape shape{3, 3, 16, Type::bf16, 1};
    uint64_t row = row_bytes(shape);
    std::vector<uint8_t> page(3 * page_tokens * row), window(3 * window_rows * row);
    std::mt19937 random(2);
    for (uint8_t &byte : page) byte = uint8_t(random());
    RowPlaces in_page{page.data(), page_tokens * row, 2 * page_tokens, 0};
    auto copied = [&](const Kernels *by, uint32_t first, uint32_t tokens) {
        std::vector<uint8_t> to(window.size(), 0x5A);
        CpuStream stream;
        RowPlaces in_window{to.data(), window_rows * row, 0, window_rows};
        by->copy_rows(stream, {shape, in_page, in_window, first, tokens});
        return to;
    };
    for (const Kernels *kernels : kernel_tables()) {
        for (auto [first, tokens] : {std::pair{128u, 64u}, {129u, 1u}, {130u, 62u}, {191u, 1u}}) {
            std::vector<uint8_t> to = copied(kernels, first, tokens);
            CHECK(to == copied(&reference_kernels, first, tokens));
            uint32_t token = first + tokens - 1;
            const uint8_t *last = page.data() + (page_tokens + token - 128) * row;  // of head 1
            CHECK(std::equal(last, last + row, &to[(window_rows + token % window_rows) * row]));
        }
    }
}

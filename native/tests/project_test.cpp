// project_test.cpp - the matrix products of every kernel table against the reference: each stored
// type, decode and prefill, odd rows, columns and numbers of inputs.
#include <algorithm>
#include <bit>

#include "product.h"
#include "tables.h"

using namespace specache;
using fixture::columns_for;
using fixture::Near;
using fixture::odd_sizes;
using fixture::Product;
using fixture::weight_types;

namespace {

std::vector<Product::Kernel> projects() {
    std::vector<Product::Kernel> list;
    for (const Kernels *kernels : fast_tables()) list.push_back(kernels->project);
    return list;
}

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
                        made % 2 == 0, random).check(projects());
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
                Product(type, 35, columns_for(type, 40), count, how & 1, how & 2, random)
                    .check(projects());
            }
        }
    }
}

TEST("neither the number of inputs nor of threads changes a bit of a product") {
    std::mt19937 random(13);
    Threads threads(3);
    CpuStream stream;
    stream.threads = &threads;
    for (Type type : weight_types) {
        Product product(type, 95, columns_for(type, 300), 17, true, true, random);
        for (const Kernels *kernels : kernel_tables()) {
            for (bool prefill : {false, true}) {
                Near<float> all = product.by(kernels->project, prefill, 17, stream);
                for (uint32_t count : {1u, 2u, 3u, 4u, 5u, 8u, 9u}) {
                    Near<float> few = product.by(kernels->project, prefill, count);
                    CHECK(std::equal(few.begin(), few.end(), all.begin()));
                }
            }
        }
    }
}

TEST("inputs that met other weights of the same type before give the bits that they give anew") {
    std::mt19937 random(18);
    Stream &stream = fixture::near_stream();
    for (Type type : weight_types) {
        Product first(type, 35, columns_for(type, 300), 17, false, false, random);
        Product small(type, 3, columns_for(type, 300), 17, false, false, random);
        Product others(type, 48, columns_for(type, 300), 17, true, true, random);
        Product strange(type, 35, columns_for(type, 300), 17, false, false, random);
        others.in = small.in = first.in;
        for (const Kernels *kernels : kernel_tables()) {
            for (bool prefill : {false, true}) {
                Near<float> anew = others.by(kernels->project, prefill, 17, stream);
                for (const Product *before : {&first, &small}) {
                    strange.by(kernels->project, prefill, 17, stream);  // of other inputs
                    before->by(kernels->project, prefill, 17, stream);
                    CHECK(others.by(kernels->project, prefill, 17, stream, true) == anew);
                }
            }
        }
    }
}

TEST("project() with inputs of 8 bits gives the reference's products for every type and size") {
    std::mt19937 random(14);
    const uint32_t counts[] = {1, 2, 3, 4, 5, 8, 9, 17};
    uint32_t made = 0;
    for (Type type : weight_types) {
        for (uint32_t rows : odd_sizes) {
            for (uint32_t columns : odd_sizes) {
                Product product(type, rows, columns_for(type, columns), counts[made % 8],
                                made % 3 == 0, made % 2 == 0, random);
                product.int8 = has_int8(type);
                product.check(projects());
                made++;
            }
        }
    }
}

TEST("with inputs of 8 bits neither instruction set, inputs nor threads change a bit") {
    std::mt19937 random(15);
    Threads threads(3);
    CpuStream stream;
    stream.threads = &threads;
    for (Type type : weight_types) {
        if (!has_int8(type)) continue;
        for (uint32_t columns : {32u, 288u, 2048u}) {
            Product product(type, 95, columns_for(type, columns), 17, true, true, random);
            product.int8 = true;
            Near<float> all = product.by(portable::kernels.project, false, 17);
            for (const Kernels *kernels : fast_tables()) {
                CHECK(product.by(kernels->project, false, 17, stream) == all);
                for (uint32_t count : {1u, 2u, 3u, 4u, 5u, 8u}) {
                    Near<float> few = product.by(kernels->project, false, count);
                    CHECK(std::equal(few.begin(), few.end(), all.begin()));
                }
            }
        }
    }
}

TEST("weights without blocks have inputs as they are") {
    std::mt19937 random(16);
    for (Type type : {Type::f32, Type::f16, Type::bf16}) {
        Product product(type, 35, 95, 4, true, false, random);
        for (const Kernels *kernels : kernel_tables()) {
            product.int8 = false;
            Near<float> floats = product.by(kernels->project, false, 4);
            product.int8 = true;
            CHECK(product.by(kernels->project, false, 4) == floats);
        }
    }
}

namespace {

// What a decode product makes of 32 inputs: each meets a weight of 1 in its own row of q8_0, and
// weights of 0.
std::vector<float> inputs_seen(const Kernels &kernels, const std::vector<float> &in) {
    constexpr uint32_t bytes = block_bytes(Type::q8_0);
    Near<uint8_t> blocks(part_values * bytes);
    for (uint32_t row = 0; row < part_values; row++) {
        blocks[row * bytes + 1] = 0x3C;  // of the scale, 1
        blocks[row * bytes + 2 + row] = 1;
    }
    Near<float> near_in(in.begin(), in.end()), out(part_values);
    kernels.project(fixture::near_stream(),
                    {{blocks.data(), Type::q8_0, part_values, part_values}, nullptr,
                     near_in.data(), out.data(), 1, false, false});
    fixture::finish_near();
    return {out.begin(), out.end()};
}

}  // namespace

TEST("an input of decode moves by no more than its part's largest one's 8,355,711th part") {
    std::mt19937 random(19);
    for (const Kernels *kernels : fast_tables()) {
        // Fractions of the largest about the one above which it has a bit less.
        for (uint32_t bits : {0x3F800000u, 0x3F800001u, 0x3FFEFEFEu, 0x3FFEFEFFu, 0x3FFFFFFFu,
                              0x7F7FFFF0u, 0x0E000000u}) {
            float most = std::bit_cast<float>(bits);
            Near<float> shares = fixture::normals(part_values, random, .3f);
            std::vector<float> in;
            for (float share : shares) in.push_back(most * std::clamp(share, -1.0f, 1.0f));
            in[5] = most;  // three digits reach further below 0 than above
            in[6] = -most;
            std::vector<float> seen = inputs_seen(*kernels, in);
            for (uint32_t i = 0; i < part_values; i++) {
                CHECK_NEAR(seen[i], in[i], tolerance::whole(most));
            }
        }
    }
}

TEST("inputs of 8 bits each, within 2^15 of their part's largest, are met as they are") {
    for (const Kernels *kernels : fast_tables()) {
        std::vector<float> in;
        for (uint32_t i = 0; i < part_values; i++) {
            in.push_back(std::ldexp(float(128 + 4 * i) * (i % 2 ? -1 : 1), -int(i % 16)));
        }
        CHECK(inputs_seen(*kernels, in) == in);
    }
}

TEST("a part of inputs that has a NaN or an infinity leaves no output finite that it meets") {
    for (const Kernels *kernels : fast_tables()) {
        for (float bad : {INFINITY, -INFINITY, NAN}) {
            std::vector<float> in(part_values, 1);
            in[17] = bad;
            for (float out : inputs_seen(*kernels, in)) CHECK(!std::isfinite(out));
        }
    }
}

TEST("quantize_part() rounds to the nearest of 255 steps, ties to even") {
    std::mt19937 random(17);
    for (float spread : {1e-20f, 1.0f, 1e20f}) {
        Near<float> in = fixture::normals(part_values, random, spread);
        int8_t integers[part_values];
        float scale = quantize_part(in.data(), integers), most = 0;
        for (float x : in) most = std::fmax(most, std::fabs(x));
        for (uint32_t i = 0; i < part_values; i++) {
            CHECK(std::abs(integers[i]) <= 127);
            CHECK_NEAR(scale * float(integers[i]), in[i], tolerance::quantized(most));
        }
    }
    float in[part_values] = {127, -127, .5f, 1.5f, -.5f, -2.5f, 64};
    int8_t integers[part_values];
    CHECK(quantize_part(in, integers) == 1);
    const int8_t expected[] = {127, -127, 0, 2, 0, -2, 64, 0};
    CHECK(std::equal(expected, expected + 8, integers));
}

TEST("quantize_part() says where an input is not finite, and takes the smallest for zeros") {
    for (float bad : {INFINITY, -INFINITY, NAN}) {
        float in[part_values] = {1, bad};
        int8_t integers[part_values];
        CHECK(std::isnan(quantize_part(in, integers)));
    }
    for (float small : {0.0f, 0x1p-149f, 0x1.fffffep-101f}) {
        float in[part_values] = {small, -small};
        int8_t integers[part_values] = {1};
        CHECK(quantize_part(in, integers) == 0);
        CHECK(integers[0] == 0);
    }
    float in[part_values] = {0x1p-100f, -0x1p-101f};
    int8_t integers[part_values];
    CHECK(quantize_part(in, integers) > 0);
    CHECK(integers[0] == 127);
}

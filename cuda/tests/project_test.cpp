// project_test.cpp - the matrix products of the CUDA device against the reference: each stored
// type, decode and prefill, odd rows, columns and numbers of inputs.
#include <algorithm>

#include "../../native/tests/product.h"

using namespace specache;
using fixture::columns_for;
using fixture::Near;
using fixture::Product;
using fixture::weight_types;

TEST("CUDA project() gives the reference's products for every type, rows and columns") {
    std::mt19937 random(11);
    const uint32_t counts[] = {1, 2, 3, 4, 5, 9};
    uint32_t made = 0;
    for (Type type : weight_types) {
        for (auto [rows, columns] : {std::pair{1u, 257u}, {31u, 1u}, {33u, 95u}, {95u, 33u},
                                     {5u, 544u}}) {
            // Counts go by sixes and shapes by fives, so that all pairs of them meet.
            Product(type, rows, columns_for(type, columns), counts[made % 6], made % 3 == 0,
                    made % 2 == 0, random).check({cuda::project});
            made++;
        }
    }
}

TEST("CUDA project() gives the reference's products of more inputs than a tile has") {
    std::mt19937 random(12);
    Product(Type::bf16, 3, 40, 67, true, true, random).check({cuda::project});
    Product(Type::q4_1, 3, 64, 67, false, false, random).check({cuda::project});
}

TEST("CUDA project() gives the reference's products at the edges of a prefill's tile and step") {
    std::mt19937 random(15);
    struct Size {
        uint32_t rows, columns, count;
    };
    const Size sizes[] = {{127, 31, 63}, {128, 1, 64}, {129, 33, 65}, {17, 96, 33}, {257, 40, 64}};
    for (uint32_t at = 0; at < std::size(weight_types) * std::size(sizes); at++) {
        Type type = weight_types[at % std::size(weight_types)];
        auto [rows, columns, count] = sizes[at % std::size(sizes)];
        uint32_t turn = at / uint32_t(std::size(weight_types));  // of each type
        Product(type, rows, columns_for(type, columns), count, turn % 2 == 0, turn % 3 == 0, random)
            .check({cuda::project});
    }
}

TEST("CUDA project() gives the same bits however the weights of blocks and the inputs lie") {
    std::mt19937 random(13);
    for (uint32_t at = 0; at < 2 * std::size(weight_types); at++) {
        Type type = weight_types[at / 2];
        // More pieces than a warp has lanes, and as many or fewer.
        uint32_t columns = columns_for(type, at % 2 == 0 ? 320 : 64);
        Product product(type, 5, columns, 4, true, false, random);
        Near<float> truth = product.by(cuda::project, false, 4);
        Near<float> prefilled = product.by(cuda::project, true, 4);
        Near<uint8_t> &bytes = product.weights.bytes;
        const uint8_t *data = static_cast<const uint8_t *>(product.weights.tensor.data);
        bool odd = data != bytes.data();
        if (odd) bytes.erase(bytes.begin());  // from an odd address to an even one
        else bytes.insert(bytes.begin(), type == Type::f32 ? 4 : 2, 0);
        product.weights.tensor.data = bytes.data() + (odd ? 0 : type == Type::f32 ? 4 : 2);
        CHECK(product.by(cuda::project, false, 4) == truth);
        CHECK(product.by(cuda::project, true, 4) == prefilled);
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

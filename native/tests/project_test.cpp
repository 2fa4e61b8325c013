// project_test.cpp - the matrix products of every kernel table against the reference: each stored
// type, decode and prefill, odd rows, columns and numbers of inputs.
#include <algorithm>

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

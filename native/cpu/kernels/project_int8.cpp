// project_int8.cpp - decode's matrix products with inputs of 8 bits: products of integers are
// exact, and what scales them is rounded alike on every instruction set.
//
// A row's sum has 16 lanes, to which each pair of inputs' blocks adds (scale of the weights * scale
// of the inputs) * products, pair after pair. It is compiled without fused products (ffi/build.ts).
#include "../kernels.h"
#if defined(__AVX2__) && !defined(__AVX512F__)
#include "int8_parts.h"
#else
#include "int8_pairs.h"
#endif

namespace specache::SPECACHE_ISA {

void project_int8(Stream &stream, const Project &project) {
    static thread_local std::vector<InputPair> scratch;
    uint32_t columns = project.weights.columns, pairs = pairs_of(columns);
    InputPair *inputs = grown(scratch, uint64_t(project.count) * pairs);  // [count][pairs]
    for (uint32_t c = 0; c < project.count; c++) {
        quantize(project.in + uint64_t(c) * columns, columns, inputs + uint64_t(c) * pairs);
    }
    with_type(project.weights.type, [&]<Type type>() {
        if constexpr (has_int8(type)) {
            for_pieces(stream, project.weights.rows, [&](uint32_t row, uint32_t count) {
                dot_piece<1>(project.count, row, count,
                             [&]<uint32_t Rows, uint32_t Inputs>(uint32_t first, uint32_t input) {
                                 dot<type, Rows, Inputs>(project, inputs, first, input);
                             });
            });
        }
    });
}

}  // namespace specache::SPECACHE_ISA

// whole.cpp - decode's matrix products of weights in blocks, on CPUs with AVX2 or AVX-512 VNNI:
// inputs are whole numbers of 24 bits, in digits that the CPU multiplies many at a time. Sums over
// a part are exact; then scale and unit are met in float, part after part, so that an output's bits
// are its own row's and input's alone.
#include "../../dequantize.h"
#include "../kernels.h"
#include "project.h"

#if defined(__AVX512VNNI__)
#include "whole_quads.h"
#elif defined(__AVX2__)
#include "whole_pairs.h"
#endif

#if defined(__AVX2__)
namespace specache::SPECACHE_ISA {
namespace {

// Inputs of one product, kept for the next: Project::again.
struct Inputs {
    Type type = Type::f32;
    std::vector<WholePart> parts;  // [parts][count]
};
thread_local Inputs made_before;

template <Type type>
const WholePart *whole_inputs(Stream &stream, const Project &project) {
    constexpr uint32_t worth_sharing = 256;  // parts: some 10 us of work
    Inputs &inputs = made_before;
    if (project.again && inputs.type == type) return inputs.parts.data();
    inputs.type = type;
    uint32_t parts = project.weights.columns / part_values;
    WholePart *out = grown(inputs.parts, uint64_t(parts) * project.count);
    auto make = [&](uint32_t c) {
        const float *in = project.in + uint64_t(c) * project.weights.columns;
        for (uint32_t p = 0; p < parts; p++) {
            make_whole<type>(in + p * part_values, out[uint64_t(p) * project.count + c]);
        }
    };
    if (project.count > 1 && parts * project.count >= worth_sharing) {
        parallel_until_cancelled(stream, project.count, make);
    } else {
        for (uint32_t c = 0; c < project.count; c++) make(c);
    }
    return out;
}

}  // namespace

bool project_whole(Stream &stream, const Project &project) {
    const Tensor &weights = project.weights;
    if (project.prefill || weights.rows < lanes || !in_blocks(weights.type)) {
        made_before.type = Type::f32;  // none of ours
        return false;
    }
    with_type(weights.type, [&]<Type type>() {
        if constexpr (in_blocks(type)) {
            const WholePart *inputs = whole_inputs<type>(stream, project);
            uint32_t pieces = (weights.rows + lanes - 1) / lanes;
            parallel_until_cancelled(stream, pieces, [&](uint32_t piece) {
                multiply_rows<type>(project, inputs, piece * lanes);
            });
        }
    });
    return true;
}

}  // namespace specache::SPECACHE_ISA
#else
namespace specache::SPECACHE_ISA {
bool project_whole(Stream &, const Project &) { return false; }
}  // namespace specache::SPECACHE_ISA
#endif

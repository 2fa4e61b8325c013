// whole_quads.h - 16 rows of weights with inputs of whole numbers, on CPUs with AVX-512 VNNI: four
// columns of each row meet a digit in an instruction.
#pragma once
#include "project.h"
#include "quads.h"

namespace specache::SPECACHE_ISA {

// Sums of `count` quads' products with a run of inputs, as float: the upper digit's sum has 20
// bits, the lower ones' together 28.
template <Type type, uint32_t count>
static inline Floats product_of(const Words *weights, const WholePart &inputs, uint32_t run) {
    __m512i sums[digits];
    for (uint32_t d = 0; d < digits; d++) {
        sums[d] = raised_by(type) != 0 ? _mm512_set1_epi32(inputs.start[run][d])
                                       : _mm512_setzero_si512();
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t d = 0; d < digits; d++) {
            __m512i four = _mm512_set1_epi32(inputs.quads[d][run * count + i]);
            sums[d] = _mm512_dpbusd_epi32(sums[d], (__m512i)weights[i], four);
        }
    }
    Floats lower = floats_of((Ints)(((Words)sums[1] << 8) + (Words)sums[0]));
    return (Floats)_mm512_fmadd_ps((__m512)floats_of((Ints)sums[2]), _mm512_set1_ps(65536),
                                   (__m512)lower);
}

// sums [count][16] += a part's products.
template <Type type>
static inline void meet(const Quads &weights, const WholePart *inputs, uint32_t count,
                        float *sums) {
    constexpr uint32_t runs = runs_of(type);
    for (uint32_t c = 0; c < count; c++) {
        const WholePart &part = inputs[c];
        __m512 sum = (__m512)load(sums + c * lanes);
        for (uint32_t run = 0; run < runs; run++) {
            Floats whole =
                product_of<type, quads / runs>(weights.of + run * quads / runs, part, run);
            sum = _mm512_fmadd_ps((__m512)whole, (__m512)(weights.scale[run] * part.unit), sum);
        }
        if constexpr (has_least(type)) {
            sum = _mm512_fmadd_ps((__m512)weights.least, _mm512_set1_ps(part.sum), sum);
        }
        store(sums + c * lanes, (Floats)sum);
    }
}

// Rows from `row` on, 16 or what is left: the last run's rows are the last 16.
template <Type type>
static void multiply_rows(const Project &project, const WholePart *inputs, uint32_t row) {
    static thread_local std::vector<float> scratch;
    const Tensor &weights = project.weights;
    uint32_t count = project.count, begin = std::min(row, weights.rows - lanes);
    float *sums = grown(scratch, uint64_t(count) * lanes);
    std::fill_n(sums, uint64_t(count) * lanes, 0.0f);
    SixteenRows rows{row_at(weights, begin), weight_row_bytes(type, weights.columns)};
    constexpr uint32_t bytes = block_bytes(type), parts = block_values(type) / part_values;
    for (uint32_t block = 0; block < weights.columns / block_values(type); block++) {
        auto meet_part = [&](uint32_t part, const Quads &unpacked) {
            meet<type>(unpacked, inputs + uint64_t(block * parts + part) * count, count, sums);
        };
        uint64_t byte = uint64_t(block) * bytes;
        if constexpr (type == Type::q6_k) unpack_q6(rows, byte, meet_part);
        else if constexpr (is_k_quant(type)) unpack_k4<type>(rows, byte, meet_part);
        else unpack<type>(rows, byte, meet_part);
    }
    __mmask16 there = __mmask16(0xFFFF << (row - begin));
    for (uint32_t c = 0; c < count; c++) {
        float *out = project.out + uint64_t(c) * weights.rows + begin;
        Floats sum = load(sums + c * lanes);
        if (project.bias != nullptr) {
            sum += (Floats)_mm512_maskz_loadu_ps(there, project.bias + begin);
        }
        if (project.accumulate) sum = (Floats)_mm512_maskz_loadu_ps(there, out) + sum;
        _mm512_mask_storeu_ps(out, there, (__m512)sum);
    }
}

}  // namespace specache::SPECACHE_ISA

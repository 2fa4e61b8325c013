// project.cpp - out = weights * in, straight from the stored format.
//
// Decode: weights in blocks by whole numbers where the CPU can (whole.cpp), others by a dot product
// for each row, two rows and four inputs at a time or one and eight: memory bandwidth is the limit.
// Prefill: 32 rows are widened to a panel once for all inputs, then register blocks of 8 inputs, or
// 2, by 32 rows: arithmetic is the limit. Either way the order of a sum is fixed.
#include <algorithm>

#include "../../quantize.h"
#include "../kernels.h"
#include "project.h"

namespace specache::SPECACHE_ISA {
namespace {

constexpr uint32_t panel_rows = 32;
constexpr uint32_t panel_columns = 256;  // a panel is 32 KiB: it stays in the first-level cache
constexpr uint32_t inputs_at_a_time = std::min(8u, sums_held / 2);  // of a panel

// Rows [row, row + Rows) with inputs [first, first + Inputs). Each product has a sum of its own,
// whose order does not depend on how many there are.
template <Type type, uint32_t Rows, uint32_t Inputs>
void dot(const Project &project, uint32_t row, uint32_t first) {
    uint32_t columns = project.weights.columns, i = 0;
    uint64_t row_bytes = weight_row_bytes(type, columns);
    const uint8_t *weights = row_at(project.weights, row);
    const float *in = project.in + uint64_t(first) * columns;
    Floats low[Rows][Inputs], high[Rows][Inputs];
    for (uint32_t r = 0; r < Rows; r++) {  // `= {}` would clear them in memory
        for (uint32_t c = 0; c < Inputs; c++) low[r][c] = high[r][c] = Floats{};
    }
    const uint8_t *block = weights;  // of the first row
    for (; i + block_values(type) <= columns; block += block_bytes(type)) {
        const Unpacked<type> unpacked[2] = {Unpacked<type>(block),
                                            Unpacked<type>(block + (Rows - 1) * row_bytes)};
        for (uint32_t r = 0; r < Rows; r++) prefetch_block<type>(block + r * row_bytes);
        with_parts<type>([&](auto part) {
            for (uint32_t r = 0; r < Rows; r++) {
                Pair pair = load_block<type>(unpacked[r], block + r * row_bytes, part);
                for (uint32_t c = 0; c < Inputs; c++) {
                    low[r][c] += pair.low * load(in + uint64_t(c) * columns + i);
                    high[r][c] += pair.high * load(in + uint64_t(c) * columns + i + lanes);
                }
            }
            i += part_values;
        });
    }
    float sums[lanes];
    if constexpr (Rows * Inputs >= lanes / 2) {
        Floats both[lanes] = {};
        for (uint32_t r = 0; r < Rows; r++) {
            for (uint32_t c = 0; c < Inputs; c++) both[r * Inputs + c] = low[r][c] + high[r][c];
        }
        store(sums, sums_of(both));
    } else {
        for (uint32_t r = 0; r < Rows; r++) {
            for (uint32_t c = 0; c < Inputs; c++) {
                sums[r * Inputs + c] = sum_of(low[r][c] + high[r][c]);
            }
        }
    }
    for (uint32_t r = 0; r < Rows; r++) {
        for (uint32_t c = 0; c < Inputs; c++) {
            float sum = sums[r * Inputs + c];
            for (uint32_t rest = i; rest < columns; rest++) {
                sum += dequantize_number(type, weights + r * row_bytes, rest) *
                       in[uint64_t(c) * columns + rest];
            }
            put(project, first + c, row + r, sum);
        }
    }
}

// sums[input][32] += in[input][first .. first + columns) * panel[columns][32].
template <uint32_t Inputs>
void multiply(const float *in, uint32_t stride, const float *panel, uint32_t columns, float *sums) {
    Floats low[Inputs], high[Inputs];
    for (uint32_t c = 0; c < Inputs; c++) {
        low[c] = load(sums + c * panel_rows);
        high[c] = load(sums + c * panel_rows + lanes);
    }
    for (uint32_t i = 0; i < columns; i++) {
        Floats left = load(panel + i * panel_rows), right = load(panel + i * panel_rows + lanes);
        for (uint32_t c = 0; c < Inputs; c++) {
            Floats x = spread(in[uint64_t(c) * stride + i]);
            low[c] += x * left;
            high[c] += x * right;
        }
    }
    for (uint32_t c = 0; c < Inputs; c++) {
        store(sums + c * panel_rows, low[c]);
        store(sums + c * panel_rows + lanes, high[c]);
    }
}

struct Scratch {
    std::vector<float> panel;  // [panel_columns][32] transposed weights
    std::vector<float> sums;   // [inputs][32]
};

template <Type type>
void fill_panel(const Tensor &weights, uint32_t first_row, uint32_t column, uint32_t columns,
                float *panel) {
    float row[panel_columns];
    uint64_t bytes = weight_row_bytes(type, weights.columns);
    for (uint32_t r = 0; r < panel_rows; r++) {
        if (first_row + r < weights.rows) {
            widen_weights<type>(
                static_cast<const uint8_t *>(weights.data) + (first_row + r) * bytes, column,
                columns, row);
        } else {
            std::fill(row, row + columns, 0.0f);
        }
        for (uint32_t i = 0; i < columns; i++) panel[i * panel_rows + r] = row[i];
    }
}

template <Type type>
void multiply_panel(const Project &project, uint32_t first_row, Scratch &scratch) {
    uint32_t columns = project.weights.columns;
    float *panel = grown(scratch.panel, panel_columns * panel_rows);
    float *sums = grown(scratch.sums, uint64_t(project.count) * panel_rows);
    std::fill(sums, sums + uint64_t(project.count) * panel_rows, 0.0f);
    for (uint32_t column = 0; column < columns; column += panel_columns) {
        uint32_t part = std::min(panel_columns, columns - column), c = 0;
        fill_panel<type>(project.weights, first_row, column, part, panel);
        const float *in = project.in + column;
        for (; c + inputs_at_a_time <= project.count; c += inputs_at_a_time) {
            multiply<inputs_at_a_time>(in + uint64_t(c) * columns, columns, panel, part,
                                       sums + c * panel_rows);
        }
        for (; c < project.count; c++) {
            multiply<1>(in + uint64_t(c) * columns, columns, panel, part, sums + c * panel_rows);
        }
    }
    uint32_t rows = std::min(panel_rows, project.weights.rows - first_row);
    for (uint32_t c = 0; c < project.count; c++) {
        for (uint32_t r = 0; r < rows; r++)
            put(project, c, first_row + r, sums[c * panel_rows + r]);
    }
}

}  // namespace

void project(Stream &stream, const Project &project) {
    uint32_t rows = project.weights.rows;
    if (!project.prefill && project.int8 && has_int8(project.weights.type)) {
        return project_int8(stream, project);
    }
    if (project_whole(stream, project)) return;
    with_type(project.weights.type, [&]<Type type>() {
        if (project.prefill) {
            uint32_t panels = (rows + panel_rows - 1) / panel_rows;
            parallel_until_cancelled(stream, panels, [&](uint32_t panel) {
                static thread_local Scratch scratch;
                multiply_panel<type>(project, panel * panel_rows, scratch);
            });
            return;
        }
        for_pieces(stream, rows, [&](uint32_t row, uint32_t count) {
            dot_piece<2>(project.count, row, count,
                         [&]<uint32_t Rows, uint32_t Inputs>(uint32_t first, uint32_t input) {
                             dot<type, Rows, Inputs>(project, first, input);
                         });
        });
    });
}

}  // namespace specache::SPECACHE_ISA

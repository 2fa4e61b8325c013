// project.cpp - prefill's out = weights * in by AMX: two runs of 16 rows of weights are unpacked to
// tiles once for all inputs, a part's products are summed whole, and its scale is met after that.
//
// An output's sum has the order of its parts, whatever else is multiplied beside it.
#include "../kernels/project.h"
#include "../tables.h"
#include "inputs.h"

namespace specache::SPECACHE_ISA {
namespace {

constexpr uint32_t runs_at_a_time = 2;  // multiply() takes two

// Of a run of a thread.
struct alignas(64) Scratch {
    Columns columns;
    float products[parts_at_a_time * tile_floats];
};

// Adds the products of parts [part, part + parts) of a group to sums [rows][inputs].
template <Type type>
void add_products(const Inputs &inputs, uint32_t group, uint32_t part, uint32_t parts,
                  const Scratch &scratch, float *sums) {
    Floats sum[tile_rows];
    std::memcpy(sum, sums, sizeof sum);
    for (uint32_t p = 0; p < parts; p++) {
        const float *product = scratch.products + p * tile_floats;
        const float *scales = scratch.columns.scales + p * tile_rows;
        const float *leasts = scratch.columns.leasts + p * tile_rows;
        Floats of_inputs = load(inputs.sums + inputs.part(group, part + p) * lanes);
        SPECACHE_UNROLL
        for (uint32_t r = 0; r < tile_rows; r++) {
            if constexpr (!in_blocks(type)) sum[r] += load(product + r * lanes);
            else sum[r] += spread(scales[r]) * load(product + r * lanes);
            if constexpr (has_least(type)) sum[r] += spread(leasts[r]) * of_inputs;
        }
    }
    std::memcpy(sums, sum, sizeof sum);
}

// The first row of the run that has row `row`: the last runs are of the last rows.
uint32_t run_begin(const Project &project, uint32_t row) {
    return std::min(row, project.weights.rows - tile_rows);
}

// Those of a run's sums of a group that belong to rows from `row` on.
void put_run(const Project &project, uint32_t row, uint32_t group, const float *sums) {
    uint32_t begin = run_begin(project, row), first = group * lanes;
    __mmask16 there = __mmask16(0xFFFF << (row - begin));
    Floats columns[tile_rows];
    std::memcpy(columns, sums, sizeof columns);
    transpose(reinterpret_cast<__m512i *>(columns));
    for (uint32_t i = 0; i < lanes && first + i < project.count; i++) {
        Floats sum = columns[i];
        float *out = project.out + uint64_t(first + i) * project.weights.rows + begin;
        if (project.bias != nullptr) {
            sum += (Floats)_mm512_maskz_loadu_ps(there, project.bias + begin);
        }
        if (project.accumulate) sum = (Floats)_mm512_maskz_loadu_ps(there, out) + sum;
        _mm512_mask_storeu_ps(out, there, (__m512)sum);
    }
}

// Parts [part, part + parts) of two runs, from rows `row` on, with all inputs, to sums
// [2][groups][tile_floats].
template <Type type>
void multiply_parts(const Project &project, const Inputs &inputs, uint32_t row, uint32_t part,
                    uint32_t parts, Scratch *scratch, float *sums) {
    for (uint32_t r = 0; r < runs_at_a_time; r++) {
        RowRun run{row_at(project.weights, run_begin(project, row + r * tile_rows)),
                   weight_row_bytes(type, project.weights.columns)};
        uint32_t numbers = project.weights.columns - part * part_columns(type);
        fill<type>(run, part, parts, numbers, scratch[r].columns);
    }
    for (uint32_t group = 0; group < inputs.groups; group++) {
        const uint16_t *of_inputs = inputs.tiles + inputs.part(group, part) * input_numbers;
        for (uint32_t p = 0; p < parts; p++) {
            multiply(scratch[0].columns.tiles + p * tile_numbers,
                     scratch[1].columns.tiles + p * tile_numbers, of_inputs + p * input_numbers,
                     scratch[0].products + p * tile_floats,
                     scratch[1].products + p * tile_floats);
        }
        for (uint32_t r = 0; r < runs_at_a_time; r++) {
            add_products<type>(inputs, group, part, parts, scratch[r],
                               sums + (uint64_t(r) * inputs.groups + group) * tile_floats);
        }
    }
}

// Rows [first, first + rows).
template <Type type>
void multiply_rows(const Project &project, const Inputs &inputs, uint32_t first, uint32_t rows) {
    static thread_local Scratch scratch[runs_at_a_time];
    static thread_local std::vector<float> held;
    constexpr uint32_t pair_rows = runs_at_a_time * tile_rows;
    uint32_t pairs = (rows + pair_rows - 1) / pair_rows;
    uint64_t of_run = uint64_t(inputs.groups) * tile_floats, of_pair = runs_at_a_time * of_run;
    float *sums = grown_aligned(held, pairs * of_pair);  // [pairs][2][groups][tile_floats]
    std::fill(sums, sums + pairs * of_pair, 0.0f);
    Tiles::hold(part_columns(type));
    for (uint32_t part = 0; part < inputs.parts; part += parts_at_a_time) {
        uint32_t parts = std::min(parts_at_a_time, inputs.parts - part);
        for (uint32_t pair = 0; pair < pairs; pair++) {
            multiply_parts<type>(project, inputs, first + pair * pair_rows, part, parts, scratch,
                                 sums + pair * of_pair);
        }
    }
    for (uint32_t row = 0; row < rows; row += tile_rows) {
        for (uint32_t group = 0; group < inputs.groups; group++) {
            put_run(project, first + row, group,
                    sums + row / tile_rows * of_run + group * tile_floats);
        }
    }
}

// Rows of a thread's piece: of those numbers that keep the threads at work for the least time the
// largest, since each piece reads all inputs.
uint32_t piece_rows(Stream &stream, uint32_t rows) {
    constexpr uint32_t pair_rows = runs_at_a_time * tile_rows, most = 8;
    const Threads *shared = static_cast<CpuStream &>(stream).threads;
    uint32_t threads = shared != nullptr ? shared->count() : 1, best = 1, shortest = UINT32_MAX;
    uint32_t pairs = (rows + pair_rows - 1) / pair_rows;
    for (uint32_t each = 1; each <= most; each++) {
        uint32_t pieces = (pairs + each - 1) / each, turns = (pieces + threads - 1) / threads;
        if (turns * each > shortest) continue;
        shortest = turns * each;
        best = each;
    }
    return best * pair_rows;
}

inline constexpr bool by_tiles(Type type) {
    return in_blocks(type) || type == Type::bf16;  // f16 and f32 have more bits than bf16
}

thread_local InputScratch split_before;

template <Type type>
void project_by_tiles(Stream &stream, const Project &project) {
    Inputs inputs = split_inputs<type>(stream, project, split_before);
    uint32_t rows = project.weights.rows, each = piece_rows(stream, rows);
    parallel_until_cancelled(stream, (rows + each - 1) / each, [&](uint32_t piece) {
        uint32_t first = piece * each;
        multiply_rows<type>(project, inputs, first, std::min(each, rows - first));
    });
}

}  // namespace

void project(Stream &stream, const Project &project) {
    Type type = project.weights.type;
    if (!project.prefill || project.weights.rows < tile_rows || !by_tiles(type)) {
        split_before.type = Type::f32;  // none of ours
        return avx512::kernels.project(stream, project);
    }
    Tiles::release();
    with_type(type, [&]<Type type>() {
        if constexpr (by_tiles(type)) project_by_tiles<type>(stream, project);
    });
    Tiles::release();
}

}  // namespace specache::SPECACHE_ISA

// attend.cu - one softmax over sinks, tail, window and inputs. The context is cut into chunks of
// block_pages pages, whose partial sums do not depend on how many blocks run at once; the exact
// rows are the last chunk. A merge turns the sums of value planes into the head's channels.
#include "../native/codes.h"
#include "../native/scratch.h"
#include "exact.cuh"
#include "kernels.h"
#include "rotation.cuh"

namespace specache::cuda {
namespace {

constexpr uint32_t chunk_tokens = block_pages * page_tokens;
constexpr uint32_t slices = 4;  // of a chunk's tokens, so that few planes keep a block busy
constexpr uint32_t planes_most = 4 * head_dim_max;

// The sums of one (chunk, input, query head), in scratch.h's sums: largest logit, sum of weights,
// from 2 * vector_floats on the channels, then the planes.
struct Partial {
    float *at;
    uint32_t channels;
    __device__ float &largest() const { return at[0]; }
    __device__ float &total() const { return at[1]; }
    __device__ float *channel() const { return at + 2 * vector_floats; }
    __device__ float *plane() const { return channel() + channels; }
};

struct Sums {  // [chunks + 1][inputs][query_heads]
    float *base;
    uint32_t floats, heads, channels;  // floats of each; inputs * query_heads; whole vectors
    __host__ explicit Sums(const Attend &attend) {
        AttendScratch scratch = attend_scratch(attend.shape, attend.inputs, attend.pages_max,
                                               attend.k_max, attend.value_planes, attend.scratch);
        base = scratch.sums;
        floats = scratch.sum_floats;
        heads = attend.inputs * attend.shape.query_heads;
        channels = (attend.shape.head_dim + vector_floats - 1) / vector_floats * vector_floats;
    }
    __device__ Partial of(uint32_t chunk, uint32_t vector) const {
        return {base + (uint64_t(chunk) * heads + vector) * floats, channels};
    }
};

// Codes of tokens that have a row are not looked at.
__global__ void hide_exact(Attend attend) {
    uint32_t group = attend.shape.query_heads / attend.shape.kv_heads, pair = blockIdx.x;
    uint32_t input = pair / attend.shape.kv_heads, head = pair % attend.shape.kv_heads;
    for (uint32_t i = threadIdx.x; i < attend.counts[pair] * group; i += blockDim.x) {
        uint64_t place = uint64_t(pair) * attend.k_max + i / group;
        if (attend.rows[place] == nullptr) continue;
        uint64_t vector = uint64_t(input) * attend.shape.query_heads + head * group + i % group;
        attend.logits[vector * attend.tokens_max + attend.chosen[place]] = -INFINITY;
    }
}

struct ChunkWeights {
    float weights[chunk_tokens];
    float parts[slices * planes_most];
};

// Of one query the weighted values of tokens [first, first + 64 pages) by their codes.
struct CodedChunk {
    const Attend &attend;
    const HeadCode &code;
    CodeLayout layout;
    uint32_t first_page, pages;
    ChunkWeights &at;

    __device__ const uint8_t *codes(uint32_t page) const {
        return code.page(attend.pages[first_page + page]);
    }
    __device__ bool paper() const { return code.rule == Rule::paper; }

    // Weights times the scales of their tokens, in place, once the plain ones have been used.
    __device__ void scale_weights() const {
        for (uint32_t j = threadIdx.x; j < pages * page_tokens; j += blockDim.x) {
            const uint8_t *of = codes(j / page_tokens);
            float scale = load_number(Type::f16, of + layout.value_parameters, 1);
            if (code.value_bits != 0) {
                scale *= float(of[layout.value_scales + j % page_tokens]) / 255;
            }
            at.weights[j] *= scale;
        }
        __syncthreads();
    }
    __device__ void sum_centres(const Partial &to) const {
        for (uint32_t i = threadIdx.x; i < attend.shape.head_dim; i += blockDim.x) {
            float sum = 0;
#pragma unroll 1
            for (uint32_t page = 0; page < pages; page++) {
                float weight = 0;
                for (uint32_t j = 0; j < page_tokens; j++) {
                    weight += at.weights[page * page_tokens + j];
                }
                const uint8_t *of = codes(page);
                sum += weight * load_number(Type::f16, of + layout.value_parameters, 0) *
                       float(int8_t(of[layout.value_centre + i]));
            }
            to.channel()[i] = sum;
        }
    }
    // Weighted values of a channel (paper) or signs of a plane (rotated) over a slice of tokens.
    __device__ float sum_slice(uint32_t item, uint32_t slice) const {
        float sum = 0;
        uint32_t dim = attend.shape.head_dim, groups = (dim + code.group - 1) / max(code.group, 1u);
#pragma unroll 1
        for (uint32_t j = slice; j < pages * page_tokens; j += slices) {
            const uint8_t *of = codes(j / page_tokens);
            uint32_t token = j % page_tokens;
            const uint8_t *bits = of + layout.values + token * layout.value_stride;
            if (!paper()) {
                sum += bits[item / 8] >> item % 8 & 1 ? at.weights[j] : -at.weights[j];
                continue;
            }
            const uint8_t *parameters =
                of + layout.value_parameters + (token * groups + item / code.group) * 4;
            uint32_t level = bits[item / 8] >> item % 8 & 1u;
            uint32_t second = dim + item;
            if (code.value_bits == 2) level |= (bits[second / 8] >> second % 8 & 1u) << 1;
            sum += at.weights[j] * (load_number(Type::f16, parameters, 0) +
                                    load_number(Type::f16, parameters, 1) * float(level));
        }
        return sum;
    }
    __device__ void sum_values(const Partial &to) const {
        uint32_t items = paper() ? attend.shape.head_dim : code.value_planes;
        float *sums = paper() ? to.channel() : to.plane();
#pragma unroll 1
        for (uint32_t i = threadIdx.x; i < items * slices; i += blockDim.x) {
            at.parts[i] = sum_slice(i % items, i / items);
        }
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < items; i += blockDim.x) {
            float sum = 0;
            for (uint32_t slice = 0; slice < slices; slice++) sum += at.parts[slice * items + i];
            sums[i] = sum;
        }
    }
};

// A block a (chunk, query head, input): largest logit, weights, weighted values.
__global__ void __launch_bounds__(block_threads) attend_codes(Attend attend, Sums sums) {
    __shared__ ChunkWeights at;
    const Shape &shape = attend.shape;
    uint32_t vector = blockIdx.z * shape.query_heads + blockIdx.y;
    uint32_t group = shape.query_heads / shape.kv_heads;
    const HeadCode &code = attend.codes_of[blockIdx.y / group];
    uint32_t seen = coded_pages(attend.positions[blockIdx.z]), first = blockIdx.x * block_pages;
    if (code.rule == Rule::none || first >= seen) return;
    CodedChunk chunk{attend, code, code_layout(code, shape.head_dim), first,
                     min(block_pages, seen - first), at};
    Partial to = sums.of(blockIdx.x, vector);
    const float *logits =
        attend.logits + uint64_t(vector) * attend.tokens_max + first * page_tokens;
    float largest = nothing, total = 0;
    for (uint32_t j = threadIdx.x; j < chunk.pages * page_tokens; j += blockDim.x) {
        largest = fmaxf(largest, logits[j]);
    }
    largest = over_block(largest, Largest());
    for (uint32_t j = threadIdx.x; j < chunk.pages * page_tokens; j += blockDim.x) {
        float weight = logits[j] > nothing ? __expf(logits[j] - largest) : 0;
        at.weights[j] = weight;
        total += weight;
    }
    total = over_block(total, Sum());
    if (threadIdx.x == 0) to.largest() = largest, to.total() = total;
    __syncthreads();
    if (!chunk.paper()) {
        chunk.sum_centres(to);
        __syncthreads();
        chunk.scale_weights();
    }
    chunk.sum_values(to);
}

// The exact rows of one (input, KV head) by number: sinks, window and inputs, chosen ones.
struct ExactRows {
    const Attend &attend;
    uint32_t input, head;
    uint32_t pair = input * attend.shape.kv_heads + head;
    uint32_t position = attend.positions[input];
    uint32_t tail = coded_pages(position) * page_tokens;
    uint32_t sinks = tail > 0 ? sink_tokens : 0;
    uint32_t near = sinks + position - tail + 1;
    uint32_t count = near + attend.counts[pair];
    uint64_t row = row_bytes(attend.shape);
    __device__ const uint8_t *at(uint32_t i) const {
        if (i >= count) return nullptr;
        if (i >= near) return attend.rows[uint64_t(pair) * attend.k_max + i - near];
        if (i < sinks) return attend.near.sinks + (uint64_t(head) * sink_tokens + i) * row;
        uint32_t token = tail + i - sinks;
        return attend.near.window + (uint64_t(head) * window_rows + token % window_rows) * row;
    }
};

// A block 8 queries of an (input, KV head) and a chunk: of resident pages (mode full), or, the
// last, of the exact rows.
__global__ void __launch_bounds__(exact_threads)
attend_exact(Attend attend, Sums sums, uint32_t chunks, uint32_t tiles) {
    __shared__ ExactTile tile;
    const Shape &shape = attend.shape;
    uint32_t group = shape.query_heads / shape.kv_heads, head = blockIdx.y / tiles;
    uint32_t first = blockIdx.y % tiles * tile_queries, count = min(tile_queries, group - first);
    uint32_t chunk = blockIdx.x + (attend.near.resident.base == nullptr ? chunks : 0);
    uint32_t vector = blockIdx.z * shape.query_heads + head * group + first;
    ExactRows rows{attend, blockIdx.z, head};
    bool resident = chunk < chunks;
    uint32_t begun = resident ? chunk * chunk_tokens : 0;
    uint32_t end = resident ? min(rows.tail, begun + chunk_tokens) : rows.count;
    if (begun >= end) return;
    ExactSums held;
    clear_sums(tile, held);
    load_queries(tile, shape, count, [&](uint32_t q) {
        return attend.queries + uint64_t(vector + q) * shape.head_dim;
    });
#pragma unroll 1
    for (uint32_t at = begun; at < end; at += tile_rows) {
        for (uint32_t r = threadIdx.x; r < tile_rows; r += blockDim.x) {
            const uint8_t *row = resident ? nullptr : rows.at(at + r);
            if (resident && at + r >= sink_tokens) {
                row = attend.near.resident.page(at / page_tokens) +
                      (uint64_t(head) * page_tokens + r) * rows.row;
            }
            tile.rows[r] = row;
        }
        __syncthreads();
        add_tile(tile, held, shape, count, [](uint32_t, uint32_t) { return true; });
    }
    for (uint32_t q = 0; q < tile_queries; q++) {
        if (q >= count) break;
        Partial to = sums.of(chunk, vector + q);
        for (uint32_t i = 0; i < channels_each; i++) {
            uint32_t channel = threadIdx.x + i * exact_threads;
            if (channel < shape.head_dim) to.channel()[channel] = held.out[i][q];
        }
        if (threadIdx.x == 0) to.largest() = tile.largest[q], to.total() = tile.total[q];
    }
}

struct Merged {
    float coded[head_dim_max];    // rotated centres, or values as they are (paper, resident)
    float planes[planes_most];
    float basis[head_dim_max];    // plane sums by channel
};

// Plane sums to channels, as planes_of and decode_rotated of reference/codes.cpp do.
__device__ void turn_planes(Merged &at, const HeadCode &code, uint32_t dim,
                            const Cosines &cosines) {
    for (uint32_t i = threadIdx.x; i < dim; i += blockDim.x) {
        float sum = 0;
        for (uint32_t p = 0; code.value_bits == 0 && p < code.value_planes; p++) {
            if (code.plane_channel[p] == i) sum += code.plane_weight[p] * at.planes[p];
        }
        if (code.value_bits != 0) {
            sum = code.value_bits == 2 ? 2 * at.planes[i] + at.planes[dim + i] : at.planes[i];
            at.coded[i] += sum;
        }
        at.basis[i] = sum;
    }
    __syncthreads();
    rotate_back(Block(), at.coded, dim, cosines);
    for (uint32_t i = threadIdx.x; code.value_bits == 0 && i < dim; i += blockDim.x) {
        for (uint32_t k = 0; k < dim; k++) {
            at.coded[i] += at.basis[k] * code.value_basis[uint64_t(k) * dim + i];
        }
    }
}

__global__ void __launch_bounds__(block_threads)
merge_chunks(Attend attend, Sums sums, uint32_t chunks, const __grid_constant__ Cosines cosines) {
    __shared__ Merged at;
    const Shape &shape = attend.shape;
    uint32_t dim = shape.head_dim, vector = blockIdx.y * shape.query_heads + blockIdx.x;
    const HeadCode &code = attend.codes_of[blockIdx.x / (shape.query_heads / shape.kv_heads)];
    bool rotated = code.rule == Rule::rotated;
    uint32_t tail = coded_pages(attend.positions[blockIdx.y]);
    uint32_t used = (tail + block_pages - 1) / block_pages;
    uint32_t planes = rotated ? code.value_planes : 0;
    Partial exact = sums.of(chunks, vector);
    float largest = exact.largest(), total = 0;
    for (uint32_t c = 0; c < used; c++) largest = fmaxf(largest, sums.of(c, vector).largest());
    for (uint32_t i = threadIdx.x; i < dim; i += blockDim.x) at.coded[i] = 0;
    for (uint32_t i = threadIdx.x; i < planes; i += blockDim.x) at.planes[i] = 0;
#pragma unroll 1
    for (uint32_t c = 0; c < used; c++) {  // each thread its own channels and planes
        Partial from = sums.of(c, vector);
        float shrink = __expf(from.largest() - largest);
        total += from.total() * shrink;
        for (uint32_t i = threadIdx.x; i < dim; i += blockDim.x) {
            at.coded[i] += from.channel()[i] * shrink;
        }
        for (uint32_t i = threadIdx.x; i < planes; i += blockDim.x) {
            at.planes[i] += from.plane()[i] * shrink;
        }
    }
    __syncthreads();
    if (rotated && used > 0) turn_planes(at, code, dim, cosines);
    float shrink = __expf(exact.largest() - largest);
    total += exact.total() * shrink;
    for (uint32_t i = threadIdx.x; i < dim; i += blockDim.x) {
        attend.outputs[uint64_t(vector) * dim + i] =
            (at.coded[i] + exact.channel()[i] * shrink) / total;
    }
}

}  // namespace

void attend(Stream &stream, const Attend &attend) {
    const Shape &shape = attend.shape;
    Sums sums(attend);
    uint32_t chunks = blocks_of(attend.pages_max, block_pages);
    bool resident = attend.near.resident.base != nullptr;
    cudaStream_t on = queue(stream);
    if (!resident) {
        hide_exact<<<attend.inputs * shape.kv_heads, block_threads, 0, on>>>(attend);
        launched("attend: hide_exact");
        dim3 grid(chunks, shape.query_heads, attend.inputs);
        attend_codes<<<grid, block_threads, 0, on>>>(attend, sums);
        launched("attend: codes");
    }
    uint32_t tiles = blocks_of(shape.query_heads / shape.kv_heads, tile_queries);
    dim3 grid(resident ? chunks + 1 : 1, shape.kv_heads * tiles, attend.inputs);
    attend_exact<<<grid, exact_threads, 0, on>>>(attend, sums, chunks, tiles);
    launched("attend: exact");
    merge_chunks<<<dim3(shape.query_heads, attend.inputs), block_threads, 0, on>>>(
        attend, sums, chunks, cosines_of(shape.head_dim));
    launched("attend: merge");
}

}  // namespace specache::cuda

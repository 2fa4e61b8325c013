// attend.cu - one softmax over sinks, tail, window and inputs. The context is cut into chunks of
// block_pages pages, whose partial sums do not depend on how many blocks run at once; the last ones
// are of exact_part exact rows each. A merge turns the sums of value planes into the head's
// channels.
#include "coded.cuh"
#include "exact.cuh"
#include "kernels.h"
#include "merge.cuh"

namespace specache::cuda {
namespace {

constexpr uint32_t chunk_tokens = block_pages * page_tokens;

// Codes of tokens that have a row are not looked at.
__global__ void hide_exact(Attend attend) {
    uint32_t group = attend.shape.query_heads / attend.shape.kv_heads;
    uint32_t input = blockIdx.x / attend.heads.count;
    uint32_t head = attend.heads.first + blockIdx.x % attend.heads.count;
    uint32_t pair = input * attend.shape.kv_heads + head;
    for (uint32_t i = threadIdx.x; i < attend.counts[pair] * group; i += blockDim.x) {
        uint64_t place = uint64_t(pair) * attend.k_max + i / group;
        if (attend.rows[place] == nullptr) continue;
        uint64_t vector = logits_place(attend.shape, attend.heads, input, head * group + i % group);
        attend.logits[vector * attend.tokens_max + attend.chosen[place]] = -INFINITY;
    }
}

// The queries [first, first + count) of the inputs * group of a KV head, and a chunk of its pages.
struct CodedChunk {
    const Attend &attend;
    const HeadCode &code;
    CodeLayout layout;
    CodedTile &tile;
    uint32_t head, first, count, first_page, pages;
    LaneQuery query;

    __device__ uint32_t vector(uint32_t q) const {  // of [inputs][query_heads]
        uint32_t group = attend.shape.query_heads / attend.shape.kv_heads, at = first + q;
        return at / group * attend.shape.query_heads + head * group + at % group;
    }
    __device__ uint32_t seen(uint32_t q) const {  // pages of the text
        return coded_pages(attend.positions[vector(q) / attend.shape.query_heads]);
    }
    __device__ const uint8_t *codes(uint32_t page) const {
        return code.page(attend.pages[first_page + page]);
    }
    __device__ bool paper() const { return code.rule == Rule::paper; }

    __device__ void start_query() {
        uint32_t q = lane_of() / 4, own = q < count ? seen(q) : 0;
        query.seen = own > first_page ? min(pages, own - first_page) : 0;
        uint32_t at = vector(q < count ? q : 0), of_input = attend.shape.query_heads;
        uint64_t place =
            logits_place(attend.shape, attend.heads, at / of_input, at % of_input);
        query.logits = attend.logits + place * attend.tokens_max +
                       first_page * page_tokens + lane_of() % 4 * 4;
        query.largest = largest_of_chunk(tile, query);
    }
    __device__ void put_page_weight(uint32_t page, float sum) const {
        sum += __shfl_xor_sync(whole_warp, sum, 1);
        sum += __shfl_xor_sync(whole_warp, sum, 2);
        if (lane_of() % 4 == 0) tile.page_weights[page][lane_of() / 4] = sum * weight_unit;
    }

    // The warp's sums of 32 planes from `start` on, and each page's weights.
    template <bool one_word> __device__ void sum_planes(uint32_t start) const {
        float sums[2][4] = {};
#pragma unroll 1
        for (uint32_t page = warp_of(); page < pages; page += coded_warps) {
            const uint8_t *of = codes(page);
            float products[2][4] = {}, weight = 0;
#pragma unroll(one_word ? 2 : 1)
            for (uint32_t step = 0; step < page_tokens / step_tokens; step++) {
                uint32_t token = step * step_tokens + lane_of() % 4 * 4;
                TokenPlanes planes = load_planes<one_word>(of + layout.values, layout.value_stride,
                                                           token, start / 8);
                StepWeights weights = step_weights(query, page, step);
                weight += weights.of[0] + weights.of[1] + (weights.of[2] + weights.of[3]);
                if (!one_word && code.value_bits != 0) {  // scales of tokens, in 256ths for now
                    const uint8_t *scales = of + layout.value_scales + token;
                    for (uint32_t i = 0; i < 4; i++) weights.of[i] *= float(scales[i]) / 256;
                }
                add_signs(products, planes, split(weights));
            }
            put_page_weight(page, weight);
            float scale = load_number(Type::f16, of + layout.value_parameters, 1);
            if (!one_word && code.value_bits != 0) scale *= 256.0f / 255;
#pragma unroll
            for (uint32_t i = 0; i < 8; i++) sums[i / 4][i % 4] += products[i / 4][i % 4] * scale;
        }
#pragma unroll
        for (uint32_t i = 0; i < 8; i++) {
            uint32_t plane = i / 2 * 8 + lane_of() / 4, q = lane_of() % 4 * 2 + i % 2;
            tile.warps[warp_of()][q * coded_planes + plane] = sums[i / 4][i % 4] * weight_unit;
        }
    }
    // As sum_planes: the lane's channel of 32 by the paper's rule.
    __device__ void sum_channels(uint32_t start) const {
        float sums[coded_queries] = {}, *weights = tile.warps[warp_of()];
        uint32_t channel = start + lane_of(), dim = attend.shape.head_dim;
        uint32_t groups = (dim + code.group - 1) / code.group;
#pragma unroll 1
        for (uint32_t page = warp_of(); page < pages; page += coded_warps) {
            float sum = 0;
            for (uint32_t step = 0; step < page_tokens / step_tokens; step++) {
                StepWeights own = step_weights(query, page, step);
                uint32_t token = step * step_tokens + lane_of() % 4 * 4;
                for (uint32_t i = 0; i < 4; i++) {
                    weights[(token + i) * coded_queries + lane_of() / 4] = own.of[i] * weight_unit;
                    sum += own.of[i];
                }
            }
            put_page_weight(page, sum);
            __syncwarp();
            const uint8_t *of = codes(page);
#pragma unroll 1
            for (uint32_t token = 0; channel < dim && token < page_tokens; token++) {
                const uint8_t *bits = of + layout.values + token * layout.value_stride;
                const uint8_t *parameters = of + layout.value_parameters +
                                            (token * groups + channel / code.group) * 4;
                uint32_t level = bits[channel / 8] >> channel % 8 & 1u, second = dim + channel;
                if (code.value_bits == 2) level |= (bits[second / 8] >> second % 8 & 1u) << 1;
                float value = load_number(Type::f16, parameters, 0) +
                              load_number(Type::f16, parameters, 1) * float(level);
                for (uint32_t q = 0; q < coded_queries; q++) {
                    sums[q] += weights[token * coded_queries + q] * value;
                }
            }
            __syncwarp();
        }
        for (uint32_t q = 0; q < coded_queries; q++) {
            weights[q * coded_planes + lane_of()] = sums[q];
        }
    }
    // The warps' sums in the order of the warps: a query a warp, an item a lane.
    __device__ void put_sums(const Sums &sums, uint32_t start, uint32_t items) const {
        __syncthreads();
        uint32_t q = warp_of(), item = start + lane_of();
        float sum = 0;
        for (uint32_t warp = 0; warp < coded_warps; warp++) {
            sum += tile.warps[warp][q * coded_planes + lane_of()];
        }
        if (q < count && item < items) {
            Partial to = sums.of(first_page / block_pages, vector(q));
            (paper() ? to.channel() : to.plane())[item] = sum;
        }
        __syncthreads();
    }
    // Largest logits, sums of weights; then the weights of pages times the scales of their centres.
    __device__ void put_totals(const Sums &sums) const {
        uint32_t q = lane_of() / 4;
        if (warp_of() == 0 && lane_of() % 4 == 0 && q < count) {
            float total = 0;
#pragma unroll 1
            for (uint32_t page = 0; page < pages; page++) total += tile.page_weights[page][q];
            Partial to = sums.of(first_page / block_pages, vector(q));
            to.largest() = query.largest;
            to.total() = total;
        }
        __syncthreads();
        if (paper()) return;
        for (uint32_t i = threadIdx.x; i < pages * coded_queries; i += blockDim.x) {
            tile.page_weights[i / coded_queries][i % coded_queries] *=
                load_number(Type::f16, codes(i / coded_queries) + layout.value_parameters, 0);
        }
        __syncthreads();
    }
    __device__ void put_centres(const Sums &sums) const {
#pragma unroll 1
        for (uint32_t i = threadIdx.x; i < attend.shape.head_dim; i += blockDim.x) {
            float of_query[coded_queries] = {};
#pragma unroll 4
            for (uint32_t page = 0; page < pages; page++) {
                float centre = float(int8_t(codes(page)[layout.value_centre + i]));
                for (uint32_t q = 0; q < coded_queries; q++) {
                    of_query[q] += tile.page_weights[page][q] * centre;
                }
            }
            for (uint32_t q = 0; q < coded_queries; q++) {
                if (q >= count) break;
                sums.of(first_page / block_pages, vector(q)).channel()[i] = of_query[q];
            }
        }
    }
};

// A block 8 queries of a KV head and a chunk: largest logit, weights, weighted values.
__global__ void __launch_bounds__(coded_threads, 3) attend_codes(Attend attend, Sums sums) {
    __shared__ CodedTile tile;
    const Shape &shape = attend.shape;
    uint32_t queries = attend.inputs * (shape.query_heads / shape.kv_heads);
    uint32_t first = blockIdx.z * coded_queries, head = attend.heads.first + blockIdx.y;
    const HeadCode &code = attend.codes_of[head];
    if (code.rule == Rule::none) return;
    CodedChunk chunk{attend, code, code_layout(code, shape.head_dim), tile, head, first,
                     min(coded_queries, queries - first), blockIdx.x * block_pages, 0, {}};
    uint32_t seen = 0;
    for (uint32_t q = 0; q < chunk.count; q++) seen = max(seen, chunk.seen(q));
    if (chunk.first_page >= seen) return;
    chunk.pages = min(block_pages, seen - chunk.first_page);
    chunk.start_query();
    uint32_t items = chunk.paper() ? shape.head_dim : code.value_planes;
    bool one_word = code.value_bits == 0 && chunk.layout.value_stride == 4;
#pragma unroll 1
    for (uint32_t start = 0; start < items; start += coded_planes) {
        if (chunk.paper()) chunk.sum_channels(start);
        else if (one_word) chunk.sum_planes<true>(start);
        else chunk.sum_planes<false>(start);
        chunk.put_sums(sums, start, items);
    }
    chunk.put_totals(sums);
    if (!chunk.paper()) chunk.put_centres(sums);
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

// A block 8 queries of an (input, KV head) and a chunk: of resident pages (mode full), or, from
// `chunks` on, of the exact rows.
__global__ void __launch_bounds__(exact_threads)
attend_exact(Attend attend, Sums sums, uint32_t chunks, uint32_t tiles) {
    __shared__ ExactTile tile;
    const Shape &shape = attend.shape;
    uint32_t group = shape.query_heads / shape.kv_heads;
    uint32_t head = attend.heads.first + blockIdx.y / tiles;
    uint32_t first = blockIdx.y % tiles * tile_queries, count = min(tile_queries, group - first);
    uint32_t chunk = blockIdx.x + (attend.near.resident.base == nullptr ? chunks : 0);
    uint32_t vector = blockIdx.z * shape.query_heads + head * group + first;
    ExactRows rows{attend, blockIdx.z, head};
    bool resident = chunk < chunks;
    uint32_t begun = resident ? chunk * chunk_tokens : (chunk - chunks) * exact_part;
    uint32_t end = resident ? min(rows.tail, begun + chunk_tokens)
                            : min(rows.count, begun + exact_part);
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

__global__ void __launch_bounds__(block_threads)
merge_chunks(Attend attend, Sums sums, uint32_t chunks, const __grid_constant__ Cosines cosines) {
    __shared__ Merged at;
    const Shape &shape = attend.shape;
    uint32_t dim = shape.head_dim, group = shape.query_heads / shape.kv_heads;
    uint32_t query_head = attend.heads.first * group + blockIdx.x;
    uint32_t vector = blockIdx.y * shape.query_heads + query_head;
    const HeadCode &code = attend.codes_of[query_head / group];
    bool rotated = code.rule == Rule::rotated;
    uint32_t tail = coded_pages(attend.positions[blockIdx.y]);
    uint32_t used = (tail + block_pages - 1) / block_pages;
    uint32_t planes = rotated ? code.value_planes : 0;
    ExactRows rows{attend, blockIdx.y, query_head / group};
    uint32_t end = chunks + (rows.count + exact_part - 1) / exact_part;
    float largest = no_logit, total = 0;
    for (uint32_t c = 0; c < used; c++) largest = fmaxf(largest, sums.of(c, vector).largest());
    for (uint32_t c = chunks; c < end; c++) largest = fmaxf(largest, sums.of(c, vector).largest());
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
#pragma unroll 1
    for (uint32_t c = chunks; c < end; c++) {
        Partial from = sums.of(c, vector);
        float shrink = __expf(from.largest() - largest);
        total += from.total() * shrink;
        for (uint32_t i = threadIdx.x; i < dim; i += blockDim.x) {
            at.coded[i] += from.channel()[i] * shrink;
        }
    }
    for (uint32_t i = threadIdx.x; i < dim; i += blockDim.x) {
        attend.outputs[uint64_t(vector) * dim + i] = at.coded[i] / total;
    }
}

}  // namespace

void attend(Stream &stream, const Attend &attend) {
    const Shape &shape = attend.shape;
    Sums sums(attend);
    uint32_t group = shape.query_heads / shape.kv_heads, tiles = blocks_of(group, tile_queries);
    uint32_t chunks = blocks_of(attend.pages_max, block_pages);
    uint32_t exact_parts = sums.exact_parts;
    bool resident = attend.near.resident.base != nullptr;
    cudaStream_t on = queue(stream);
    if (!resident) {
        hide_exact<<<attend.inputs * attend.heads.count, block_threads, 0, on>>>(attend);
        launched("attend: hide_exact");
        uint32_t queries = attend.inputs * group;
        dim3 grid(chunks, attend.heads.count, blocks_of(queries, coded_queries));
        attend_codes<<<grid, coded_threads, 0, on>>>(attend, sums);
        launched("attend: codes");
    }
    dim3 grid((resident ? chunks : 0) + exact_parts, attend.heads.count * tiles, attend.inputs);
    attend_exact<<<grid, exact_threads, 0, on>>>(attend, sums, chunks, tiles);
    launched("attend: exact");
    merge_chunks<<<dim3(attend.heads.count * group, attend.inputs), block_threads, 0, on>>>(
        attend, sums, chunks, cosines_of(shape.head_dim));
    launched("attend: merge");
}

}  // namespace specache::cuda

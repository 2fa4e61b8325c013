// prefill.cu - exact causal attention of a chunk, page by page, over rows in near memory, by tensor
// cores. A block takes 64 (token, query head) pairs of one KV head, so a page's rows are read once
// for them, with a running softmax of each pair.
//   logits    keys (64 tokens) by queries (64 pairs), 32 channels at a time
//   weights   4 threads a pair
//   outputs   values turned (channels by 32 tokens) by weights
// Sums go by pages and channels alone: how a prompt was cut changes no bit.
#include "kernels.h"
#include "product.cuh"

namespace specache::cuda {
namespace {

constexpr uint32_t logit_stride = page_tokens + 4;  // spreads a strip's 8 rows over the banks
constexpr uint32_t key_strips = page_tokens / strip_rows / 2;
constexpr uint32_t thread_tokens = 16;  // of a pair and page, whose weights a thread makes
constexpr float nothing = -3e38f;  // the largest logit of no row at all

// For a head_dim up to dim_max: more of them take more registers for outputs.
template <Type kv_type, uint32_t dim_max> struct PageTile {
    static constexpr Type type = kv_type;
    static constexpr uint32_t terms = terms_of<type>;
    static constexpr uint32_t rows = terms == 3 ? 64 : 128;  // of the left operand
    static constexpr uint32_t strips = rows / strip_rows / 2;
    static constexpr uint32_t passes = dim_max / rows;  // over the channels of values
    using Outputs = Part[passes][strips];  // a lane's, of its warp's channels and pairs
    Operand<rows> left[terms];  // keys of 64 tokens, then values of `rows` channels
    union {
        Operand<right_rows> right[page_tokens / step_columns][right_terms];  // queries, weights
        float logits[right_rows][logit_stride];
    };
    float shrink[right_rows];  // what the pairs' sums so far are multiplied with
};

// A block's part of the work.
struct Work {
    PrefillAttend attend;
    uint32_t dim, group, head;
    uint32_t first, count;  // pairs: token * group + g

    __device__ explicit Work(const PrefillAttend &attend_in)
        : attend(attend_in), dim(attend.shape.head_dim),
          group(attend.shape.query_heads / attend.shape.kv_heads), head(blockIdx.y),
          first((gridDim.x - 1 - blockIdx.x) * right_rows),  // those with most pages begin first
          count(min(right_rows, attend.tokens * group - first)) {}
    __device__ uint64_t vector_of(uint32_t q) const {  // [tokens][query_heads]
        uint32_t pair = first + q;
        return uint64_t(pair / group) * attend.shape.query_heads + head * group + pair % group;
    }
    __device__ uint32_t position_of(uint32_t q) const {
        return attend.first_position + (first + q) / group;
    }
    __device__ float *sums_of(uint32_t q) const { return attend.sums + vector_of(q) * (dim + 2); }
};

// What a thread holds of a pair's softmax: 4 threads hold the same.
struct Softmax {
    float largest = nothing, total = 0;
};
// A thread's pair and which fourth of a page's tokens: 8 threads read 8 pairs' logits at once.
__device__ uint32_t softmax_pair() { return warp_of() * 8 + lane_of() % 8; }
__device__ uint32_t softmax_part() { return lane_of() / 8; }

// Calls at(sum, address) for each of the lane's sums that are kept between calls.
template <class Page, class At>
__device__ void each_kept(const Work &work, typename Page::Outputs &out, At at) {
#pragma unroll
    for (uint32_t n = 0; n < 2; n++) {
#pragma unroll
        for (uint32_t odd = 0; odd < 2; odd++) {
            uint32_t q = right_row() + right_of(n, odd);
            if (q >= work.count) continue;
            float *kept = work.sums_of(q);
#pragma unroll
            for (uint32_t pass = 0; pass < Page::passes; pass++) {
#pragma unroll
                for (uint32_t s = 0; s < Page::strips; s++) {
#pragma unroll
                    for (uint32_t i = odd; i < 4; i += 2) {
                        uint32_t channel = pass * Page::rows + left_row(s) + left_of(i);
                        if (channel < work.dim) at(out[pass][s][n][i], kept[channel]);
                    }
                }
            }
        }
    }
}

// Eight numbers of a row as they are stored; where there are none, zeros. Rows and their pieces lie
// at multiples of 16.
template <Type type> using RowWords = uint32_t[words_of<type>];
template <Type type>
__device__ void fetch_row(RowWords<type> &words, const uint8_t *row, uint32_t number, bool there) {
    for (uint32_t &word : words) word = 0;
    if (!there) return;
    constexpr uint32_t bytes = sizeof words / piece_values;
    const uint4 *from = reinterpret_cast<const uint4 *>(row + number * bytes);
#pragma unroll
    for (uint32_t w = 0; w < words_of<type>; w += 4) {
        uint4 four = from[w / 4];
        words[w] = four.x, words[w + 1] = four.y, words[w + 2] = four.z, words[w + 3] = four.w;
    }
}

__device__ Terms<right_terms> query_terms(const float *query, float scale, bool there) {
    float numbers[piece_values];
    bool aligned = reinterpret_cast<uintptr_t>(query) % sizeof(float4) == 0;
#pragma unroll
    for (uint32_t i = 0; i < piece_values; i += 4) {
        float4 four{};
        if (there && aligned) four = load<float4>(query + i);
        else if (there) four = {query[i], query[i + 1], query[i + 2], query[i + 3]};
        numbers[i] = four.x * scale, numbers[i + 1] = four.y * scale;
        numbers[i + 2] = four.z * scale, numbers[i + 3] = four.w * scale;
    }
    return split<right_terms>(numbers);
}

// Leaves the logits of the page's first `seen` tokens in page.logits.
template <class Page>
__device__ void page_logits(Page &page, const Work &work, const uint8_t *rows,
                            uint32_t seen) {
    uint32_t at = threadIdx.x / step_pieces, piece = threadIdx.x % step_pieces;  // token, pair
    const uint8_t *row = rows + at * row_bytes(work.attend.shape);
    bool asked = at < work.count;
    const float *query = work.attend.queries + work.vector_of(asked ? at : 0) * work.dim;
    uint32_t strips = right_row() < work.count ? strips_of(seen) : 0;
    Part logits[key_strips] = {};
    RowWords<Page::type> key;  // fetched while the block multiplies the ones before
    uint32_t channel = piece * piece_values;
    fetch_row<Page::type>(key, row, channel, channel < work.dim && at < seen);
#pragma unroll 1
    for (uint32_t begun = 0; begun < work.dim; begun += step_columns) {
        put(page.left, at, piece, terms_from<Page::type>(key));
        put(page.right[0], at, piece,
            query_terms(query + channel, work.attend.shape.scale, channel < work.dim && asked));
        __syncthreads();
        channel += step_columns;
        fetch_row<Page::type>(key, row, channel, channel < work.dim && at < seen);
        multiply<key_strips, false>(page.left, page.right[0], strips,
                                    [&](uint32_t s, const Part &part) {
#pragma unroll
            for (uint32_t i = 0; i < 8; i++) logits[s][i / 4][i % 4] += part[i / 4][i % 4];
        });
        __syncthreads();  // the operands are read
    }
#pragma unroll
    for (uint32_t s = 0; s < key_strips; s++) {
        for (uint32_t i = 0; i < 8; i++) {
            uint32_t q = right_row() + right_of(i / 4, i % 4);
            page.logits[q][left_row(s) + left_of(i % 4)] = logits[s][i / 4][i % 4];
        }
    }
    __syncthreads();
}

// Weights of the logits, as the right operand; begun: the position of the page's first token.
template <class Page>
__device__ void page_weights(Page &page, const Work &work, Softmax &softmax,
                             uint32_t begun) {
    uint32_t q = softmax_pair(), token = softmax_part() * thread_tokens;
    float x[thread_tokens], most = softmax.largest, total = 0;
    uint32_t end = q < work.count ? work.position_of(q) + 1 : 0;  // of the positions it sees
#pragma unroll
    for (uint32_t i = 0; i < thread_tokens; i += 4) {
        float4 four = load<float4>(&page.logits[q][token + i]);
        x[i] = four.x, x[i + 1] = four.y, x[i + 2] = four.z, x[i + 3] = four.w;
    }
#pragma unroll
    for (uint32_t i = 0; i < thread_tokens; i++) {
        if (begun + token + i >= end) x[i] = nothing;
        most = fmaxf(most, x[i]);
    }
    most = fmaxf(most, __shfl_xor_sync(whole_warp, most, 8));
    most = fmaxf(most, __shfl_xor_sync(whole_warp, most, 16));
#pragma unroll
    for (uint32_t i = 0; i < thread_tokens; i++) {
        x[i] = x[i] == nothing ? 0 : __expf(x[i] - most);
        total += x[i];
    }
    total += __shfl_xor_sync(whole_warp, total, 8);
    total += __shfl_xor_sync(whole_warp, total, 16);
    float shrink = __expf(softmax.largest - most);  // 0 where nothing was seen before
    softmax.largest = most;
    softmax.total = softmax.total * shrink + total;
    __syncthreads();  // the logits are read
    if (softmax_part() == 0) page.shrink[q] = shrink;
#pragma unroll
    for (uint32_t i = 0; i < thread_tokens; i += piece_values) {
        float numbers[piece_values];
        for (uint32_t j = 0; j < piece_values; j++) numbers[j] = x[i + j];
        uint32_t at = token + i;
        put(page.right[at / step_columns], q, at % step_columns / piece_values,
            split<right_terms>(numbers));
    }
}

// A thread's part of a step of values: 32 tokens of Page::rows channels.
template <class Page> struct Values {
    static constexpr uint32_t each = Page::rows * step_pieces / product_threads;
    RowWords<Page::type> pieces[each];

    // rows: of the page's tokens, of which `seen` are seen; step: pass and half.
    __device__ void fetch(const Work &work, const uint8_t *rows, uint32_t seen, uint32_t step) {
        uint64_t row_size = row_bytes(work.attend.shape);
#pragma unroll
        for (uint32_t i = 0; i < each; i++) {
            uint32_t row = row_of(i), token = step % 2 * step_columns + row % step_columns;
            uint32_t channel = step / 2 * Page::rows + row / step_columns * step_columns +
                               threadIdx.x % step_pieces * piece_values;
            fetch_row<Page::type>(pieces[i], rows + token * row_size, work.dim + channel,
                                  token < seen && channel < work.dim);
        }
    }
    __device__ void place(Page &page) const {
#pragma unroll
        for (uint32_t i = 0; i < each; i++) {
            put(page.left, row_of(i), threadIdx.x % step_pieces,
                terms_from<Page::type>(pieces[i]));
        }
    }
    __device__ static uint32_t row_of(uint32_t i) {
        return (threadIdx.x + i * product_threads) / step_pieces;
    }
};

// Adds the weighted values of the page's first `seen` tokens; the first step's are fetched.
template <class Page>
__device__ void add_values(Page &page, const Work &work, typename Page::Outputs &out,
                           Values<Page> &values, const uint8_t *rows, uint32_t seen) {
#pragma unroll
    for (uint32_t pass = 0; pass < Page::passes; pass++) {
        uint32_t begun = pass * Page::rows;
        if (begun >= work.dim) break;
        uint32_t strips = right_row() < work.count ? strips_of(work.dim - begun) : 0;
#pragma unroll 1
        for (uint32_t half = 0; half < 2; half++) {
            values.place(page);
            __syncthreads();
            values.fetch(work, rows, seen, 2 * pass + half + 1);
            float factors[2][2];  // of the pairs' sums so far
#pragma unroll
            for (uint32_t i = 0; i < 4; i++) {
                uint32_t q = right_row() + right_of(i / 2, i);
                factors[i / 2][i % 2] = half == 0 ? page.shrink[q] : 1;
            }
            multiply<Page::strips, true>(page.left, page.right[half], strips,
                                         [&](uint32_t s, const Part &part) {
#pragma unroll
                for (uint32_t i = 0; i < 8; i++) {
                    float &sum = out[pass][s][i / 4][i % 4];
                    sum = fmaf(sum, factors[i / 4][i % 2], part[i / 4][i % 4]);
                }
            });
            __syncthreads();  // the operands are read
        }
    }
}

template <Type type, uint32_t dim_max>
__global__ void __launch_bounds__(product_threads, dim_max > 128 ? 1 : 2)
    attend_chunk(PrefillAttend attend) {
    using Page = PageTile<type, dim_max>;
    __shared__ Page page;
    Work work(attend);
    typename Page::Outputs out = {};
    Softmax softmax;
    uint32_t own = softmax_pair();
    if (!attend.start) {
        each_kept<Page>(work, out, [](float &sum, const float &kept) { sum = kept; });
        if (own < work.count) {
            const float *kept = work.sums_of(own) + work.dim;
            softmax.largest = kept[0], softmax.total = kept[1];
        }
    }
    uint32_t last = work.position_of(work.count - 1);
#pragma unroll 1
    for (uint32_t at = 0; at < attend.page_count; at++) {
        uint32_t begun = (attend.first_page + at) * page_tokens;
        if (begun > last) break;
        uint32_t seen = min(page_tokens, last + 1 - begun);
        const uint8_t *rows =
            attend.pages[at] + uint64_t(work.head) * page_tokens * row_bytes(attend.shape);
        page_logits(page, work, rows, seen);
        Values<Page> values;
        values.fetch(work, rows, seen, 0);
        page_weights(page, work, softmax, begun);
        add_values(page, work, out, values, rows, seen);
    }
    each_kept<Page>(work, out, [](const float &sum, float &kept) { kept = sum; });
    __syncthreads();  // where no page is seen, a pair's other threads may not have read these yet
    if (own < work.count && softmax_part() == 0) {
        float *kept = work.sums_of(own) + work.dim;
        kept[0] = softmax.largest, kept[1] = softmax.total;
    }
}

__global__ void divide(PrefillFinish finish) {
    uint32_t dim = finish.shape.head_dim;
    const float *sums = finish.sums + uint64_t(blockIdx.x) * (dim + 2);
    for (uint32_t i = threadIdx.x; i < dim; i += blockDim.x) {
        finish.outputs[uint64_t(blockIdx.x) * dim + i] = sums[i] / sums[dim + 1];
    }
}

template <Type type> void launch(Stream &stream, const PrefillAttend &attend) {
    uint32_t group = attend.shape.query_heads / attend.shape.kv_heads;
    dim3 grid(blocks_of(uint64_t(attend.tokens) * group, right_rows), attend.shape.kv_heads);
    if (attend.shape.head_dim > 128) {
        attend_chunk<type, 256><<<grid, product_threads, 0, queue(stream)>>>(attend);
    } else {
        attend_chunk<type, 128><<<grid, product_threads, 0, queue(stream)>>>(attend);
    }
    launched("prefill_attend");
}

}  // namespace

void prefill_attend(Stream &stream, const PrefillAttend &attend) {
    if (attend.shape.kv_type == Type::f32) launch<Type::f32>(stream, attend);
    else if (attend.shape.kv_type == Type::f16) launch<Type::f16>(stream, attend);
    else launch<Type::bf16>(stream, attend);
}

void prefill_finish(Stream &stream, const PrefillFinish &finish) {
    divide<<<finish.tokens * finish.shape.query_heads, block_threads, 0, queue(stream)>>>(finish);
    launched("prefill_finish");
}

}  // namespace specache::cuda

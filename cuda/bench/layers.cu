// layers.cu - layers.h: random codes and rows by kernels, and the arguments of a step's kernels.
#include "layers.h"

#include "../block.cuh"
#include "../kernels.h"

namespace bench {
namespace {

using namespace specache::cuda;

__device__ uint32_t mix(uint64_t at, uint32_t seed) {
    uint32_t x = uint32_t(at) * 0x9E3779B9u ^ uint32_t(at >> 32) ^ seed * 0x85EBCA6Bu;
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return x ^ x >> 16;
}

// A page ends in its 16-bit parameters: zeros of -.0156 and scales of .03125 by turns.
__global__ void fill_page_words(uint16_t *pool, uint64_t words, CodeLayout layout, uint32_t seed) {
    uint64_t threads = uint64_t(gridDim.x) * blockDim.x;
    for (uint64_t i = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < words; i += threads) {
        uint32_t at = uint32_t(i % (layout.bytes / 2)) * 2;
        bool parameter = at >= layout.key_parameters;
        pool[i] = !parameter ? uint16_t(mix(i, seed)) : at / 2 % 2 == 0 ? 0xA400 : 0x2800;
    }
}

__global__ void fill_numbers(uint16_t *to, uint64_t count, uint16_t one, uint16_t mantissa,
                             uint32_t seed) {
    uint64_t threads = uint64_t(gridDim.x) * blockDim.x;
    for (uint64_t i = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += threads) {
        uint32_t bits = mix(i, seed);
        to[i] = uint16_t(one | (bits & mantissa) | (bits >> 16 & 0x8000u));
    }
}

__global__ void fill_floats(float *to, uint64_t count, uint32_t seed) {
    uint64_t i = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count) return;
    uint32_t bits = mix(i, seed);
    to[i] = __uint_as_float(0x3F800000u | (bits & 0x7FFFFFu) | (bits << 8 & 0x80000000u));
}

__global__ void set_pointers(const uint8_t **to, const uint8_t *rows, uint64_t count,
                             uint64_t row) {
    uint64_t i = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < count) to[i] = rows + i * row;
}

uint32_t pages_of(uint32_t tokens) { return tokens / page_tokens + 2; }
HeadCode code_of(const Coding &coding) {
    HeadCode code;
    code.rule = coding.rule;
    code.key_bits = coding.key_bits;
    code.value_bits = coding.value_bits;
    code.group = coding.group;
    code.value_planes = coding.value_planes;
    return code;
}

uint32_t grid_of(uint64_t items) { return std::min(blocks_of(items, 256), 65536u); }

}  // namespace

void fill_pages(CudaStream &stream, uint8_t *pool, uint64_t pages, const CodeLayout &layout,
                uint32_t seed) {
    uint64_t words = pages * layout.bytes / 2;
    if (words == 0) return;
    fill_page_words<<<grid_of(words), 256, 0, stream.stream>>>(
        reinterpret_cast<uint16_t *>(pool), words, layout, seed);
    launched("fill_pages");
}

void fill_rows(CudaStream &stream, uint16_t *numbers, uint64_t count, Type type, uint32_t seed) {
    bool half = type == Type::f16;
    fill_numbers<<<grid_of(count), 256, 0, stream.stream>>>(
        numbers, count, half ? 0x3C00 : 0x3F80, half ? 0x3FF : 0x7F, seed);
    launched("fill_rows");
}

void fill_queries(CudaStream &stream, float *numbers, uint64_t count, uint32_t seed) {
    fill_floats<<<blocks_of(count, 256), 256, 0, stream.stream>>>(numbers, count, seed);
    launched("fill_queries");
}

Layers::Sizes::Sizes(const Options &options, const Coding &coding, uint32_t layers,
                     uint32_t sequences, uint32_t tokens, uint32_t inputs) {
    Shape shape = options.shape();
    uint64_t heads = uint64_t(layers) * shape.kv_heads, dims = 2 * shape.head_dim;
    uint64_t pages = pages_of(tokens);
    pool = heads * sequences * pages * code_layout(code_of(coding), shape.head_dim).bytes;
    sinks = heads * sequences * sink_tokens * dims;
    window = heads * sequences * window_rows * dims;
    rows = heads * sequences * inputs * coding.k;
    exact = rows * dims;
    logits = uint64_t(inputs) * shape.query_heads * pages * page_tokens;
    chosen = uint64_t(inputs) * shape.kv_heads * coding.k;
    choosing = choose_scratch(shape, shape.kv_heads, inputs, uint32_t(pages) * page_tokens,
                              nullptr).bytes;
    scratch = attend_scratch(shape, inputs, uint32_t(pages), coding.k, coding.value_planes,
                             true, nullptr).bytes;
}

uint64_t Layers::bytes(const Options &options, const Coding &coding, uint32_t layers,
                       uint32_t sequences, uint32_t tokens, uint32_t inputs) {
    Sizes of(options, coding, layers, sequences, tokens, inputs);
    return of.pool + 2 * (of.sinks + of.window + of.exact) + 8 * of.rows +
           4 * (of.logits + 2 * of.chosen) + of.choosing + of.scratch;
}

Layers::Layers(CudaStream &stream, const Options &options, const Coding &coding_in,
               uint32_t layers_in, uint32_t sequences_in, uint32_t tokens_in, uint32_t inputs_in)
    : shape(options.shape()), coding(coding_in), layers(layers_in), sequences(sequences_in),
      tokens(tokens_in), inputs(inputs_in),
      sizes_(options, coding_in, layers_in, sequences_in, tokens_in, inputs_in),
      tail_pages(coded_pages(tokens_in)), pages_max(pages_of(tokens_in)),
      layout_(code_layout(code_of(coding_in), shape.head_dim)), row_(row_bytes(shape)),
      pairs_(uint64_t(inputs) * shape.kv_heads), pool_(sizes_.pool), sinks_(sizes_.sinks),
      window_(sizes_.window), exact_(sizes_.exact),
      basis_(uint64_t(shape.head_dim) * shape.head_dim), weights_(coding.value_planes),
      channels_(coding.value_planes), ids_(uint64_t(sequences) * pages_max), positions_(inputs),
      chosen_(sizes_.chosen), counts_(pairs_), codes_(uint64_t(layers) * shape.kv_heads),
      rows_(sizes_.rows), queries_(uint64_t(inputs) * shape.query_heads * shape.head_dim),
      logits_(sizes_.logits), values_(sizes_.chosen), outputs_(queries_.count()),
      choosing_(sizes_.choosing), scratch_(sizes_.scratch) {
    uint64_t pages = uint64_t(layers) * shape.kv_heads * sequences * pages_max;
    fill_pages(stream, pool_.data(), pages, layout_, 1);
    fill_rows(stream, sinks_.data(), sinks_.count(), shape.kv_type, 2);
    fill_rows(stream, window_.data(), window_.count(), shape.kv_type, 3);
    fill_rows(stream, exact_.data(), exact_.count(), shape.kv_type, 4);
    fill_queries(stream, queries_.data(), queries_.count(), 5);
    place(stream);
}

// Pages of the sequences by turns, as they come where texts grow beside one another.
void Layers::place(CudaStream &stream) {
    auto upload = [&]<class T>(const Near<T> &to, const std::vector<T> &from) {
        check(cudaMemcpyAsync(to.data(), from.data(), from.size() * sizeof(T), cudaMemcpyDefault,
                              stream.stream), "the bench");
        stream.finish();
    };
    std::vector<uint32_t> ids, positions, channels;
    for (uint32_t s = 0; s < sequences; s++) {
        for (uint32_t page = 0; page < pages_max; page++) ids.push_back(page * sequences + s);
    }
    for (uint32_t i = 0; i < inputs; i++) positions.push_back(tokens + i);
    for (uint32_t p = 0; p < coding.value_planes; p++) channels.push_back(p);
    std::vector<float> basis(basis_.count(), 0), weights(coding.value_planes, 1);
    for (uint32_t i = 0; i < shape.head_dim; i++) basis[uint64_t(i) * shape.head_dim + i] = 1;
    std::vector<HeadCode> codes(codes_.count(), head_code());
    uint64_t each = uint64_t(sequences) * pages_max * layout_.bytes;
    for (uint64_t i = 0; i < codes.size(); i++) codes[i].pool = pool_.data() + i * each;
    upload(ids_, ids);
    upload(positions_, positions);
    upload(channels_, channels);
    upload(basis_, basis);
    upload(weights_, weights);
    upload(codes_, codes);
    set_pointers<<<blocks_of(rows_.count(), 256), 256, 0, stream.stream>>>(
        rows_.data(), reinterpret_cast<const uint8_t *>(exact_.data()), rows_.count(), row_);
    launched("set_pointers");
    stream.finish();
}

HeadCode Layers::head_code() const {
    HeadCode code = code_of(coding);
    code.value_basis = basis_.data();
    code.plane_channel = channels_.data();
    code.plane_weight = weights_.data();
    code.page_bytes = layout_.bytes;
    return code;
}

NearRows Layers::near(uint32_t layer, uint32_t sequence) const {
    uint64_t heads = part(layer, sequence) * shape.kv_heads;
    auto at = [&](const Near<uint16_t> &rows, uint32_t each) {
        return reinterpret_cast<const uint8_t *>(rows.data()) + heads * each * row_;
    };
    return {at(sinks_, sink_tokens), at(window_, window_rows), {}};
}

void Layers::scan(CudaStream &stream, uint32_t layer, uint32_t sequence) const {
    cuda::scan(stream, {shape, {0, shape.kv_heads}, codes_.data() + layer * shape.kv_heads,
                        ids_.data() + sequence * pages_max, queries_.data(), positions_.data(),
                        logits_.data(), inputs, pages_max * page_tokens});
}

void Layers::choose(CudaStream &stream, uint32_t layer, uint32_t sequence) const {
    cuda::choose(stream, {shape, {0, shape.kv_heads}, near(layer, sequence), queries_.data(),
                          positions_.data(), logits_.data(), chosen_.data(), values_.data(),
                          counts_.data(), inputs, pages_max * page_tokens, coding.k, coding.k,
                          choosing_.data()});
}

void Layers::attend(CudaStream &stream, uint32_t layer, uint32_t sequence) const {
    cuda::attend(stream, {shape, {0, shape.kv_heads}, codes_.data() + layer * shape.kv_heads,
                          ids_.data() + sequence * pages_max, near(layer, sequence),
                          queries_.data(), positions_.data(), logits_.data(), chosen_.data(),
                          counts_.data(), rows_.data() + part(layer, sequence) * pairs_ * coding.k,
                          outputs_.data(), inputs, pages_max, pages_max * page_tokens, coding.k,
                          coding.value_planes, scratch_.data()});
}

double Layers::key_bytes() const {
    HeadCode code = head_code();
    double keys = double(shape.head_dim) * code.key_bits * page_tokens / 8;
    double rest = code.rule == Rule::rotated
                      ? shape.head_dim + page_tokens + 4
                      : double(shape.head_dim) * (page_tokens / code.group) * 4;
    return (keys + rest) * tail_pages * shape.kv_heads;
}

double Layers::value_bytes() const {
    return double(layout_.bytes) * tail_pages * shape.kv_heads - key_bytes();
}

double Layers::logit_bytes() const {
    return double(inputs) * shape.query_heads * tail_pages * page_tokens * 4;
}

// Sinks, window and inputs once; each input's chosen rows.
double Layers::row_bytes_read() const {
    double near = sink_tokens + (tokens - double(tail_pages) * page_tokens) + inputs;
    double chosen = double(inputs) * std::min(coding.k, tail_pages * page_tokens - sink_tokens);
    return (near + chosen) * double(row_) * shape.kv_heads;
}

}  // namespace bench

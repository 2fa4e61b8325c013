// model.cpp - weights: mapped, named, checked before anything runs.
#include "model.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../dequantize.h"
#include "../failure.h"
#include "../cpu/threads.h"

namespace specache {
namespace {

using U64 = unsigned long long;

const uint8_t *row_of(const Tensor &tensor, uint32_t row) {
    return static_cast<const uint8_t *>(tensor.data) +
           row * weight_row_bytes(tensor.type, tensor.columns);
}

bool is_finite(uint16_t half, uint32_t exponent) { return (half & exponent) != exponent; }

// Blocks hold integers, so only their scales can be anything but finite.
bool is_finite(const Tensor &tensor, uint32_t row, uint32_t column) {
    const uint8_t *block = block_of(tensor.type, row_of(tensor, row), column);
    uint32_t i = column % block_values(tensor.type);
    switch (tensor.type) {
    case Type::f32: return std::isfinite(load_unaligned<float>(block + 4 * i));
    case Type::f16: return is_finite(load_unaligned<uint16_t>(block + 2 * i), 0x7C00);
    case Type::bf16: return is_finite(load_unaligned<uint16_t>(block + 2 * i), 0x7F80);
    case Type::q6_k: return is_finite(load_unaligned<uint16_t>(block + q6_k_d), 0x7C00);
    case Type::q4_1: case Type::q4_k: case Type::q5_k:
        if (!is_finite(load_unaligned<uint16_t>(block + 2), 0x7C00)) return false;
        [[fallthrough]];
    default: return is_finite(load_unaligned<uint16_t>(block), 0x7C00);
    }
}

// The first column of a row that is not finite, or the number of columns.
uint32_t finite_columns(const Tensor &tensor, uint32_t row) {
    uint32_t step = in_blocks(tensor.type) ? block_values(tensor.type) : 1, column = 0;
    while (column < tensor.columns && is_finite(tensor, row, column)) column += step;
    return std::min(column, tensor.columns);
}

// Scratch of a fast prefill: the widest inputs of a chunk, and of the largest weights at most
// 16 MiB at a time.
uint64_t fast_numbers(const specache_model_config &config, const specache_config &shape) {
    constexpr uint64_t tile = 8 << 20;
    uint64_t query = uint64_t(shape.query_heads) * shape.head_dim, hidden = config.hidden;
    uint64_t widest = std::max<uint64_t>({query, hidden, config.intermediate});
    return shape.chunk_tokens * widest + std::min(tile, hidden * widest);
}

// base null: sizes only.
Activations carve(const specache_model_config &config, const specache_config &shape,
                  uint8_t *base) {
    Activations a{};
    auto take = [&]<class T>(T *&pointer, uint64_t count) {
        pointer = reinterpret_cast<T *>(reinterpret_cast<uintptr_t>(base) + a.bytes);
        a.bytes += (count * sizeof(T) + 63) / 64 * 64;
    };
    uint64_t rows =
        std::max<uint64_t>(shape.chunk_tokens, uint64_t(inputs_max) * shape.sequences_max);
    uint64_t query = uint64_t(shape.query_heads) * shape.head_dim;
    uint64_t kv = uint64_t(shape.kv_heads) * shape.head_dim;
    take(a.hidden, rows * config.hidden);
    take(a.normalized, rows * config.hidden);
    take(a.queries, rows * query);
    take(a.keys, rows * kv);
    take(a.values, rows * kv);
    take(a.attended, rows * query);
    take(a.gate, rows * config.intermediate);
    take(a.up, rows * config.intermediate);
    take(a.positions, rows);
    take(a.tokens, rows);
    take(a.frequencies, shape.head_dim / 2);
    a.logits_rows = std::min((1 + shape.guesses_max) * shape.sequences_max, logits_rows_max);
    take(a.logits, uint64_t(a.logits_rows) * config.vocabulary);
    take(a.likeliest, a.logits_rows);
    take(a.argmax, uint64_t(a.logits_rows) * argmax_slices(config.vocabulary));
    if (shape.prefill == 0) return a;
    a.fast_numbers = fast_numbers(config, shape);
    take(a.fast, a.fast_numbers);
    return a;
}

}  // namespace

Model::Model(Store &store_in, const specache_model_config &config_in, const double *frequencies)
    : store(store_in), config(config_in), layers(store_in.plan.config.layers) {
    const specache_config &shape = store.plan.config;
    auto at_least = [](const char *name, uint32_t value, uint32_t least, uint32_t most) {
        if (value >= least && value <= most) return;
        fail(SPECACHE_ARGUMENT, "%s %u is outside %u..%u", name, value, least, most);
    };
    at_least("vocabulary", config.vocabulary, 1, 1u << 24);
    at_least("hidden", config.hidden, 1, 1u << 20);
    at_least("intermediate", config.intermediate, 1, 1u << 20);
    at_least("tokens_max", config.tokens_max, 1, 1u << 30);
    if (shape.tokens_max > config.tokens_max) {
        fail(SPECACHE_CAPACITY, "tokens_max %u is above the model's %u positions", shape.tokens_max,
             config.tokens_max);
    }
    at_least("int8_activations", config.int8_activations, 0, 1);
    if (config.int8_activations != 0 && shape.device != 0) {
        fail(SPECACHE_UNSUPPORTED, "activations of 8 bits are for device cpu alone");
    }
    for (uint32_t i = 0; i < shape.head_dim / 2; i++) {
        if (std::isfinite(frequencies[i])) continue;
        fail(SPECACHE_ARGUMENT, "a rope frequency is not finite");
    }
    activations = carve(config, shape, nullptr);
    activations = carve(config, shape, reserve(activations.bytes));
    store.device->upload(activations.frequencies, frequencies, shape.head_dim / 2 * sizeof(double));
    step_list.reserve(shape.sequences_max);
}

Model::~Model() {
    for (auto [memory, bytes] : blocks_) store.device->release(memory, bytes);
    for (const std::unique_ptr<MappedFile> &file : files_) {
        munmap(const_cast<uint8_t *>(file->bytes), file->size);
    }
}

uint8_t *Model::reserve(uint64_t bytes) {
    uint8_t *memory = store.device->reserve(bytes);
    blocks_.emplace_back(memory, bytes);
    return memory;
}

const MappedFile &Model::map(const std::string &path) {
    for (const std::unique_ptr<MappedFile> &file : files_) {
        if (file->path == path) return *file;
    }
    int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status{};
    if (descriptor < 0 || fstat(descriptor, &status) != 0) {
        int error = errno;
        if (descriptor >= 0) ::close(descriptor);
        fail(SPECACHE_FILE, "file %s: %s", path.c_str(), std::strerror(error));
    }
    void *bytes = mmap(nullptr, size_t(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0);
    int error = errno;
    ::close(descriptor);
    if (bytes == MAP_FAILED) fail(SPECACHE_FILE, "file %s: %s", path.c_str(), std::strerror(error));
    files_.push_back(std::make_unique<MappedFile>(
        MappedFile{path, static_cast<const uint8_t *>(bytes), uint64_t(status.st_size)}));
    return *files_.back();
}

Weight &Model::place(uint32_t role, uint32_t layer) {
    if (role >= SPECACHE_ROLE_COUNT) {
        fail(SPECACHE_ARGUMENT, "role %u is above %u", role, SPECACHE_ROLE_COUNT - 1);
    }
    if (layer >= layers.size()) {
        fail(SPECACHE_ARGUMENT, "layer %u is not below %zu", layer, layers.size());
    }
    Layer &of = layers[layer];
    Weight *places[SPECACHE_ROLE_COUNT] = {
        &embedding, &output_norm, &output, &of.attention_norm, &of.query, &of.key, &of.value,
        &of.attention_output, &of.query_bias, &of.key_bias, &of.value_bias,
        &of.attention_output_bias, &of.query_norm, &of.key_norm, &of.mlp_norm, &of.mlp_gate,
        &of.mlp_up, &of.mlp_down, &of.mlp_gate_bias, &of.mlp_up_bias, &of.mlp_down_bias};
    return *places[role];
}

void Model::set(const specache_tensor &tensor, const std::string &path, const std::string &name) {
    Weight &weight = place(tensor.role, tensor.layer);
    if (tensor.type > uint32_t(last_type)) {
        fail(SPECACHE_ARGUMENT, "type %u of tensor %s is above %u", tensor.type, name.c_str(),
             uint32_t(last_type));
    }
    Type type = Type(tensor.type);
    if (in_blocks(type) && tensor.columns % block_values(type) != 0) {
        fail(SPECACHE_ARGUMENT, "columns %u of tensor %s are not whole blocks of %u",
             tensor.columns, name.c_str(), block_values(type));
    }
    const MappedFile &file = map(path);
    uint64_t offset = uint64_t(tensor.offset_high) << 32 | tensor.offset_low;
    uint64_t bytes = weight_row_bytes(type, tensor.columns) * tensor.rows;
    if (offset > file.size || bytes > file.size - offset) {
        fail(SPECACHE_FILE, "tensor %s at %llu needs %llu bytes, file %s has %llu", name.c_str(),
             U64(offset), U64(bytes), path.c_str(), U64(file.size));
    }
    if (offset % (type == Type::f32 ? 4 : 2) != 0) {
        fail(SPECACHE_FILE, "tensor %s begins at %llu, not aligned for its type", name.c_str(),
             U64(offset));
    }
    ready = false;  // until all are checked again
    recordings.clear();
    Tensor mapped{file.bytes + offset, type, tensor.rows, tensor.columns};
    weight = {mapped, mapped, name, nullptr};
}

namespace {

void expect(const Weight &weight, const char *what, uint32_t rows, uint32_t columns,
            bool needed = true) {
    if (weight.tensor.data == nullptr) {
        if (needed) fail(SPECACHE_ARGUMENT, "the model has no %s", what);
        return;
    }
    if (weight.tensor.rows == rows && weight.tensor.columns == columns) return;
    fail(SPECACHE_ARGUMENT, "tensor %s is [%u, %u], the shape asks for [%u, %u]",
         weight.name.c_str(), weight.tensor.rows, weight.tensor.columns, rows, columns);
}

void expect_vector(const Weight &weight, const char *what, uint32_t columns, bool needed) {
    expect(weight, what, 1, columns, needed);
    if (weight.tensor.data == nullptr || weight.tensor.type <= Type::bf16) return;
    fail(SPECACHE_UNSUPPORTED, "tensor %s is a vector in blocks", weight.name.c_str());
}

}  // namespace

void Model::check_shapes() const {
    const specache_config &shape = store.plan.config;
    uint32_t q = shape.query_heads * shape.head_dim, kv = shape.kv_heads * shape.head_dim;
    uint32_t hidden = config.hidden, mlp = config.intermediate;
    expect(embedding, "embedding", config.vocabulary, hidden);
    expect_vector(output_norm, "output norm", hidden, true);
    if (!config.tied) expect(output, "output", config.vocabulary, hidden);
    for (const Layer &of : layers) {
        expect_vector(of.attention_norm, "attention norm", hidden, true);
        expect(of.query, "query projection", q, hidden);
        expect(of.key, "key projection", kv, hidden);
        expect(of.value, "value projection", kv, hidden);
        expect(of.attention_output, "attention output", hidden, q);
        expect_vector(of.query_bias, "query bias", q, false);
        expect_vector(of.key_bias, "key bias", kv, false);
        expect_vector(of.value_bias, "value bias", kv, false);
        expect_vector(of.attention_output_bias, "attention output bias", hidden, false);
        expect_vector(of.query_norm, "query norm", shape.head_dim, config.query_key_norms);
        expect_vector(of.key_norm, "key norm", shape.head_dim, config.query_key_norms);
        expect_vector(of.mlp_norm, "MLP norm", hidden, true);
        expect(of.mlp_gate, "MLP gate", mlp, hidden);
        expect(of.mlp_up, "MLP up", mlp, hidden);
        expect(of.mlp_down, "MLP down", hidden, mlp);
        expect_vector(of.mlp_gate_bias, "MLP gate bias", mlp, false);
        expect_vector(of.mlp_up_bias, "MLP up bias", mlp, false);
        expect_vector(of.mlp_down_bias, "MLP down bias", hidden, false);
    }
}

void Model::check_finite(const Weight &weight) const {
    const Tensor &tensor = weight.mapped;
    if (tensor.data == nullptr) return;
    std::atomic<uint32_t> bad{tensor.rows};  // the lowest row with one
    parallel(store.device->host(), tensor.rows, [&](uint32_t row) {
        if (finite_columns(tensor, row) == tensor.columns) return;
        for (uint32_t seen = bad; row < seen && !bad.compare_exchange_weak(seen, row);) {
        }
    });
    if (bad == tensor.rows) return;
    fail(SPECACHE_DATA, "tensor %s holds a NaN or infinity at row %u, column %u",
         weight.name.c_str(), bad.load(), finite_columns(tensor, bad));
}

// Norms and biases are used as floats whatever their file holds. Returns where the next one goes.
float *Model::widen(Weight &weight, float *to) const {
    if (weight.tensor.data == nullptr || weight.tensor.rows != 1) return to;
    std::vector<float> floats(weight.tensor.columns);
    dequantize_row(weight.mapped.type, weight.mapped.data, weight.tensor.columns, floats.data());
    store.device->upload(to, floats.data(), floats.size() * sizeof(float));
    weight.floats = to;
    return to + (floats.size() + 15) / 16 * 16;  // whole vectors
}

// A device with memory of its own has the weights there, in their own format.
void Model::bring_near(const std::vector<Weight *> &weights) {
    if (store.device->shares_memory()) return;
    auto bytes_of = [](const Weight &weight) {
        const Tensor &tensor = weight.mapped;
        return (weight_row_bytes(tensor.type, tensor.columns) * tensor.rows + 255) / 256 * 256;
    };
    auto is_far = [](const Weight &weight) {  // set since the last time
        return weight.mapped.data != nullptr && weight.tensor.data == weight.mapped.data;
    };
    uint64_t bytes = 0;
    for (const Weight *weight : weights) bytes += is_far(*weight) ? bytes_of(*weight) : 0;
    uint8_t *to = reserve(bytes);
    for (Weight *weight : weights) {
        if (!is_far(*weight)) continue;
        const Tensor &tensor = weight->mapped;
        store.device->upload(to, tensor.data,
                             weight_row_bytes(tensor.type, tensor.columns) * tensor.rows);
        weight->tensor.data = to;
        to += bytes_of(*weight);
    }
}

void Model::make_ready() {
    check_shapes();
    std::vector<Weight *> weights;
    uint64_t floats = 0;
    for (uint32_t layer = 0; layer < layers.size(); layer++) {
        for (uint32_t role = layer == 0 ? 0 : SPECACHE_ATTENTION_NORM; role < SPECACHE_ROLE_COUNT;
             role++) {
            Weight &weight = place(role, layer);
            check_finite(weight);
            weights.push_back(&weight);
            if (weight.tensor.rows == 1) floats += (uint64_t(weight.tensor.columns) + 15) / 16 * 16;
        }
    }
    float *to = reinterpret_cast<float *>(reserve(floats * sizeof(float)));
    for (Weight *weight : weights) to = widen(*weight, to);
    bring_near(weights);
    ready = true;
}

}  // namespace specache

// model.h - a small decoder of random weights in a file of its own, opened through the C ABI.
#pragma once
#include <cstring>
#include <fstream>
#include <string>
#include <unistd.h>

#include "driver.h"
#include "test.h"
#include "weights.h"

namespace fixture {

constexpr uint32_t vocabulary = 70, hidden = 96, intermediate = 160;
// Whose value in layer 0 is above what 16 bits hold: a step of it is refused.
constexpr uint32_t spoilt_token = vocabulary - 1;

// The driver's small_config() with a model. Weights are q8_0; embedding and first value projection
// f32, so that one token can be made to fail.
class TestModel {
public:
    explicit TestModel(const specache_config &config_in)
        : config(config_in), path_(driver::far_path()),
          file_(path_, std::ios::binary | std::ios::trunc) {
        uint32_t query = config.query_heads * config.head_dim,
                 kv = config.kv_heads * config.head_dim;
        Near<float> embedding = normals(uint64_t(vocabulary) * hidden, random_);
        for (uint32_t token = 0; token < vocabulary; token++) embedding[token * hidden] = 0;
        std::fill_n(embedding.data() + spoilt_token * hidden, hidden, 0.0f);
        embedding[spoilt_token * hidden] = 1;
        add(SPECACHE_EMBEDDING, 0, vocabulary, hidden, embedding);
        add(SPECACHE_OUTPUT_NORM, 0, 1, hidden, Near<float>(hidden, 1.0f));
        for (uint32_t layer = 0; layer < config.layers; layer++) {
            add(SPECACHE_ATTENTION_NORM, layer, 1, hidden, Near<float>(hidden, 1.0f));
            add(SPECACHE_MLP_NORM, layer, 1, hidden, Near<float>(hidden, 1.0f));
            add(SPECACHE_QUERY, layer, query, hidden);
            add(SPECACHE_KEY, layer, kv, hidden);
            if (layer > 0) add(SPECACHE_VALUE, layer, kv, hidden);
            add(SPECACHE_ATTENTION_OUTPUT, layer, hidden, query);
            add(SPECACHE_MLP_GATE, layer, intermediate, hidden);
            add(SPECACHE_MLP_UP, layer, intermediate, hidden);
            add(SPECACHE_MLP_DOWN, layer, hidden, intermediate);
        }
        Near<float> values = normals(uint64_t(kv) * hidden, random_, .1f);
        for (uint32_t row = 0; row < kv; row++) values[row * hidden] = 1e6f;
        add(SPECACHE_VALUE, 0, kv, hidden, values);
        file_.close();
    }
    ~TestModel() { unlink(path_.c_str()); }
    TestModel(const TestModel &) = delete;

    void open(uint64_t store) const {
        specache_model_config model{};
        model.vocabulary = vocabulary;
        model.hidden = hidden;
        model.intermediate = intermediate;
        model.tokens_max = config.tokens_max;
        model.epsilon_bits = std::bit_cast<uint32_t>(1e-5f);
        model.rope_magnitude_bits = std::bit_cast<uint32_t>(1.0f);
        model.tied = 1;
        std::vector<double> frequencies(config.head_dim / 2);
        for (uint32_t i = 0; i < frequencies.size(); i++) frequencies[i] = 1 / (1.0 + i);
        CHECK(specache_model_open(store, &model, frequencies.data()) == SPECACHE_OK);
        for (const specache_tensor &tensor : tensors_) {
            const uint8_t *path = reinterpret_cast<const uint8_t *>(path_.c_str());
            CHECK(specache_model_tensor(store, &tensor, path, uint32_t(path_.size()), nullptr,
                                        0) == SPECACHE_OK);
        }
        CHECK(specache_model_ready(store) == SPECACHE_OK);
    }

    const specache_config config;

private:
    void add(uint32_t role, uint32_t layer, uint32_t rows, uint32_t columns) {
        Weights weights(Type::q8_0, rows, columns, random_);
        const auto *bytes = static_cast<const uint8_t *>(weights.tensor.data);
        write(role, layer, Type::q8_0, rows, columns, bytes);
    }
    void add(uint32_t role, uint32_t layer, uint32_t rows, uint32_t columns,
             const Near<float> &numbers) {
        write(role, layer, Type::f32, rows, columns,
              reinterpret_cast<const uint8_t *>(numbers.data()));
    }
    void write(uint32_t role, uint32_t layer, Type type, uint32_t rows, uint32_t columns,
               const uint8_t *bytes) {
        uint64_t count = weight_row_bytes(type, columns) * rows;
        tensors_.push_back({role, layer, uint32_t(type), rows, columns, uint32_t(at_), 0});
        file_.write(reinterpret_cast<const char *>(bytes), std::streamsize(count));
        for (at_ += count; at_ % 4 != 0; at_++) file_.put(0);
    }

    std::mt19937 random_{3};
    std::string path_;
    std::ofstream file_;
    uint64_t at_ = 0;
    std::vector<specache_tensor> tensors_;
};

}  // namespace fixture

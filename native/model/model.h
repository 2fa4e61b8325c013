// model.h - a decoder's weights, memory-mapped and used in their own format, and its scratch.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "../step.h"

namespace specache {

struct MappedFile {
    std::string path;
    const uint8_t *bytes = nullptr;
    uint64_t size = 0;
};

struct Weight {
    Tensor tensor;
    std::string name;           // as its file calls it
    std::vector<float> vector;  // norms and biases, widened: [columns]; empty for matrices
    const float *floats() const { return vector.empty() ? nullptr : vector.data(); }
};

struct Layer {
    Weight attention_norm, query, key, value, attention_output;
    Weight query_bias, key_bias, value_bias, attention_output_bias;
    Weight query_norm, key_norm;
    Weight mlp_norm, mlp_gate, mlp_up, mlp_down;
    Weight mlp_gate_bias, mlp_up_bias, mlp_down_bias;
};

struct Activations {            // [rows] of each, rows = chunk_tokens or inputs_max
    std::vector<float> hidden;      // [rows][hidden] the residual stream
    std::vector<float> normalized;  // [rows][hidden]
    std::vector<float> queries;     // [rows][query_heads][head_dim]
    std::vector<float> keys, values;  // [rows][kv_heads][head_dim]
    std::vector<float> attended;    // [rows][query_heads][head_dim]
    std::vector<float> gate, up;    // [rows][intermediate]
    std::vector<uint32_t> positions;  // [rows]
};

struct Model {
    Model(Store &store, const specache_model_config &config, const double *frequencies);
    ~Model();
    Model(const Model &) = delete;
    Model &operator=(const Model &) = delete;

    void set(const specache_tensor &tensor, const std::string &path, const std::string &name);
    void make_ready();  // checks that all weights are there and finite

    Store &store;
    const specache_model_config config;
    const std::vector<double> frequencies;  // [head_dim / 2]
    Weight embedding, output_norm, output;
    std::vector<Layer> layers;
    Activations activations;
    bool ready = false;

private:
    Weight &place(uint32_t role, uint32_t layer);
    const MappedFile &map(const std::string &path);
    void check_shapes() const;
    void check_finite(const Weight &weight) const;
    void widen(Weight &weight) const;
    std::vector<std::unique_ptr<MappedFile>> files_;
};

// Exact prefill; logits [vocabulary] after the last token, or null. On failure the sequence is as
// before.
void prefill(Model &model, Sequence &sequence, const uint32_t *tokens, uint32_t count,
             float *logits);

// One sequence's share of a step.
struct StepInputs {
    Sequence *sequence;
    const uint32_t *tokens;  // [inputs]
    uint32_t inputs, trusted;
    Options options;
    float *logits;           // [inputs][vocabulary]
};

// One pass of the model over all inputs of all sequences: the weights are read once.
void step(Model &model, const StepInputs *list, uint32_t count);

}  // namespace specache

// model.h - a decoder's weights, memory-mapped and used in their own format, and its scratch.
#pragma once
#include <map>
#include <memory>
#include <tuple>
#include <string>
#include <vector>

#include "../draw.h"
#include "../failure.h"
#include "../step.h"

namespace specache {

struct MappedFile {
    std::string path;
    const uint8_t *bytes = nullptr;
    uint64_t size = 0;
};

struct Weight {
    Tensor mapped;              // in its file
    Tensor tensor;              // near memory, or its file where that is the host's memory
    std::string name;           // as its file calls it
    const float *floats = nullptr;  // norms and biases, widened, in near memory: [columns]
};

struct Layer {
    Weight attention_norm, query, key, value, attention_output;
    Weight query_bias, key_bias, value_bias, attention_output_bias;
    Weight query_norm, key_norm;
    Weight mlp_norm, mlp_gate, mlp_up, mlp_down;
    Weight mlp_gate_bias, mlp_up_bias, mlp_down_bias;
};

// Near memory; rows = chunk_tokens, or the inputs of all sequences.
struct Activations {
    float *hidden;        // [rows][hidden] the residual stream
    float *normalized;    // [rows][hidden]
    float *queries;       // [rows][query_heads][head_dim]
    float *keys, *values;  // [rows][kv_heads][head_dim]
    float *attended;      // [rows][query_heads][head_dim]
    float *gate, *up;     // [rows][intermediate]
    uint32_t *positions, *tokens;  // [rows]
    double *frequencies;  // [head_dim / 2]
    float *logits;        // [logits_rows][vocabulary]
    Likeliest *likeliest;  // [logits_rows]
    uint64_t *argmax;     // [logits_rows][argmax_slices()] scratch
    uint32_t logits_rows;  // inputs of all sequences, at most logits_rows_max
    uint16_t *fast;       // [fast_numbers] scratch of a fast prefill, 16-bit numbers; else null
    uint64_t fast_numbers;
    uint64_t bytes;
};

// Rows of a step whose logits are there at a time. With as many, arithmetic is the limit: the
// vocabulary is read again for the next ones at no cost, and 1,024 sequences need no gigabytes.
constexpr uint32_t logits_rows_max = 64;

// One sequence's share of a step.
struct StepInputs {
    Sequence *sequence;
    const uint32_t *tokens;  // [inputs]
    uint32_t inputs, trusted;
    Options options;
    uint32_t *ids;           // [inputs] what is drawn, or of the largest logits, as Likeliest says
    float *largest;          // [inputs] those logits
    float *logits;           // [inputs][vocabulary], or null: nothing is drawn
    bool undecided_alone;    // only undecided inputs' logits are asked for
    Sampling sampling;
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
    Weight embedding, output_norm, output;
    std::vector<Layer> layers;
    Activations activations{};
    bool ready = false;
    std::vector<StepInputs> step_list;  // of the step at work; has room for sequences_max
    // Whole steps of one sequence: its memory, inputs, trusted, k, bits of late_above, tokens that
    // its logits have room for, whether it is watched.
    using StepShape =
        std::tuple<const Sequence *, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, bool>;
    std::map<StepShape, std::unique_ptr<Recording>> recordings;

private:
    Weight &place(uint32_t role, uint32_t layer);
    const MappedFile &map(const std::string &path);
    void check_shapes() const;
    void check_finite(const Weight &weight) const;
    float *widen(Weight &weight, float *to) const;
    void bring_near(const std::vector<Weight *> &weights);
    uint8_t *reserve(uint64_t bytes);
    std::vector<std::unique_ptr<MappedFile>> files_;
    std::vector<std::pair<uint8_t *, uint64_t>> blocks_;  // what reserve() took
};

// Exact prefill; logits [vocabulary] after the last token, or null. On failure the sequence is as
// before.
void prefill(Model &model, Sequence &sequence, const uint32_t *tokens, uint32_t count,
             float *logits);

// One pass of the model over all inputs of all sequences, each of them there once: the weights are
// read once. On failure no sequence has a step at work that had none before.
void step(Model &model, const StepInputs *list, uint32_t count);

// When steps in a row end: behind so many, behind a token of `ends`, before one that would end more
// than so many microseconds after the first one's begin.
struct InARow {
    uint32_t steps, microseconds;
    const uint32_t *ends;  // [ends_count]
    uint32_t ends_count;
};

// Steps of one sequence, each of one input: the token that one gives is the next one's input. They
// end as InARow says, behind one whose token is undecided or where no logit is finite, which stays
// at work, and before one that fails, unless it is the first. All others are kept. ids, largest
// [steps] are theirs; logits [vocabulary] are of the one at work. Answers how many were made.
uint32_t decode(Model &model, StepInputs one, const InARow &row);

// What is refused of one of several sequences says of which.
template <class Body>
void of_sequence(const Sequence &sequence, uint32_t count, Body body) {
    try {
        body();
    } catch (Failure &failure) {
        if (count > 1) {
            failure.text = "sequence " + std::to_string(sequence.id) + ": " + failure.text;
        }
        throw;
    }
}

}  // namespace specache

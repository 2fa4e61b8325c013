// forward.cpp - the decoder around the cache: norms, projections, rope, MLP, logits.
#include <algorithm>
#include <bit>
#include <cmath>

#include "../cpu/tables.h"
#include "../cpu/threads.h"
#include "../failure.h"
#include "../random.h"
#include "model.h"

namespace specache {
namespace {

// One pass over `rows` tokens, which may belong to several sequences.
struct Pass {
    Model &model;
    uint32_t rows;
    bool prefill;
    Device &device = *model.store.device;
    const Kernels &kernels = device.kernels();
    const specache_config &shape = model.store.plan.config;
    const Activations &a = model.activations;
    const bool int8 = !prefill && model.config.int8_activations != 0;

    // Of the inputs that `before`, where there is one, has just met.
    void project(const Weight &weight, const Weight *bias, const float *in, float *out,
                 bool accumulate = false, const Weight *before = nullptr) {
        bool again = before != nullptr && before->tensor.type == weight.tensor.type;
        kernels.project(device.compute(), {weight.tensor, bias ? bias->floats : nullptr,
                                           in, out, rows, accumulate, prefill,
                                           prefill ? a.fast : nullptr, a.fast_numbers, int8,
                                           again});
    }
    void normalize(const float *in, const Weight &weight, float *out, uint32_t count,
                   uint32_t columns) {
        kernels.normalize(device.compute(), {in, weight.floats, out, count, columns,
                                             std::bit_cast<float>(model.config.epsilon_bits)});
    }
    void rotate(float *heads, uint32_t head_count) {
        kernels.rotate(device.compute(),
                       {heads, a.positions, a.frequencies, rows, head_count,
                        shape.head_dim, std::bit_cast<float>(model.config.rope_magnitude_bits),
                        model.config.rope_neighbours != 0});
    }

    // Positions and ids of the rows [rows].
    void begin(const uint32_t *positions, const uint32_t *tokens) {
        device.upload(a.positions, positions, rows * 4);
        device.upload(a.tokens, tokens, rows * 4);
    }
    void embed() {
        kernels.embed(device.compute(), {model.embedding.tensor, a.tokens, a.hidden, rows});
    }
    void before_attention(const Layer &layer) {
        uint32_t dim = shape.head_dim;
        normalize(a.hidden, layer.attention_norm, a.normalized, rows,
                  model.config.hidden);
        project(layer.query, &layer.query_bias, a.normalized, a.queries);
        project(layer.key, &layer.key_bias, a.normalized, a.keys, false, &layer.query);
        project(layer.value, &layer.value_bias, a.normalized, a.values, false, &layer.key);
        if (model.config.query_key_norms) {
            normalize(a.queries, layer.query_norm, a.queries,
                      rows * shape.query_heads, dim);
            normalize(a.keys, layer.key_norm, a.keys, rows * shape.kv_heads, dim);
        }
        rotate(a.queries, shape.query_heads);
        rotate(a.keys, shape.kv_heads);
    }
    void after_attention(const Layer &layer) {
        project(layer.attention_output, &layer.attention_output_bias, a.attended, a.hidden,
                true);
        normalize(a.hidden, layer.mlp_norm, a.normalized, rows, model.config.hidden);
        project(layer.mlp_gate, &layer.mlp_gate_bias, a.normalized, a.gate);
        project(layer.mlp_up, &layer.mlp_up_bias, a.normalized, a.up, false, &layer.mlp_gate);
        kernels.gate(device.compute(), {a.gate, a.up, a.gate,
                                        uint64_t(rows) * model.config.intermediate});
        project(layer.mlp_down, &layer.mlp_down_bias, a.gate, a.hidden, true);
    }
    // Logits of `count` rows from `first` on, at most a.logits_rows, to a.logits.
    void logits(uint32_t first, uint32_t count) {
        uint64_t at = uint64_t(first) * model.config.hidden;
        normalize(a.hidden + at, model.output_norm, a.normalized, count,
                  model.config.hidden);
        const Weight &weight = model.config.tied ? model.embedding : model.output;
        kernels.project(device.compute(), {weight.tensor, nullptr, a.normalized, a.logits, count,
                                           false, false, nullptr, 0, int8});
    }
    void download_logits(uint32_t first, uint32_t count, float *out) {
        uint64_t row = model.config.vocabulary;
        device.download(out, a.logits + first * row, count * row * sizeof(float));
    }
    // As above; the likeliest tokens to a.likeliest.
    void predict(uint32_t first, uint32_t count) {
        logits(first, count);
        model.store.check_cancelled();
        kernels.argmax(device.compute(), {a.logits, a.likeliest, count, model.config.vocabulary,
                                          a.argmax});
    }
    // Tells the sequences whose inputs are among the rows [first, end) what these predict.
    void download_predicted(const StepInputs *list, uint32_t first, uint32_t end) {
        Likeliest likeliest[logits_rows_max];
        device.download(likeliest, a.likeliest, (end - first) * sizeof *likeliest);
        for (uint32_t row = 0; row < end; row += list->inputs, list++) {
            uint32_t from = std::max(row, first), to = std::min(row + list->inputs, end);
            for (uint32_t at = from; at < to; at++) {
                list->ids[at - row] = likeliest[at - first].id;
                list->largest[at - row] = likeliest[at - first].logit;
            }
            if (list->logits == nullptr || from >= to) continue;
            if (list->undecided_alone && device.shares_memory()) continue;  // draws read a.logits
            download_logits(from - first, to - from,
                            list->logits + uint64_t(from - row) * model.config.vocabulary);
        }
    }
    // Draws tokens of rows [first, end) for sequences that ask for it, from what was downloaded, or
    // where it lies.
    void draw_tokens(const StepInputs *list, uint32_t first, uint32_t end) {
        DrawRow draws[logits_rows_max];
        float *copies[logits_rows_max];  // where an undecided row's logits are to be
        uint32_t count = 0, vocabulary = model.config.vocabulary;
        for (uint32_t row = 0; row < end; row += list->inputs, list++) {
            uint32_t to = std::min(row + list->inputs, end);
            if (list->sampling.temperature == 0) continue;
            for (uint32_t at = std::max(row, first); at < to; at++) {
                uint32_t input = at - row;
                Likeliest likeliest{list->ids[input], list->largest[input]};
                if (!std::isfinite(likeliest.logit)) continue;  // refused by who asked
                uint64_t position = uint64_t(list->sequence->length) + 1 + input;
                float *asked = list->logits + uint64_t(input) * vocabulary;
                const float *here = a.logits + uint64_t(at - first) * vocabulary;
                bool in_place = list->undecided_alone && device.shares_memory();
                copies[count] = in_place ? asked : nullptr;
                draws[count++] = {in_place ? here : asked, vocabulary, likeliest, &list->sampling,
                                  word_of(list->sampling.seed, position), list->ids + input};
            }
        }
        auto draw = kernels.draw != nullptr ? kernels.draw : kernels_for(0).draw;
        parallel(device.host(), count, [&](uint32_t i) {
            draw(draws[i]);
            if (*draws[i].id != undecided_token || copies[i] == nullptr) return;
            std::copy_n(draws[i].logits, vocabulary, copies[i]);
        });
    }
};

void check_ready(const Model &model) {
    if (!model.ready) fail(SPECACHE_ARGUMENT, "the model is not ready");
}

void check_tokens(const Model &model, const uint32_t *tokens, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (tokens[i] < model.config.vocabulary) continue;
        fail(SPECACHE_ARGUMENT, "token %u at %u is not below the vocabulary's %u", tokens[i], i,
             model.config.vocabulary);
    }
}

void prefill_chunk(Model &model, Sequence &sequence, const uint32_t *tokens, uint32_t count,
                   float *logits) {
    Pass pass{model, count, true};
    const Activations &a = model.activations;
    std::vector<uint32_t> positions(count);
    for (uint32_t i = 0; i < count; i++) positions[i] = sequence.length + i;
    pass.begin(positions.data(), tokens);
    pass.embed();
    for (uint32_t l = 0; l < model.layers.size(); l++) {
        model.store.check_cancelled();
        pass.before_attention(model.layers[l]);
        model.store.check_cancelled();
        append(model.store, sequence, l, count, a.queries, a.keys, a.values,
               a.attended);
        pass.after_attention(model.layers[l]);
    }
    model.store.check_cancelled();
    if (logits == nullptr) return;
    pass.logits(count - 1, 1);
    model.store.check_cancelled();
    pass.download_logits(0, 1, logits);
}

}  // namespace

void prefill(Model &model, Sequence &sequence, const uint32_t *tokens, uint32_t count,
             float *logits) {
    check_ready(model);
    check_tokens(model, tokens, count);
    if (count == 0) fail(SPECACHE_ARGUMENT, "count 0 is below 1");
    Store &store = model.store;
    store.check_ended(sequence);
    const specache_config &config = store.plan.config;
    uint32_t before = sequence.length, chunk = config.chunk_tokens;
    uint32_t held = uint32_t(sequence.pages.size());
    if (count > config.tokens_max - before) {
        fail(SPECACHE_CAPACITY, "the sequence would hold %llu tokens, tokens_max is %u",
             static_cast<unsigned long long>(before) + count, config.tokens_max);
    }
    try {
        store.reserve_pages(sequence, before + count);  // else refused behind the first chunks
        for (uint32_t done = 0; done < count;) {
            // Chunks end where pages end, so that pages are completed from one chunk.
            uint32_t part = std::min(count - done, chunk - sequence.length % page_tokens);
            float *out = done + part == count ? logits : nullptr;
            prefill_chunk(model, sequence, tokens + done, part, out);
            done += part;
        }
    } catch (...) {
        store.undo(sequence);
        store.truncate(sequence, before);
        store.drop_pages(sequence, held);
        throw;
    }
}

namespace {

// The layers of a step, once all its sequences have begun and positions and tokens are near.
void run_layers(Model &model, const StepInputs *list, uint32_t count, uint32_t rows) {
    Store &store = model.store;
    Pass pass{model, rows, false};
    const Activations &a = model.activations;
    uint64_t dim = store.plan.config.head_dim, query = store.plan.config.query_heads * dim,
             kv = store.plan.config.kv_heads * dim;
    pass.embed();
    for (uint32_t l = 0; l < model.layers.size(); l++) {
        store.check_cancelled();
        pass.before_attention(model.layers[l]);
        store.check_cancelled();
        for (uint32_t i = 0, row = 0; i < count; row += list[i].inputs, i++) {
            attend(store, *list[i].sequence, l, a.queries + row * query,
                   a.keys + row * kv, a.values + row * kv,
                   a.attended + row * query);
        }
        pass.after_attention(model.layers[l]);
    }
}

constexpr size_t recordings_each = 16;  // of a sequence on average: shapes of steps are few

// The only sequence's layers and what they predict.
void run_one(Model &model, const StepInputs &one) {
    run_layers(model, &one, 1, one.inputs);
    Pass{model, one.inputs, false}.predict(0, one.inputs);
}

std::unique_ptr<Recording> record_one(Model &model, const StepInputs &one) {
    struct Undone {  // no layer has run, whether it was recorded or not
        Sequence &sequence;
        ~Undone() { sequence.layer = 0; }
    } undone{*one.sequence};
    return model.store.device->record([&] { run_one(model, one); });
}

// One sequence's step as one piece of work, where the device records; else as it comes.
void run_recorded(Model &model, const StepInputs &one) {
    Store &store = model.store;
    if (!store.recorded.empty()) return run_one(model, one);  // downloads queries
    Model::StepShape shape{one.sequence, one.inputs, one.trusted, one.options.k,
                           std::bit_cast<uint32_t>(one.options.late_above),
                           store.plan.logits_room(one.inputs, one.sequence->length).tokens,
                           store.watch.sequence == one.sequence};
    auto found = model.recordings.find(shape);
    if (found == model.recordings.end()) {
        if (model.recordings.size() >= recordings_each * store.plan.config.sequences_max) {
            store.device->drain();  // those of a shorter text may still be at work
            model.recordings.clear();
        }
        auto made = record_one(model, one);
        if (made == nullptr) return run_one(model, one);
        found = model.recordings.emplace(shape, std::move(made)).first;
    }
    store.check_cancelled();
    store.device->launch(*found->second);
    one.sequence->layer = store.plan.config.layers;
}

// The steps of `list`, all of which have begun.
void run_begun(Model &model, const StepInputs *list, uint32_t count) {
    Store &store = model.store;
    uint32_t rows = 0, at_once = model.activations.logits_rows;
    uint32_t tokens[1024 * inputs_max], positions[1024 * inputs_max];  // at most 1,024 sequences
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t input = 0; input < list[i].inputs; input++, rows++) {
            tokens[rows] = list[i].tokens[input];
            positions[rows] = list[i].sequence->length + input;
        }
    }
    Pass pass{model, rows, false};
    pass.begin(positions, tokens);
    if (count == 1) run_recorded(model, list[0]);
    else run_layers(model, list, count, rows);
    store.device->check();
    for (uint32_t i = 0; i < count; i++) {
        Sequence &sequence = *list[i].sequence;
        of_sequence(sequence, count, [&] {
            store.check_rows(sequence, sequence.length, 0, store.plan.config.layers);
        });
    }
    for (uint32_t first = 0; first < rows; first += at_once) {
        uint32_t end = std::min(first + at_once, rows);
        if (count > 1) pass.predict(first, end - first);
        pass.download_predicted(list, first, end);
        pass.draw_tokens(list, first, end);
    }
}

// Throws where a sequence is given twice.
void check_distinct(const StepInputs *list, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t before = 0; before < i; before++) {
            if (list[before].sequence != list[i].sequence) continue;
            fail(SPECACHE_ARGUMENT, "sequence %llu is given twice, at %u and %u",
                 static_cast<unsigned long long>(list[i].sequence->id), before, i);
        }
    }
}

}  // namespace

void step(Model &model, const StepInputs *list, uint32_t count) {
    check_ready(model);
    check_distinct(list, count);
    for (uint32_t i = 0; i < count; i++) {
        const StepInputs &one = list[i];
        of_sequence(*one.sequence, count, [&] {
            check_begin(model.store, *one.sequence, one.inputs, one.trusted, one.options);
            check_tokens(model, one.tokens, one.inputs);
        });
    }
    uint32_t begun = 0;
    try {
        for (; begun < count; begun++) {
            const StepInputs &one = list[begun];
            of_sequence(*one.sequence, count, [&] {
                begin(model.store, *one.sequence, one.inputs, one.trusted, one.options);
            });
        }
        run_begun(model, list, count);
    } catch (...) {
        while (begun > 0) model.store.undo(*list[--begun].sequence);
        throw;
    }
}

}  // namespace specache

// abi.cpp - check arguments -> call -> status and text. Nothing is thrown across, nothing printed.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "abi.h"
#include "cpu/tables.h"
#include "cpu/threads.h"
#include "heap.h"
#include "model/model.h"
#include "numbers.h"

using namespace specache;

namespace specache {

thread_local std::string last_error;
std::atomic<uint64_t> call_nanoseconds{0};

Model &model_of(Store &store) {
    if (!store.model) fail(SPECACHE_HANDLE, "the store has no model");
    return *store.model;
}

}  // namespace specache

namespace {

// Open stores by id. A store lives until the last call on it has returned. Never destroyed: a
// process may end while another of its threads decodes.
std::mutex &registry_mutex = *new std::mutex;
auto &registry = *new std::map<uint64_t, std::shared_ptr<Store>>;
uint64_t opened = 0;

std::string text_of(const uint8_t *bytes, uint32_t count) {
    return bytes == nullptr ? std::string()
                            : std::string(reinterpret_cast<const char *>(bytes), count);
}

void check_layer(const Store &store, uint32_t layer) {
    if (layer < store.plan.config.layers) return;
    fail(SPECACHE_ARGUMENT, "layer %u is not below %u", layer, store.plan.config.layers);
}

// Keys and values are checked where they are rounded to rows.
void check_queries(const float *queries, uint64_t count, uint32_t layer) {
    if (std::all_of(queries, queries + count, [](float x) { return std::isfinite(x); })) return;
    fail(SPECACHE_DATA, "a query of layer %u is not finite", layer);
}

}  // namespace

std::shared_ptr<Store> specache::find(uint64_t id) {
    std::lock_guard lock(registry_mutex);
    auto found = registry.find(id);
    if (found == registry.end()) {
        fail(SPECACHE_HANDLE, "store %llu is not open", static_cast<unsigned long long>(id));
    }
    return found->second;
}

EXPORT uint32_t specache_abi_version(void) { return SPECACHE_ABI_VERSION; }

EXPORT uint32_t specache_error(uint8_t *text, uint32_t bytes) {
    if (text != nullptr)
        std::memcpy(text, last_error.data(), std::min<size_t>(bytes, last_error.size()));
    return uint32_t(last_error.size());
}

EXPORT uint32_t specache_isa(void) { return best_isa(); }

EXPORT uint32_t specache_threads(void) { return threads_of(0); }

EXPORT int32_t specache_plan(const specache_config *config, const specache_profile *profile,
                             const uint8_t *key_bits, uint32_t tokens, uint64_t *parts_out) {
    return guarded([&] {
        not_null("config", config);
        not_null("parts_out", parts_out);
        Plan plan = make_plan(*config, profile, key_bits);
        if (tokens > config->tokens_max) {
            fail(SPECACHE_ARGUMENT, "tokens %u is above tokens_max %u", tokens, config->tokens_max);
        }
        bool full = plan.rule == Rule::none;
        uint64_t parts[SPECACHE_PLAN_COUNT] = {
            full ? 0 : plan.held(tokens), full ? plan.held(tokens) : 0, plan.sinks, plan.window,
            plan.slot_rows, plan.tables, plan.held(tokens) + plan.sequence_bytes(),
            plan.far_bytes(), plan.full_bytes(tokens),
            plan.work + plan.gathered, plan.profile, plan.reserved()};
        std::memcpy(parts_out, parts, sizeof parts);
    });
}

EXPORT int32_t specache_store_open(const specache_config *config, const uint8_t *path,
                                   uint32_t path_bytes, const specache_profile *profile,
                                   const uint8_t *key_bits, const float *value_basis,
                                   const uint32_t *plane_channel, const float *plane_weight,
                                   uint64_t *store_out) {
    return guarded([&] {
        not_null("config", config);
        not_null("store_out", store_out);
        Plan plan = make_plan(*config, profile, key_bits);
        if (plan.in_file) not_null("path", path);
        Profile buffers{value_basis, plane_channel, plane_weight};
        if (plan.profile_planes != 0) {
            not_null("value_basis", value_basis);
            not_null("plane_channel", plane_channel);
            not_null("plane_weight", plane_weight);
            for (uint64_t i = 0; i < uint64_t(plan.heads()) * plan.profile_planes; i++) {
                if (plane_channel[i] < config->head_dim && plane_weight[i] > 0) continue;
                fail(SPECACHE_ARGUMENT, "plane %llu of the profile has channel %u and weight %g",
                     static_cast<unsigned long long>(i), plane_channel[i], double(plane_weight[i]));
            }
        }
        auto store = std::make_shared<Store>(std::move(plan), text_of(path, path_bytes), buffers);
        std::lock_guard lock(registry_mutex);
        registry.emplace(++opened, std::move(store));
        *store_out = opened;
    });
}

EXPORT int32_t specache_store_close(uint64_t id) {
    int32_t status = guarded([&] {
        std::shared_ptr<Store> store = find(id);
        {
            std::lock_guard lock(registry_mutex);
            registry.erase(id);
        }
        std::lock_guard running(store->running);  // waits for the call at work
    });
    trim_heap();
    return status;
}

EXPORT int32_t specache_store_device(uint64_t id, uint8_t *name, uint32_t bytes,
                                     uint32_t *length_out) {
    return on_store(id, [&](Store &store) {
        not_null("name", name);
        not_null("length_out", length_out);
        std::string text = store.device->name();
        std::memcpy(name, text.data(), std::min<size_t>(bytes, text.size()));
        *length_out = uint32_t(text.size());
    });
}

EXPORT int32_t specache_sequence_open(uint64_t id, uint64_t *sequence_out) {
    return on_store(id, [&](Store &store) {
        not_null("sequence_out", sequence_out);
        *sequence_out = store.open_sequence().id;
    });
}

EXPORT int32_t specache_sequence_fork(uint64_t id, uint64_t sequence, uint64_t *sequence_out) {
    return on_store(id, [&](Store &store) {
        not_null("sequence_out", sequence_out);
        *sequence_out = store.fork(store.sequence(sequence)).id;
    });
}

EXPORT int32_t specache_sequence_truncate(uint64_t id, uint64_t sequence, uint32_t tokens) {
    return on_store(id, [&](Store &store) { store.truncate(store.sequence(sequence), tokens); });
}

EXPORT int32_t specache_sequence_close(uint64_t id, uint64_t sequence) {
    return on_store(id, [&](Store &store) { store.close(store.sequence(sequence)); });
}

EXPORT int32_t specache_sequence_stats(uint64_t id, uint64_t sequence_id, uint64_t *counters_out) {
    return on_store(id, [&](Store &store) {
        not_null("counters_out", counters_out);
        const Sequence &sequence = store.sequence(sequence_id);
        Counters counters{};
        store.device->download(&counters, sequence.counters, sizeof counters);
        const FetchTimes &times = sequence.times;
        uint64_t values[SPECACHE_STATS_COUNT] = {
            sequence.length, store.near_bytes(sequence), store.plan.far_bytes(),
            store.plan.full_bytes(sequence.length), counters.prefetched_rows, counters.late_rows,
            counters.reused_rows, counters.fetched_bytes, times.hidden_ns, times.waited_ns,
            times.late_ns, store.allocated};
        std::memcpy(counters_out, values, sizeof values);
    });
}

EXPORT int32_t specache_pages(uint64_t id, uint32_t *free_out, uint32_t *pages_out) {
    return on_store(id, [&](Store &store) {
        not_null("free_out", free_out);
        not_null("pages_out", pages_out);
        *free_out = store.free_pages();
        *pages_out = store.plan.pages;
    });
}

EXPORT int32_t specache_sequence_pages(uint64_t id, uint64_t sequence_id, uint32_t *held_out,
                                       uint32_t *own_out) {
    return on_store(id, [&](Store &store) {
        not_null("held_out", held_out);
        not_null("own_out", own_out);
        const Sequence &sequence = store.sequence(sequence_id);
        *held_out = uint32_t(sequence.pages.size());
        *own_out = store.own_pages(sequence);
    });
}

EXPORT int32_t specache_append(uint64_t id, uint64_t sequence, uint32_t layer, uint32_t tokens,
                               const float *queries, const float *keys, const float *values,
                               float *outputs) {
    return on_store(id, [&](Store &store) {
        check_layer(store, layer);
        not_null("keys", keys);
        not_null("values", values);
        if (queries != nullptr) {
            const Shape &shape = store.plan.shape;
            not_null("outputs", outputs);
            check_queries(queries, uint64_t(tokens) * shape.query_heads * shape.head_dim, layer);
        }
        append(store, store.sequence(sequence), layer, tokens, queries, keys, values, outputs,
               Where::host);
    });
}

EXPORT int32_t specache_attend(uint64_t id, uint64_t sequence_id, uint32_t layer,
                               const float *queries, const float *keys, const float *values,
                               float *outputs) {
    return on_store(id, [&](Store &store) {
        check_layer(store, layer);
        not_null("queries", queries);
        not_null("keys", keys);
        not_null("values", values);
        not_null("outputs", outputs);
        Sequence &sequence = store.sequence(sequence_id);
        if (sequence.inputs == 0) fail(SPECACHE_ARGUMENT, "no step is at work");
        if (layer != sequence.layer) {
            fail(SPECACHE_ARGUMENT, "layer %u is not the step's next, %u", layer, sequence.layer);
        }
        const Shape &shape = store.plan.shape;
        check_queries(queries, uint64_t(sequence.inputs) * shape.query_heads * shape.head_dim,
                      layer);
        Borrowed near(store, Where::host, sequence.inputs, queries, keys, values, outputs);
        attend(store, sequence, layer, near.queries, near.keys, near.values, near.outputs);
        near.give_back();
        try {
            store.check_rows(sequence, sequence.length, layer, 1);
        } catch (...) {
            sequence.layer = layer;  // asked for again, it writes the same rows of the window
            throw;
        }
    });
}

EXPORT int32_t specache_model_open(uint64_t id, const specache_model_config *config,
                                   const double *frequencies) {
    return on_store(id, [&](Store &store) {
        not_null("config", config);
        not_null("frequencies", frequencies);
        if (store.model) fail(SPECACHE_ARGUMENT, "the store has a model");
        store.model = std::make_unique<Model>(store, *config, frequencies);
    });
}

EXPORT int32_t specache_model_tensor(uint64_t id, const specache_tensor *tensor,
                                     const uint8_t *path, uint32_t path_bytes, const uint8_t *name,
                                     uint32_t name_bytes) {
    return on_store(id, [&](Store &store) {
        not_null("tensor", tensor);
        not_null("path", path);
        model_of(store).set(*tensor, text_of(path, path_bytes), text_of(name, name_bytes));
    });
}

EXPORT int32_t specache_model_ready(uint64_t id) {
    return on_store(id, [&](Store &store) { model_of(store).make_ready(); });
}

EXPORT int32_t specache_prefill(uint64_t id, uint64_t sequence, const uint32_t *tokens,
                                uint32_t count, float *logits) {
    return on_store(id, [&](Store &store) {
        not_null("tokens", tokens);
        prefill(model_of(store), store.sequence(sequence), tokens, count, logits);
    });
}

EXPORT int32_t specache_rows(uint64_t id, uint64_t sequence_id, uint32_t layer, uint32_t first,
                             uint32_t tokens, float *keys, float *values) {
    return on_store(id, [&](Store &store) {
        check_layer(store, layer);
        not_null("keys", keys);
        not_null("values", values);
        store.copy_rows(store.sequence(sequence_id), layer, first, tokens, keys, values);
    });
}

EXPORT int32_t specache_cancel(uint64_t id) {
    return guarded([&] { find(id)->cancelled = true; });
}

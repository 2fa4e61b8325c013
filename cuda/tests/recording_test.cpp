// recording_test.cpp - steps that are recorded once and launched again give the bits of steps that
// are queued one by one, wherever they begin and whatever was queued between.
#include <cstring>

#include "../../native/failure.h"
#include "../../native/step.h"
#include "../../native/tests/driver.h"
#include "../../native/tests/test.h"

using namespace specache;

namespace {

constexpr uint32_t prompt = 190, inputs = 2;  // steps go over the page border at 192

specache_config small() {
    specache_config config = driver::small_config();
    config.layers = 2;
    config.query_heads = 4;
    config.tokens_max = 256;
    config.k_max = 16;
    config.slots = 24;
    config.device = 1;
    return config;
}

// A store with near buffers of one layer each, as a model has them.
struct Steps {
    Store store;
    Sequence &sequence;
    uint64_t width = uint64_t(inputs) * store.plan.config.head_dim;
    float *queries, *keys, *values, *outputs;  // [layers][inputs][heads][head_dim], near
    std::unique_ptr<Recording> recording;
    std::vector<float> seen;

    explicit Steps(const specache_config &config)
        : store(make_plan(config, nullptr, nullptr), "", {}), sequence(store.open_sequence()) {
        uint64_t each = config.layers * width * 4;
        queries = near(each * config.query_heads);
        keys = near(each * config.kv_heads);
        values = near(each * config.kv_heads);
        outputs = near(each * config.query_heads);
    }
    ~Steps() {
        for (float *each : {queries, keys, values, outputs}) {
            store.device->release(reinterpret_cast<uint8_t *>(each), 0);
        }
    }
    float *near(uint64_t bytes) { return reinterpret_cast<float *>(store.device->reserve(bytes)); }

    std::vector<float> make(uint32_t kind, uint32_t layer, uint32_t first, uint32_t tokens,
                            uint32_t heads) const {
        std::vector<float> x(uint64_t(tokens) * heads * store.plan.config.head_dim);
        for (size_t i = 0; i < x.size(); i++) {
            x[i] = 2 * driver::noise(kind, layer, first * x.size() / tokens + i);
        }
        return x;
    }
    void prefill() {
        const specache_config &config = store.plan.config;
        for (uint32_t layer = 0; layer < config.layers; layer++) {
            auto k = make(1, layer, 0, prompt, config.kv_heads);
            auto v = make(2, layer, 0, prompt, config.kv_heads);
            append(store, sequence, layer, prompt, nullptr, k.data(), v.data(), nullptr,
                   Where::host);
        }
    }
    void attend_layers() {
        const specache_config &config = store.plan.config;
        for (uint32_t layer = 0; layer < config.layers; layer++) {
            uint64_t q = layer * width * config.query_heads, kv = layer * width * config.kv_heads;
            attend(store, sequence, layer, queries + q, keys + kv, values + kv, outputs + q);
        }
    }
    void step(bool recorded) {
        const specache_config &config = store.plan.config;
        begin(store, sequence, inputs, 1, {config.k_max, -1});
        for (uint32_t layer = 0; layer < config.layers; layer++) {
            auto put = [&](float *to, uint32_t kind, uint32_t heads) {
                auto x = make(kind, layer, sequence.length, inputs, heads);
                store.device->upload(to + layer * width * heads, x.data(), x.size() * 4);
            };
            put(queries, 0, config.query_heads);
            put(keys, 1, config.kv_heads);
            put(values, 2, config.kv_heads);
        }
        if (recorded) {
            if (!recording) recording = store.device->record([&] { attend_layers(); });
            store.device->launch(*recording);
            sequence.layer = config.layers;
        } else {
            attend_layers();
        }
        std::vector<float> out(config.layers * width * config.query_heads);
        store.device->download(out.data(), outputs, out.size() * 4);
        seen.insert(seen.end(), out.begin(), out.end());
        keep(store, sequence, 1);
    }
};

std::vector<float> run(const specache_config &config, std::initializer_list<bool> recorded) {
    Steps all(config);
    all.prefill();
    for (bool each : recorded) all.step(each);
    return all.seen;
}

}  // namespace

TEST("recorded steps give the bits of steps queued one by one, in any turn, by either prefetch") {
    for (uint32_t prefetch : {0u, 1u}) {
        specache_config config = small();
        config.prefetch = prefetch;
        std::vector<float> truth = run(config, {false, false, false, false});
        CHECK(driver::same_bits(truth, run(config, {true, true, true, true})));
        CHECK(driver::same_bits(truth, run(config, {false, true, true, false})));
        CHECK(driver::same_bits(truth, run(config, {true, false, true, true})));
    }
}

TEST("recorded steps of mode paper find what the step before fetched") {
    specache_config config = small();
    config.mode = 1;
    CHECK(driver::same_bits(run(config, {false, false, false}), run(config, {true, true, true})));
}

TEST("work that fails while it is recorded leaves the device as it was") {
    specache_config config = small();
    Steps all(config);
    all.prefill();
    try {
        all.store.device->record([&] { fail(SPECACHE_DATA, "given up"); });
        CHECK(false);
    } catch (const Failure &failure) {
        CHECK(failure.text == "given up");
    }
    all.step(true);
    CHECK(driver::same_bits(all.seen, run(config, {false})));
}

// refusal_test.cpp - every no names value and limit, and leaves all as it was.
#include <limits>
#include <thread>

#include "driver.h"
#include "test.h"

using driver::far_path;
using driver::last_error;
using driver::Run;
using driver::same_bits;
using driver::small_config;

namespace {

bool refuses(const specache_config &config, int32_t status, const char *text) {
    Run run(config);
    return run.status == status && last_error().find(text) != std::string::npos;
}

}  // namespace

TEST("a store refuses each field outside its range") {
    auto with = [](uint32_t specache_config::*field, uint32_t value) {
        specache_config config = small_config();
        config.*field = value;
        return config;
    };
    using C = specache_config;
    CHECK(refuses(with(&C::layers, 0), SPECACHE_ARGUMENT, "layers 0 is below 1"));
    CHECK(refuses(with(&C::kv_heads, 4), SPECACHE_ARGUMENT, "query_heads 6 is not a multiple"));
    CHECK(refuses(with(&C::head_dim, 60), SPECACHE_ARGUMENT, "head_dim 60 is not a multiple of 8"));
    CHECK(refuses(with(&C::head_dim, 264), SPECACHE_ARGUMENT, "head_dim 264 is above 256"));
    CHECK(refuses(with(&C::head_dim, 8), SPECACHE_ARGUMENT, "head_dim 8 is below 16"));
    CHECK(refuses(with(&C::kv_type, 3), SPECACHE_ARGUMENT, "kv_type 3 is above 2"));
    CHECK(refuses(with(&C::mode, 3), SPECACHE_ARGUMENT, "mode 3 is above 2"));
    CHECK(refuses(with(&C::isa, 7), SPECACHE_ARGUMENT, "isa 7 is above 6"));
    CHECK(refuses(with(&C::key_bits, 3), SPECACHE_ARGUMENT, "key_bits 3 is above 2"));
    CHECK(refuses(with(&C::value_bits, 0), SPECACHE_ARGUMENT, "value_bits 0 is below 1"));
    CHECK(refuses(with(&C::k_max, 1025), SPECACHE_ARGUMENT, "k_max 1025 is above 1024"));
    CHECK(refuses(with(&C::chunk_tokens, 100), SPECACHE_ARGUMENT, "not a multiple of 64"));
    CHECK(refuses(with(&C::guesses_max, 4), SPECACHE_ARGUMENT, "guesses_max 4 is above 3"));
    CHECK(refuses(with(&C::tokens_max, 0), SPECACHE_ARGUMENT, "tokens_max 0 is below 1"));
    CHECK(refuses(with(&C::device, 2), SPECACHE_ARGUMENT, "device 2 is above 1"));
    CHECK(refuses(with(&C::prefetch, 2), SPECACHE_ARGUMENT, "prefetch 2 is above 1"));
    CHECK(refuses(with(&C::prefill, 2), SPECACHE_ARGUMENT, "prefill 2 is above 1"));
    CHECK(refuses(with(&C::prefill, 1), SPECACHE_UNSUPPORTED, "device cpu has no prefill fast"));
    CHECK(refuses(with(&C::near_bytes_low, 1000), SPECACHE_CAPACITY, "near_bytes is 1000"));
    CHECK(refuses(with(&C::far_bytes_low, 1000), SPECACHE_CAPACITY, "far_bytes is 1000"));
}

TEST("a near budget of just what is needed opens, and one byte less does not") {
    specache_config config = small_config();
    uint64_t parts[SPECACHE_PLAN_COUNT];
    CHECK(specache_plan(&config, nullptr, nullptr, 0, parts) == SPECACHE_OK);
    config.near_bytes_low = uint32_t(parts[SPECACHE_PLAN_RESERVED]);
    Run fits(config);
    CHECK(fits.status == SPECACHE_OK);
    CHECK(fits.stats()[SPECACHE_STATS_ALLOCATED] == parts[SPECACHE_PLAN_RESERVED]);
    config.near_bytes_low--;
    CHECK(refuses(config, SPECACHE_CAPACITY, "near memory needs"));
}

TEST("plan tells the near bytes that a sequence then has") {
    for (uint32_t mode = 0; mode < 3; mode++) {
        specache_config config = small_config();
        config.mode = mode;
        Run run(config);
        for (uint32_t tokens : {300u, 200u, 140u}) {
            run.prefill(uint32_t(run.stats()[SPECACHE_STATS_TOKENS]), tokens);
            uint32_t held = uint32_t(run.stats()[SPECACHE_STATS_TOKENS]);
            uint64_t parts[SPECACHE_PLAN_COUNT];
            CHECK(specache_plan(&config, nullptr, nullptr, held, parts) == SPECACHE_OK);
            CHECK(run.stats()[SPECACHE_STATS_NEAR_BYTES] == parts[SPECACHE_PLAN_NEAR]);
            CHECK(run.stats()[SPECACHE_STATS_FAR_BYTES] == parts[SPECACHE_PLAN_FAR]);
        }
    }
}

TEST("at 32K for 8 KV heads of 128 the ratio is below its bars, all parts counted") {
    specache_config config{};
    config.layers = 4;
    config.kv_heads = 8;
    config.query_heads = 32;
    config.head_dim = 128;
    config.kv_type = 2;
    config.mode = 2;
    config.key_bits = config.value_bits = 1;
    config.k_max = 256;
    config.slots = 256;
    config.tokens_max = 32768;
    config.sequences_max = 1;
    config.chunk_tokens = 256;
    config.guesses_max = 1;
    uint64_t parts[SPECACHE_PLAN_COUNT];
    CHECK(specache_plan(&config, nullptr, nullptr, 32768, parts) == SPECACHE_OK);
    CHECK(double(parts[SPECACHE_PLAN_NEAR]) <= 0.09 * double(parts[SPECACHE_PLAN_FULL]));
    specache_profile profile{32, 0, 1};
    config.key_bits = 2;
    config.value_bits = 0;
    CHECK(specache_plan(&config, &profile, nullptr, 32768, parts) == SPECACHE_OK);
    CHECK(double(parts[SPECACHE_PLAN_NEAR]) <= 0.095 * double(parts[SPECACHE_PLAN_FULL]));
}

TEST("NaN and infinity in keys or values are refused, and the sequence goes on as before") {
    for (float bad : {std::numeric_limits<float>::quiet_NaN(),
                      std::numeric_limits<float>::infinity(), 3.4e38f}) {
        Run plain(small_config()), run(small_config());
        plain.prefill(0, 300);
        run.prefill(0, 300);
        uint32_t heads = 2 * 64;
        std::vector<float> q(40 * 6 * 64), k(40 * heads, 0.5f), v(40 * heads, 0.5f), out(q.size());
        v[33 * heads + 64 + 5] = bad;
        CHECK(specache_append(run.store, run.sequence, 0, 40, q.data(), k.data(), v.data(),
                              out.data()) == SPECACHE_DATA);
        CHECK(last_error().find("token 333, layer 0, KV head 1") != std::string::npos);
        specache_options options{32, 1, 0};
        CHECK(specache_begin(run.store, run.sequence, 1, 1, &options) == SPECACHE_OK);
        k[7] = bad;
        CHECK(specache_attend(run.store, run.sequence, 0, q.data(), k.data(), v.data(),
                              out.data()) == SPECACHE_DATA);
        CHECK(specache_keep(run.store, run.sequence, 0) == SPECACHE_OK);
        CHECK(run.stats()[SPECACHE_STATS_TOKENS] == 300);
        plain.outputs.clear();
        run.outputs.clear();
        plain.decode(300, 30, 0, 32);
        CHECK(run.decode(300, 30, 0, 32) == SPECACHE_OK);
        CHECK(same_bits(plain.outputs, run.outputs));
    }
}

TEST("a full sequence refuses one token more and changes nothing") {
    Run run(small_config());
    CHECK(run.prefill(0, 1024) == SPECACHE_OK);
    CHECK(run.step(1024, 0, 32) == SPECACHE_CAPACITY);
    CHECK(last_error() == "the sequence would hold 1025 tokens, tokens_max is 1024");
    CHECK(run.prefill(1024, 1) == SPECACHE_CAPACITY);
    CHECK(run.stats()[SPECACHE_STATS_TOKENS] == 1024);
}

TEST("closed and made-up handles are refused") {
    uint64_t store = 0;
    {
        Run run(small_config());
        store = run.store;
        uint64_t values[SPECACHE_STATS_COUNT];
        CHECK(specache_sequence_close(run.store, run.sequence) == SPECACHE_OK);
        CHECK(specache_sequence_close(run.store, run.sequence) == SPECACHE_HANDLE);
        CHECK(specache_sequence_stats(run.store, 99, values) == SPECACHE_HANDLE);
        CHECK(run.step(0, 0, 8) == SPECACHE_HANDLE);
    }
    CHECK(specache_store_close(store) == SPECACHE_HANDLE);
    CHECK(specache_cancel(12345) == SPECACHE_HANDLE);
}

TEST("a step refuses k above k_max, too many inputs, layers out of order and keeping a guess") {
    Run run(small_config());
    run.prefill(0, 300);
    specache_options options{33, 1, 0};
    CHECK(specache_begin(run.store, run.sequence, 1, 1, &options) == SPECACHE_ARGUMENT);
    CHECK(last_error() == "k 33 is above k_max 32");
    options.k = 32;
    CHECK(specache_begin(run.store, run.sequence, 5, 1, &options) == SPECACHE_ARGUMENT);
    CHECK(specache_begin(run.store, run.sequence, 0, 1, &options) == SPECACHE_ARGUMENT);
    CHECK(specache_keep(run.store, run.sequence, 1) == SPECACHE_ARGUMENT);
    CHECK(specache_begin(run.store, run.sequence, 2, 1, &options) == SPECACHE_OK);
    CHECK(run.attend(1, 300, 2) == SPECACHE_ARGUMENT);
    CHECK(run.attend(0, 300, 2) == SPECACHE_OK);
    CHECK(specache_keep(run.store, run.sequence, 1) == SPECACHE_ARGUMENT);
    CHECK(run.attend(1, 300, 2) == SPECACHE_OK);
    CHECK(run.attend(2, 300, 2) == SPECACHE_OK);
    CHECK(specache_keep(run.store, run.sequence, 2) == SPECACHE_ARGUMENT);
    CHECK(specache_keep(run.store, run.sequence, 1) == SPECACHE_OK);
    CHECK(run.stats()[SPECACHE_STATS_TOKENS] == 301);
}

TEST("a far file that cannot be made or reserved is refused with path and bytes") {
    specache_config config = small_config();
    config.far = 1;
    Run missing(config, "/no-such-folder/far");
    CHECK(missing.status == SPECACHE_FILE);
    CHECK(last_error().find("/no-such-folder/far") != std::string::npos);
    Run device(config, "/dev/null");
    CHECK(device.status == SPECACHE_FILE);
}

TEST("two calls at once on a store: one is told that it is busy") {
    specache_config config = small_config();
    config.far = 1;
    config.slots = 40;
    config.variant = 1;  // so that a held prefetch keeps the call inside
    Run run(config, far_path().c_str());
    run.prefill(0, 500);
    specache_hold(run.store, 0);
    std::thread stepper([&] { run.step(500, 1, 32); });
    int32_t status = SPECACHE_OK;
    for (int i = 0; i < 3000 && status != SPECACHE_BUSY; i++) {
        uint64_t values[SPECACHE_STATS_COUNT];
        status = specache_sequence_stats(run.store, run.sequence, values);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK(status == SPECACHE_BUSY);
    specache_release(run.store);
    stepper.join();
}

TEST("a key that is not finite is refused, and its layer can be asked for again") {
    for (uint32_t mode : {0u, 1u, 2u}) {
        specache_config config = small_config();
        config.mode = mode;
        if (mode == 1) config.key_bits = 1;
        Run plain(config), run(config);
        for (Run *each : {&plain, &run}) {
            each->prefill(0, 300);
            each->outputs.clear();
        }
        specache_options options{32, mode == 1 ? 0u : 1u, 0};
        auto q = run.make(0, 0, 300, 1, 6), k = run.make(1, 0, 300, 1, 2);
        auto v = run.make(2, 0, 300, 1, 2), out = q;
        k[70] = std::numeric_limits<float>::infinity();
        CHECK(specache_begin(run.store, run.sequence, 1, 1, &options) == SPECACHE_OK);
        CHECK(specache_attend(run.store, run.sequence, 0, q.data(), k.data(), v.data(),
                              out.data()) == SPECACHE_DATA);
        CHECK(last_error() == "the key or value of token 300, layer 0, KV head 1 is not finite");
        CHECK(specache_keep(run.store, run.sequence, 1) == SPECACHE_ARGUMENT);
        for (uint32_t layer = 0; layer < config.layers; layer++) {
            CHECK(run.attend(layer, 300, 1) == SPECACHE_OK);
        }
        CHECK(specache_keep(run.store, run.sequence, 1) == SPECACHE_OK);
        CHECK(run.decode(301, 3, 0, 32, mode == 1 ? 0 : 1) == SPECACHE_OK);
        plain.decode(300, 4, 0, 32, mode == 1 ? 0 : 1);
        CHECK(same_bits(plain.outputs, run.outputs));
    }
}

TEST("a query that is not finite is refused, and the step goes on as if it had not been asked") {
    Run plain(small_config()), run(small_config());
    for (Run *each : {&plain, &run}) each->prefill(0, 300);
    specache_options options{32, 1, 0};
    auto q = run.make(0, 0, 300, 1, 6), k = run.make(1, 0, 300, 1, 2);
    auto v = run.make(2, 0, 300, 1, 2);
    std::vector<float> out(q.size());
    q[5] = std::numeric_limits<float>::quiet_NaN();
    CHECK(specache_begin(run.store, run.sequence, 1, 1, &options) == SPECACHE_OK);
    CHECK(specache_attend(run.store, run.sequence, 0, q.data(), k.data(), v.data(), out.data()) ==
          SPECACHE_DATA);
    CHECK(last_error() == "a query of layer 0 is not finite");
    CHECK(specache_append(run.store, run.sequence, 0, 1, q.data(), k.data(), v.data(),
                          out.data()) == SPECACHE_DATA);
    CHECK(specache_keep(run.store, run.sequence, 0) == SPECACHE_OK);
    plain.outputs.clear();
    run.outputs.clear();
    plain.decode(300, 3, 0, 32);
    CHECK(run.decode(300, 3, 0, 32) == SPECACHE_OK);
    CHECK(same_bits(plain.outputs, run.outputs));
}

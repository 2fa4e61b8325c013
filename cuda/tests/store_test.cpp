// store_test.cpp - whole steps of a store on device cuda through the C ABI: what must not change a
// bit there, what the CPU gives, and what is refused.
#include <cmath>
#include <cstdlib>

#include "../../native/tests/driver.h"
#include "../../native/tests/test.h"

using driver::last_error;
using driver::Run;
using driver::same_bits;

namespace {

// Small, since each thread of a block is emulated: two pages of codes at the end of the prompt, a
// third that the steps complete.
constexpr uint32_t prompt = 250, steps = 8;

specache_config config_on(uint32_t device) {
    specache_config config = driver::small_config();
    config.layers = 2;
    config.query_heads = 4;
    config.tokens_max = 320;
    config.k_max = 32;
    config.device = device;
    return config;
}

specache_config with_slots(uint32_t slots, uint32_t prefetch = 0) {
    specache_config config = config_on(1);
    config.slots = slots;
    config.prefetch = prefetch;
    return config;
}

std::vector<float> outputs_of(const specache_config &config, uint32_t guesses, uint32_t k) {
    Run run(config);
    CHECK(run.status == SPECACHE_OK);
    CHECK(run.prefill(0, prompt) == SPECACHE_OK);
    CHECK(run.decode(prompt, steps, guesses, k) == SPECACHE_OK);
    return run.outputs;
}

double largest_difference(const std::vector<float> &a, const std::vector<float> &b) {
    CHECK(a.size() == b.size());
    double largest = 0;
    for (size_t i = 0; i < a.size(); i++) largest = std::fmax(largest, std::fabs(a[i] - b[i]));
    return largest;
}

void check_refused(const specache_config &config, int32_t status, const char *sentence) {
    Run run(config);
    CHECK(run.status == status);
    bool said = last_error().find(sentence) != std::string::npos;
    CHECK(said);
    if (!said) std::printf("%s\n", last_error().c_str());
}

// Outputs are means of values below 2.5 in magnitude, rounded to bf16 alike on both devices.
constexpr double order_of_sums = 2e-5;

}  // namespace

TEST("device cuda gives what the CPU gives, up to the order of sums") {
    for (uint32_t mode : {0u, 2u}) {
        specache_config cpu = config_on(0), cuda = config_on(1);
        cpu.mode = cuda.mode = mode;
        std::vector<float> expected = outputs_of(cpu, 0, 32);
        CHECK(largest_difference(expected, outputs_of(cuda, 0, 32)) < order_of_sums);
    }
}

TEST("on device cuda k of all tokens gives mode full, up to the order of sums") {
    specache_config full = config_on(1), all = config_on(1);
    full.mode = 0;
    all.k_max = all.tokens_max;
    std::vector<float> expected = outputs_of(full, 0, 0);
    CHECK(largest_difference(expected, outputs_of(all, 0, all.k_max)) < order_of_sums);
}

TEST("on device cuda slots, guesses and the way of the prefetch change no bit") {
    std::vector<float> none = outputs_of(with_slots(0), 0, 32);
    CHECK(same_bits(none, outputs_of(with_slots(40), 1, 32)));
    CHECK(same_bits(none, outputs_of(with_slots(40, 1), 1, 32)));
    CHECK(same_bits(none, outputs_of(with_slots(20), 3, 32)));
}

TEST("on device cuda a tokens_max that is no multiple of 4 changes no bit") {
    specache_config odd = config_on(1);
    odd.tokens_max = 317;
    CHECK(same_bits(outputs_of(config_on(1), 1, 32), outputs_of(odd, 1, 32)));
}

TEST("on device cuda how many KV heads have their logits held at a time changes no bit") {
    specache_config all = with_slots(20), one = with_slots(20, 1);
    one.logits_bytes = 1;
    for (uint32_t mode : {1u, 2u}) {
        all.mode = one.mode = mode;
        Run first(all), second(one);
        for (Run *run : {&first, &second}) {
            CHECK(run->prefill(0, prompt) == SPECACHE_OK);
            CHECK(run->decode(prompt, steps, 1, 16) == SPECACHE_OK);
        }
        CHECK(same_bits(first.outputs, second.outputs));
        for (uint32_t stat : {SPECACHE_STATS_PREFETCHED_ROWS, SPECACHE_STATS_LATE_ROWS,
                              SPECACHE_STATS_REUSED_ROWS, SPECACHE_STATS_FETCHED_BYTES}) {
            CHECK_NEAR(double(first.stats()[stat]), double(second.stats()[stat]), 0);
        }
        CHECK(first.stats()[SPECACHE_STATS_PREFETCHED_ROWS] > 0);
    }
}

TEST("on device cuda mode paper gives the same bits by either prefetch") {
    specache_config read = config_on(1), gather = config_on(1);
    read.mode = gather.mode = 1;
    gather.prefetch = 1;
    CHECK(same_bits(outputs_of(read, 1, 16), outputs_of(gather, 1, 16)));
}

TEST("on device cuda a right guess makes rows that are prefetched and none that is late") {
    Run run(with_slots(64));
    CHECK(run.prefill(0, prompt) == SPECACHE_OK);
    CHECK(run.decode(prompt, 2, 1, 32) == SPECACHE_OK);
    uint64_t late = run.stats()[SPECACHE_STATS_LATE_ROWS];
    CHECK(run.decode(prompt + 2, 2, 1, 32) == SPECACHE_OK);
    std::vector<uint64_t> stats = run.stats();
    CHECK(stats[SPECACHE_STATS_LATE_ROWS] == late);
    CHECK(stats[SPECACHE_STATS_PREFETCHED_ROWS] > 0);
    CHECK(stats[SPECACHE_STATS_FETCHED_BYTES] > 0);
}

TEST("on device cuda how a prompt is cut changes no bit") {
    specache_config config = config_on(1);
    Run whole(config), cut(config);
    CHECK(whole.prefill(0, prompt) == SPECACHE_OK);
    CHECK(cut.prefill(0, 70) == SPECACHE_OK);
    CHECK(cut.prefill(70, prompt - 70) == SPECACHE_OK);
    whole.outputs.clear();
    cut.outputs.clear();
    CHECK(whole.decode(prompt, 2, 0, 32) == SPECACHE_OK);
    CHECK(cut.decode(prompt, 2, 0, 32) == SPECACHE_OK);
    CHECK(same_bits(whole.outputs, cut.outputs));
}

TEST("on device cuda a run attends to pages that are brought near in several turns") {
    // 1,100 tokens before it: 17 pages, 8 a turn, so a half is used again.
    std::vector<float> outputs[2];
    for (uint32_t device : {0u, 1u}) {
        specache_config config = config_on(device);
        config.layers = 1;
        config.tokens_max = 1152;
        Run run(config);
        auto keys = run.make(1, 0, 0, 1100, 2), values = run.make(2, 0, 0, 1100, 2);
        CHECK(specache_append(run.store, run.sequence, 0, 1100, nullptr, keys.data(),
                              values.data(), nullptr) == SPECACHE_OK);
        auto q = run.make(0, 0, 1100, 20, 4);
        auto k = run.make(1, 0, 1100, 20, 2), v = run.make(2, 0, 1100, 20, 2);
        outputs[device].resize(q.size());
        CHECK(specache_append(run.store, run.sequence, 0, 20, q.data(), k.data(), v.data(),
                              outputs[device].data()) == SPECACHE_OK);
    }
    CHECK(largest_difference(outputs[0], outputs[1]) < order_of_sums);
}

TEST("on device cuda a fork and a cut go on as the sequence that they came from") {
    specache_config config = with_slots(40);
    Run straight(config), other(config);
    CHECK(straight.prefill(0, prompt) == SPECACHE_OK);
    CHECK(straight.decode(prompt, 3, 1, 32) == SPECACHE_OK);
    CHECK(other.prefill(0, prompt) == SPECACHE_OK);
    uint64_t parent = other.sequence;
    CHECK(specache_sequence_fork(other.store, parent, &other.sequence) == SPECACHE_OK);
    CHECK(other.decode(prompt, 3, 1, 32) == SPECACHE_OK);
    CHECK(same_bits(straight.outputs, other.outputs));
    CHECK(specache_sequence_truncate(other.store, other.sequence, 180) == SPECACHE_OK);
    Run shorter(config);
    CHECK(shorter.prefill(0, 180) == SPECACHE_OK);
    shorter.outputs.clear();
    other.outputs.clear();
    CHECK(shorter.decode(180, 2, 1, 32) == SPECACHE_OK);
    CHECK(other.decode(180, 2, 1, 32) == SPECACHE_OK);
    CHECK(same_bits(shorter.outputs, other.outputs));
}

TEST("on device cuda a step and a run at work are neither dropped nor spoilt by what is refused") {
    specache_config config = with_slots(40);
    Run plain(config), run(config);
    for (Run *each : {&plain, &run}) CHECK(each->prefill(0, prompt) == SPECACHE_OK);
    uint64_t fork = 0;
    specache_options options{32, 1, 0};
    auto k = run.make(1, 0, prompt + 1, 20, 2), v = run.make(2, 0, prompt + 1, 20, 2);
    auto refuse_all = [&](const char *what) {
        for (int32_t status : {specache_sequence_fork(run.store, run.sequence, &fork),
                               specache_sequence_truncate(run.store, run.sequence, 180),
                               specache_begin(run.store, run.sequence, 1, 1, &options)}) {
            CHECK(status == SPECACHE_ARGUMENT);
            CHECK(last_error().rfind(what, 0) == 0);
        }
    };
    CHECK(specache_begin(run.store, run.sequence, 2, 1, &options) == SPECACHE_OK);
    CHECK(run.attend(0, prompt, 2) == SPECACHE_OK);
    refuse_all("a step of 2 inputs has had 1 of 2 layers");
    CHECK(run.attend(1, prompt, 2) == SPECACHE_OK);
    CHECK(specache_keep(run.store, run.sequence, 1) == SPECACHE_OK);
    CHECK(plain.step(prompt, 1, 32) == SPECACHE_OK);
    for (Run *each : {&plain, &run}) {
        CHECK(specache_append(each->store, each->sequence, 0, 20, nullptr, k.data(), v.data(),
                              nullptr) == SPECACHE_OK);
    }
    refuse_all("a run of 20 tokens has had 1 of 2 layers");
    auto spoilt = k;
    spoilt.back() = INFINITY;
    CHECK(specache_append(run.store, run.sequence, 1, 20, nullptr, spoilt.data(), v.data(),
                          nullptr) == SPECACHE_DATA);
    for (Run *each : {&plain, &run}) {
        CHECK(specache_append(each->store, each->sequence, 1, 20, nullptr, k.data(), v.data(),
                              nullptr) == SPECACHE_OK);
    }
    // Dropped: half a run, half a step.
    CHECK(specache_append(run.store, run.sequence, 0, 20, nullptr, v.data(), k.data(), nullptr) ==
          SPECACHE_OK);
    CHECK(specache_keep(run.store, run.sequence, 0) == SPECACHE_OK);
    CHECK(specache_begin(run.store, run.sequence, 2, 1, &options) == SPECACHE_OK);
    CHECK(run.attend(0, 7, 2) == SPECACHE_OK);
    CHECK(specache_keep(run.store, run.sequence, 0) == SPECACHE_OK);
    plain.outputs.clear();
    run.outputs.clear();
    CHECK(plain.decode(prompt + 21, 2, 1, 32) == SPECACHE_OK);
    CHECK(run.decode(prompt + 21, 2, 1, 32) == SPECACHE_OK);
    CHECK(same_bits(plain.outputs, run.outputs));
}

TEST("on device cuda rows come back as they were given, rounded") {
    specache_config cuda = config_on(1), cpu = config_on(0);
    std::vector<float> keys[2], values[2];
    for (uint32_t i : {0u, 1u}) {
        Run run(i == 0 ? cpu : cuda);
        CHECK(run.prefill(0, 150) == SPECACHE_OK);
        keys[i].resize(150 * 2 * 64);
        values[i].resize(150 * 2 * 64);
        CHECK(specache_rows(run.store, run.sequence, 1, 0, 150, keys[i].data(),
                            values[i].data()) == SPECACHE_OK);
    }
    CHECK(same_bits(keys[0], keys[1]) && same_bits(values[0], values[1]));
}

TEST("on device cuda a page that steps filled goes to far as it was made") {
    std::vector<float> keys[2], values[2];
    for (uint32_t device : {0u, 1u}) {
        specache_config config = config_on(device);
        config.layers = 1;
        Run run(config);
        CHECK(run.prefill(0, 62) == SPECACHE_OK);
        CHECK(run.decode(62, 3, 0, 8) == SPECACHE_OK);
        keys[device].resize(64 * 2 * 64);
        values[device].resize(64 * 2 * 64);
        CHECK(specache_rows(run.store, run.sequence, 0, 0, 64, keys[device].data(),
                            values[device].data()) == SPECACHE_OK);
    }
    CHECK(same_bits(keys[0], keys[1]) && same_bits(values[0], values[1]));
}

TEST("on device cuda a key that is not finite is refused, and the sequence goes on as before") {
    Run run(config_on(1));
    CHECK(run.prefill(0, 70) == SPECACHE_OK);
    std::vector<float> keys(2 * 64, 1.0f);
    keys[70] = INFINITY;
    CHECK(specache_append(run.store, run.sequence, 0, 1, nullptr, keys.data(), keys.data(),
                          nullptr) == SPECACHE_DATA);
    CHECK(last_error() == "the key or value of token 70, layer 0, KV head 1 is not finite");
    CHECK(run.prefill(70, 2) == SPECACHE_OK);
}

TEST("device cuda refuses what it does not offer") {
    specache_config file = config_on(1), audit = config_on(1), isa = config_on(1);
    file.far = 1;
    audit.audit = 1;
    isa.isa = 2;
    check_refused(file, SPECACHE_UNSUPPORTED, "device cuda has no far memory in a file");
    check_refused(audit, SPECACHE_UNSUPPORTED, "device cuda has no audits");
    check_refused(isa, SPECACHE_ARGUMENT, "isa 2 is of device cpu");
    specache_config third = config_on(2);
    check_refused(third, SPECACHE_ARGUMENT, "device 2 is above 1");
    Run run(config_on(1));
    CHECK(specache_delay(run.store, 1, 1) == SPECACHE_UNSUPPORTED);
    CHECK(specache_hold(run.store, 0) == SPECACHE_UNSUPPORTED);
    CHECK(specache_trace_start(run.store, 1) == SPECACHE_UNSUPPORTED);
}

TEST("device cuda plans the rows that a gathering prefetch holds near") {
    uint64_t parts[2][SPECACHE_PLAN_COUNT];
    for (uint32_t prefetch : {0u, 1u}) {
        specache_config config = with_slots(40, prefetch);
        CHECK(specache_plan(&config, nullptr, nullptr, 0, parts[prefetch]) == SPECACHE_OK);
    }
    uint64_t rows = 2 * 40 * 2 * 64 * 2;  // KV heads, rows in flight, keys and values of bf16
    for (int part : {SPECACHE_PLAN_WORK, SPECACHE_PLAN_RESERVED}) {
        CHECK(parts[1][part] - parts[0][part] == rows);
    }
}

TEST("memory that the GPU or the system has not is refused with its bytes, and given back") {
    // More than any GPU has: 16 M tokens of 64 layers of 64 heads are 16 TiB.
    specache_config vram = config_on(1), pinned = config_on(1);
    vram.mode = 0;
    vram.tokens_max = 1 << 24;
    vram.layers = vram.kv_heads = vram.query_heads = 64;
    check_refused(vram, SPECACHE_MEMORY, "the GPU refused");
    // Asked for more pinned memory than it has, a real system may starve before it refuses.
    if (std::getenv("EMULATOR_MEMORY") != nullptr) {
        pinned.tokens_max = 1 << 19;  // 512 MiB of rows, a tenth of it as codes
        check_refused(pinned, SPECACHE_MEMORY, "refused");
    } else {
        std::printf("not asked of a real system: pinned memory that it has not\n");
    }
    CHECK(outputs_of(config_on(1), 0, 8).size() > 0);
}

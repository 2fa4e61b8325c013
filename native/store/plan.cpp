#include "plan.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "../cpu/threads.h"
#include "../device.h"
#include "../failure.h"
#include "../scratch.h"

namespace specache {
namespace {

uint64_t wide(uint32_t low, uint32_t high) { return uint64_t(high) << 32 | low; }

Rule rule_of(const specache_config &config) {
    if (config.mode == 0) return Rule::none;
    if (config.rule != 0) return config.rule == 1 ? Rule::paper : Rule::rotated;
    return config.mode == 1 ? Rule::paper : Rule::rotated;
}

void in_range(const char *name, uint32_t value, uint32_t least, uint32_t most) {
    if (value < least) fail(SPECACHE_ARGUMENT, "%s %u is below %u", name, value, least);
    if (value > most) fail(SPECACHE_ARGUMENT, "%s %u is above %u", name, value, most);
}

void check_shape(const specache_config &config) {
    in_range("layers", config.layers, 1, 1024);
    in_range("kv_heads", config.kv_heads, 1, 1024);
    in_range("query_heads", config.query_heads, 1, 4096);
    if (config.query_heads % config.kv_heads != 0) {
        fail(SPECACHE_ARGUMENT, "query_heads %u is not a multiple of kv_heads %u",
             config.query_heads, config.kv_heads);
    }
    in_range("head_dim", config.head_dim, 16, 256);
    if (config.head_dim % 8 != 0) {
        fail(SPECACHE_ARGUMENT, "head_dim %u is not a multiple of 8", config.head_dim);
    }
    in_range("kv_type", config.kv_type, 0, 2);
    in_range("mode", config.mode, 0, 2);
    in_range("rule", config.rule, 0, 2);
    float scale = std::bit_cast<float>(config.scale_bits);
    if (!(std::isfinite(scale) && scale >= 0)) {
        fail(SPECACHE_ARGUMENT, "scale %g is not a positive number", double(scale));
    }
}

void check_sizes(const specache_config &config) {
    in_range("tokens_max", config.tokens_max, 1, 1u << 24);  // 16 M tokens: f32 counts them exactly
    in_range("sequences_max", config.sequences_max, 1, 1024);
    in_range("chunk_tokens", config.chunk_tokens, page_tokens, 8192);
    if (config.chunk_tokens % page_tokens != 0) {
        fail(SPECACHE_ARGUMENT, "chunk_tokens %u is not a multiple of %u", config.chunk_tokens,
             page_tokens);
    }
    in_range("guesses_max", config.guesses_max, 0, inputs_max - 1);
    in_range("threads", config.threads, 0, 256);
    in_range("far", config.far, 0, 1);
    in_range("isa", config.isa, 0, 6);
    in_range("audit", config.audit, 0, 1);
    in_range("device", config.device, 0, 1);
    in_range("prefetch", config.prefetch, 0, 1);
    in_range("prefill", config.prefill, 0, 1);
    if (config.device != 1) {
        if (config.prefill != 0) fail(SPECACHE_UNSUPPORTED, "device cpu has no prefill fast");
        return;
    }
    if (config.isa != 0) fail(SPECACHE_ARGUMENT, "isa %u is of device cpu", config.isa);
    if (config.far == 1 && config.mode != 0) {
        fail(SPECACHE_UNSUPPORTED, "device cuda has no far memory in a file");
    }
    if (config.audit != 0) fail(SPECACHE_UNSUPPORTED, "device cuda has no audits");
}

void check_codes(const specache_config &config, const specache_profile *profile,
                 const uint8_t *key_bits) {
    bool profile_keys = profile != nullptr && profile->has_key_bits && key_bits != nullptr;
    bool profile_values = profile != nullptr && profile->has_values;
    if (rule_of(config) == Rule::paper) {
        if (config.group != 32 && config.group != 64) {
            fail(SPECACHE_ARGUMENT, "group %u is neither 32 nor 64", config.group);
        }
        if (profile != nullptr) fail(SPECACHE_ARGUMENT, "a profile has no use with rule paper");
    }
    in_range("k_max", config.k_max, 0, config.tokens_max);
    in_range("key_bits", config.key_bits, profile_keys ? 0 : 1, 2);
    in_range("value_bits", config.value_bits, profile_values ? 0 : 1, 2);
    if (profile_values) in_range("value_planes", profile->value_planes, 1, 4 * config.head_dim);
    if (!profile_keys) return;
    for (uint32_t i = 0; i < config.layers * config.kv_heads; i++) {
        if (key_bits[i] == 1 || key_bits[i] == 2) continue;
        fail(SPECACHE_ARGUMENT, "key bits %u of layer %u, KV head %u is neither 1 nor 2",
             key_bits[i], i / config.kv_heads, i % config.kv_heads);
    }
}

void plan_codes(Plan &plan, const specache_profile *profile, const uint8_t *key_bits) {
    const specache_config &config = plan.config;
    plan.rule = rule_of(config);
    plan.ahead_only = config.mode == 1;
    plan.codes.resize(plan.heads());
    plan.code_bytes.assign(plan.heads(), 0);
    if (plan.rule == Rule::none) return;
    if (config.value_bits == 0) plan.profile_planes = profile->value_planes;
    plan.value_planes = plan.profile_planes != 0 ? plan.profile_planes
                                                 : config.value_bits * config.head_dim;
    for (uint32_t i = 0; i < plan.heads(); i++) {
        HeadCode &code = plan.codes[i];
        code.rule = plan.rule;
        code.key_bits = config.key_bits != 0 ? config.key_bits : key_bits[i];
        code.value_bits = config.value_bits;
        code.group = config.group;
        code.value_planes = plan.value_planes;
        plan.code_bytes[i] = code_layout(code, config.head_dim).bytes;
        plan.page_codes += plan.code_bytes[i];
    }
}

void plan_sequence(Plan &plan) {
    const specache_config &config = plan.config;
    uint64_t heads = plan.heads();
    plan.pages_max = (config.tokens_max + page_tokens - 1) / page_tokens;
    plan.tokens_wide = (config.tokens_max + 3) / 4 * 4;
    uint32_t pages_most = plan.pages_max * config.sequences_max;
    if (config.pages != 0) in_range("pages", config.pages, plan.pages_max, pages_most);
    plan.pages = config.pages != 0 ? config.pages : pages_most;
    if (plan.ahead_only) {  // one set of slots, S = k, and the next set in flight
        plan.slots = plan.arriving = config.k_max;
    } else if (plan.rule != Rule::none) {
        plan.slots = std::min(config.slots, config.tokens_max);
        plan.arriving = std::min(plan.slots, arriving_max);
    }
    uint64_t places = plan.slots + plan.arriving;
    plan.sinks = heads * sink_tokens * plan.row;
    plan.window = heads * window_rows * plan.row;
    plan.slot_rows = heads * places * plan.row;
    // A copy for each row in flight and their count; counters; per slot its token and last use;
    // faults; page ids; positions of a step and its number; per slot two states.
    plan.tables = heads * plan.arriving * sizeof(Copy) + sizeof(Counters) +
                  heads * places * (4 + 4) +
                  (2 * config.layers + plan.pages_max + inputs_max + 1) * 4 +
                  heads * places * 2;
}

uint64_t logits_budget(const specache_config &config) {
    if (config.mode == 0) return UINT64_MAX;  // it has none
    if (config.logits_bytes != 0) return config.logits_bytes;
    if (config.device == 0) return threads_of(config.threads) * core_cache_usual;
    uint64_t cache = gpu_cache_bytes();
    return (cache == 0 ? gpu_cache_usual : cache) * logits_fifths / 5;
}

constexpr uint32_t room_least = 256;  // tokens: shorter texts share one size

// The next smaller room: half, since a recorded step is made anew where the room grows.
uint32_t half_room(uint32_t tokens) { return (tokens / 2 + 3) / 4 * 4; }

// Logits of the group and one value for each input and token of a KV head, 4 bytes each; as many
// runs as that takes, of about as many heads each.
uint32_t heads_of_run(const Plan &plan, uint32_t inputs, uint32_t tokens) {
    uint32_t heads = plan.config.kv_heads;
    uint64_t group = plan.config.query_heads / heads;
    uint64_t most = plan.logits_bytes / (uint64_t(inputs) * (group + 1) * tokens * 4);
    // Runs that take turns hide one another's late rows: there are to be some.
    uint32_t least_runs = plan.runs_at_work() > 1 ? 4 : 1;
    uint32_t limit = std::max(heads / least_runs, 1u);
    // A head's rows are one piece of work, which threads without a head would wait for.
    bool for_threads = plan.config.device == 0 && plan.config.logits_bytes == 0;
    uint32_t least = for_threads ? std::min(threads_of(plan.config.threads), limit) : 1;
    uint32_t at_once = uint32_t(std::clamp<uint64_t>(most, least, limit));
    uint32_t runs = (heads + at_once - 1) / at_once;
    return (heads + runs - 1) / runs;
}

struct LogitsBytes {
    uint64_t logits = 0, blocks = 0, choosing = 0;
};
// Of the largest room that a step may have.
LogitsBytes most_logits(const Plan &plan) {
    LogitsBytes most;
    uint32_t group = plan.config.query_heads / plan.config.kv_heads;
    for (uint32_t inputs = 1; inputs <= plan.inputs; inputs++) {
        for (uint32_t tokens = plan.tokens_wide;; tokens = half_room(tokens)) {
            LogitsRoom room = plan.logits_room(inputs, tokens - std::min(tokens, inputs));
            uint64_t logits = uint64_t(inputs) * room.heads * group * room.tokens;
            most.logits = std::max(most.logits, logits);
            most.blocks = std::max(most.blocks, uint64_t(inputs) * room.heads * group * 2 *
                                                    Blocks::places(room.tokens));
            most.choosing = std::max(
                most.choosing,
                choose_scratch(plan.shape, room.heads, inputs, room.tokens, nullptr).bytes);
            if (tokens <= room_least) break;
        }
    }
    return most;
}

}  // namespace

LogitsRoom Plan::logits_room(uint32_t inputs, uint32_t length) const {
    if (logits_bytes == UINT64_MAX) return {tokens_wide, config.kv_heads};
    uint32_t tokens = tokens_wide, needed = std::max(length + inputs, room_least);
    while (tokens > room_least && half_room(tokens) >= needed) tokens = half_room(tokens);
    return {tokens, heads_of_run(*this, inputs, tokens)};
}

Plan make_plan(const specache_config &config, const specache_profile *profile,
               const uint8_t *key_bits) {
    check_shape(config);
    check_sizes(config);
    if (config.mode != 0) check_codes(config, profile, key_bits);
    Plan plan;
    plan.config = config;
    if (config.mode == 0) plan.config.k_max = 0;
    float scale = std::bit_cast<float>(config.scale_bits);
    plan.shape = {config.kv_heads, config.query_heads, config.head_dim, Type(config.kv_type),
                  scale > 0 ? scale : 1.0f / std::sqrt(float(config.head_dim))};
    plan.row = row_bytes(plan.shape);
    plan.layer_block = config.kv_heads * page_tokens * plan.row;
    plan.page_rows = config.layers * plan.layer_block;
    plan.inputs = 1 + config.guesses_max;
    plan.in_file = config.far == 1 && config.mode != 0;
    plan_codes(plan, profile, key_bits);
    plan_sequence(plan);
    plan.logits_bytes = logits_budget(config);
    plan.work = carve_work(plan, nullptr).bytes;
    if (plan.in_file) plan.gathered = far_scratch_bytes;
    if (config.device == 1 && config.prefetch == 1) {
        plan.gathered = uint64_t(config.kv_heads) * plan.arriving * plan.row;
    }
    uint64_t dim = config.head_dim;
    if (plan.profile_planes != 0) {
        plan.profile = plan.heads() * (dim * dim * 4 + uint64_t(plan.profile_planes) * 8);
    }
    uint64_t far_budget = wide(config.far_bytes_low, config.far_bytes_high);
    if (far_budget != 0 && plan.far_bytes() > far_budget) {
        fail(SPECACHE_CAPACITY, "far memory needs %llu bytes, far_bytes is %llu",
             static_cast<unsigned long long>(plan.far_bytes()),
             static_cast<unsigned long long>(far_budget));
    }
    plan.near_budget = wide(config.near_bytes_low, config.near_bytes_high);
    if (plan.near_budget != 0 && plan.reserved() > plan.near_budget) {
        fail(SPECACHE_CAPACITY, "near memory needs %llu bytes, near_bytes is %llu",
             static_cast<unsigned long long>(plan.reserved()),
             static_cast<unsigned long long>(plan.near_budget));
    }
    return plan;
}

Work carve_work(const Plan &plan, uint8_t *base) {
    const specache_config &config = plan.config;
    Work work{};
    uint64_t at = 0;
    auto take = [&]<class T>(T *&pointer, uint64_t count) {
        pointer = reinterpret_cast<T *>(reinterpret_cast<uintptr_t>(base) + at);
        at += (count * sizeof(T) + 63) / 64 * 64;
    };
    uint64_t heads = config.kv_heads, k = config.k_max, chosen = plan.inputs * heads * k;
    uint64_t chunk_pages = config.chunk_tokens / page_tokens + 1;
    bool coded = plan.rule != Rule::none, at_once = config.device == 1;
    LogitsBytes logits = most_logits(plan);
    uint64_t runs = plan.runs_at_work();
    take(work.logits, coded ? runs * logits.logits : 0);
    bool weighs = coded && config.device == 0 && config.audit == 0;  // audits read logits
    take(work.blocks, weighs ? runs * logits.blocks : 0);
    if (!weighs) work.blocks = nullptr;
    take(work.chosen, chosen);
    take(work.values, chosen);
    take(work.counts, plan.inputs * heads);
    take(work.exact, plan.ahead_only ? chosen : 0);
    take(work.exact_counts, plan.inputs * heads);
    take(work.rows, chosen);
    take(work.staging, plan.in_file ? chosen * plan.row : 0);
    take(work.late_copies, plan.in_file ? chosen : 0);
    take(work.late, runs);
    // at_once: resolve and settle work on all heads.
    uint64_t scratch = plan.slots == 0 ? 0 : at_once ? heads : 1;
    take(work.slot_of, scratch * config.tokens_max);
    take(work.wanted_value, scratch * config.tokens_max);
    take(work.wanted, (at_once ? heads : 1) * plan.inputs * k);
    take(work.candidates,
         at_once ? scratch * (plan.slots + plan.arriving + plan.inputs * k) : 0);
    take(work.head_codes, plan.heads());
    take(work.chunk, chunk_pages * plan.layer_block);
    take(work.pages, std::max<uint64_t>({chunk_pages, staging_pages, plan.pages_max}));
    bool staged = plan.in_file || (config.device == 1 && coded);
    take(work.far_pages, staged ? staging_pages * plan.layer_block : 0);
    take(work.sums, uint64_t(config.chunk_tokens) * config.query_heads * (config.head_dim + 2));
    take(work.page, plan.page_rows);
    take(work.attend, attend_scratch(plan.shape, plan.inputs, uint32_t(plan.pages_max),
                                     config.k_max, plan.value_planes, at_once, nullptr)
                          .bytes);
    take(work.choose, coded && at_once ? logits.choosing : 0);
    uint64_t lent = config.device == 1 ? uint64_t(config.chunk_tokens) * config.head_dim : 0;
    take(work.lent_queries, lent * config.query_heads);
    take(work.lent_keys, lent * heads);
    take(work.lent_values, lent * heads);
    take(work.lent_outputs, lent * config.query_heads);
    bool audit = coded && config.audit != 0;
    take(work.audit, audit ? audit_floats(plan.shape, plan.tokens_wide) : 0);
    take(work.audited, audit ? 1 : 0);
    take(work.audit_copies, audit && plan.in_file ? plan.pages_max : 0);
    take(work.audit_rows,
         audit && plan.in_file ? uint64_t(plan.pages_max) * page_tokens * plan.row : 0);
    work.bytes = at;
    return work;
}

}  // namespace specache

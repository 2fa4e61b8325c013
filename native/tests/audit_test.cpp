// audit_test.cpp - the audit's kernel against the reference, and what a store sums up.
#include <bit>

#include "driver.h"
#include "fixture.h"
#include "tables.h"
#include "test.h"

using namespace specache;
using fixture::Layer;
using fixture::Options;

namespace {

// The audit of one head of a layer that has attended with every fifth chosen token as a code.
AuditResult audit_of(Layer &layer, const Kernels &kernels, uint32_t head) {
    const Options &options = layer.options;
    uint64_t floats = audit_floats(layer.shape, layer.tokens_max);
    std::vector<float> scratch(floats + 16, std::bit_cast<float>(0xFFFFFFFFu));
    AuditResult result{};
    uint64_t group = layer.shape.query_heads / layer.shape.kv_heads;
    const float *logits = &layer.logits[head * group * layer.tokens_max];
    kernels.audit(layer.stream,
                  {layer.shape, head, layer.near(), layer.block_rows(head), layer.queries.data(),
                   options.position, logits, &layer.chosen[head * layer.k_max],
                   &layer.counts[head], &layer.chosen_rows[head * layer.k_max],
                   layer.outputs.data(), layer.tokens_max, options.k, scratch.data(), &result});
    for (uint32_t i = 0; i < 16; i++) {
        CHECK(std::bit_cast<uint32_t>(scratch[floats + i]) == 0xFFFFFFFFu);
    }
    return result;
}

specache_config audited_config(bool in_file) {
    specache_config config = driver::small_config();
    config.audit = 1;
    config.far = in_file ? 1 : 0;
    config.logits_bytes = in_file ? 1 : 0;  // one KV head after the other, or all at once
    config.slots = in_file ? 40 : 0;
    return config;
}

std::vector<double> sums_of(const driver::Run &run) {
    std::vector<double> sums(run.config.layers * run.config.kv_heads * SPECACHE_AUDIT_COUNT);
    CHECK(specache_audited(run.store, run.sequence, sums.data()) == SPECACHE_OK);
    return sums;
}

int32_t begin_audit(const driver::Run &run, float share, uint32_t seed) {
    return specache_audit(run.store, std::bit_cast<uint32_t>(share), seed, 0);
}

double samples_of(const std::vector<double> &sums) {
    double samples = 0;
    for (size_t i = 0; i < sums.size(); i += SPECACHE_AUDIT_COUNT) samples += sums[i];
    return samples;
}

}  // namespace

TEST("audit() gives what the reference gives, over odd shapes") {
    const uint32_t dims[] = {16, 24, 64, 80, 128, 256}, groups[] = {1, 3, 4, 8};
    const uint32_t positions[] = {0, 3, 127, 128, 129, 193, 320, 1300};
    for (uint32_t i = 0; i < 24; i++) {
        Options options;
        options.head_dim = dims[i % 6];
        options.group = groups[i % 4];
        options.position = positions[i % 8];
        options.kv_type = Type(i % 3);
        options.rule = i % 5 == 4 ? Rule::paper : Rule::rotated;
        options.key_bits = i / 2 % 2 + 1;
        options.value_bits = options.rule == Rule::paper ? 1 : i % 3;
        options.k = i % 7 == 0 ? 0 : i % 7 == 1 ? 5000 : 17;
        options.constant = i % 11 == 10;
        Layer layer(options);
        layer.scan(reference_kernels);
        layer.choose(reference_kernels);
        layer.attend(reference_kernels);
        for (uint32_t head = 0; head < Layer::kv_heads; head++) {
            AuditResult wanted = audit_of(layer, reference_kernels, head);
            for (const Kernels *kernels : fast_tables()) {
                AuditResult got = audit_of(layer, *kernels, head);
                // Logits below 100 in f32 err by 256 products' rounding, 256 x 2^-24 x 100 at the
                // most: 1.5e-3 of a weight, and sums of weights are at most 1. Seen: 1e-5.
                CHECK_NEAR(got.lost, wanted.lost, 1e-3);
                CHECK_NEAR(got.divergence, wanted.divergence, 1e-3);
                CHECK_NEAR(got.chosen, wanted.chosen, 1e-3);
                CHECK_NEAR(got.best, wanted.best, 1e-3);
                CHECK(got.chosen <= got.best + 1e-3 && got.lost < 1.001);
            }
        }
    }
}

TEST("with every tail token exact an audit finds nothing lost, and changes no bit") {
    for (bool in_file : {false, true}) {
        specache_config config = audited_config(in_file);
        config.k_max = 1024;
        std::vector<float> outputs[2];
        for (float share : {0.0f, 1.0f}) {
            std::string path = driver::far_path();
            driver::Run run(config, in_file ? path.c_str() : nullptr);
            CHECK(run.prefill(0, 500) == SPECACHE_OK);
            CHECK(begin_audit(run, share, 1) == SPECACHE_OK);
            CHECK(run.decode(500, 20, 0, 1024) == SPECACHE_OK);
            outputs[share > 0] = run.outputs;
            std::vector<double> sums = sums_of(run);
            CHECK(samples_of(sums) == (share > 0 ? 20 * config.layers * config.kv_heads : 0));
            for (size_t i = 0; i < sums.size(); i += SPECACHE_AUDIT_COUNT) {
                CHECK_NEAR(sums[i + SPECACHE_AUDIT_LOST], 0.0, 20 * 1e-4);
                CHECK_NEAR(sums[i + SPECACHE_AUDIT_DIVERGENCE], 0.0, 20 * 1e-4);
                CHECK_NEAR(sums[i + SPECACHE_AUDIT_CHOSEN], sums[i + SPECACHE_AUDIT_BEST], 1e-3);
            }
        }
        CHECK(driver::same_bits(outputs[0], outputs[1]));
    }
}

TEST("a file's audit is RAM's, a share draws its part, and steps that do not stay do not count") {
    std::vector<double> sums[2];
    for (bool in_file : {false, true}) {
        std::string path = driver::far_path();
        driver::Run run(audited_config(in_file), in_file ? path.c_str() : nullptr);
        CHECK(run.prefill(0, 500) == SPECACHE_OK);
        CHECK(begin_audit(run, 0.25f, 3) == SPECACHE_OK);
        CHECK(run.decode(500, 60, in_file ? 1 : 0, 16) == SPECACHE_OK);
        sums[in_file] = sums_of(run);
        specache_options options{16, 1, 0};
        CHECK(specache_begin(run.store, run.sequence, 1, 1, &options) == SPECACHE_OK);
        for (uint32_t layer = 0; layer < run.config.layers; layer++) run.attend(layer, 560, 1);
        CHECK(specache_keep(run.store, run.sequence, 0) == SPECACHE_OK);
        CHECK(sums_of(run) == sums[in_file]);
    }
    CHECK(sums[0] == sums[1]);
    // 360 draws of .25: 90, with a standard deviation of 8.2.
    CHECK_NEAR(samples_of(sums[0]), 90.0, 4 * 8.2);
    CHECK(sums[0][SPECACHE_AUDIT_LOST] > 0);
}

TEST("audits are refused in full, without room for them, and outside 0..1") {
    specache_config full = audited_config(false);
    full.mode = 0;
    driver::Run in_full(full), bare(driver::small_config()), ready(audited_config(false));
    CHECK(begin_audit(in_full, 1, 0) == SPECACHE_ARGUMENT);
    CHECK(driver::last_error() == "mode full loses nothing to audit");
    CHECK(begin_audit(bare, 1, 0) == SPECACHE_ARGUMENT);
    CHECK(driver::last_error() == "the store has no room for audits");
    for (float share : {-0.1f, 1.1f, std::nanf("")}) {
        CHECK(begin_audit(ready, share, 0) == SPECACHE_ARGUMENT);
    }
    double sums[64];
    CHECK(specache_audited(ready.store, ready.sequence, sums) == SPECACHE_ARGUMENT);
    CHECK(driver::last_error() == "nothing is audited");
}

// fixture.h - a layer of a sequence made up at random: rows, codes, window, queries.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "../codes.h"
#include "../numbers.h"
#include "../reference/reference.h"
#include "../scratch.h"
#include "near.h"
#include "test.h"

namespace fixture {

using namespace specache;

struct Profile {  // a random orthonormal basis; planes on the first channels, several on channel 0
    Near<float> basis, weights;
    Near<uint32_t> channels;
    Profile(uint32_t dim, uint32_t planes, std::mt19937 &random) : basis(dim * dim) {
        std::normal_distribution<double> normal;
        std::vector<std::vector<double>> rows(dim, std::vector<double>(dim));
        for (auto &row : rows) {
            for (double &x : row) x = normal(random);
        }
        for (uint32_t i = 0; i < dim; i++) {  // Gram and Schmidt
            for (uint32_t before = 0; before < i; before++) {
                double dot = std::inner_product(rows[i].begin(), rows[i].end(),
                                                rows[before].begin(), 0.0);
                for (uint32_t k = 0; k < dim; k++) rows[i][k] -= dot * rows[before][k];
            }
            double norm = std::sqrt(std::inner_product(rows[i].begin(), rows[i].end(),
                                                       rows[i].begin(), 0.0));
            for (uint32_t k = 0; k < dim; k++) rows[i][k] /= norm;
            std::copy(rows[i].begin(), rows[i].end(), basis.begin() + i * dim);
        }
        for (uint32_t p = 0; p < planes; p++) {
            channels.push_back(p < 3 ? 0 : p - 2);
            weights.push_back(p == 0 ? 1.2f : p == 1 ? 0.6f : p == 2 ? 0.3f : 0.8f);
        }
    }
};

struct Options {
    uint32_t head_dim = 64, group = 3, inputs = 2, position = 300;
    Type kv_type = Type::bf16;
    Rule rule = Rule::rotated;
    uint32_t key_bits = 2, value_bits = 1, scale_group = 64;  // value_bits 0: profile
    uint32_t k = 20;
    bool constant = false;  // all rows equal
};

struct Layer {
    Options options;
    Shape shape;
    std::mt19937 random{17};
    Profile profile;
    HeadCode code;
    Near<HeadCode> codes_of;
    CodeLayout layout;
    uint32_t pages, pages_max, tokens_max, k_max;
    uint64_t row;
    Near<uint8_t> rows;              // [pages][kv_heads][64] rows
    Near<uint8_t> codes;             // [kv_heads][pages_max] codes, the last page first
    Near<uint32_t> ids;              // [pages_max] page p of the text has id ids[p]
    Near<uint8_t *> places;          // [kv_heads][pages_max] where its codes are
    Near<uint8_t> sinks, window;
    Near<const uint8_t *> resident;  // [pages_max]
    Near<float> queries, logits, values, outputs;
    Near<uint32_t> positions, chosen, counts;
    Near<const uint8_t *> chosen_rows;
    Stream &stream = near_stream();

    static constexpr uint32_t kv_heads = 2;
    HeadRun heads{0, kv_heads};  // that scan(), choose() and attend() work on
    Near<float> blocks;          // empty: logits stay logits

    explicit Layer(const Options &options_in)
        : options(options_in),
          shape{kv_heads, kv_heads * options.group, options.head_dim, options.kv_type,
                1 / std::sqrt(float(options.head_dim))},
          profile(options.head_dim, std::max(options.head_dim / 4, 4u), random) {
        code.rule = options.rule;
        code.key_bits = options.key_bits;
        code.value_bits = options.value_bits;
        code.group = options.scale_group;
        code.value_planes = options.value_bits != 0 ? options.value_bits * options.head_dim
                                                    : uint32_t(profile.channels.size());
        code.value_basis = profile.basis.data();
        code.plane_channel = profile.channels.data();
        code.plane_weight = profile.weights.data();
        codes_of.assign(kv_heads, code);
        layout = code_layout(code, options.head_dim);
        uint32_t last = options.position + options.inputs - 1;
        pages = last / page_tokens + 1;
        pages_max = pages + 2;
        tokens_max = pages_max * page_tokens;
        k_max = options.k + 3;
        row = row_bytes(shape);
        fill_rows(last);
        encode(reference_kernels);
        allocate();
    }

    const uint8_t *row_of(uint32_t token, uint32_t head) const {
        return rows.data() + (uint64_t(token / page_tokens * kv_heads + head) * page_tokens +
                              token % page_tokens) * row;
    }

    void encode(const Kernels &kernels) {
        codes.assign(uint64_t(kv_heads) * pages_max * layout.bytes, 0xA5);
        ids.clear();
        places.clear();
        for (uint32_t page = 0; page < pages_max; page++) ids.push_back(pages_max - 1 - page);
        for (uint32_t head = 0; head < kv_heads; head++) {
            codes_of[head].pool = codes.data() + uint64_t(head) * pages_max * layout.bytes;
            codes_of[head].page_bytes = layout.bytes;
            for (uint32_t id : ids) places.push_back(codes_of[head].page(id));
        }
        if (options.rule == Rule::none) return;
        for (uint32_t page = 0; page < pages; page++) {
            kernels.encode(stream, {shape, codes_of.data(), row_of(page * page_tokens, 0),
                                    ids[page], page == 0});
        }
        finish_near();
    }

    NearRows near() const {
        return {sinks.data(), window.data(),
                options.rule == Rule::none ? block_rows(0) : PageRows{}};
    }
    // The rows of each page from a head on.
    PageRows block_rows(uint32_t head) const {
        return {row_of(0, head), kv_heads * page_tokens * row, nullptr};
    }
    void scan(const Kernels &kernels) {
        kernels.scan(stream, {shape, heads, codes_of.data(), ids.data(), queries.data(),
                              positions.data(), logits.data(), options.inputs, tokens_max,
                              blocks_or_null()});
        finish_near();
    }
    void choose(const Kernels &kernels) {
        if (options.rule == Rule::none) return;
        // As attend()'s below.
        uint64_t bytes =
            choose_scratch(shape, heads.count, options.inputs, tokens_max, nullptr).bytes;
        Near<uint8_t> scratch(bytes + 64, 0xFF);
        kernels.choose(stream, {shape, heads, near(), queries.data(), positions.data(),
                                logits.data(), chosen.data(), values.data(), counts.data(),
                                options.inputs, tokens_max, options.k, k_max, scratch.data(),
                                blocks_or_null()});
        finish_near();
        for (uint32_t i = 0; i < 64; i++) CHECK(scratch[bytes + i] == 0xFF);
    }
    // Every chosen token but each fifth by its row.
    void attend(const Kernels &kernels) {
        for (uint32_t pair = 0; pair < options.inputs * kv_heads; pair++) {
            if (!heads.has(pair % kv_heads)) continue;
            for (uint32_t i = 0; i < counts[pair]; i++) {
                uint64_t at = uint64_t(pair) * k_max + i;
                chosen_rows[at] = i % 5 == 4 ? nullptr : row_of(chosen[at], pair % kv_heads);
            }
        }
        // Filled with NaN and ended exactly: a kernel must not count on zeros, nor write past.
        uint64_t bytes = attend_scratch(shape, options.inputs, pages_max, k_max,
                                        code.value_planes, true, nullptr).bytes;
        Near<uint8_t> scratch(bytes + 64, 0xFF);
        kernels.attend(stream, {shape, heads, codes_of.data(), ids.data(), near(), queries.data(),
                                positions.data(), logits.data(), chosen.data(), counts.data(),
                                chosen_rows.data(), outputs.data(), options.inputs, pages_max,
                                tokens_max, k_max, code.value_planes, scratch.data(),
                                blocks_or_null()});
        finish_near();
        for (uint32_t i = 0; i < 64; i++) CHECK(scratch[bytes + i] == 0xFF);
    }
    // From now on scan() leaves weights, if the kernels do such a thing.
    void weigh() {
        blocks.assign(uint64_t(options.inputs) * shape.query_heads * 2 *
                          Blocks::places(tokens_max), std::numeric_limits<float>::quiet_NaN());
    }
    // Scans, chooses and attends, `each` KV heads at a time.
    void step(const Kernels &kernels, uint32_t each) {
        for (uint32_t first = 0; first < kv_heads; first += each) {
            heads = {first, each};
            scan(kernels);
            choose(kernels);
            attend(kernels);
        }
        heads = {0, kv_heads};
    }

private:
    float *blocks_or_null() { return blocks.empty() ? nullptr : blocks.data(); }
    void fill_rows(uint32_t last) {
        std::normal_distribution<float> normal;
        uint32_t dim = options.head_dim;
        rows.assign(uint64_t(pages) * kv_heads * page_tokens * row, 0);
        std::vector<float> bias(2 * dim);
        for (float &x : bias) x = 2 * normal(random);  // as real keys have: channels with offsets
        for (uint32_t token = 0; token <= last; token++) {
            for (uint32_t head = 0; head < kv_heads; head++) {
                for (uint32_t i = 0; i < 2 * dim; i++) {
                    float x = bias[i] + (options.constant ? 0 : normal(random));
                    store_number(shape.kv_type, const_cast<uint8_t *>(row_of(token, head)), i, x);
                }
            }
        }
        sinks.resize(kv_heads * sink_tokens * row);
        window.resize(kv_heads * window_rows * row);
        for (uint32_t head = 0; head < kv_heads; head++) {
            for (uint32_t token = 0; token < sink_tokens && token <= last; token++) {
                std::copy_n(row_of(token, head), row, &sinks[(head * sink_tokens + token) * row]);
            }
            for (uint32_t token = last > 130 ? last - 130 : 0; token <= last; token++) {
                uint64_t at = (uint64_t(head) * window_rows + token % window_rows) * row;
                std::copy_n(row_of(token, head), row, &window[at]);
            }
        }
        for (uint32_t page = 0; page < pages; page++) resident.push_back(row_of(page * 64, 0));
    }
    void allocate() {
        std::normal_distribution<float> normal;
        uint64_t heads = options.inputs * shape.query_heads, pairs = options.inputs * kv_heads;
        queries.resize(heads * options.head_dim);
        for (float &x : queries) x = normal(random);
        logits.assign(heads * tokens_max, 0);
        outputs.assign(heads * options.head_dim, 0);
        for (uint32_t i = 0; i < options.inputs; i++) positions.push_back(options.position + i);
        chosen.assign(pairs * k_max, 0);
        values.assign(pairs * k_max, 0);
        counts.assign(pairs, 0);
        chosen_rows.assign(pairs * k_max, nullptr);
    }
};

}  // namespace fixture

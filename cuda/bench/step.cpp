// step.cpp - the attention of whole decode steps through the C ABI of a store on device cuda, all
// layers, timed by the host's clock from begin to keep: what a caller waits, copies of queries and
// outputs included. Sequences follow one another, as the ABI has them. Beside it the kernels of
// dense attention (kernels.cpp), which a caller with a cache of its own would launch.
#include <cstring>
#include <random>

#include "../../native/specache.h"
#include "layers.h"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr uint32_t chunk = 4096;  // tokens of one append

struct Way {
    const char *name;
    uint32_t mode, prefetch;
};
constexpr Way ways[] = {{"specache, read", 2, 0}, {"specache, gathered", 2, 1},
                        {"paper, read", 1, 0}};

void accept(int32_t status, const char *what) {
    if (status == SPECACHE_OK) return;
    uint8_t text[512];
    uint32_t length = std::min<uint32_t>(specache_error(text, sizeof text), sizeof text);
    fail(SPECACHE_DEVICE, "%s: %.*s", what, int(length), reinterpret_cast<char *>(text));
}

std::vector<float> random_floats(uint64_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> list(count);
    for (float &x : list) x = normal(random);
    return list;
}

class Store {
public:
    Store(const Options &options, const Way &way, uint32_t layers, uint32_t sequences,
          uint32_t tokens)
        : options_(options), layers_(layers), tokens_(tokens), config_(config(way, sequences)),
          numbers_(random_floats(2 * width(options.kv_heads) * chunk, 1)) {
        uint32_t dim = options.head_dim, heads = layers * options.kv_heads;
        specache_profile profile{dim / 4, 0, 1};
        std::vector<float> basis(uint64_t(heads) * dim * dim, 0), weights(heads * (dim / 4), 1);
        std::vector<uint32_t> channels(heads * (dim / 4));
        for (uint32_t h = 0; h < heads; h++) {
            for (uint32_t i = 0; i < dim; i++) basis[(uint64_t(h) * dim + i) * dim + i] = 1;
            for (uint32_t p = 0; p < dim / 4; p++) channels[h * (dim / 4) + p] = p;
        }
        bool own = way.mode == 2;
        accept(specache_store_open(&config_, nullptr, 0, own ? &profile : nullptr, nullptr,
                                   basis.data(), channels.data(), weights.data(), &store_),
               "specache_store_open");
        try {
            sequences_.resize(sequences);
            for (uint64_t &sequence : sequences_) fill(sequence);
        } catch (...) {
            specache_store_close(store_);
            throw;
        }
        make_walk();
    }
    ~Store() { specache_store_close(store_); }
    Store(const Store &) = delete;

    // All layers of all sequences; milliseconds.
    double step(uint32_t number) {
        specache_options options{config_.k_max, 1, 0};
        std::vector<float> outputs(2 * width(options_.query_heads()));
        auto begun = Clock::now();
        for (uint64_t sequence : sequences_) {
            accept(specache_begin(store_, sequence, 2, 1, &options), "specache_begin");
            for (uint32_t layer = 0; layer < layers_; layer++) {
                const float *queries = walk_.data() + number * width(options_.query_heads());
                accept(specache_attend(store_, sequence, layer, queries, numbers_.data() + layer,
                                       numbers_.data() + layer + 64, outputs.data()),
                       "specache_attend");
            }
            accept(specache_keep(store_, sequence, 1), "specache_keep");
        }
        std::chrono::duration<double, std::milli> took = Clock::now() - begun;
        return took.count();
    }
    // Of all sequences.
    std::vector<double> stats() const {
        std::vector<double> all(SPECACHE_STATS_COUNT, 0);
        for (uint64_t sequence : sequences_) {
            uint64_t values[SPECACHE_STATS_COUNT];
            accept(specache_sequence_stats(store_, sequence, values), "specache_sequence_stats");
            for (uint32_t i = 0; i < SPECACHE_STATS_COUNT; i++) all[i] += double(values[i]);
        }
        return all;
    }

private:
    uint64_t width(uint32_t heads) const { return uint64_t(heads) * options_.head_dim; }
    specache_config config(const Way &way, uint32_t sequences) const {
        specache_config of{};
        of.layers = layers_;
        of.kv_heads = options_.kv_heads;
        of.query_heads = options_.query_heads();
        of.head_dim = options_.head_dim;
        of.kv_type = 2;
        of.mode = way.mode;
        const Coding &coding = way.mode == 1 ? paper_coding : specache_coding;
        of.key_bits = coding.key_bits;
        of.value_bits = coding.value_bits;
        of.group = coding.group;
        of.k_max = of.slots = std::min(coding.k, tokens_);
        of.tokens_max = tokens_ + 64;
        of.sequences_max = sequences;
        of.chunk_tokens = std::min(chunk, (tokens_ + 63) / 64 * 64);
        of.guesses_max = 1;
        of.device = 1;
        of.prefetch = way.prefetch;
        return of;
    }
    // Random rows; each chunk and layer begins at another number of the same ones.
    void fill(uint64_t &sequence) {
        accept(specache_sequence_open(store_, &sequence), "specache_sequence_open");
        uint64_t row = width(options_.kv_heads);
        for (uint32_t done = 0; done < tokens_; done += chunk) {
            uint32_t count = std::min(chunk, tokens_ - done);
            for (uint32_t layer = 0; layer < layers_; layer++) {
                uint64_t shift = (done / chunk * 977 + layer * 131 + sequence * 29) % (row * 64);
                const float *keys = numbers_.data() + shift;
                accept(specache_append(store_, sequence, layer, count, nullptr, keys,
                                       keys + row * 64, nullptr), "specache_append");
            }
        }
    }
    // Each step's queries are near those of the step before, so that slots are of use.
    void make_walk() {
        uint64_t each = width(options_.query_heads());
        uint32_t vectors = options_.steps + 4;
        std::vector<float> noise = random_floats(each * vectors, 2);
        walk_.assign(noise.begin(), noise.begin() + int64_t(each));
        for (uint64_t i = each; i < noise.size(); i++) {
            walk_.push_back(0.95f * walk_[i - each] + 0.31f * noise[i]);
        }
    }

    const Options &options_;
    const uint32_t layers_, tokens_;
    const specache_config config_;
    const std::vector<float> numbers_;
    std::vector<float> walk_;
    uint64_t store_ = 0;
    std::vector<uint64_t> sequences_;
};

void bench_way(const Run &run, const Way &way, uint32_t tokens, uint32_t sequences,
               uint32_t layers, double dense_ms) {
    const Options &options = run.options;
    Store store(options, way, layers, sequences, tokens);
    for (uint32_t i = 0; i < 2; i++) store.step(i);  // slots are empty at first
    std::vector<double> before = store.stats(), times;
    for (uint32_t i = 0; i < options.steps; i++) times.push_back(store.step(i + 2));
    std::vector<double> after = store.stats();
    double ms = median(times), parts = double(options.steps) * layers * sequences;
    auto each = [&](uint32_t which) { return (after[which] - before[which]) / parts; };
    double fetched = each(SPECACHE_STATS_FETCHED_BYTES);
    double late = each(SPECACHE_STATS_LATE_ROWS) / options.kv_heads;
    double prefetched = each(SPECACHE_STATS_PREFETCHED_ROWS) / options.kv_heads;
    std::printf("%7u tokens, %2u sequences, %2u layers, %-18s %10.3f ms a step, %8.1f us a layer "
                "and sequence; rows a KV head: %5.1f late, %5.1f prefetched (%.0f bytes)",
                tokens, sequences, layers, way.name, ms, 1e3 * ms / layers / sequences, late,
                prefetched, fetched);
    if (dense_ms > 0) std::printf("; %.3f of dense kernels", ms / layers / dense_ms);
    std::printf("\n");
    std::fflush(stdout);
    Record record("step");
    if (dense_ms > 0) record.with("of_dense_kernels", ms / layers / dense_ms);
    run.add(record.with("way", way.name).with("tokens", tokens)
                .with("sequences", sequences).with("layers", layers).with("ms", ms)
                .with("us_a_layer_and_sequence", 1e3 * ms / layers / sequences)
                .with("late_rows_a_head", late).with("prefetched_rows_a_head", prefetched)
                .with("prefetched_bytes_a_layer_and_sequence", fetched)
                .with("near_bytes", after[SPECACHE_STATS_NEAR_BYTES])
                .with("full_bytes", after[SPECACHE_STATS_FULL_BYTES]));
}

}  // namespace

void bench_step(const Run &run) {
    const Options &options = run.options;
    std::printf("2 inputs, the guess is right; far memory of at most %.1f GiB decides how many "
                "layers\n", options.far_gib);
    for (uint32_t sequences : options.sequences) {
        for (uint32_t tokens : options.tokens) {
            double layer = double(sequences) * (tokens + 64) * options.kv_heads *
                           row_bytes(options.shape());
            double fits = options.far_gib * 1073741824 / layer;
            if (fits < 1) {
                run.skip(tokens, sequences, "far memory is too small");
                continue;
            }
            // A third of it where that is a layer: pinning memory takes longest of all here.
            double layers_most = std::min(double(options.layers), std::max(1.0, fits / 3));
            uint32_t layers = uint32_t(layers_most);
            double dense_ms = 0;
            if (run.has_time(tokens, sequences)) {
                Timer timer(run.card, options);
                dense_ms = time_dense(timer, run, tokens, sequences).ms;
            }
            for (const Way &way : ways) {
                if (!run.has_time(tokens, sequences)) continue;
                try {
                    bench_way(run, way, tokens, sequences, layers, dense_ms);
                } catch (const Failure &failure) {
                    run.skip(tokens, sequences, failure.text.c_str());
                }
            }
        }
    }
}

}  // namespace bench

// kernels.cpp - scan, choose and attend of a step beside dense attention, in one run. A sweep goes
// over layers that together are larger than L2, sequence after sequence, as a step does; the time
// of choose and attend is what a sweep with them takes longer than one without.
#include "dense.h"
#include "layers.h"

namespace bench {
namespace {

constexpr double memory_share = 0.6;  // of what is free

// So many layers that L2 does not hold them, 2 at least and no more than fit.
uint32_t layers_for(const Card &card, const Options &options, double bytes_each) {
    double wanted = 3 * double(card.cache_bytes) / bytes_each + 1;
    double most = std::min(double(options.layers), memory_share * double(card.free_bytes) /
                                                       bytes_each);
    return uint32_t(std::max(1.0, std::min(std::max(wanted, 2.0), most)));
}

struct Figure {
    const char *what;
    double ms, bytes;  // of a layer of all sequences
};

std::vector<Figure> time_step(Timer &timer, const Layers &of) {
    double until[3];
    for (uint32_t parts = 0; parts < 3; parts++) {
        until[parts] = timer.graph([&] {
            for (uint32_t layer = 0; layer < of.layers; layer++) {
                for (uint32_t s = 0; s < of.sequences; s++) {
                    of.scan(timer.stream(), layer, s);
                    if (parts > 0) of.choose(timer.stream(), layer, s);
                    if (parts > 1) of.attend(timer.stream(), layer, s);
                }
            }
        }) / of.layers;
    }
    double all = of.sequences;
    return {{"scan", until[0], all * of.key_bytes()},
            {"choose", until[1] - until[0], all * of.logit_bytes()},
            {"attend", until[2] - until[1], all * (of.value_bytes() + of.row_bytes_read())},
            {"all three", until[2], all * of.least_bytes()}};
}

void tell(const Run &run, const char *mode, uint32_t tokens, uint32_t sequences, uint32_t inputs,
          uint32_t layers, const Figure &figure, double dense_ms) {
    double rate = gb_per_s(figure.bytes, figure.ms);
    const Card &card = run.card;
    std::printf("%7u %3u  %-8s %u  %-9s %11.1f us %11.3f MB %8.1f GB/s %6.1f %% of read",
                tokens, sequences, mode, inputs, figure.what, 1e3 * figure.ms, figure.bytes / 1e6,
                rate, 100 * rate / card.read);
    if (dense_ms > 0) std::printf("  %6.3f of dense", figure.ms / dense_ms);
    std::printf("\n");
    std::fflush(stdout);
    Record record("kernels");
    record.with("what", figure.what).with("mode", mode).with("tokens", tokens)
        .with("sequences", sequences).with("inputs", inputs).with("layers", layers)
        .with("us", 1e3 * figure.ms).with("bytes", figure.bytes).with("gb_s", rate)
        .with("of_read", rate / card.read).with("of_copy", rate / card.copy);
    if (card.published > 0) record.with("of_published", rate / card.published);
    if (dense_ms > 0) record.with("of_dense", figure.ms / dense_ms);
    run.add(record);
}

void bench_shape(const Run &run, Timer &timer, uint32_t tokens, uint32_t sequences) {
    DenseTime dense = time_dense(timer, run, tokens, sequences);
    if (dense.splits == 0) run.skip(tokens, sequences, "the dense cache does not fit");
    else tell(run, "dense", tokens, sequences, 1, dense.layers,
              {"attention", dense.ms, dense.bytes}, dense.ms);
    struct {
        const Coding &coding;
        uint32_t inputs;
    } const modes[] = {{specache_coding, 1}, {specache_coding, 2}, {paper_coding, 2}};
    for (const auto &[coding, inputs] : modes) {
        double each = double(Layers::bytes(run.options, coding, 1, sequences, tokens, inputs));
        if (each > memory_share * double(run.card.free_bytes)) {
            run.skip(tokens, sequences, "the codes do not fit");
            continue;
        }
        uint32_t layers = layers_for(run.card, run.options, each);
        Layers of(timer.stream(), run.options, coding, layers, sequences, tokens, inputs);
        for (const Figure &figure : time_step(timer, of)) {
            tell(run, coding.name, tokens, sequences, inputs, layers, figure, dense.ms);
        }
    }
}

}  // namespace

DenseTime time_dense(Timer &timer, const Run &run, uint32_t tokens, uint32_t sequences) {
    Shape shape = run.options.shape();
    uint64_t numbers = uint64_t(sequences) * shape.kv_heads * tokens * dense_dim;
    DenseTime best{0, 4 * double(numbers), 0, 0};
    best.layers = layers_for(run.card, run.options, best.bytes);
    if (best.bytes * best.layers > memory_share * double(run.card.free_bytes)) return best;
    Near<uint16_t> keys(numbers * best.layers), values(numbers * best.layers);
    uint32_t most = run.card.multiprocessors * 16;
    Near<float> queries(uint64_t(sequences) * shape.query_heads * dense_dim);
    Near<float> outputs(queries.count());
    Near<float> partials(dense_partials(sequences, shape.kv_heads, most));
    fill_rows(timer.stream(), keys.data(), keys.count(), Type::bf16, 11);
    fill_rows(timer.stream(), values.data(), values.count(), Type::bf16, 12);
    fill_queries(timer.stream(), queries.data(), queries.count(), 13);
    for (uint32_t blocks = 2; blocks <= 16; blocks *= 2) {  // a multiprocessor
        uint32_t all = blocks * run.card.multiprocessors;
        uint32_t splits = std::min(most, std::max(1u, all / (sequences * shape.kv_heads)));
        double ms = timer.graph([&] {
            for (uint32_t layer = 0; layer < best.layers; layer++) {
                dense(timer.stream().stream,
                      {Type::bf16, keys.data() + layer * numbers, values.data() + layer * numbers,
                       queries.data(), partials.data(), outputs.data(), sequences, shape.kv_heads,
                       tokens, splits, shape.scale});
            }
        }) / best.layers;
        if (best.splits == 0 || ms < best.ms) best.ms = ms, best.splits = splits;
    }
    return best;
}

void bench_kernels(const Run &run) {
    std::printf("one layer of all sequences; bytes are counted, each once; choose: its logits\n");
    std::printf(" tokens seq  mode inputs what\n");
    Timer timer(run.card, run.options);
    for (uint32_t sequences : run.options.sequences) {
        for (uint32_t tokens : run.options.tokens) {
            if (run.has_time(tokens, sequences)) bench_shape(run, timer, tokens, sequences);
        }
    }
}

}  // namespace bench

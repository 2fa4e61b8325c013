// check.cpp - whether what is timed computes what it should: dense attention against plain loops in
// double, and the layers' kernels on random codes.
#include <cmath>

#include "../../native/numbers.h"
#include "dense.h"
#include "layers.h"

namespace bench {
namespace {

double number(Type type, uint16_t bits) {
    return double(type == Type::bf16 ? bf16_to_float(bits) : half_to_float(bits));
}

struct DenseCase {
    Type type;
    uint32_t sequences, kv_heads, tokens, splits;
};

// Largest difference of an output.
double dense_off(CudaStream &stream, const DenseCase &of) {
    uint32_t heads = of.sequences * of.kv_heads, vectors = heads * dense_group;
    Near<uint16_t> keys(uint64_t(heads) * of.tokens * dense_dim), values(keys.count());
    Near<float> queries(uint64_t(vectors) * dense_dim), outputs(queries.count());
    Near<float> partials(dense_partials(of.sequences, of.kv_heads, of.splits));
    fill_rows(stream, keys.data(), keys.count(), of.type, 1);
    fill_rows(stream, values.data(), values.count(), of.type, 2);
    fill_queries(stream, queries.data(), queries.count(), 3);
    constexpr float scale = 0.0884f;
    dense(stream.stream, {of.type, keys.data(), values.data(), queries.data(), partials.data(),
                          outputs.data(), of.sequences, of.kv_heads, of.tokens, of.splits, scale});
    std::vector<uint16_t> k = keys.values(stream), v = values.values(stream);
    std::vector<float> q = queries.values(stream), out = outputs.values(stream);
    double worst = 0;
    for (uint32_t vector = 0; vector < vectors; vector++) {
        uint64_t rows = uint64_t(vector / dense_group) * of.tokens;
        std::vector<double> sums(dense_dim, 0);
        double total = 0;
        for (uint32_t t = 0; t < of.tokens; t++) {
            double logit = 0;
            for (uint32_t i = 0; i < dense_dim; i++) {
                logit += double(q[vector * dense_dim + i]) * double(scale) *
                         number(of.type, k[(rows + t) * dense_dim + i]);
            }
            double weight = std::exp(logit);
            total += weight;
            for (uint32_t i = 0; i < dense_dim; i++) {
                sums[i] += weight * number(of.type, v[(rows + t) * dense_dim + i]);
            }
        }
        for (uint32_t i = 0; i < dense_dim; i++) {
            double off = std::fabs(sums[i] / total - double(out[vector * dense_dim + i]));
            worst = std::isfinite(off) ? std::fmax(worst, off) : INFINITY;
        }
    }
    return worst;
}

bool check_layers(const Run &run, CudaStream &stream, const Coding &coding) {
    uint32_t tokens = 512, inputs = 2;
    Layers of(stream, run.options, coding, 1, 2, tokens, inputs);
    of.scan(stream, 0, 1);
    of.choose(stream, 0, 1);
    of.attend(stream, 0, 1);
    bool right = true;
    for (uint32_t count : of.counts(stream)) {
        right = right && count == std::min(coding.k, (tokens / page_tokens - 1) * page_tokens - 4);
    }
    double largest = 0;
    for (float x : of.outputs(stream)) {
        largest = std::isfinite(x) ? std::fmax(largest, std::fabs(double(x))) : INFINITY;
    }
    right = right && largest > 0 && largest < 100;
    std::printf("check: %s: %s, largest output %.3g\n", coding.name, right ? "right" : "WRONG",
                largest);
    return right;
}

}  // namespace

bool check_dense(const Run &run) {
    CudaStream stream;
    constexpr DenseCase cases[] = {{Type::bf16, 1, 1, 1, 3}, {Type::bf16, 2, 2, 77, 1},
                                   {Type::bf16, 1, 2, 133, 4}, {Type::f16, 2, 1, 97, 3}};
    bool right = true;
    for (const DenseCase &each : cases) {
        double off = dense_off(stream, each);
        bool good = off < 1e-4;  // means of numbers below 2: order of sums, and exp2 of 2^-22
        right = right && good;
        std::printf("check: dense %s, %u x %u x %u, %u splits: %.2g off: %s\n",
                    each.type == Type::f16 ? "f16" : "bf16", each.sequences, each.kv_heads,
                    each.tokens, each.splits, off, good ? "right" : "WRONG");
        run.add(Record("check").with("tokens", each.tokens).with("off", off));
    }
    right = check_layers(run, stream, specache_coding) && right;
    return check_layers(run, stream, paper_coding) && right;
}

}  // namespace bench

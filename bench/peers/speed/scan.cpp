// scan.cpp - our scan and top-k alone: one query over the codes of one KV head, as a step makes
// them. scan.ts builds it with the library's objects. argv: threads, tokens, k, copies of the codes
// to walk over, bits of a key's channel. A line with a number of passes in, a line of JSON out.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

#include "codes.h"
#include "cpu/tables.h"
#include "cpu/threads.h"
#include "numbers.h"

using namespace specache;

namespace {

constexpr uint32_t dim = 128, planes = dim / 4;  // planes of a value, as a profile has them
const Shape shape{1, 1, dim, Type::bf16, 1 / std::sqrt(float(dim))};

struct Bench {
    uint32_t tokens, k, copies;
    Threads threads;
    CpuStream stream;
    const Kernels &kernels = kernels_for(0);
    std::mt19937 random{1};
    std::vector<float> basis, weights, query, products, logits, values;
    std::vector<uint32_t> channels, ids, positions, chosen, counts;
    std::vector<uint8_t> codes, near;
    HeadCode code;
    uint64_t copy_bytes = 0;
    uint32_t next = 0;

    Bench(char **argv)
        : tokens(number(argv[2])), k(number(argv[3])), copies(number(argv[4])),
          threads(number(argv[1])) {
        stream.threads = threads.count() > 1 ? &threads : nullptr;
        basis.assign(dim * dim, 0);
        for (uint32_t i = 0; i < dim; i++) basis[i * dim + i] = 1;
        weights.assign(planes, 1);
        for (uint32_t i = 0; i < planes; i++) channels.push_back(i);
        code.rule = Rule::rotated;
        code.key_bits = number(argv[5]);
        code.value_planes = planes;
        code.value_basis = basis.data();
        code.plane_channel = channels.data();
        code.plane_weight = weights.data();
        code.page_bytes = code_layout(code, dim).bytes;
        fill();
    }
    static uint32_t number(const char *text) { return uint32_t(std::strtoul(text, nullptr, 10)); }

    void fill() {
        std::normal_distribution<float> normal;
        query.resize(dim);
        for (float &x : query) x = 1.5f * normal(random);  // logits of standard deviation 1.5
        uint32_t pages = tokens / page_tokens;
        copy_bytes = pages * code.page_bytes;
        codes.resize(copy_bytes * copies);
        code.pool = codes.data();
        std::vector<uint8_t> rows(page_tokens * row_bytes(shape));
        products.resize(tokens);
        for (uint32_t page = 0; page < pages; page++) {
            ids.push_back(page);
            for (uint32_t token = 0; token < page_tokens; token++) {
                float &product = products[page * page_tokens + token];
                for (uint32_t i = 0; i < 2 * dim; i++) {
                    float x = normal(random);
                    if (i < dim) product += x * query[i];
                    store_number(Type::bf16, rows.data() + token * row_bytes(shape), i, x);
                }
            }
            kernels.encode(stream, {shape, &code, rows.data(), page, page == 0});
        }
        for (uint32_t copy = 1; copy < copies; copy++) {
            std::copy_n(codes.begin(), copy_bytes, codes.begin() + int64_t(copy * copy_bytes));
        }
        near.assign((sink_tokens + window_rows) * row_bytes(shape), 0);
        positions = {tokens + page_tokens};  // sees all pages as codes
        logits.resize(tokens + page_tokens);
        chosen.resize(k);
        values.resize(k);
        counts.resize(1);
    }

    void pass() {
        HeadCode of = code;
        of.pool = codes.data() + copy_bytes * (next++ % copies);
        HeadRun heads{0, 1};
        uint32_t room = tokens + page_tokens;
        NearRows exact{near.data(), near.data() + sink_tokens * row_bytes(shape), {}};
        kernels.scan(stream, {shape, heads, &of, ids.data(), query.data(), positions.data(),
                              logits.data(), 1, room});
        kernels.choose(stream, {shape, heads, exact, query.data(), positions.data(), logits.data(),
                                chosen.data(), values.data(), counts.data(), 1, room, k, k,
                                nullptr});
    }

    // Share of the k largest true products that was chosen.
    double recall() {
        pass();
        std::vector<uint32_t> order(tokens - sink_tokens);
        std::iota(order.begin(), order.end(), sink_tokens);
        std::nth_element(order.begin(), order.begin() + k, order.end(),
                         [&](uint32_t a, uint32_t b) { return products[a] > products[b]; });
        double found = 0;
        for (uint32_t i = 0; i < k; i++) {
            found += std::binary_search(chosen.begin(), chosen.end(), order[i]);
        }
        return found / k;
    }
};

}  // namespace

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    Bench bench(argv);
    double recall = bench.recall();
    for (unsigned passes; std::scanf("%u", &passes) == 1;) {
        auto begun = std::chrono::steady_clock::now();
        for (unsigned i = 0; i < passes; i++) bench.pass();
        std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begun;
        std::printf("{\"ms\": %.6f, \"recall\": %.4f}\n", took.count() / passes, recall);
        std::fflush(stdout);
    }
}

// choose_test.cpp - the CUDA device's choice of tokens against the reference: odd shapes, texts of
// several pieces and ties across them, bit for bit whatever the grid, inside a captured graph.
#include "choices.h"

using namespace specache;
using fixture::Choice;
using fixture::choose_on_device;
using fixture::choose_on_host;
using fixture::compare;
using fixture::Layer;

namespace {

// Input 0 has the tail, each next one that begins a page a page more.
Layer layer_of(uint32_t tail, uint32_t group, uint32_t inputs, uint32_t k) {
    fixture::Options options;
    options.head_dim = 64;
    options.group = group;
    options.inputs = inputs;
    options.k = k;
    options.position = tail + 2 * page_tokens - (inputs > 1 ? 2 : 1);
    Layer layer(options);
    std::normal_distribution<float> normal(0, 3);
    for (float &logit : layer.logits) logit = normal(layer.random);
    return layer;
}

// The first `count` tail tokens in this order: all of them of `first`, then the others.
template <class First>
std::vector<uint32_t> lowest(uint32_t tail, uint32_t count, First first) {
    std::vector<uint32_t> wanted;
    for (bool now : {true, false}) {
        for (uint32_t token = sink_tokens; token < tail && wanted.size() < count; token++) {
            if (first(token) == now) wanted.push_back(token);
        }
    }
    std::sort(wanted.begin(), wanted.end());
    return wanted;
}

void check_tokens(const Choice &choice, const std::vector<uint32_t> &wanted) {
    for (uint32_t pair = 0; pair < choice.counts.size(); pair++) {
        CHECK(choice.counts[pair] == wanted.size());
        CHECK(std::equal(wanted.begin(), wanted.end(), &choice.chosen[pair * choice.k_max]));
    }
}

// Of the tokens that count: what lies behind them is not written.
void check_same(const Choice &a, uint32_t pair_a, const Choice &b, uint32_t pair_b) {
    uint32_t count = a.counts[pair_a];
    CHECK(count == b.counts[pair_b]);
    auto *chosen = &a.chosen[pair_a * a.k_max];
    auto *values = &a.values[pair_a * a.k_max];
    CHECK(std::equal(chosen, chosen + count, &b.chosen[pair_b * b.k_max]));
    CHECK(std::memcmp(values, &b.values[pair_b * b.k_max], count * sizeof(float)) == 0);
}

bool any(uint32_t) { return true; }

constexpr uint32_t piece = choose_piece;

}  // namespace

TEST("CUDA choose() takes the reference's tokens over odd shapes, but for values within 1e-4") {
    for (const fixture::Options &options : fixture::odd_layers()) {
        if (options.rule == Rule::none) continue;
        Layer truth(options), layer(options);
        truth.scan(reference_kernels);
        layer.logits = truth.logits;
        compare(choose_on_device(layer), choose_on_host(truth));
    }
}

TEST("CUDA choose() takes the reference's tokens of logits whose exponentials overflow") {
    fixture::Options options;
    options.k = 2;  // the values of many more are too small for a float
    std::normal_distribution<float> normal(0, 200);
    for (uint32_t position : {200u, 300u, 700u}) {
        options.position = position;
        Layer truth(options), layer(options);
        for (float &x : truth.logits) x = normal(truth.random);
        layer.logits = truth.logits;
        compare(choose_on_device(layer), choose_on_host(truth));
    }
}

TEST("CUDA choose() on equal scores picks the lower tokens") {
    for (uint32_t k : {1u, 17u, 63u, 64u, 128u}) {
        fixture::Options options;
        options.k = k;
        options.position = 260;
        Layer layer(options);
        std::fill(layer.logits.begin(), layer.logits.end(), 0.25f);
        choose_on_device(layer);
        CHECK(layer.counts[0] == k);
        for (uint32_t i = 0; i < layer.counts[0]; i++) CHECK(layer.chosen[i] == sink_tokens + i);
    }
}

TEST("CUDA choose() picks the lower of equal scores among more tokens than a block has threads") {
    for (uint32_t k : {1u, 190u, 256u, 400u, 600u}) {
        fixture::Options options;
        options.group = 1;
        options.k = k;
        options.position = 700;
        Layer layer(options);
        for (size_t i = 0; i < layer.logits.size(); i++) {
            layer.logits[i] = i % layer.tokens_max % 3 == 0 ? 0.5f : 0.25f;
        }
        uint32_t tail = coded_pages(options.position) * page_tokens;
        std::vector<uint32_t> wanted;
        for (uint32_t rest : {0u, 1u}) {
            for (uint32_t token = sink_tokens; token < tail && wanted.size() < k; token++) {
                if (std::min(token % 3, 1u) == rest) wanted.push_back(token);
            }
        }
        std::sort(wanted.begin(), wanted.end());
        choose_on_device(layer);
        for (uint32_t pair = 0; pair < layer.counts.size(); pair++) {
            CHECK(layer.counts[pair] == wanted.size());
            CHECK(std::equal(wanted.begin(), wanted.end(), &layer.chosen[pair * layer.k_max]));
        }
    }
}

TEST("CUDA choose() takes the reference's tokens of texts that end around a piece's border") {
    const uint32_t tails[] = {piece - 64, piece, piece + 64, 2 * piece - 64, 2 * piece};
    for (uint32_t i = 0; i < 5; i++) {
        uint32_t group = i * 7 / 4 + 1, inputs = i % 2 * 3 + 1, k = i == 4 ? 5000 : 40 + 150 * i;
        Layer layer = layer_of(tails[i], group, inputs, k);
        compare(choose_on_device(layer), choose_on_host(layer));
    }
}

TEST("CUDA choose() takes the reference's tokens of values of all sizes that a float has") {
    for (uint32_t k : {10u, 1000u, 1900u}) {
        Layer layer = layer_of(piece + 64, 2, 1, k);
        std::uniform_real_distribution<float> uniform(0, 85);
        for (uint32_t at = 0; at < layer.shape.query_heads; at++) {  // alike in all of a group
            for (uint32_t token = 0; token < layer.tokens_max; token++) {
                layer.logits[at * layer.tokens_max + token] =
                    at % 2 == 0 ? uniform(layer.random)
                                : layer.logits[(at - 1) * layer.tokens_max + token];
            }
        }
        compare(choose_on_device(layer), choose_on_host(layer));
    }
}

TEST("CUDA choose() takes no token of an empty tail, none for k 0, and all where k is larger") {
    for (uint32_t k : {0u, 59u, 60u, 61u, 200u}) {
        Layer layer = layer_of(64, 2, 3, k);
        layer.positions[0] = 0;
        layer.positions[1] = 127;
        layer.positions[2] = 191;
        Choice choice = choose_on_device(layer);
        compare(choice, choose_on_host(layer));
        CHECK(choice.counts[0] == 0 && choice.counts[2] == 0);
        CHECK(choice.counts[4] == std::min(k, 60u));
    }
}

TEST("CUDA choose() picks the lower of equal scores across pieces") {
    uint32_t tail = 2 * piece + 64;
    for (uint32_t k : {1u, piece - 5, piece - 4, piece - 3, 2 * piece, tail}) {
        Layer layer = layer_of(tail, 1, 1, k);
        std::fill(layer.logits.begin(), layer.logits.end(), 0.25f);
        check_tokens(choose_on_device(layer), lowest(tail, k, any));
        auto large = [](uint32_t token) { return token % 701 == 5 || token == 2 * piece + 63; };
        for (size_t i = 0; i < layer.logits.size(); i++) {
            if (large(uint32_t(i % layer.tokens_max))) layer.logits[i] = 0.5f;
        }
        check_tokens(choose_on_device(layer), lowest(tail, k, large));
    }
}

TEST("CUDA choose() takes lower tokens where values are too small for a number") {
    uint32_t tail = piece + 128;
    auto large = [](uint32_t token) { return token % 300 == 299; };
    for (float small : {-300.0f, -INFINITY}) {  // the second piece has no other, but for two
        Layer layer = layer_of(tail, 2, 1, 20);
        for (size_t i = 0; i < layer.logits.size(); i++) {
            layer.logits[i] = large(uint32_t(i % layer.tokens_max)) ? 90 : small;
        }
        Choice choice = choose_on_device(layer);
        check_tokens(choice, lowest(tail, 20, large));
        for (uint32_t i = 0; i < 20; i++) {
            CHECK((choice.values[i] > 0) == large(choice.chosen[i]));
        }
        std::fill(layer.logits.begin(), layer.logits.end(), small);
        check_tokens(choose_on_device(layer), lowest(tail, 20, any));
    }
}

TEST("CUDA choose() gives the same bits with other inputs beside one, and in a larger grid") {
    Layer layer = layer_of(piece + 64, 3, 4, 100);
    Choice all = choose_on_device(layer);
    Layer wide = layer_of(piece + 64, 3, 4, 100);
    wide.tokens_max = 3 * piece + 70;
    wide.logits.assign(layer.options.inputs * layer.shape.query_heads * wide.tokens_max, 77);
    for (uint32_t at = 0; at < layer.options.inputs * layer.shape.query_heads; at++) {
        std::copy_n(&layer.logits[at * layer.tokens_max], layer.tokens_max,
                    &wide.logits[at * wide.tokens_max]);
    }
    wide.queries = layer.queries;
    Choice other = choose_on_device(wide);
    for (uint32_t pair = 0; pair < all.counts.size(); pair++) check_same(all, pair, other, pair);
    layer.options.inputs = 1;
    Choice alone = choose_on_device(layer);
    for (uint32_t head : {0u, 1u}) check_same(all, head, alone, head);
}

TEST("CUDA choose() takes more than 64 query heads of a KV head") {
    Layer layer = layer_of(192, 65, 1, 30);
    compare(choose_on_device(layer), choose_on_host(layer));
}

TEST("CUDA choose() gives no weight to rows of the window whose logits are -infinity") {
    fixture::Options options;
    options.kv_type = Type::f16;
    options.position = 400;
    Layer layer(options);
    std::normal_distribution<float> normal(0, 3);
    for (float &logit : layer.logits) logit = normal(layer.random);
    for (size_t i = 5; i < layer.queries.size(); i += options.head_dim) layer.queries[i] = 1;
    for (size_t row = 0; row < layer.window.size(); row += layer.row) {
        store_number(Type::f16, &layer.window[row], 5, -INFINITY);
    }
    Choice choice = choose_on_device(layer);
    compare(choice, choose_on_host(layer));
    CHECK(choice.values[0] > 0);
}

TEST("CUDA choose() writes k tokens, and no more, of logits that are no numbers") {
    Layer layer = layer_of(piece + 64, 2, 1, 50);
    for (float &logit : layer.logits) logit = NAN;
    Choice choice = choose_on_device(layer);
    check_tokens(choice, lowest(piece + 64, 50, any));
    CHECK(choice.chosen[50] == Choice::untouched);
}

TEST("CUDA choose() captured once follows the positions on the device") {
    Layer layer = layer_of(2 * piece, 2, 2, 70);
    cudaStream_t stream = fixture::near_stream().stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    uint32_t inputs = layer.options.inputs;
    fixture::Near<uint8_t> scratch(
        choose_scratch(layer.shape, layer.kv_heads, inputs, layer.tokens_max, nullptr).bytes, 0xFF);
    Choose choose{layer.shape, layer.heads, layer.near(), layer.queries.data(),
                  layer.positions.data(), layer.logits.data(), layer.chosen.data(),
                  layer.values.data(), layer.counts.data(), inputs, layer.tokens_max,
                  layer.options.k, layer.k_max, scratch.data()};
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
    cuda::choose(fixture::near_stream(), choose);
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
    CHECK(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
    for (uint32_t position : {2 * piece + 126, 100u, 200u, piece + 126, piece + 130}) {
        layer.positions[0] = position;
        layer.positions[1] = position + 1;
        Choice truth = choose_on_host(layer);
        std::fill(layer.chosen.begin(), layer.chosen.end(), Choice::untouched);
        CHECK(cudaGraphLaunch(exec, stream) == cudaSuccess);
        fixture::finish_near();
        compare(fixture::choice_of(layer), truth);
    }
    CHECK(cudaGraphExecDestroy(exec) == cudaSuccess);
    CHECK(cudaGraphDestroy(graph) == cudaSuccess);
}

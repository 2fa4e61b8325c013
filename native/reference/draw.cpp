// draw.cpp - tokens drawn by plain loops over all of the vocabulary, sorted.
#include <algorithm>
#include <vector>

#include "../random.h"
#include "reference.h"

namespace specache {
namespace {

constexpr double rounding = 1e-12;  // of weights

struct Token {
    uint32_t id;
    float logit;
    double weight;
};

// Those that are above -infinity, the likeliest first, of equal ones the lower id.
std::vector<Token> sorted_tokens(const DrawRow &row) {
    std::vector<Token> tokens;
    for (uint32_t id = 0; id < row.vocabulary; id++) {
        float logit = row.logits[id];
        if (!(logit > -std::numeric_limits<float>::infinity())) continue;
        double weight = weight_of(logit, row.likeliest.logit, row.sampling->temperature);
        tokens.push_back({id, logit, weight});
    }
    std::stable_sort(tokens.begin(), tokens.end(), [](const Token &one, const Token &other) {
        return one.logit > other.logit;
    });
    return tokens;
}

// The fewest that reach top_p; false: undecided.
bool keep_top_p(std::vector<Token> &tokens, double top_p, uint32_t vocabulary) {
    double sum = 0, reached = 0, error = rounding + vocabulary * 0x1p-52;  // of sums
    for (const Token &token : tokens) sum += token.weight;
    for (size_t i = 0; i < tokens.size(); i++) {
        reached += tokens[i].weight;
        if (std::abs(reached - top_p * sum) <= error * sum) return false;
        if (reached < top_p * sum) continue;
        tokens.resize(i + 1);
        break;
    }
    return true;
}

uint32_t drawn(const DrawRow &row) {
    const Sampling &sampling = *row.sampling;
    std::vector<Token> tokens = sorted_tokens(row);
    if (sampling.top_k != 0 && sampling.top_k < tokens.size()) tokens.resize(sampling.top_k);
    if (sampling.top_p < 1 && !keep_top_p(tokens, sampling.top_p, row.vocabulary)) {
        return undecided_token;
    }
    Race race;
    for (const Token &token : tokens) {
        bool near = std::abs(token.weight - sampling.min_p) <= rounding * sampling.min_p;
        if (near && token.logit != row.likeliest.logit && sampling.min_p != 0) {
            return undecided_token;
        }
        if (token.weight < sampling.min_p) continue;
        race.run(token.id, token.weight, row.word);
    }
    return race.winner();
}

}  // namespace

void reference_draw(const DrawRow &row) { *row.id = drawn(row); }

}  // namespace specache

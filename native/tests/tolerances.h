// tolerances.h - how far a float32 kernel may be from the double reference, with the derivation.
#pragma once
#include <cmath>

namespace tolerance {

constexpr double unit = 0x1p-24;  // a float32 operation rounds by at most this share of its result

// A sum of n products of magnitudes whose absolute sum is `mass`: each addition rounds the running
// sum once (at most n of them) and each product once.
inline double sum(double n, double mass) { return (n + 1) * unit * mass; }

// A logit: dot products of head_dim terms (rotated first, which is a sum of head_dim terms itself
// and keeps the norm), its absolute sum at most |q| |k| sqrt(head_dim) by Cauchy and Schwarz.
inline double logit(double head_dim, double norms, double scale) {
    return 2 * sum(head_dim, norms * std::sqrt(head_dim)) * scale + 8 * unit * norms * scale;
}

// An output: weights e^(logit - largest) are off by a share of `logits_off` + 2e-7 (the vector
// exponential) each, the sums over n tokens by n units, values at most `largest` in magnitude; once
// for the weighted sum, once for the denominator. Coded values are summed in another basis:
// sqrt(d).
inline double output(double n, double head_dim, double logits_off, double largest) {
    return 2 * (logits_off + 2e-7 + n * unit) * largest * std::sqrt(head_dim);
}

}  // namespace tolerance

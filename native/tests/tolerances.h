// tolerances.h - how far a float32 kernel may be from the double reference, with the derivation.
#pragma once
#include <cmath>

namespace tolerance {

constexpr double unit = 0x1p-24;  // a float32 operation rounds by at most this share of its result

// A sum of n products of magnitudes whose absolute sum is `mass`: each addition rounds the running
// sum once (at most n of them) and each product once.
inline double sum(double n, double mass) { return (n + 1) * unit * mass; }

// A logit: a dot product of head_dim terms, whose magnitudes sum to at most |q| |k| (Cauchy and
// Schwarz), of a query rotated first: a sum of head_dim terms itself, which keeps the norm. Eight
// units for scales and centres.
inline double logit(double head_dim, double norms, double scale) {
    return (2 * sum(head_dim, norms) + 8 * unit * norms) * scale;
}

// A softmax's weight of two, both below 1: the vector exponential's 2e-7, and a unit each for the
// logit, the difference, the denominator, the product, the sum and the quotient.
constexpr double weight = 2e-7 + 6 * unit;

// An output: weights e^(logit - largest) are off by a share of `logits_off` + 2e-7 (the vector
// exponential) each, so is their mean of values, whose coded ones are below twice the `largest`.
// Sums of n tokens round in n places independently: four standard deviations are 4 sqrt(n) units;
// coded values are summed in another basis, where one may have the whole norm: sqrt(head_dim).
// All twice: once for the weighted sum, once for the denominator.
inline double output(double n, double head_dim, double logits_off, double largest) {
    double rounding = 4 * std::sqrt(n) * unit * std::sqrt(head_dim);
    return 2 * (logits_off + 2e-7 + rounding) * 2 * largest;
}

// A matrix product's output: its columns, then bias and what was there added, then the reference's
// own rounding to float32. `mass` counts the bias and what was there too.
inline double product(double columns, double mass) { return sum(columns + 3, mass); }

// An input rounded to 8 bits: half a step of most / 127, and what the quotient and the product
// before rounding, and the product after it, are off by: three units of at most 127 steps, and one
// of the integer's own.
inline double quantized(double most) { return most / 127 * .5 + 4 * unit * most; }

// An input as a whole number of 24 bits: half a unit, of which the largest input has either 2^23 or
// more, or just above 8,355,711 where the unit doubled for it (native/cpu/kernels/whole_inputs.h).
inline double whole(double most) { return most / 8355711; }

// A norm, as a share of its result: the sum of squares has no negative term, so n products and
// additions leave it within n + 1 units, the division by n and epsilon make n + 3; the root halves
// that and rounds; 1/x, the two products and the reference's rounding add four.
inline double norm(double columns, double result) {
    return ((columns + 3) / 2 + 5) * unit * std::fabs(result);
}

// A number of a pair turned by a.cos - b.sin: cosine and sine (in double, then rounded, 1 unit),
// their products (1), the difference (1) and the reference's rounding (1), each of at most
// |a cos| + |b sin|, which is at most the pair's length (Cauchy and Schwarz).
inline double turn(double magnitude, double length) { return 4 * unit * magnitude * length; }

// silu(x) * up = x * e^-|x| or 1 / (1 + e^-|x|) * up: the exponential is off by a share of 2e-7
// (simd.h), which the quotient takes over at most once; 1 + e, the quotient, two products and the
// reference's rounding are five units. Below -87.3 the exponential is 0 instead of 2^-126, so 88 of
// those are lost, and as much again where 2^-126 and smaller numbers round coarsely.
inline double gate(double result, double up) {
    return (2e-7 + 5 * unit) * std::fabs(result) + 176 * 0x1p-126 * std::fabs(up);
}

}  // namespace tolerance

// rotation.h - the orthonormal rotation of a head: head_dim = 2^m r with r odd, channel i = a r +
// b, y = (H_{2^m} kron DCT_r) x. The Hadamard spreads an outlier over all channels; where head_dim
// is no power of two, the cosines of the odd factor do (blocks of 2^m alone cost twice the
// divergence).
//
// Internal linkage: kernels include this once for each instruction set, and the linker must not
// give one of them another's version.
#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>
#include <type_traits>

namespace specache {

// What a number is multiplied by: itself, or a float where it is a vector of floats.
template <class Number>
using Factor = std::conditional_t<std::is_arithmetic_v<Number>, Number, float>;

// Butterflies over the 2^m index, stride r: H is symmetric, so it is its own inverse.
template <class Number>
static inline void hadamard(Number *x, uint32_t head_dim, uint32_t odd) {
    for (uint32_t half = odd; half < head_dim; half *= 2) {
        for (uint32_t first = 0; first < head_dim; first += 2 * half) {
            for (uint32_t i = first; i < first + half; i++) {
                Number a = x[i], b = x[i + half];
                x[i] = a + b;
                x[i + half] = a - b;
            }
        }
    }
    Factor<Number> scale = 1 / std::sqrt(Factor<Number>(head_dim / odd));
    for (uint32_t i = 0; i < head_dim; i++) x[i] *= scale;
}

// Orthonormal DCT-II of the odd index (its transpose with `back`), at most 255 points.
template <class Number>
static inline void cosines(Number *x, uint32_t head_dim, uint32_t odd, bool back) {
    Factor<Number> table[31 * 31];
    Number y[31];  // head_dim <= 256 a multiple of 8: odd <= 31
    for (uint32_t k = 0; k < odd; k++) {
        double norm = std::sqrt((k == 0 ? 1.0 : 2.0) / odd);
        for (uint32_t b = 0; b < odd; b++) {
            table[k * odd + b] =
                Factor<Number>(norm * std::cos(std::numbers::pi * (b + 0.5) * k / odd));
        }
    }
    for (uint32_t first = 0; first < head_dim; first += odd) {
        for (uint32_t i = 0; i < odd; i++) {
            Number sum{};
            for (uint32_t j = 0; j < odd; j++) {
                sum += table[back ? j * odd + i : i * odd + j] * x[first + j];
            }
            y[i] = sum;
        }
        for (uint32_t i = 0; i < odd; i++) x[first + i] = y[i];
    }
}

static inline uint32_t odd_factor(uint32_t head_dim) {
    while (head_dim % 2 == 0) head_dim /= 2;
    return head_dim;
}

template <class Number>
static inline void rotate_forward(Number *x, uint32_t head_dim) {
    uint32_t odd = odd_factor(head_dim);
    if (odd > 1) cosines(x, head_dim, odd, false);
    hadamard(x, head_dim, odd);
}

template <class Number>
static inline void rotate_back(Number *x, uint32_t head_dim) {
    uint32_t odd = odd_factor(head_dim);
    hadamard(x, head_dim, odd);
    if (odd > 1) cosines(x, head_dim, odd, true);
}

}  // namespace specache

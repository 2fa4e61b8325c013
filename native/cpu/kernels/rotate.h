// rotate.h - rotation.h's rotation of one row of floats, 16 channels at a time: the same sums.
#pragma once
#include "../../rotation.h"
#include "../simd.h"

namespace specache::SPECACHE_ISA {

// Butterflies of lanes `half` apart: a + b where a was, a - b where b was.
template <uint32_t half>
static inline Floats butterflies(Floats x) {
    alignas(64) static constexpr auto signs = [] {
        struct { float of[lanes]; } made{};
        for (uint32_t i = 0; i < lanes; i++) made.of[i] = i & half ? -1.0f : 1.0f;
        return made;
    }();
    return halves_swapped<half>(x) + x * load(signs.of);
}

// Where head_dim is a power of two of whole vectors the rotation is its own inverse.
static inline bool turns_by_vectors(uint32_t head_dim) {
    return head_dim >= lanes && (head_dim & (head_dim - 1)) == 0;
}

static inline void turn_by_vectors(float *x, uint32_t head_dim) {
    Floats rows[256 / lanes];
    uint32_t count = head_dim / lanes;
    for (uint32_t i = 0; i < count; i++) {
        Floats row = load(x + i * lanes);
        rows[i] = butterflies<8>(butterflies<4>(butterflies<2>(butterflies<1>(row))));
    }
    for (uint32_t half = 1; half < count; half *= 2) {
        for (uint32_t i = 0; i < count; i++) {
            if ((i & half) != 0) continue;
            Floats a = rows[i], b = rows[i + half];
            rows[i] = a + b;
            rows[i + half] = a - b;
        }
    }
    float scale = 1 / std::sqrt(float(head_dim));
    for (uint32_t i = 0; i < count; i++) store(x + i * lanes, rows[i] * scale);
}

static inline void rotate_row_forward(float *x, uint32_t head_dim) {
    if (turns_by_vectors(head_dim)) turn_by_vectors(x, head_dim);
    else rotate_forward(x, head_dim);
}

static inline void rotate_row_back(float *x, uint32_t head_dim) {
    if (turns_by_vectors(head_dim)) turn_by_vectors(x, head_dim);
    else rotate_back(x, head_dim);
}

}  // namespace specache::SPECACHE_ISA

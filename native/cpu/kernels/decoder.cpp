// decoder.cpp - the decoder's small kernels: embedding, norms, rope, SwiGLU, argmax.
#include <limits>

#include "../kernels.h"
#include "../threads.h"
#include "weights.h"

namespace specache::SPECACHE_ISA {

void embed(Stream &, const Embed &embed) {
    uint32_t hidden = embed.table.columns;
    const uint8_t *table = static_cast<const uint8_t *>(embed.table.data);
    with_type(embed.table.type, [&]<Type type>() {
        for (uint32_t c = 0; c < embed.count; c++) {
            widen_weights<type>(table + embed.tokens[c] * weight_row_bytes(type, hidden), 0, hidden,
                                embed.out + uint64_t(c) * hidden);
        }
    });
}

void normalize(Stream &stream, const Normalize &normalize) {
    uint32_t columns = normalize.columns;
    parallel(stream, (normalize.count + 7) / 8, [&](uint32_t piece) {
        for (uint32_t c = piece * 8; c < piece * 8 + 8 && c < normalize.count; c++) {
            const float *in = normalize.in + uint64_t(c) * columns;
            float *out = normalize.out + uint64_t(c) * columns;
            Floats sums{};
            uint32_t i = 0;
            for (; i + lanes <= columns; i += lanes) sums += load(in + i) * load(in + i);
            float sum = sum_of(sums);
            for (; i < columns; i++) sum += in[i] * in[i];
            float scale = 1.0f / std::sqrt(sum / float(columns) + normalize.epsilon);
            for (i = 0; i < columns; i++) out[i] = in[i] * scale * normalize.weight[i];
        }
    });
}

void rotate(Stream &stream, const Rotate &rotate) {
    uint32_t half = rotate.head_dim / 2;
    parallel(stream, rotate.count, [&](uint32_t c) {
        float cosine[128], sine[128];  // [head_dim / 2] of this position, for all its heads
        for (uint32_t i = 0; i < half; i++) {
            double angle = double(rotate.positions[c]) * rotate.frequencies[i];
            cosine[i] = float(std::cos(angle) * double(rotate.magnitude));
            sine[i] = float(std::sin(angle) * double(rotate.magnitude));
        }
        uint32_t apart = rotate.neighbours ? 1 : half, step = rotate.neighbours ? 2 : 1;
        float *head = rotate.heads + uint64_t(c) * rotate.head_count * rotate.head_dim;
        for (uint32_t h = 0; h < rotate.head_count; h++, head += rotate.head_dim) {
            for (uint32_t i = 0; i < half; i++) {
                float &x = head[i * step], &y = head[i * step + apart], a = x, b = y;
                x = a * cosine[i] - b * sine[i];
                y = a * sine[i] + b * cosine[i];
            }
        }
    });
}

void gate(Stream &stream, const Gate &gate) {
    constexpr uint64_t piece = 4096;
    parallel(stream, uint32_t((gate.values + piece - 1) / piece), [&](uint32_t index) {
        uint64_t i = index * piece, end = i + piece < gate.values ? i + piece : gate.values;
        // silu(x) = x / (1 + e^-x); e^-|x| never overflows.
        auto silu = [](Floats x) {
            Floats e = exponential(select(x > 0.0f, -x, x));
            return x * (select(x > 0.0f, spread(1), e) / (1.0f + e));
        };
        for (; i + lanes <= end; i += lanes) {
            store(gate.out + i, silu(load(gate.gate + i)) * load(gate.up + i));
        }
        for (; i < end; i++) gate.out[i] = silu(spread(gate.gate[i]))[0] * gate.up[i];
    });
}

// The largest logit by vectors, then the first id that has it: a NaN is above and equal to nothing.
void argmax(Stream &stream, const Argmax &argmax) {
    constexpr float none = -std::numeric_limits<float>::infinity();
    parallel(stream, argmax.count, [&](uint32_t c) {
        const float *logits = argmax.logits + uint64_t(c) * argmax.vocabulary;
        Floats most = spread(none);
        uint32_t id = 0;
        for (; id + lanes <= argmax.vocabulary; id += lanes) most = larger(load(logits + id), most);
        float largest = largest_of(most);
        for (; id < argmax.vocabulary; id++) largest = logits[id] > largest ? logits[id] : largest;
        if (largest == none) {
            argmax.out[c] = {no_token, none};
            return;
        }
        for (id = 0; logits[id] != largest;) id++;
        argmax.out[c] = {id, logits[id]};
    });
}

}  // namespace specache::SPECACHE_ISA

// decoder.cpp - the decoder's kernels in plain loops and double precision. Buffers as in kernels.h.
#include <cmath>
#include <limits>
#include <vector>

#include "../quantize.h"
#include "reference.h"

namespace specache {
namespace {

std::vector<float> weight_row(const Tensor &tensor, uint32_t row) {
    std::vector<float> numbers(tensor.columns);
    const uint8_t *bytes = static_cast<const uint8_t *>(tensor.data);
    uint64_t at = row * weight_row_bytes(tensor.type, tensor.columns);
    dequantize_row(tensor.type, bytes + at, tensor.columns, numbers.data());
    return numbers;
}

// Turns the pair (x, y) by an angle given as sine and cosine, both scaled by the magnitude.
void turn(float &x, float &y, double cosine, double sine) {
    double a = x, b = y;
    x = float(a * cosine - b * sine);
    y = float(a * sine + b * cosine);
}

// The inputs of a product, [count][columns]: as they are, or what is left of them in 8 bits.
std::vector<double> inputs_of(const Project &project) {
    uint64_t count = uint64_t(project.count) * project.weights.columns;
    std::vector<double> inputs(project.in, project.in + count);
    if (project.prefill || !project.int8 || !has_int8(project.weights.type)) return inputs;
    for (uint64_t i = 0; i < count; i += part_values) {
        int8_t integers[part_values];
        double scale = double(quantize_part(project.in + i, integers));
        for (uint32_t j = 0; j < part_values; j++) inputs[i + j] = scale * integers[j];
    }
    return inputs;
}

}  // namespace

void reference_embed(Stream &, const Embed &embed) {
    uint32_t hidden = embed.table.columns;
    for (uint32_t c = 0; c < embed.count; c++) {
        std::vector<float> row = weight_row(embed.table, embed.tokens[c]);
        for (uint32_t i = 0; i < hidden; i++) embed.out[uint64_t(c) * hidden + i] = row[i];
    }
}

void reference_project(Stream &, const Project &project) {
    uint32_t rows = project.weights.rows, columns = project.weights.columns;
    std::vector<double> inputs = inputs_of(project);
    for (uint32_t r = 0; r < rows; r++) {
        std::vector<float> weights = weight_row(project.weights, r);
        for (uint32_t c = 0; c < project.count; c++) {
            float &out = project.out[uint64_t(c) * rows + r];
            const double *in = inputs.data() + uint64_t(c) * columns;
            double sum = project.accumulate ? double(out) : 0;
            if (project.bias != nullptr) sum += double(project.bias[r]);
            for (uint32_t i = 0; i < columns; i++) sum += double(weights[i]) * in[i];
            out = float(sum);
        }
    }
}

void reference_normalize(Stream &, const Normalize &normalize) {
    uint32_t columns = normalize.columns;
    for (uint32_t c = 0; c < normalize.count; c++) {
        const float *in = normalize.in + uint64_t(c) * columns;
        float *out = normalize.out + uint64_t(c) * columns;
        double squares = 0;
        for (uint32_t i = 0; i < columns; i++) squares += double(in[i]) * double(in[i]);
        double factor = 1 / std::sqrt(squares / columns + double(normalize.epsilon));
        for (uint32_t i = 0; i < columns; i++)
            out[i] = float(double(in[i]) * factor * double(normalize.weight[i]));
    }
}

void reference_rotate(Stream &, const Rotate &rotate) {
    uint32_t pairs = rotate.head_dim / 2;
    for (uint32_t c = 0; c < rotate.count; c++) {
        for (uint32_t h = 0; h < rotate.head_count; h++) {
            uint64_t head = uint64_t(c) * rotate.head_count + h;
            float *x = rotate.heads + head * rotate.head_dim;
            for (uint32_t i = 0; i < pairs; i++) {
                double angle = rotate.positions[c] * rotate.frequencies[i];
                double cosine = std::cos(angle) * double(rotate.magnitude);
                double sine = std::sin(angle) * double(rotate.magnitude);
                if (rotate.neighbours) turn(x[2 * i], x[2 * i + 1], cosine, sine);
                else turn(x[i], x[i + pairs], cosine, sine);
            }
        }
    }
}

void reference_gate(Stream &, const Gate &gate) {
    for (uint64_t i = 0; i < gate.values; i++) {
        double x = gate.gate[i];
        gate.out[i] = float(x / (1 + std::exp(-x)) * double(gate.up[i]));
    }
}

void reference_argmax(Stream &, const Argmax &argmax) {
    for (uint32_t c = 0; c < argmax.count; c++) {
        const float *logits = argmax.logits + uint64_t(c) * argmax.vocabulary;
        Likeliest best{no_token, -std::numeric_limits<float>::infinity()};
        for (uint32_t id = 0; id < argmax.vocabulary; id++) {
            if (logits[id] > best.logit) best = {id, logits[id]};
        }
        argmax.out[c] = best;
    }
}

}  // namespace specache

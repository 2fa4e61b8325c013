// decoder_kernels_test.cpp - embedding, norm, rope and gate of every kernel table against the
// reference, over odd shapes; blocks against what llama.cpp reads from them.
#include <bit>
#include <cmath>
#include <iterator>

#include "block_fixtures.h"
#include "k_block_fixtures.h"
#include "tables.h"
#include "test.h"
#include "tolerances.h"
#include "weights.h"

using namespace specache;
using fixture::normals;
using fixture::odd_sizes;
using fixture::weight_types;
using fixture::Weights;

namespace {

constexpr float untouched = -12345;  // stands behind an output, where no kernel may write

std::vector<float> embedded(const Kernels &kernels, const Tensor &table,
                            const std::vector<uint32_t> &tokens) {
    CpuStream stream;
    std::vector<float> out(tokens.size() * table.columns + 1, untouched);
    kernels.embed(stream, {table, tokens.data(), out.data(), uint32_t(tokens.size())});
    CHECK(out.back() == untouched);
    out.pop_back();
    return out;
}

// Values are floats or their bits. Numbers of blocks need no tolerance: d has 11 significant bits,
// a quant and its part's scale 12 at most, so their product is exact in float32, and types with a
// least number round once, when they add it.
template <size_t Blocks, size_t Bytes, size_t Values, class Value>
void check_blocks(Type type, const uint8_t (&blocks)[Blocks][Bytes],
                  const Value (&values)[Blocks][Values]) {
    CHECK(Bytes == block_bytes(type) && Values == block_values(type));
    constexpr uint32_t all = Blocks * Values;
    std::vector<float> row(all);
    dequantize_row(type, blocks, all, row.data());
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < all; i++) {
        wrong += row[i] != std::bit_cast<float>(values[i / Values][i % Values]);
    }
    CHECK(wrong == 0);
    for (const Kernels *kernels : kernel_tables()) {
        for (uint32_t columns : {uint32_t(Values), all}) {  // rows of a block, one row of all
            Tensor table{blocks, type, all / columns, columns};
            std::vector<uint32_t> tokens(table.rows);
            for (uint32_t token = 0; token < table.rows; token++) tokens[token] = token;
            CHECK(embedded(*kernels, table, tokens) == row);
        }
    }
}

// What a 16-bit number with this many bits of fraction stands for.
double meaning(uint16_t bits, int fraction_bits) {
    int fraction = bits & ((1 << fraction_bits) - 1);
    int exponent = (bits & 0x7FFF) >> fraction_bits, bias = (1 << (14 - fraction_bits)) - 1;
    double size = exponent == 0
                      ? std::ldexp(fraction, 1 - bias - fraction_bits)
                      : std::ldexp((1 << fraction_bits) + fraction,
                                   exponent - bias - fraction_bits);
    return bits >> 15 ? -size : size;
}

// [count][columns] normalized by the kernel, in place or into memory of its own.
std::vector<float> normalized(const Kernels &kernels, CpuStream &stream,
                              const std::vector<float> &in, const std::vector<float> &weight,
                              float epsilon, bool in_place) {
    uint32_t columns = uint32_t(weight.size());
    std::vector<float> out = in_place ? in : std::vector<float>(in.size());
    out.push_back(untouched);
    kernels.normalize(stream, {in_place ? out.data() : in.data(), weight.data(), out.data(),
                               uint32_t(in.size()) / columns, columns, epsilon});
    CHECK(out.back() == untouched);
    out.pop_back();
    return out;
}

struct Turn {
    uint32_t head_dim, head_count;
    bool neighbours;
    float magnitude;
    std::vector<uint32_t> positions;
    std::vector<double> frequencies;  // [head_dim / 2]

    Turn(uint32_t dim, uint32_t heads, bool neighbours_in, std::vector<uint32_t> at)
        : head_dim(dim), head_count(heads), neighbours(neighbours_in),
          magnitude(neighbours_in ? 1.25f : 1.0f), positions(at) {
        for (uint32_t i = 0; i < dim / 2; i++) frequencies.push_back(std::pow(1e4, -2.0 * i / dim));
    }
    // heads: [positions][head_count][head_dim]
    std::vector<float> by(const Kernels &kernels, CpuStream &stream,
                          std::vector<float> heads) const {
        heads.push_back(untouched);
        kernels.rotate(stream, {heads.data(), positions.data(), frequencies.data(),
                                uint32_t(positions.size()), head_count, head_dim, magnitude,
                                neighbours});
        CHECK(heads.back() == untouched);
        heads.pop_back();
        return heads;
    }
    uint64_t size() const { return positions.size() * head_count * head_dim; }
};

// Into memory of its own (0), or over the gates (1), or over the ups (2).
std::vector<float> gated(const Kernels &kernels, CpuStream &stream, std::vector<float> gate,
                         std::vector<float> up, int place) {
    uint64_t values = gate.size();
    std::vector<float> own(values + 1, untouched);
    gate.push_back(untouched);
    up.push_back(untouched);
    std::vector<float> &out = place == 0 ? own : place == 1 ? gate : up;
    kernels.gate(stream, {gate.data(), up.data(), out.data(), values});
    CHECK(out.back() == untouched);
    out.pop_back();
    return out;
}

}  // namespace

TEST("blocks are the numbers that llama.cpp reads from them, bit for bit") {
    check_blocks(Type::q8_0, q8_0_blocks, q8_0_values);
    check_blocks(Type::q4_0, q4_0_blocks, q4_0_values);
    check_blocks(Type::q4_1, q4_1_blocks, q4_1_values);
    check_blocks(Type::q4_k, q4_k_blocks, q4_k_values);
    check_blocks(Type::q5_k, q5_k_blocks, q5_k_values);
    check_blocks(Type::q6_k, q6_k_blocks, q6_k_values);
}

TEST("every f16 and bf16 number is widened to the float that it stands for") {
    std::vector<uint16_t> bits(1 << 16);
    for (uint32_t i = 0; i < bits.size(); i++) bits[i] = uint16_t(i);
    for (const Kernels *kernels : kernel_tables()) {
        for (Type type : {Type::f16, Type::bf16}) {
            int fraction_bits = type == Type::f16 ? 10 : 7;
            uint16_t infinity = uint16_t(0x8000 - (1 << fraction_bits));
            std::vector<float> out =
                embedded(*kernels, {bits.data(), type, 1, uint32_t(bits.size())}, {0});
            uint32_t wrong = 0;
            for (uint16_t i = 0; i < infinity; i++) {
                float wanted = float(meaning(i, fraction_bits));
                wrong += out[i] != wanted || out[i | 0x8000] != -wanted;
            }
            CHECK(wrong == 0);
            CHECK(out[infinity] == INFINITY && out[infinity | 0x8000] == -INFINITY);
            CHECK(std::isnan(out[infinity | 1]) && std::isnan(out[0x7FFF]));
        }
    }
}

TEST("embed() gives the table's rows exactly, whatever type, columns and order of tokens") {
    std::mt19937 random(5);
    for (Type type : weight_types) {
        for (uint32_t size : odd_sizes) {
            Weights table(type, 7, fixture::columns_for(type, size), random);
            std::vector<uint32_t> tokens{6, 0, 3, 3, 5};
            for (const Kernels *kernels : kernel_tables()) {
                std::vector<float> wanted;
                for (uint32_t token : tokens) {
                    std::vector<float> row = table.row(token);
                    wanted.insert(wanted.end(), row.begin(), row.end());
                }
                CHECK(embedded(*kernels, table.tensor, tokens) == wanted);
            }
        }
    }
}

TEST("normalize() gives the reference's norms, in place too, of tiny, large and zero rows") {
    std::mt19937 random(6);
    CpuStream stream;
    for (uint32_t columns : odd_sizes) {
        for (uint32_t count : {1u, 3u, 8u, 17u}) {
            std::vector<float> in = normals(count * columns, random);
            std::vector<float> weight = normals(columns, random);
            for (uint32_t i = 0; i < in.size(); i++) {
                in[i] *= i / columns % 4 == 1 ? 1e-9f : i / columns % 4 == 2 ? 1e9f : 1;
            }
            for (uint32_t i = 0; i < columns && count > 3; i++) in[3 * columns + i] = 0;
            for (float epsilon : {1e-5f, 1e-12f}) {
                auto truth = normalized(reference_kernels, stream, in, weight, epsilon, false);
                for (const Kernels *kernels : fast_tables()) {
                    for (bool in_place : {false, true}) {
                        auto got = normalized(*kernels, stream, in, weight, epsilon, in_place);
                        for (size_t i = 0; i < got.size(); i++) {
                            double off = tolerance::norm(columns, double(truth[i]));
                            CHECK_NEAR(got[i], truth[i], off);
                        }
                    }
                }
            }
        }
    }
}

TEST("rotate() turns by position times frequency: a quarter turn takes (x, y) to (-y, x)") {
    CpuStream stream;
    for (const Kernels *kernels : kernel_tables()) {
        for (bool neighbours : {false, true}) {
            Turn turn(16, 1, neighbours, {1});
            turn.magnitude = 2;
            turn.frequencies.assign(8, std::acos(0.0));
            std::vector<float> in(16);
            for (uint32_t i = 0; i < 16; i++) in[i] = float(i + 1);
            std::vector<float> out = turn.by(*kernels, stream, in);
            for (uint32_t i = 0; i < 8; i++) {
                uint32_t x = neighbours ? 2 * i : i, y = neighbours ? 2 * i + 1 : i + 8;
                double off = tolerance::turn(2, std::hypot(in[x], in[y]));
                CHECK_NEAR(out[x], -2 * in[y], off);
                CHECK_NEAR(out[y], 2 * in[x], off);
            }
        }
    }
}

TEST("rotate() gives the reference's heads at near and far positions") {
    std::mt19937 random(7);
    CpuStream stream;
    for (uint32_t dim : {2u, 16u, 24u, 64u, 80u, 128u, 256u}) {
        for (uint32_t heads : {1u, 3u, 8u}) {
            for (bool neighbours : {false, true}) {
                Turn turn(dim, heads, neighbours, {0, 1, 4095, 131071, 4000000000});
                std::vector<float> in = normals(turn.size(), random);
                auto truth = turn.by(reference_kernels, stream, in);
                for (const Kernels *kernels : fast_tables()) {
                    auto got = turn.by(*kernels, stream, in);
                    for (uint32_t i = 0; i < got.size(); i++) {
                        uint32_t other = neighbours ? i ^ 1 : i % dim < dim / 2 ? i + dim / 2
                                                                                : i - dim / 2;
                        double off = tolerance::turn(double(turn.magnitude),
                                                     std::hypot(in[i], in[other]));
                        CHECK_NEAR(got[i], truth[i], off);
                    }
                }
            }
        }
    }
}

TEST("gate() gives the reference's values, in place too, from deep negative to large gates") {
    std::mt19937 random(8);
    CpuStream stream;
    const float edges[] = {-1e30f, -88, -87.4f, -87.3f, -87.2f, -1e-30f, -0.0f, 0, 1e-30f, 100,
                           1e30f};
    for (uint32_t values : {1u, 15u, 16u, 17u, 257u, 4095u, 4096u, 4097u, 8209u}) {
        std::vector<float> gate = normals(values, random, 12), up = normals(values, random);
        for (uint32_t i = 0; i < values && i / 3 < std::size(edges); i += 3) gate[i] = edges[i / 3];
        auto truth = gated(reference_kernels, stream, gate, up, 0);
        for (const Kernels *kernels : fast_tables()) {
            for (int place : {0, 1, 2}) {
                auto got = gated(*kernels, stream, gate, up, place);
                for (uint32_t i = 0; i < values; i++) {
                    double off = tolerance::gate(double(truth[i]), double(up[i]));
                    CHECK_NEAR(got[i], truth[i], off);
                }
            }
        }
    }
}

TEST("the number of threads changes no bit of norm, rope and gate") {
    std::mt19937 random(9);
    Threads threads(3);
    CpuStream alone, together;
    together.threads = &threads;
    std::vector<float> in = normals(33 * 95, random), weight = normals(95, random);
    Turn turn(24, 3, false, std::vector<uint32_t>(17, 300));
    std::vector<float> heads = normals(turn.size(), random);
    std::vector<float> gate = normals(20000, random), up = normals(20000, random);
    for (const Kernels *kernels : kernel_tables()) {
        CHECK(normalized(*kernels, alone, in, weight, 1e-5f, false) ==
              normalized(*kernels, together, in, weight, 1e-5f, false));
        CHECK(turn.by(*kernels, alone, heads) == turn.by(*kernels, together, heads));
        CHECK(gated(*kernels, alone, gate, up, 0) == gated(*kernels, together, gate, up, 0));
    }
}

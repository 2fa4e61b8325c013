// decoder_test.cpp - embedding, norm, rope and gate of the CUDA device against the reference.
#include <iterator>

#include "../../native/reference/reference.h"
#include "../../native/tests/test.h"
#include "../../native/tests/tolerances.h"
#include "../../native/tests/weights.h"

using namespace specache;
using fixture::Near;
using fixture::normals;

namespace {

constexpr float untouched = -12345;  // stands behind an output, where no kernel may write

// Calls work(out) with a copy of `out`, which it may write; gives the copy back.
template <class Work> Near<float> put_out(Near<float> out, Work work) {
    out.push_back(untouched);
    work(out.data());
    fixture::finish_near();
    CHECK(out.back() == untouched);
    out.pop_back();
    return out;
}

}  // namespace

TEST("CUDA embed() gives the table's rows exactly, whatever type, columns and order of tokens") {
    std::mt19937 random(5);
    Near<uint32_t> tokens{4, 0, 3, 3, 1};
    for (Type type : fixture::weight_types) {
        for (uint32_t size : {1u, 31u, 95u, 257u}) {
            uint32_t columns = fixture::columns_for(type, size);
            fixture::Weights table(type, 5, columns, random);
            auto by = [&](auto kernel) {
                return put_out(Near<float>(5 * columns), [&](float *out) {
                    kernel(fixture::near_stream(), Embed{table.tensor, tokens.data(), out, 5});
                });
            };
            CHECK(by(cuda::embed) == by(reference_embed));
        }
    }
}

TEST("CUDA embed() widens every f16 and bf16 number as the reference does") {
    Near<uint16_t> bits(1 << 16);
    for (uint32_t i = 0; i < bits.size(); i++) bits[i] = uint16_t(i);
    Near<uint32_t> token{0};
    for (Type type : {Type::f16, Type::bf16}) {
        Tensor table{bits.data(), type, 1, uint32_t(bits.size())};
        auto by = [&](auto kernel) {
            return put_out(Near<float>(bits.size()), [&](float *out) {
                kernel(fixture::near_stream(), Embed{table, token.data(), out, 1});
            });
        };
        Near<float> got = by(cuda::embed), truth = by(reference_embed);
        uint32_t wrong = 0;
        for (size_t i = 0; i < got.size(); i++) {
            wrong += !(got[i] == truth[i] || (std::isnan(got[i]) && std::isnan(truth[i])));
        }
        CHECK(wrong == 0);
    }
}

TEST("CUDA embed() widens the scales of blocks at the edges of f16 as the reference does") {
    std::mt19937 random(9);
    const uint16_t edges[] = {0, 1, 0x3FF, 0x400, 0x401, 0x7BFF, 0x8000, 0x83FF, 0x8400, 0xFBFF};
    Near<uint32_t> token{0};
    for (Type type : {Type::q8_0, Type::q4_0, Type::q4_1, Type::q4_k, Type::q5_k, Type::q6_k}) {
        uint32_t columns = block_values(type) * std::size(edges) * std::size(edges);
        fixture::Weights table(type, 1, columns, random);
        uint8_t *block = &table.bytes[1] + fixture::scales_at(type);  // see Weights
        for (uint16_t first : edges) {
            for (uint16_t second : edges) {
                std::memcpy(block, &first, 2);
                if (has_least(type)) std::memcpy(block + 2, &second, 2);
                block += block_bytes(type);
            }
        }
        auto by = [&](auto kernel) {
            return put_out(Near<float>(columns), [&](float *out) {
                kernel(fixture::near_stream(), Embed{table.tensor, token.data(), out, 1});
            });
        };
        CHECK(by(cuda::embed) == by(reference_embed));
    }
}

TEST("CUDA normalize() gives the reference's norms, in place too, of tiny, large and zero rows") {
    std::mt19937 random(6);
    constexpr uint32_t count = 5;
    for (uint32_t columns : {1u, 31u, 33u, 95u, 257u, 1025u}) {
        Near<float> in = normals(count * columns, random);
        Near<float> weight = normals(columns, random);
        const float sizes[count] = {1, 1e-9f, 1e9f, 0, 3};
        for (uint32_t i = 0; i < in.size(); i++) in[i] *= sizes[i / columns];
        for (float epsilon : {1e-5f, 1e-12f}) {
            auto by = [&](auto kernel, bool in_place) {
                return put_out(in_place ? in : Near<float>(in.size()), [&](float *out) {
                    kernel(fixture::near_stream(),
                           Normalize{in_place ? out : in.data(), weight.data(), out, count,
                                     columns, epsilon});
                });
            };
            Near<float> truth = by(reference_normalize, false), got = by(cuda::normalize, false);
            for (size_t i = 0; i < got.size(); i++) {
                CHECK_NEAR(got[i], truth[i], tolerance::norm(columns, double(truth[i])));
            }
            CHECK(by(cuda::normalize, true) == got);
        }
    }
}

TEST("CUDA rotate() gives the reference's heads at near and far positions") {
    std::mt19937 random(7);
    Near<uint32_t> positions{0, 1, 4095, 131071, 4000000000};
    uint32_t made = 0;
    for (uint32_t dim : {2u, 24u, 64u, 80u, 128u, 256u}) {
        Near<double> frequencies(dim / 2);
        for (uint32_t i = 0; i < dim / 2; i++) frequencies[i] = std::pow(1e4, -2.0 * i / dim);
        for (bool neighbours : {false, true}) {
            const uint32_t head_counts[] = {1, 3, 9};  // one beyond the heads of a block
            uint32_t heads = head_counts[made++ % 3];
            float magnitude = neighbours ? 1.25f : 1.0f;
            Near<float> in = normals(positions.size() * heads * dim, random);
            auto by = [&](auto kernel) {
                return put_out(in, [&](float *out) {
                    kernel(fixture::near_stream(),
                           Rotate{out, positions.data(), frequencies.data(),
                                  uint32_t(positions.size()), heads, dim, magnitude, neighbours});
                });
            };
            Near<float> got = by(cuda::rotate), truth = by(reference_rotate);
            for (uint32_t i = 0; i < got.size(); i++) {
                uint32_t other = neighbours           ? i ^ 1
                                 : i % dim < dim / 2 ? i + dim / 2
                                                     : i - dim / 2;
                double off = tolerance::turn(double(magnitude), std::hypot(in[i], in[other]));
                CHECK_NEAR(got[i], truth[i], off);
            }
        }
    }
}

TEST("CUDA gate() gives the reference's values, in place too, from deep negative to large gates") {
    std::mt19937 random(8);
    const float edges[] = {-1e30f, -88, -87.4f, -87.3f, -87.2f, -1e-30f, -0.0f, 0, 1e-30f, 100,
                           1e30f};
    for (uint32_t values : {1u, 31u, 33u, 257u, 4097u}) {
        Near<float> gate = normals(values, random, 12), up = normals(values, random);
        for (uint32_t i = 0; i < values && i / 3 < std::size(edges); i += 3) gate[i] = edges[i / 3];
        // Into memory of its own (0), or over the gates (1), or over the ups (2).
        auto by = [&](auto kernel, int place) {
            Near<float> own(values);
            return put_out(place == 0 ? own : place == 1 ? gate : up, [&](float *out) {
                kernel(fixture::near_stream(), Gate{place == 1 ? out : gate.data(),
                                                    place == 2 ? out : up.data(), out, values});
            });
        };
        Near<float> truth = by(reference_gate, 0), got = by(cuda::gate, 0);
        for (uint32_t i = 0; i < values; i++) {
            CHECK_NEAR(got[i], truth[i], tolerance::gate(double(truth[i]), double(up[i])));
        }
        CHECK(by(cuda::gate, 1) == got);
        CHECK(by(cuda::gate, 2) == got);
    }
}

// argmax.h - logits and their likeliest tokens: what every device's argmax() must give, bit for
// bit.
#pragma once
#include <algorithm>
#include <bit>
#include <limits>
#include <random>

#include "../reference/reference.h"
#include "near.h"
#include "test.h"

namespace fixture {

// Around the lanes of a warp, around a slice of a CUDA block, and vocabularies of models.
constexpr uint32_t vocabularies[] = {1,    2,    31,    32,         33,    255,   257,
                                     2047, 2048, 2049, 49152, 128256 + 1};
constexpr float nothing_likely = -std::numeric_limits<float>::infinity();

// Calls the kernel on rows [count][vocabulary]; checks that it writes nothing else.
template <class Kernel>
Near<specache::Likeliest> likeliest(Kernel kernel, const Near<float> &rows, uint32_t vocabulary) {
    using namespace specache;
    uint32_t count = uint32_t(rows.size() / vocabulary);
    constexpr Likeliest untouched{12345, -12345};
    constexpr uint64_t unused = 0x1234567812345678;
    Near<Likeliest> out(count + 1, untouched);
    Near<uint64_t> scratch(uint64_t(count) * argmax_slices(vocabulary) + 1, unused);
    kernel(near_stream(), Argmax{rows.data(), out.data(), count, vocabulary, scratch.data()});
    finish_near();
    CHECK(out.back().id == untouched.id && out.back().logit == untouched.logit);
    CHECK(scratch.back() == unused);
    out.pop_back();
    return out;
}

inline bool same(const Near<specache::Likeliest> &a, const Near<specache::Likeliest> &b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](auto one, auto other) {
        return one.id == other.id &&
               std::bit_cast<uint32_t>(one.logit) == std::bit_cast<uint32_t>(other.logit);
    });
}

// One row whose logits are `all` but for some: the kernel must give `id` and its logit.
template <class Kernel>
void check_row(Kernel kernel, uint32_t vocabulary, float all,
               std::initializer_list<std::pair<uint32_t, float>> but, uint32_t id) {
    using specache::no_token;
    Near<float> row(vocabulary, all);
    for (auto [at, logit] : but) row[at] = logit;
    auto got = likeliest(kernel, row, vocabulary);
    CHECK(got[0].id == id);
    float logit = id == no_token ? nothing_likely : row[id];
    CHECK(std::bit_cast<uint32_t>(got[0].logit) == std::bit_cast<uint32_t>(logit));
}

// The lower of equal logits, wherever they lie; -0 equals 0.
template <class Kernel> void check_ties(Kernel kernel) {
    for (uint32_t vocabulary : vocabularies) {
        for (float all : {0.0f, -0.0f, -3.5f, 1e30f, -3e38f, 1e-45f}) {
            check_row(kernel, vocabulary, all, {}, 0);
        }
        uint32_t last = vocabulary - 1, middle = last / 2;
        check_row(kernel, vocabulary, -7, {{last, 4.0f}}, last);
        check_row(kernel, vocabulary, -7, {{last, 4.0f}, {middle, 4.0f}}, middle);
        check_row(kernel, vocabulary, -7, {{last, 0.0f}, {middle, -0.0f}}, middle);
        check_row(kernel, vocabulary, -7, {{last, -0.0f}, {middle, 0.0f}}, middle);
        check_row(kernel, vocabulary, -7, {{last, -6.0f}, {0, -6.0f}}, 0);
    }
}

// A NaN is never it, nor is -infinity; an infinity is.
template <class Kernel> void check_not_finite(Kernel kernel) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    for (uint32_t vocabulary : vocabularies) {
        uint32_t last = vocabulary - 1, middle = last / 2;
        for (float hidden : {nan, -nan, -infinity}) {
            check_row(kernel, vocabulary, hidden, {}, specache::no_token);
            check_row(kernel, vocabulary, hidden, {{last, -3e38f}}, last);
            check_row(kernel, vocabulary, hidden, {{last, -2.0f}, {middle, -2.0f}}, middle);
            check_row(kernel, vocabulary, hidden, {{last, infinity}, {middle, infinity}}, middle);
        }
        if (vocabulary < 3) continue;
        check_row(kernel, vocabulary, 1, {{0, nan}, {1, -nan}, {last, nan}}, 2);
        check_row(kernel, vocabulary, 1, {{0, -infinity}, {last, infinity}}, last);
    }
}

// More slices than a block has threads: the likeliest in one of each warp, and beyond a round.
template <class Kernel> void check_many_slices(Kernel kernel) {
    constexpr uint32_t slices = 258;
    Near<float> row(slices * specache::argmax_slice - 1, -1.0f);
    for (uint32_t slice : {0u, 31u, 32u, 65u, 98u, 131u, 164u, 197u, 230u, 255u, 256u, 257u}) {
        uint32_t id = slice * specache::argmax_slice + slice;
        row[id] = 2 + float(slice);
        auto got = likeliest(kernel, row, uint32_t(row.size()));
        CHECK(got[0].id == id && got[0].logit == row[id]);
    }
}

// Rows of several inputs, unlike each other, of normal numbers with many ties.
template <class Kernel> void check_rows_of_inputs(Kernel kernel) {
    std::mt19937 random(11);
    std::normal_distribution<float> normal(0, 3);
    for (uint32_t vocabulary : vocabularies) {
        for (uint32_t count = 1; count <= specache::inputs_max; count++) {
            for (float step : {0.0f, 0.5f}) {  // rounded to multiples of it; 0: not rounded
                Near<float> rows(uint64_t(count) * vocabulary);
                for (float &x : rows) {
                    x = normal(random);
                    if (step != 0) x = std::round(x / step) * step;
                }
                CHECK(same(likeliest(kernel, rows, vocabulary),
                           likeliest(specache::reference_argmax, rows, vocabulary)));
            }
        }
    }
}

}  // namespace fixture

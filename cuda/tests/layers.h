// layers.h - small layers of odd shapes for the tests of the cache's kernels: pairwise every
// head_dim, group, number of inputs, row type and coding, at the edges of pages. Each is made when
// it is asked for.
#pragma once
#include "../../native/tests/bounds.h"
#include "../../native/tests/fixture.h"

namespace fixture {

inline std::vector<Options> odd_layers() {
    std::vector<Options> list;
    const uint32_t dims[] = {64, 80, 128, 256}, groups[] = {1, 2, 3, 8, 5};
    const uint32_t positions[] = {0, 63, 64, 127, 128, 191, 192, 193, 260};
    for (uint32_t i = 0; i < 18; i++) {
        Options options;
        options.head_dim = dims[i % 4];
        options.group = groups[i % 5];
        options.position = positions[i % 9];
        options.inputs = i / 2 % 4 + 1;
        options.kv_type = Type(i % 3);
        options.rule = i % 7 == 6 ? Rule::none : i % 4 == 3 ? Rule::paper : Rule::rotated;
        options.key_bits = i % 2 + 1;
        options.value_bits = options.rule == Rule::paper ? i / 4 % 2 + 1 : i / 2 % 3;
        options.scale_group = i / 4 % 2 == 0 ? 32 : 64;
        options.k = i % 6 == 0 ? 0 : i % 6 == 1 ? 300 : 17;
        options.constant = i == 16;
        list.push_back(options);
    }
    return list;
}

// Head_dims with an odd factor, which the rotation takes a matrix for; 248 has the largest.
constexpr uint32_t odd_dims[] = {24, 40, 96, 160, 192, 240, 248};

// So small rows that codes have scales below 2^-14, where numbers of fp16 have fewer bits.
inline void shrink_rows(Layer &layer, float factor = 0x1p-9f) {
    Type type = layer.shape.kv_type;
    for (Near<uint8_t> *bytes : {&layer.rows, &layer.sinks, &layer.window}) {
        for (uint64_t i = 0; i < bytes->size() / type_bytes(type); i++) {
            store_number(type, bytes->data(), i, factor * load_number(type, bytes->data(), i));
        }
    }
    layer.encode(reference_kernels);
}

// Every group from 1 to 8 and number of inputs, at most 32 queries: both bits of keys, values of 1
// and 2 bits, by profile and by the paper's rule; head_dim of odd multiples of 8 too.
inline std::vector<Options> grouped_layers() {
    std::vector<Options> list;
    const uint32_t dims[] = {128, 24, 80, 64, 256, 72};
    for (uint32_t i = 0; i < 16; i++) {
        Options options;
        options.head_dim = dims[i % 6];
        options.group = i % 8 + 1;
        options.inputs = i < 8 ? i / 2 % 4 + 1 : 4 - i / 2 % 4;
        options.position = i % 3 == 0 ? 190 : 250;  // 190: the later inputs see a page more
        options.rule = i % 5 == 4 ? Rule::paper : Rule::rotated;
        options.key_bits = i / 3 % 2 + 1;
        options.value_bits = options.rule == Rule::paper ? i % 2 + 1 : i / 2 % 3;
        options.scale_group = i % 2 == 0 ? 32 : 64;
        list.push_back(options);
    }
    return list;
}

}  // namespace fixture

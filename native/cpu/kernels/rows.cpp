// rows.cpp - keys and values rounded to rows; what is not finite is found on the way.
#include <algorithm>
#include <cstring>

#include "../kernels.h"
#include "../simd.h"

namespace specache::SPECACHE_ISA {
namespace {

// An exponent of all ones is an infinity or a NaN.
bool store_finite(Type type, const float *from, uint32_t count, uint8_t *to) {
    uint32_t bad = 0;
    for (uint32_t i = 0; i < count; i++) {
        store_number(type, to, i, from[i]);
        if (type == Type::f32) {
            bad |= (std::bit_cast<uint32_t>(from[i]) & 0x7F800000u) == 0x7F800000u;
        } else {
            uint32_t exponent = type == Type::f16 ? 0x7C00u : 0x7F80u;
            bad |= (reinterpret_cast<const uint16_t *>(to)[i] & exponent) == exponent;
        }
    }
    return bad == 0;
}

}  // namespace

void make_rows(Stream &, const MakeRows &make) {
    const Shape &shape = make.shape;
    uint32_t dim = shape.head_dim, half = dim * type_bytes(shape.kv_type);
    for (uint32_t token = 0; token < make.tokens; token++) {
        for (uint32_t head = 0; head < shape.kv_heads; head++) {
            uint64_t at = uint64_t(token) * shape.kv_heads + head;
            uint8_t *row = make.row(token, head);
            bool keys = store_finite(shape.kv_type, make.keys + at * dim, dim, row);
            bool values = store_finite(shape.kv_type, make.values + at * dim, dim, row + half);
            if (keys && values) continue;
            *make.fault = std::min(*make.fault, make.first * shape.kv_heads + uint32_t(at));
        }
    }
}

void copy_rows(Stream &, const CopyRows &copy) {
    uint64_t row = row_bytes(copy.shape);
    auto place = [&](const RowPlaces &places, uint32_t head, uint32_t token) {
        uint32_t index = places.ring != 0 ? token % places.ring : token - places.origin;
        return places.rows + head * places.head_stride + index * row;
    };
    for (uint32_t head = 0; head < copy.shape.kv_heads; head++) {
        for (uint32_t token = copy.first; token < copy.first + copy.tokens; token++) {
            std::memcpy(place(copy.to, head, token), place(copy.from, head, token), row);
        }
    }
}

}  // namespace specache::SPECACHE_ISA

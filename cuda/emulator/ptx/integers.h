// integers.h - integer, bit and byte instructions, and the arithmetic that all types share.
#pragma once
#include "floats.h"

namespace emulator::ptx {

template <class T> T add_(T a, T b) {
    if constexpr (small_float<T>) {
        return in_double<T>([](double x, double y) { return x + y; }, a, b);
    } else {
        return T(Unsigned<T>(a) + Unsigned<T>(b));
    }
}
template <class T> T sub_(T a, T b) {
    if constexpr (small_float<T>) {
        return in_double<T>([](double x, double y) { return x - y; }, a, b);
    } else {
        return T(Unsigned<T>(a) - Unsigned<T>(b));
    }
}
template <class T> T mul_(T a, T b) {
    if constexpr (small_float<T>) {
        return in_double<T>([](double x, double y) { return x * y; }, a, b);
    } else if constexpr (std::is_integral_v<T> && sizeof(T) < 4) {
        return T(uint32_t(a) * uint32_t(b));
    } else {
        return T(Unsigned<T>(a) * Unsigned<T>(b));
    }
}
template <class T> T mad_(T a, T b, T c) { return add_(mul_(a, b), c); }
template <class T> T mul_hi_(T a, T b) {
    using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
    return T(Wide(a) * Wide(b) >> (8 * sizeof(T)));
}
template <class T> T mad_hi_(T a, T b, T c) { return add_(mul_hi_(a, b), c); }
template <class T> T mul24_(T a, T b) { return T((a << 8 >> 8) * (b << 8 >> 8)); }
template <class T> T div_(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
        if (b == 0) return T(-1);
        if constexpr (std::is_signed_v<T>) {
            if (b == T(-1)) return T(Unsigned<T>(0) - Unsigned<T>(a));
        }
    }
    return a / b;
}
template <class T> T rem_(T a, T b) {
    if (b == 0) return a;
    if constexpr (std::is_signed_v<T>) {
        if (b == T(-1)) return 0;
    }
    return a % b;
}
template <class T> T min_(T a, T b) {
    if constexpr (small_float<T>) {
        return in_double<T>([](double x, double y) { return std::fmin(x, y); }, a, b);
    } else if constexpr (std::is_floating_point_v<T>) {
        return std::fmin(a, b);
    } else {
        return b < a ? b : a;
    }
}
template <class T> T max_(T a, T b) {
    if constexpr (small_float<T>) {
        return in_double<T>([](double x, double y) { return std::fmax(x, y); }, a, b);
    } else if constexpr (std::is_floating_point_v<T>) {
        return std::fmax(a, b);
    } else {
        return a < b ? b : a;
    }
}
template <class T> T and_(T a, T b) { return T(a & b); }
template <class T> T or_(T a, T b) { return T(a | b); }
template <class T> T xor_(T a, T b) { return T(a ^ b); }
template <class T> T not_(T a) {
    if constexpr (std::is_same_v<T, bool>) return !a;
    else return T(~a);
}
template <class T> T neg_(T a) {
    if constexpr (small_float<T>) return in_double<T>([](double x) { return -x; }, a);
    else if constexpr (std::is_floating_point_v<T>) return -a;
    else return T(Unsigned<T>(0) - Unsigned<T>(a));
}
template <class T> T abs_(T a) {
    if constexpr (small_float<T>) return in_double<T>([](double x) { return std::fabs(x); }, a);
    else if constexpr (std::is_floating_point_v<T>) return std::fabs(a);
    else return a < 0 ? neg_(a) : a;
}
template <class T> T sad_(T a, T b, T c) { return add_(a < b ? sub_(b, a) : sub_(a, b), c); }

template <class T> T shl_(T a, uint32_t by) {
    return by >= 8 * sizeof(T) ? T(0) : T(Unsigned<T>(a) << by);
}
template <class T> T shr_(T a, uint32_t by) {
    return by >= 8 * sizeof(T) ? (a < T(0) ? T(-1) : T(0)) : T(a >> by);
}
template <class T> uint32_t popc_(T a) { return uint32_t(__builtin_popcountll(a)); }
template <class T> uint32_t clz_(T a) {
    constexpr unsigned bits = 8 * sizeof(T);
    return a == 0 ? bits : uint32_t(__builtin_clzll(a)) - (64 - bits);
}
template <class T> T brev_(T a) {
    T out = 0;
    for (unsigned bit = 0; bit < 8 * sizeof(T); bit++) out = T(out << 1 | (a >> bit & 1));
    return out;
}
// The highest bit that differs from the sign, or all ones; `amount`: the shift to the top.
template <class T> uint32_t bfind_(T a, bool amount) {
    auto bits = Unsigned<T>(a < 0 ? T(~a) : a);
    if (bits == 0) return ~0u;
    uint32_t highest = 63 - uint32_t(__builtin_clzll(bits));
    return amount ? 8 * sizeof(T) - 1 - highest : highest;
}
// The offset-th set bit from `base` upwards (downwards if negative), or all ones.
inline uint32_t fns(uint32_t mask, uint32_t base, int32_t offset) {
    int step = offset < 0 ? -1 : 1, left = offset < 0 ? -offset : offset;
    for (int at = int(base); at >= 0 && at < 32; at += step) {
        if (!(mask >> at & 1)) continue;
        if (left <= 1) return left == 1 || at == int(base) ? uint32_t(at) : ~0u;
        left--;
    }
    return ~0u;
}
template <class T> T bmsk_(T from, T bits) {
    return from > 31 ? 0 : T(((bits > 31 ? 0 : uint64_t(1) << bits) - 1) << from);
}
template <class T> T bfe_(T a, uint32_t from, uint32_t bits) {
    constexpr unsigned width = 8 * sizeof(T);
    from &= 255, bits &= 255;
    if (bits == 0) return 0;
    if (from >= width) return a < T(0) ? T(-1) : T(0);
    unsigned left = from + bits >= width ? 0 : width - from - bits;
    return T(T(Unsigned<T>(a) << left) >> (left + from));
}
template <class T> T bfi_(T field, T into, uint32_t from, uint32_t bits) {
    constexpr unsigned width = 8 * sizeof(T);
    from &= 255, bits &= 255;
    if (bits == 0 || from >= width) return into;
    T mask = T((bits >= width ? T(0) : T(T(1) << bits)) - 1) << from;
    return T((into & ~mask) | (field << from & mask));
}
inline uint32_t lop3(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
    uint32_t out = 0;
    for (uint32_t i = 0; i < 8; i++) {
        if (table >> i & 1) out |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    }
    return out;
}
inline uint32_t shf(bool left, uint32_t a, uint32_t b, uint32_t by, bool wrap) {
    by = wrap ? by & 31 : by > 32 ? 32 : by;
    uint64_t both = uint64_t(b) << 32 | a;
    return uint32_t(left ? both << by >> 32 : both >> by);
}
inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t selector) {
    uint64_t pool = uint64_t(b) << 32 | a;
    uint32_t out = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t choice = selector >> (4 * i) & 15;
        uint32_t byte = pool >> (8 * (choice & 7)) & 255;
        if (choice & 8) byte = byte & 128 ? 255 : 0;
        out |= byte << (8 * i);
    }
    return out;
}
// The sum of four products of bytes, signed or not by A and B.
template <class A, class B> uint32_t dp4a(uint32_t a, uint32_t b, uint32_t sum) {
    for (int i = 0; i < 4; i++) {
        sum += uint32_t(int32_t(A(a >> (8 * i))) * int32_t(B(b >> (8 * i))));
    }
    return sum;
}
// Two products: of a's 16-bit halves with the low or high two bytes of b.
template <class A, class B> uint32_t dp2a(uint32_t a, uint32_t b, uint32_t sum, bool high) {
    for (int i = 0; i < 2; i++) {
        sum += uint32_t(int32_t(A(a >> (16 * i))) * int32_t(B(b >> (8 * i + 16 * high))));
    }
    return sum;
}

}  // namespace emulator::ptx

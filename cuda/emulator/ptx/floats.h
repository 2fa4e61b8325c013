// floats.h - halves, floats and doubles. Halves are computed in double and rounded once, so sums
// and products are the machine's; approximations (ex2.approx, rsqrt.approx and their like) are
// exact here, so that tests of them need tolerances.
#pragma once
#include <cmath>
#include <limits>

#include "values.h"

namespace emulator::ptx {

inline float widen(f16 value) { return float(as<_Float16>(value.bits)); }
inline float widen(bf16 value) { return as<float>(uint32_t(value.bits) << 16); }
template <class T> T widen(T value) { return value; }

// To float, but an inexact result gets an odd last bit, so that a second rounding is right.
inline float round_to_odd(double value) {
    float near = float(value);
    if (std::isnan(value) || double(near) == value || (as<uint32_t>(near) & 1)) return near;
    bool away = std::fabs(double(near)) > std::fabs(value);
    return as<float>(as<uint32_t>(near) + (away ? -1u : 1u));
}

template <class H> H narrow(double value) {
    if constexpr (std::is_same_v<H, f16>) {
        return {as<uint16_t>(_Float16(value))};
    } else {
        if (std::isnan(value)) return {0x7fff};
        uint32_t bits = as<uint32_t>(round_to_odd(value));
        return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
    }
}

// Does for halves and pairs of them what `operation` does for doubles, with one rounding.
template <class T, class Operation, class... Values>
T in_double(Operation operation, Values... values) {
    if constexpr (is_pair<T>) {
        using H = decltype(T::low);
        return {in_double<H>(operation, values.low...), in_double<H>(operation, values.high...)};
    } else {
        return narrow<T>(operation(double(widen(values))...));
    }
}
template <class T> constexpr bool small_float = is_half<T> || is_pair<T>;

template <class T> T fma_(T a, T b, T c) {
    if constexpr (small_float<T>) {
        return in_double<T>([](double x, double y, double z) { return std::fma(x, y, z); }, a, b,
                            c);
    } else {
        return std::fma(a, b, c);
    }
}
template <class T> T saturate(T value) {
    if constexpr (small_float<T>) {
        return in_double<T>([](double x) { return x > 1 ? 1 : x > 0 ? x : 0; }, value);
    } else {
        return value > 1 ? T(1) : value > 0 ? value : T(0);
    }
}
template <class T> T sqrt_(T a) { return std::sqrt(a); }
template <class T> T rsqrt_(T a) { return T(1) / std::sqrt(a); }
template <class T> T rcp_(T a) { return T(1) / a; }
template <class T> T sin_(T a) { return std::sin(a); }
template <class T> T cos_(T a) { return std::cos(a); }
template <class T> T lg2_(T a) { return std::log2(a); }
template <class T> T ex2_(T a) {
    if constexpr (small_float<T>) {
        return in_double<T>([](double x) { return std::exp2(x); }, a);
    } else {
        return std::exp2(a);
    }
}
template <class T> T tanh_(T a) {
    if constexpr (small_float<T>) {
        return in_double<T>([](double x) { return std::tanh(x); }, a);
    } else {
        return std::tanh(a);
    }
}
template <class T> T copysign_(T sign, T value) { return std::copysign(value, sign); }
template <class T> bool unordered(T a, T b) {
    if constexpr (is_half<T>) return unordered(widen(a), widen(b));
    else return a != a || b != b;
}

enum class Test { number, infinite, finite, normal, subnormal };
template <class T> bool testp(Test test, T a) {
    switch (test) {
        case Test::number: return !std::isnan(a);
        case Test::infinite: return std::isinf(a);
        case Test::finite: return std::isfinite(a);
        case Test::normal: return std::isnormal(a);
        case Test::subnormal: return std::fpclassify(a) == FP_SUBNORMAL;
    }
    return false;
}

}  // namespace emulator::ptx

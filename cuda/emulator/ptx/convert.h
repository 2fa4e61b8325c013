// convert.h - cvt: between integers and floats of all sizes, with PTX's roundings and saturation.
#pragma once
#include <utility>

#include "floats.h"

namespace emulator::ptx {

// The i of a rounding says that the result is an integer's value, in whatever type.
enum class Round { none, rn, rz, rm, rp, rna, rni, rzi, rmi, rpi };

template <class V> V round_to_integer(V value, Round round) {
    switch (round) {
        case Round::rni: return std::nearbyint(value);
        case Round::rzi: return std::trunc(value);
        case Round::rmi: return std::floor(value);
        case Round::rpi: return std::ceil(value);
        default: return value;
    }
}

template <class To, class V> To to_integer(V value) {
    if (value != value) return 0;
    if (value <= V(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    if (value >= V(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
    return To(value);
}

template <class To, class V> To to_smaller_integer(V value) {  // or of the other sign
    using Limits = std::numeric_limits<To>;
    if (std::cmp_less(value, Limits::min())) return Limits::min();
    return std::cmp_greater(value, Limits::max()) ? Limits::max() : To(value);
}

// To float or double, rounded as asked; the machine's own rounding is to the nearest.
template <class To, class V> To to_float(V value, Round round) {
    if (round != Round::rz && round != Round::rm && round != Round::rp) return To(value);
    long double exact = value;  // 64 bits of mantissa hold every integer and double
    To near = To(exact);
    bool towards_zero = round == Round::rz;
    bool down = round == Round::rm || (towards_zero && exact > 0);
    if (down && (long double)(near) > exact) return std::nextafter(near, -HUGE_VALF);
    if (!down && (long double)(near) < exact) return std::nextafter(near, HUGE_VALF);
    return near;
}

// Arithmetic of floats that rounds otherwise than to the nearest.
inline float rounded_add_(Round round, float a, float b) {
    return to_float<float>((long double)(a) + b, round);
}
inline float rounded_sub_(Round round, float a, float b) { return rounded_add_(round, a, -b); }
inline float rounded_mul_(Round round, float a, float b) {
    return to_float<float>((long double)(a) * b, round);
}
inline float rounded_div_(Round round, float a, float b) {
    return to_float<float>((long double)(a) / b, round);
}
inline float rounded_fma_(Round round, float a, float b, float c) {
    return to_float<float>((long double)(a) * b + c, round);
}

template <class H> H to_half(double value, Round round) {
    H near = narrow<H>(value);
    if (round != Round::rz || std::isnan(value)) return near;
    // One bit nearer to zero where the nearest lies beyond; also from infinity to the largest.
    if (std::fabs(double(widen(near))) > std::fabs(value)) near.bits--;
    return near;
}

template <class To, class From> To convert(From from, Round round, bool saturated) {
    auto value = widen(from);
    using V = decltype(value);
    if constexpr (std::is_integral_v<V> && std::is_integral_v<To>) {
        return saturated ? to_smaller_integer<To>(value) : To(value);
    } else {
        if constexpr (std::is_floating_point_v<V>) {
            value = round_to_integer(value, round);
            if (saturated && !std::is_integral_v<To>) value = saturate(value);
        }
        if constexpr (is_half<To>) return to_half<To>(double(value), round);
        else if constexpr (std::is_integral_v<To>) return to_integer<To>(value);
        else return to_float<To>(value, round);
    }
}

template <class H> uint32_t pack(float high, float low, Round round, bool relu) {
    if (relu) high = high > 0 ? high : 0, low = low > 0 ? low : 0;
    return uint32_t(to_half<H>(high, round).bits) << 16 | to_half<H>(low, round).bits;
}

}  // namespace emulator::ptx

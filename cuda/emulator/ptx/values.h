// values.h - registers of PTX hold bits; an instruction says as what it takes them.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../device/device.h"

namespace emulator::ptx {

struct f16 {
    uint16_t bits;
};
struct bf16 {
    uint16_t bits;
};
struct f16x2 {
    f16 low, high;
};
struct bf16x2 {
    bf16 low, high;
};

template <class T> constexpr bool is_half = std::is_same_v<T, f16> || std::is_same_v<T, bf16>;
template <class T> constexpr bool is_pair = std::is_same_v<T, f16x2> || std::is_same_v<T, bf16x2>;

template <class To, class From> To as(From from) {
    if constexpr (std::is_same_v<To, From>) {
        return from;
    } else if constexpr (std::is_integral_v<To> && std::is_integral_v<From>) {
        return To(from);
    } else {
        To to{};
        std::memcpy(&to, &from, sizeof to < sizeof from ? sizeof to : sizeof from);
        return to;
    }
}
template <class Register, class Value> void set(Register &to, Value value) {
    to = as<Register>(value);
}

// Parameters of a kernel or function: bytes at an offset.
template <class T> T load_parameter(const unsigned char *from, int64_t offset) {
    T value;
    std::memcpy(&value, from + offset, sizeof value);
    return value;
}
template <class T> void store_parameter(unsigned char *to, int64_t offset, T value) {
    std::memcpy(to + offset, &value, sizeof value);
}

// Unsigned arithmetic wraps, as the machine's does.
template <class T>
using Unsigned = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>,
                                             std::type_identity<T>>::type;

}  // namespace emulator::ptx

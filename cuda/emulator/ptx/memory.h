// memory.h - loads, stores and atomic operations, all through the checks of the emulated device.
#pragma once
#include "integers.h"

namespace emulator::ptx {

enum class Space { generic, global, shared, local };

template <Space space> void *place(uint64_t address, size_t bytes, Site site) {
    if constexpr (space == Space::shared) {
        return shared_place(uint32_t(address), bytes, site);
    } else if constexpr (space == Space::global) {
        return global_place(address, bytes, site);
    } else if constexpr (space == Space::local) {
        if (!on_own_stack(address)) fail(site, "%#lx is not of the thread's own memory", address);
        return reinterpret_cast<void *>(address);
    } else {
        return generic_place(address, bytes, site);
    }
}

// How an access takes part in the order of memory: the strong ones never race.
enum class Order { weak, relaxed, acquire, release, both };
constexpr int builtin_order(Order order) {
    switch (order) {
        case Order::acquire: return __ATOMIC_ACQUIRE;
        case Order::release: return __ATOMIC_RELEASE;
        case Order::both: return __ATOMIC_ACQ_REL;
        default: return __ATOMIC_RELAXED;
    }
}

template <class T> struct BitsOf {
    using type = std::conditional_t<
        sizeof(T) == 8, uint64_t,
        std::conditional_t<sizeof(T) == 4, uint32_t,
                           std::conditional_t<sizeof(T) == 2, uint16_t, uint8_t>>>;
};
template <class T> using Bits = typename BitsOf<T>::type;

template <class T, Order order> T load(const void *from) {
    if constexpr (order == Order::weak) {
        return *static_cast<const T *>(from);
    } else {
        constexpr int wanted = order == Order::acquire ? __ATOMIC_ACQUIRE : __ATOMIC_RELAXED;
        Bits<T> bits = __atomic_load_n(static_cast<const Bits<T> *>(from), wanted);
        current->atomic = const_cast<void *>(from);
        return as<T>(bits);
    }
}
template <class T, Order order> void store(void *to, T value) {
    if constexpr (order == Order::weak) {
        *static_cast<T *>(to) = value;
    } else {
        bool releases = order == Order::release || current->fenced;
        auto *place = static_cast<Bits<T> *>(to);
        if (releases) __atomic_store_n(place, as<Bits<T>>(value), __ATOMIC_RELEASE);
        else __atomic_store_n(place, as<Bits<T>>(value), __ATOMIC_RELAXED);
    }
}

// Gives the value before. A fence earlier in the thread makes it a release; one later acquires.
template <class T, Order order, class Operation> T atomic(void *at, Operation operation) {
    auto *place = static_cast<Bits<T> *>(at);
    current->atomic = at;
    constexpr int fenced = builtin_order(order == Order::acquire ? Order::both : Order::release);
    Bits<T> old = __atomic_load_n(place, __ATOMIC_RELAXED), wanted;
    bool done = false;
    while (!done) {
        wanted = as<Bits<T>>(operation(as<T>(old)));
        constexpr int plain = builtin_order(order);
        done = current->fenced && order != Order::both
                   ? __atomic_compare_exchange_n(place, &old, wanted, false, fenced,
                                                 __ATOMIC_RELAXED)
                   : __atomic_compare_exchange_n(place, &old, wanted, false, plain,
                                                 __ATOMIC_RELAXED);
    }
    return as<T>(old);
}

#define EMULATOR_ATOMIC(name, expression)                                     \
    template <class T, Order order> T atomic_##name(void *at, [[maybe_unused]] T by) { \
        return atomic<T, order>(at, [=]([[maybe_unused]] T old) { return T(expression); }); \
    }
EMULATOR_ATOMIC(add, add_(old, by))
EMULATOR_ATOMIC(min, min_(old, by))
EMULATOR_ATOMIC(max, max_(old, by))
EMULATOR_ATOMIC(and, old & by)
EMULATOR_ATOMIC(or, old | by)
EMULATOR_ATOMIC(xor, old ^ by)
EMULATOR_ATOMIC(exch, by)
EMULATOR_ATOMIC(inc, old >= by ? 0 : old + 1)
EMULATOR_ATOMIC(dec, old == 0 || old > by ? by : old - 1)
#undef EMULATOR_ATOMIC
template <class T, Order order> T atomic_cas(void *at, T expected, T by) {
    return atomic<T, order>(at, [=](T old) { return old == expected ? by : old; });
}

}  // namespace emulator::ptx

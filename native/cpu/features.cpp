#include "features.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace specache {
namespace {

#if defined(__x86_64__)
struct Registers {
    unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf) {  // zeros where the CPU does not know the leaf
    Registers out;
    __get_cpuid_count(leaf, 0, &out.a, &out.b, &out.c, &out.d);
    return out;
}

// Which registers the system saves when threads take turns (XCR0).
uint32_t saved_registers() {
    uint32_t low, high;
    asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

bool all(uint32_t value, uint32_t bits) { return (value & bits) == bits; }

// Tiles are 8 KiB of each thread's state, and Linux (5.16 on) wants a process to ask for them once.
bool may_use_tiles() {
    constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, a bit of XCR0
    return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

Features ask() {
    constexpr uint32_t sse42 = 1u << 20, osxsave = 1u << 27;               // leaf 1, ecx
    constexpr uint32_t fma = 1u << 12, avx = 1u << 28, f16c = 1u << 29;    // leaf 1, ecx
    constexpr uint32_t avx2 = 1u << 5, bmi2 = 1u << 8;                     // leaf 7, ebx
    constexpr uint32_t f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;  // leaf 7, ebx
    constexpr uint32_t vbmi = 1u << 1, vnni = 1u << 11;                    // leaf 7, ecx
    constexpr uint32_t bf16 = 1u << 22, tile = 1u << 24;                   // leaf 7, edx
    constexpr uint32_t ymm = 0x6, zmm = 0xE6, tiles = 0x60000;             // XCR0
    Registers first = cpuid(1), seventh = cpuid(7);
    Features out{};
    out.crc32 = all(first.c, sse42);
    if (!all(first.c, osxsave)) return out;
    uint32_t saved = saved_registers();
    out.avx2 = all(saved, ymm) && all(first.c, fma | avx | f16c) && all(seventh.b, avx2 | bmi2);
    out.avx512 = out.avx2 && all(saved, zmm) && all(seventh.b, f | dq | bw | vl) &&
                 all(seventh.c, vbmi | vnni);
    out.amx = out.avx512 && all(saved, tiles) && all(seventh.d, bf16 | tile) && may_use_tiles();
    return out;
}
#elif defined(__aarch64__)
Features ask() {
    unsigned long told = getauxval(AT_HWCAP);
    Features out{};
    out.crc32 = (told & HWCAP_CRC32) != 0;
    out.neon = (told & HWCAP_ASIMD) != 0;
    return out;
}
#else
Features ask() { return {}; }
#endif

}  // namespace

const Features &features() {
    static const Features found = ask();
    return found;
}

}  // namespace specache

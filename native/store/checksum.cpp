// checksum.cpp - CRC32C (Castagnoli, reflected polynomial 82F63B78), eight bits at a time, or by
// the instruction that the CPU has for it.
#include <array>
#include <cstring>

#include "../cpu/features.h"
#include "store.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define CRC32_WORD _mm_crc32_u64
#ifdef __clang__
#define CRC32_TARGET "sse4.2,crc32"  // zig's clang does not count crc32 in with sse4.2
#else
#define CRC32_TARGET "sse4.2"
#endif
#elif defined(__aarch64__)
#ifdef __clang__
#define CRC32_WORD __builtin_arm_crc32cd
#define CRC32_TARGET "crc"
#else
#define CRC32_WORD __builtin_aarch64_crc32cx
#define CRC32_TARGET "+crc"
#endif
#endif

namespace specache {
namespace {

constexpr std::array<uint32_t, 256> make_table() {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0x82F63B78u : 0u);
        table[i] = value;
    }
    return table;
}
constexpr std::array<uint32_t, 256> table = make_table();

uint32_t plain(uint32_t crc, const uint8_t *bytes, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 255];
    return crc;
}

#if defined(CRC32_WORD)
__attribute__((target(CRC32_TARGET))) uint32_t fast(uint32_t crc, const uint8_t *bytes,
                                                    uint64_t count) {
    uint64_t wide = crc;
    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t word;
        std::memcpy(&word, bytes, 8);
        wide = CRC32_WORD(wide, word);
    }
    return plain(uint32_t(wide), bytes, count);
}
#endif

}  // namespace

uint32_t crc32c(const uint8_t *bytes, uint64_t count) {
#if defined(CRC32_WORD)
    if (features().crc32) return ~fast(~0u, bytes, count);
#endif
    return ~plain(~0u, bytes, count);
}

}  // namespace specache

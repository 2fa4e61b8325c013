// features.h - what this CPU and its system offer. On x86-64 the instruction cpuid is asked:
// compilers' own __builtin_cpu_supports answers no to everything where zig's clang made the
// library. On arm64 the system tells it to each process.
#pragma once

namespace specache {

struct Features {
    bool crc32;   // x86-64: SSE4.2; arm64: CRC32
    bool avx2;    // with FMA, F16C and BMI2, as the kernels are compiled
    bool avx512;  // with the above, F, BW, VL, DQ, VBMI and VNNI
    bool amx;     // with the above, tiles and bf16, and the system lets this process have them
    bool neon;    // that of ARMv8.0, with double precision and fused products
};

const Features &features();

}  // namespace specache

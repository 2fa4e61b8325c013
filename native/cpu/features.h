// features.h - what this CPU and its system offer, asked by the instruction cpuid: compilers' own
// __builtin_cpu_supports answers no to everything where zig's clang made the library.
#pragma once

namespace specache {

struct Features {
    bool crc32;   // SSE4.2
    bool avx2;    // with FMA, F16C and BMI2, as the kernels are compiled
    bool avx512;  // with the above, F, BW, VL, DQ, VBMI and VNNI
};

const Features &features();

}  // namespace specache

// features_test.cpp - what cpuid tells, against the compiler's own runtime.
#include "../cpu/features.h"
#include "test.h"

#ifndef __clang__  // whose runtime may answer no to all
TEST("features() are those that the compiler's runtime finds") {
    using namespace specache;
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
    CHECK(features().crc32 == (__builtin_cpu_supports("sse4.2") != 0));
    CHECK(features().avx2 == avx2);
    CHECK(features().avx512 == avx512);
}
#endif

// features_test.cpp - what the CPU and its system tell, against the compiler's own runtime, and
// what kernels follow from it.
#include <algorithm>
#include <cstring>

#include "../cpu/features.h"
#include "../failure.h"
#include "tables.h"
#include "test.h"

// As specache.h counts them.
static const char *const names[specache::isa_last + 1] = {"",     "reference", "portable",
                                                          "avx2", "avx512",    "neon",    "amx"};

TEST("each instruction set that the CPU has runs the kernels of its name, the best by default") {
    using namespace specache;
    std::vector<const Kernels *> tables = kernel_tables();
    for (uint32_t isa = 1; isa <= isa_last; isa++) {
        if (!has_isa(isa)) continue;
        CHECK(std::strcmp(kernels_for(isa).isa, names[isa]) == 0);
        CHECK(std::count(tables.begin(), tables.end(), &kernels_for(isa)) == 1);
    }
    CHECK(&kernels_for(0) == &kernels_for(best_isa()));
    CHECK(&kernels_for(0) == tables.back());
}

TEST("an instruction set that the CPU lacks, or another architecture has, is refused by name") {
    using namespace specache;
    for (uint32_t isa = 1; isa <= isa_last; isa++) {
        if (has_isa(isa)) continue;
        std::string told;
        try {
            kernels_for(isa);
        } catch (const Failure &failure) {
            CHECK(failure.status == SPECACHE_DEVICE);
            told = failure.text;
        }
        CHECK(told == std::string("this CPU has no ") + names[isa] + ", its best is " +
                          names[best_isa()]);
    }
}

#if defined(__aarch64__)
TEST("an arm64 CPU runs the kernels of NEON") {
    using namespace specache;
    CHECK(features().neon);
    CHECK(std::strcmp(kernels_for(0).isa, "neon") == 0);
    CHECK(fast_tables().size() == 2 && fast_tables()[1] == &neon::kernels);
}
#elif !defined(__clang__)  // whose runtime may answer no to all
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
    CHECK(!features().amx || avx512);  // the system may refuse tiles that the CPU has
    CHECK(!features().neon);
}
#endif

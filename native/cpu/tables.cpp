#include "tables.h"

#include "../failure.h"

namespace specache {

uint32_t best_isa() {
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    return avx512 ? 4 : avx2 ? 3 : 2;
}

const Kernels &kernels_for(uint32_t isa) {
    static const Kernels *const tables[] = {nullptr, &reference_kernels, &portable::kernels,
                                            &avx2::kernels, &avx512::kernels};
    uint32_t best = best_isa();
    if (isa > best) {
        fail(SPECACHE_DEVICE, "this CPU has no %s, its best is %s", tables[isa]->isa,
             tables[best]->isa);
    }
    return *tables[isa == 0 ? best : isa];
}

}  // namespace specache

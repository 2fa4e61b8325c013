#include "tables.h"

#include "../failure.h"
#include "features.h"

namespace specache {

uint32_t best_isa() {
    return features().avx512 ? 4 : features().avx2 ? 3 : 2;
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

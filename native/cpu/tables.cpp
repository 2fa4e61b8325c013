#include "tables.h"

#include "../failure.h"
#include "features.h"

namespace specache {
namespace {

struct Table {
    const char *name;
    const Kernels *kernels;  // null: of another architecture
    bool here;               // this CPU can run them
};

#if defined(__x86_64__)
// avx512's kernels, with AMX's prefill. Made here, when asked for: files of an instruction set
// must run nothing as the library is loaded, since every CPU loads them.
const Kernels &with_tiles() {
    static const Kernels made = [] {
        Kernels kernels = avx512::kernels;
        kernels.isa = "amx";
        kernels.project = amx::project;
        kernels.prefill_attend = amx::prefill_attend;
        return kernels;
    }();
    return made;
}
#endif

const Table &table_of(uint32_t isa) {
    const Features &found = features();
#if defined(__x86_64__)
    const Kernels *avx2 = &avx2::kernels, *avx512 = &avx512::kernels, *neon = nullptr,
                  *amx = &with_tiles();
#elif defined(__aarch64__)
    const Kernels *avx2 = nullptr, *avx512 = nullptr, *neon = &neon::kernels,
                  *amx = nullptr;
#else
    const Kernels *avx2 = nullptr, *avx512 = nullptr, *neon = nullptr,
                  *amx = nullptr;
#endif
    static const Table tables[isa_last + 1] = {{"best", nullptr, false},
                                               {"reference", &reference_kernels, true},
                                               {"portable", &portable::kernels, true},
                                               {"avx2", avx2, found.avx2},
                                               {"avx512", avx512, found.avx512},
                                               {"neon", neon, found.neon},
                                               {"amx", amx, found.amx}};
    return tables[isa];
}

}  // namespace

bool has_isa(uint32_t isa) { return table_of(isa).here; }

uint32_t best_isa() {
    uint32_t best = isa_last;
    while (!has_isa(best)) best--;
    return best;
}

const Kernels &kernels_for(uint32_t isa) {
    uint32_t wanted = isa == 0 ? best_isa() : isa;
    if (!has_isa(wanted)) {
        fail(SPECACHE_DEVICE, "this CPU has no %s, its best is %s", table_of(wanted).name,
             table_of(best_isa()).name);
    }
    return *table_of(wanted).kernels;
}

}  // namespace specache

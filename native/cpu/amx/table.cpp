// table.cpp - avx512's kernels, with AMX's prefill.
#include "../../reference/reference.h"
#include "../tables.h"

namespace specache::amx {

void project(Stream &, const Project &);
void prefill_attend(Stream &, const PrefillAttend &);

namespace {

Kernels with_tiles() {
    Kernels kernels = avx512::kernels;
    kernels.isa = "amx";
    kernels.project = project;
    kernels.prefill_attend = prefill_attend;
    return kernels;
}

}  // namespace

const Kernels kernels = with_tiles();

}  // namespace specache::amx

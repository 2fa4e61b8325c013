// table.cpp - avx512's kernels, with AMX's matrix product.
#include "../../reference/reference.h"
#include "../tables.h"

namespace specache::amx {

void project(Stream &, const Project &);

namespace {

Kernels with_tiles() {
    Kernels kernels = avx512::kernels;
    kernels.isa = "amx";
    kernels.project = project;
    return kernels;
}

}  // namespace

const Kernels kernels = with_tiles();

}  // namespace specache::amx

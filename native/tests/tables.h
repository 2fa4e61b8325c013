// tables.h - the kernel tables that this CPU can run, the reference first.
#pragma once
#include <vector>

#include "../cpu/tables.h"
#include "../cpu/threads.h"

inline std::vector<const specache::Kernels *> kernel_tables() {
    using namespace specache;
    std::vector<const Kernels *> tables{&reference_kernels, &portable::kernels};
    if (best_isa() >= 3) tables.push_back(&avx2::kernels);
    if (best_isa() >= 4) tables.push_back(&avx512::kernels);
    return tables;
}

// tables.h - the kernel tables that this CPU can run, with and without the reference.
#pragma once
#include <vector>

#include "../cpu/tables.h"
#include "../cpu/threads.h"

inline std::vector<const specache::Kernels *> fast_tables() {
    using namespace specache;
    std::vector<const Kernels *> tables{&portable::kernels};
    if (best_isa() >= 3) tables.push_back(&avx2::kernels);
    if (best_isa() >= 4) tables.push_back(&avx512::kernels);
    return tables;
}

inline std::vector<const specache::Kernels *> kernel_tables() {
    std::vector<const specache::Kernels *> tables = fast_tables();
    tables.insert(tables.begin(), &specache::reference_kernels);
    return tables;
}

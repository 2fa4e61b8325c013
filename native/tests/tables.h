// tables.h - the kernel tables that this CPU can run, with and without the reference.
#pragma once
#include <vector>

#include "../cpu/tables.h"
#include "../cpu/threads.h"

inline std::vector<const specache::Kernels *> fast_tables() {
    using namespace specache;
    std::vector<const Kernels *> tables;
    for (uint32_t isa = 2; isa <= isa_last; isa++) {
        if (has_isa(isa)) tables.push_back(&kernels_for(isa));
    }
    return tables;
}

inline std::vector<const specache::Kernels *> kernel_tables() {
    std::vector<const specache::Kernels *> tables = fast_tables();
    tables.insert(tables.begin(), &specache::reference_kernels);
    return tables;
}

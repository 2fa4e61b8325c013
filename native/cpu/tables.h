// tables.h - the kernel tables of the CPU, and which of them to use.
#pragma once
#include "../device.h"

namespace specache {

extern const Kernels reference_kernels;
namespace portable { extern const Kernels kernels; }
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }

uint32_t best_isa();  // 2 portable, 3 avx2, 4 avx512: the best that this CPU has
// isa as in specache.h; one that the CPU lacks is Failure (device).
const Kernels &kernels_for(uint32_t isa);

}  // namespace specache

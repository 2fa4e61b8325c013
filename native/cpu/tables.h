// tables.h - the kernel tables of the CPU, and which of them to use.
#pragma once
#include "../device.h"

namespace specache {

extern const Kernels reference_kernels;
namespace portable { extern const Kernels kernels; }
#if defined(__x86_64__)
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
namespace amx {
void project(Stream &, const Project &);
void prefill_attend(Stream &, const PrefillAttend &);
}
#elif defined(__aarch64__)
namespace neon { extern const Kernels kernels; }
#endif

constexpr uint32_t isa_last = 6;

// isa as in specache.h.
bool has_isa(uint32_t isa);  // whether this CPU has it; 1 and 2 all have
uint32_t best_isa();         // the best that it has, 2 or more
// One that the CPU lacks is Failure (device).
const Kernels &kernels_for(uint32_t isa);

}  // namespace specache

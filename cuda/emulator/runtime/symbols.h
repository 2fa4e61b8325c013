// symbols.h - what nvcc's host code registered: its own addresses for kernels and variables.
#pragma once
#include "../device/module.h"

namespace emulator {

Variable *variable_of(const void *symbol);     // null if none was registered
const KnownKernel *kernel_of(const void *host);

}  // namespace emulator

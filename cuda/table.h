// table.h - the kernels of the CUDA device.
#pragma once
#include "kernels.h"

namespace specache::cuda {

extern const Kernels kernels;

}  // namespace specache::cuda

// fast.h - the matrix product of a fast prefill.
#pragma once
#include "../native/device.h"

namespace specache::cuda {

// As project() where project.fast is given; the stream has a Cublas.
void project_fast(Stream &, const Project &);

}  // namespace specache::cuda

// devices.cpp - which devices this library has: the CPU, and CUDA where nvcc built it in.
#include "device.h"
#include "failure.h"
#include "store/plan.h"

namespace specache {

std::unique_ptr<Device> open_device(const Plan &plan) {
    if (plan.config.device == 0) return open_cpu_device(plan);
#ifdef SPECACHE_CUDA
    return open_cuda_device(plan);
#else
    fail(SPECACHE_DEVICE, "device cuda is not in this library, which was built for the CPU alone");
#endif
}

uint64_t gpu_cache_bytes() {
#ifdef SPECACHE_CUDA
    return cuda_cache_bytes();
#else
    return 0;
#endif
}

}  // namespace specache

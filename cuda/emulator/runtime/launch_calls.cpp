// launch_calls.cpp - how nvcc's host code registers kernels and variables and starts kernels, and
// the runtime's calls about kernels.
#include <map>
#include <memory>
#include <string>

#include "capture.h"
#include "symbols.h"

using namespace emulator;

namespace emulator {
namespace {

constexpr unsigned block_z_max = 64, grid_yz_max = 65535, threads_of_multiprocessor = 2048;

std::map<const void *, std::string> &kernel_names() {
    static std::map<const void *, std::string> all;
    return all;
}
std::map<const void *, std::string> &variable_names() {
    static std::map<const void *, std::string> all;
    return all;
}
std::map<const void *, size_t> &dynamic_limits() {  // bytes, where a kernel was given another one
    static std::map<const void *, size_t> all;
    return all;
}

struct Configuration {
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

size_t dynamic_limit(const void *host, const KnownKernel &kernel) {
    auto found = dynamic_limits().find(host);
    return found == dynamic_limits().end() ? shared_bytes_default - kernel.shared_bytes
                                           : found->second;
}

// A launch keeps copies of the arguments, freed with the work.
struct Arguments {
    std::vector<std::vector<unsigned char>> values;
    std::vector<const unsigned char *> places;
};

bool launchable(dim3 grid, dim3 block) {
    uint64_t threads = uint64_t(block.x) * block.y * block.z;
    if (threads == 0 || threads > threads_max || block.z > block_z_max) return false;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return false;
    return grid.x <= 0x7fffffff && grid.y <= grid_yz_max && grid.z <= grid_yz_max;
}

cudaError_t launch(const void *host, dim3 grid, dim3 block, void **arguments, size_t shared,
                   cudaStream_t handle) {
    cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    const KnownKernel *kernel = kernel_of(host);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    if (!launchable(grid, block)) return cudaErrorInvalidConfiguration;
    if (shared > dynamic_limit(host, *kernel)) return cudaErrorInvalidValue;
    make_variables();
    auto kept = std::make_shared<Arguments>();
    for (size_t i = 0; i < kernel->parameters.size(); i++) {
        auto *from = static_cast<unsigned char *>(arguments[i]);
        kept->values.emplace_back(from, from + kernel->parameters[i]);
    }
    for (auto &value : kept->values) kept->places.push_back(value.data());
    Size grid_size{grid.x, grid.y, grid.z}, block_size{block.x, block.y, block.z};
    push_work(stream, [=, kept = std::move(kept)](CUstream_st &on) {
        on.device.run({grid_size, block_size, shared, kernel->run, kept->places.data(),
                       kernel->name});
    });
    return cudaSuccess;
}

}  // namespace

Variable *variable_of(const void *symbol) {
    auto found = variable_names().find(symbol);
    return found == variable_names().end() ? nullptr : find_variable(found->second.c_str());
}
const KnownKernel *kernel_of(const void *host) {
    auto found = kernel_names().find(host);
    return found == kernel_names().end() ? nullptr : find_kernel(found->second.c_str());
}

}  // namespace emulator

extern "C" {

void **__cudaRegisterFatBinary(void *) {
    static void *handle;
    return &handle;
}
void __cudaRegisterFatBinaryEnd(void **) {}
void __cudaUnregisterFatBinary(void **) {}
char __cudaInitModule(void **) { return 0; }
void __cudaRegisterVar(void **, char *host, char *, const char *name, int, size_t, int, int) {
    variable_names()[host] = name;
}
void __cudaRegisterFunction(void **, const char *host, char *, const char *name, int, uint3 *,
                            uint3 *, dim3 *, dim3 *, int *) {
    kernel_names()[host] = name;
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
    configurations.push_back({grid, block, shared, stream});
    return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream) {
    Configuration last = configurations.back();
    configurations.pop_back();
    *grid = last.grid, *block = last.block, *shared = last.shared;
    *static_cast<cudaStream_t *>(stream) = last.stream;
    return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *host) {
    *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void *>(host));
    return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void *host, dim3 grid, dim3 block, void **arguments,
                             size_t shared, cudaStream_t stream) {
    Guard guard(runtime_mutex());
    return answer(launch(host, grid, block, arguments, shared, stream));
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments,
                               size_t shared, cudaStream_t stream) {
    return cudaLaunchKernel(kernel, grid, block, arguments, shared, stream);
}

}  // extern "C"

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *host,
                                void **arguments) {
    if (config->numAttrs != 0) return answer(cudaErrorNotSupported);
    return cudaLaunchKernel(host, config->gridDim, config->blockDim, arguments,
                            config->dynamicSmemBytes, config->stream);
}

cudaError_t cudaFuncSetAttribute(const void *host, cudaFuncAttribute attribute, int value) {
    Guard guard(runtime_mutex());
    const KnownKernel *kernel = kernel_of(host);
    if (kernel == nullptr) return answer(cudaErrorInvalidDeviceFunction);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || size_t(value) + kernel->shared_bytes > shared_bytes_max) {
        return answer(cudaErrorInvalidValue);
    }
    dynamic_limits()[host] = size_t(value);
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *host) {
    Guard guard(runtime_mutex());
    const KnownKernel *kernel = kernel_of(host);
    if (kernel == nullptr) return answer(cudaErrorInvalidDeviceFunction);
    *attributes = {};
    attributes->sharedSizeBytes = kernel->shared_bytes;
    attributes->maxThreadsPerBlock = int(threads_max);
    attributes->maxDynamicSharedSizeBytes = int(dynamic_limit(host, *kernel));
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *host,
                                                          int threads, size_t) {
    if (kernel_of(host) == nullptr) return answer(cudaErrorInvalidDeviceFunction);
    if (threads <= 0) return answer(cudaErrorInvalidValue);
    *blocks = int(threads_of_multiprocessor) / threads;
    return cudaSuccess;
}

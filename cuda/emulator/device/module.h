// module.h - kernels and variables of translated modules, by the names nvcc gave them.
#pragma once
#include <cstdint>
#include <vector>

#include "device.h"

namespace emulator {

struct KnownKernel {
    const char *name;
    Kernel run;
    std::vector<size_t> parameters;  // bytes of each
    size_t shared_bytes;             // static
};
struct AddKernel {
    AddKernel(KnownKernel kernel);
};
const KnownKernel *find_kernel(const char *name);

// A variable of the module: a block of device memory, made when it is first asked for.
class Variable {
  public:
    Variable(const char *name, size_t bytes, std::vector<unsigned char> initial);
    uint64_t address();
    size_t bytes() const { return bytes_; }

  private:
    size_t bytes_;
    std::vector<unsigned char> initial_;
    uint64_t address_ = 0;
};
Variable *find_variable(const char *name);
void make_variables();  // all of them; before any launch, so that no stream makes one

// What device code calls and no module defines.
int print(const char *format, const unsigned char *values);

}  // namespace emulator

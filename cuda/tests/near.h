// near.h - near memory of the tests: pinned host memory, which kernels and the host both see, so
// that a fixture of vectors serves the CPU's kernels, the references and these.
#pragma once
#include <memory>
#include <vector>

#include "../kernels.h"
#include "../stream.h"

namespace fixture {

template <class T> struct Pinned {
    using value_type = T;
    Pinned() = default;
    template <class U> Pinned(const Pinned<U> &) {}
    T *allocate(size_t count) {
        void *memory;
        specache::cuda::check(cudaHostAlloc(&memory, count * sizeof(T), cudaHostAllocMapped),
                              "cudaHostAlloc");
        return static_cast<T *>(memory);
    }
    void deallocate(T *memory, size_t) { cudaFreeHost(memory); }
    template <class U> bool operator==(const Pinned<U> &) const { return true; }
};
template <class T> using Near = std::vector<T, Pinned<T>>;

// One for all tests: the threads of its blocks are made once.
inline specache::cuda::CudaStream &near_stream() {
    static auto *stream = new specache::cuda::CudaStream;
    return *stream;
}
inline void finish_near() { near_stream().finish(); }

}  // namespace fixture

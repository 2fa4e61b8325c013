// near.h - near memory and the stream of the tests: the CPU's, or the CUDA device's where its
// kernels are tested with the same fixtures.
#pragma once
#ifdef SPECACHE_NEAR
#include SPECACHE_NEAR
#else
#include <vector>

#include "../cpu/threads.h"

namespace fixture {

template <class T> using Near = std::vector<T>;
inline specache::Stream &near_stream() {
    static specache::CpuStream stream;
    return stream;
}
inline void finish_near() {}

}  // namespace fixture
#endif

// heap.h - gives the system back what was freed.
#pragma once
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace specache {

// glibc keeps freed memory in an arena for each thread that was ever at work beside others: some
// megabytes after some stores, since each brings threads of its own. Takes about a millisecond.
inline void trim_heap() {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

}  // namespace specache

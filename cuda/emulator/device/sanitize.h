// sanitize.h - what AddressSanitizer and ThreadSanitizer are told; nothing in a plain build.
//
// The emulator itself is compiled without instrumentation, so that only kernels and host code are
// judged; EMULATOR_ADDRESS or EMULATOR_THREAD says what the rest of the program is built with.
#pragma once
#include <cstddef>

#if defined(EMULATOR_ADDRESS)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(EMULATOR_THREAD)
#include <sanitizer/tsan_interface.h>
#include <sys/mman.h>
#endif

#if defined(EMULATOR_THREAD)
extern "C" {
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
}
#endif

namespace emulator::sanitize {

// While one lives, writes are the emulator's own and count for nothing: library functions such as
// memset are seen even from code without instrumentation.
struct Unseen {
#if defined(EMULATOR_THREAD)
    Unseen() { AnnotateIgnoreWritesBegin(__FILE__, __LINE__); }
    ~Unseen() { AnnotateIgnoreWritesEnd(__FILE__, __LINE__); }
#endif
};

// Whatever came before a release of an address comes before what follows a later acquire of it.
inline void release([[maybe_unused]] void *address) {
#if defined(EMULATOR_THREAD)
    __tsan_release(address);
#endif
}
inline void acquire([[maybe_unused]] void *address) {
#if defined(EMULATOR_THREAD)
    __tsan_acquire(address);
#endif
}

// Past accesses to these whole pages count no more: to ThreadSanitizer a new mapping has no past.
inline void forget([[maybe_unused]] void *pages, [[maybe_unused]] size_t bytes) {
#if defined(EMULATOR_THREAD)
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    mmap(pages, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
#endif
}

// Whom ThreadSanitizer holds responsible: the host, a stream or a device thread.
using Actor = void *;
inline Actor new_actor([[maybe_unused]] const char *name) {
#if defined(EMULATOR_THREAD)
    Actor actor = __tsan_create_fiber(0);
    __tsan_set_fiber_name(actor, name);
    return actor;
#else
    return nullptr;
#endif
}
inline void end_actor([[maybe_unused]] Actor actor) {
#if defined(EMULATOR_THREAD)
    __tsan_destroy_fiber(actor);
#endif
}
inline Actor this_actor() {
#if defined(EMULATOR_THREAD)
    return __tsan_get_current_fiber();
#else
    return nullptr;
#endif
}
inline void become([[maybe_unused]] Actor actor) {  // the change itself orders nothing
#if defined(EMULATOR_THREAD)
    __tsan_switch_to_fiber(actor, __tsan_switch_to_fiber_no_sync);
#endif
}

inline void leave_stack([[maybe_unused]] void **save, [[maybe_unused]] const void *to,
                        [[maybe_unused]] size_t bytes) {
#if defined(EMULATOR_ADDRESS)
    __sanitizer_start_switch_fiber(save, to, bytes);
#endif
}
inline void enter_stack([[maybe_unused]] void *saved, [[maybe_unused]] const void **from,
                        [[maybe_unused]] size_t *bytes) {
#if defined(EMULATOR_ADDRESS)
    __sanitizer_finish_switch_fiber(saved, from, bytes);
#endif
}

inline void poison([[maybe_unused]] const void *at, [[maybe_unused]] size_t bytes) {
#if defined(EMULATOR_ADDRESS)
    __asan_poison_memory_region(at, bytes);
#endif
}
inline void unpoison([[maybe_unused]] const void *at, [[maybe_unused]] size_t bytes) {
#if defined(EMULATOR_ADDRESS)
    __asan_unpoison_memory_region(at, bytes);
#endif
}

}  // namespace emulator::sanitize

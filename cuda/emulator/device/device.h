// device.h - what translated kernels and the runtime ask of the emulated device.
//
// A block's threads are fibers of one thread of the machine. They change places at barriers and
// warp collectives and now and then between two accesses to memory, drawn by EMULATOR_SEED. Blocks
// run one after another in a drawn order. A fault ends the program with the place in the .cu file.
#pragma once
#include <cstddef>
#include <cstdint>

#include "sanitize.h"

namespace emulator {

constexpr unsigned warp_lanes = 32, threads_max = 1024, barriers_max = 16;
constexpr size_t shared_bytes_default = 48 << 10, shared_bytes_max = 163 << 10;  // as sm_80
constexpr unsigned char garbage = 0xff;  // a NaN in every float format, -1 in every integer

struct Size {
    unsigned x = 1, y = 1, z = 1;
};

struct Site {  // a place in a source
    const char *file;
    int line;
};

struct Coordinates {  // of a device thread
    Size thread, block, block_size, grid_size;
    unsigned lane, warp;
    bool fenced;           // whether it went through a fence
    void *atomic;          // the place of its last atomic operation
};
extern Coordinates *current;  // the device thread at work

using Kernel = void (*)(const unsigned char *const *parameters);
struct Launch {
    Size grid, block;
    size_t shared_bytes;  // dynamic
    Kernel kernel;
    const unsigned char *const *parameters;
    const char *name;
};

[[noreturn]] void fail(Site site, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t random_below(uint64_t bound);  // by EMULATOR_SEED

// The mistake that EMULATOR_MUTANT asks for among those that are built in; 0: none.
extern const unsigned mutant;
bool mutant_reached();  // true, and told when the program ends

// A variable of shared memory; one of 0 bytes is the launch's dynamic memory.
struct SharedVariable {
    size_t bytes;
    uint64_t block = 0;  // the block that `address` is of, counted from 1
    uint32_t address = 0;
};
uint32_t shared_address(SharedVariable &variable, Site site);
uint64_t shared_to_generic(uint64_t address);
uint64_t generic_to_shared(uint64_t address);
bool is_shared(uint64_t generic);

// Checked places of `bytes` that a kernel reads or writes: of a shared, a global or any address.
void *shared_place(uint64_t address, size_t bytes, Site site);
void *global_place(uint64_t address, size_t bytes, Site site);
void *generic_place(uint64_t address, size_t bytes, Site site);
bool on_own_stack(uint64_t address);

// Barriers. `count` threads meet at barrier `number`; 0: all that still run. `vote` is summed.
unsigned barrier(unsigned number, unsigned count, bool vote, Site site);
void barrier_arrive(unsigned number, unsigned count, Site site);

// Warp collectives: the lanes of `mask` meet, each with what it offers.
struct Payload {
    uint32_t words[8];
};
struct Meeting {
    Payload lanes[warp_lanes];
    unsigned come = 0;  // lanes
    int readers = 0;
};
const Meeting &meet(unsigned mask, const Payload &offered, Site site);
void warp_barrier(unsigned mask, Site site);
unsigned active_mask();

// cp.async: the bytes arrive at the wait for them, no sooner.
void copy_async(uint64_t shared, uint64_t global, size_t bytes, size_t kept, Site site);
void copy_commit();
void copy_wait(size_t groups_left);

void fence();  // orders the accesses around it for whoever goes through an atomic operation

// The device threads of one stream. No two streams share any, nor do blocks that follow each other,
// so that ThreadSanitizer sees accesses that CUDA leaves unordered.
struct Crew;
class Device {
  public:
    Device() = default;
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;
    ~Device();
    void run(const Launch &launch);

  private:
    Crew *crews_[2] = {nullptr, nullptr};
};

}  // namespace emulator

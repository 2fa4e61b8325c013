// shared.cpp - the shared memory of the block at work: variables with red zones between them,
// filled with garbage for each block, every access checked against the variables' bounds.
#include <cstring>

#include "block.h"

namespace emulator {
namespace {

constexpr unsigned variables_max = 256;
constexpr size_t red_zone_bytes = 128, page_bytes = 4096;
constexpr size_t arena_bytes =  // of whole pages
    (shared_bytes_max + 2 * variables_max * red_zone_bytes) / page_bytes * page_bytes;
// A kernel's null pointer must not be an address of shared memory.
constexpr size_t first_bytes = red_zone_bytes;

alignas(page_bytes) char arena[arena_bytes];
bool inside[arena_bytes];  // of a variable, by address
size_t arena_used = arena_bytes, taken;
uint64_t blocks;  // so far
uint32_t dynamic_address;

uint32_t take(size_t bytes, Site site) {
    [[maybe_unused]] sanitize::Unseen unseen;
    taken += bytes;
    if (taken > shared_bytes_max || arena_used + bytes + 2 * red_zone_bytes > arena_bytes) {
        fail(site, "a block takes %zu bytes of shared memory, of %zu", taken, shared_bytes_max);
    }
    uint32_t address = uint32_t(arena_used);
    arena_used += (bytes + red_zone_bytes - 1) / red_zone_bytes * red_zone_bytes + red_zone_bytes;
    sanitize::unpoison(arena + address, bytes);
    std::memset(inside + address, true, bytes);
    return address;
}

}  // namespace

void renew_shared(size_t dynamic_bytes) {
    [[maybe_unused]] sanitize::Unseen unseen;
    sanitize::unpoison(arena, sizeof arena);
    sanitize::forget(arena, (arena_used + page_bytes - 1) / page_bytes * page_bytes);
    std::memset(arena, garbage, arena_used);
    std::memset(inside, false, arena_used);
    sanitize::poison(arena, sizeof arena);
    arena_used = first_bytes;
    taken = 0;
    blocks++;
    dynamic_address = take(dynamic_bytes, {block.launch->name, 0});
}

uint32_t shared_address(SharedVariable &variable, Site site) {
    if (variable.bytes == 0) return dynamic_address;
    if (variable.block != blocks) {
        variable.address = take(variable.bytes, site);
        variable.block = blocks;
    }
    return variable.address;
}

uint64_t shared_to_generic(uint64_t address) { return reinterpret_cast<uint64_t>(arena) + address; }
uint64_t generic_to_shared(uint64_t address) { return address - reinterpret_cast<uint64_t>(arena); }
bool is_shared(uint64_t generic) { return generic_to_shared(generic) < arena_bytes; }

void *shared_place(uint64_t address, size_t bytes, Site site) {
    may_give_way();
    if (address % bytes != 0) {
        fail(site, "%zu bytes of shared memory at %#lx are not aligned", bytes, address);
    }
    bool right = address + bytes <= arena_bytes && inside[address] && inside[address + bytes - 1];
    if (!right) fail(site, "%zu bytes of shared memory at %#lx are of no variable", bytes, address);
    return arena + address;
}

void *generic_place(uint64_t address, size_t bytes, Site site) {
    if (is_shared(address)) return shared_place(generic_to_shared(address), bytes, site);
    if (on_own_stack(address)) return reinterpret_cast<void *>(address);
    return global_place(address, bytes, site);
}

bool on_own_stack(uint64_t address) {
    return address - reinterpret_cast<uint64_t>(self().stack) < stack_bytes;
}

}  // namespace emulator

// block.cpp - runs the blocks of a launch: makes the fibers of a block's threads and draws which
// one goes next.
#include "block.h"

#include <sys/mman.h>

#include <cstdio>
#include <new>
#include <numeric>

// Saves the registers that a callee keeps on the present stack, its address in *save, and goes on
// from `load`.
extern "C" void emulator_switch_stack(void **save, void *load);
asm(R"(
.text
.globl emulator_switch_stack
.type emulator_switch_stack, @function
emulator_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulator_switch_stack, .-emulator_switch_stack
)");

namespace emulator {

Block block;
Coordinates *current;

namespace {

constexpr unsigned saved_registers = 6;
constexpr size_t page_bytes = 4096;
constexpr unsigned accesses_between = 64;  // about so many before a thread gives way, unasked

struct {
    void *stack_pointer, *fake_stack;
    const void *stack;
    size_t stack_bytes;
    sanitize::Actor actor;
} scheduler;
unsigned accesses_left = 1;

void resume(Thread &thread) {
    current = &thread.where;
    sanitize::leave_stack(&scheduler.fake_stack, thread.stack, stack_bytes);
    sanitize::become(thread.actor);
    emulator_switch_stack(&scheduler.stack_pointer, thread.stack_pointer);
    sanitize::enter_stack(scheduler.fake_stack, nullptr, nullptr);
}

void thread_main() {
    sanitize::enter_stack(nullptr, &scheduler.stack, &scheduler.stack_bytes);
    Thread &thread = self();
    sanitize::acquire(&block.crew->order.started);
    block.launch->kernel(block.launch->parameters);
    sanitize::release(&block.crew->order.finished);
    thread.done = true;
    block.live--;
    block.running[thread.where.warp] &= ~(1u << thread.where.lane);
    leave_barriers();
    leave_warp(thread.where.warp);
    give_way();
    __builtin_unreachable();
}

void prepare(Thread &thread) {
    if (thread.stack == nullptr) {
        constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void *stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (stack == MAP_FAILED) throw std::bad_alloc();
        mprotect(stack, page_bytes, PROT_NONE);
        thread.stack = static_cast<char *>(stack);
        thread.actor = sanitize::new_actor("device thread");
    }
    auto *top = reinterpret_cast<void **>(thread.stack + stack_bytes);
    *--top = nullptr;  // keeps the stack aligned as after a call
    *--top = reinterpret_cast<void *>(&thread_main);
    thread.stack_pointer = top - saved_registers;  // of any value
    thread.done = false;
    thread.groups = 0;
    thread.copies.clear();
    thread.meeting = nullptr;
}

[[noreturn]] void report_deadlock() {
    Site site{};
    for (unsigned i = 0; i < block.size; i++) {
        const Thread &thread = block.threads[i];
        if (thread.done) continue;
        const char *what = thread.wait == Wait::barrier ? "barrier" : "warp collective";
        std::fprintf(stderr, "thread %u waits at %s:%d (%s)\n", i, thread.site.file,
                     thread.site.line, what);
        site = thread.site;
        if (i > 3 && i + 3 < block.size) i = block.size - 4;  // the first and the last tell enough
    }
    fail(site, "deadlock: %u of %u threads wait for ones that will not come", block.live,
         block.size);
}

void run_block() {
    renew_shared(block.launch->shared_bytes);
    sanitize::release(&block.crew->order.started);
    block.live = block.size;
    block.ready_count = 0;
    for (Barrier &each : block.barriers) each = {};
    for (unsigned warp = 0; warp < warps_max; warp++) {
        block.running[warp] = block.waiting[warp] = 0;
        for (Meeting &meeting : block.crew->meetings[warp]) meeting.readers = 0;
    }
    for (unsigned i = 0; i < block.size; i++) {
        prepare(block.threads[i]);
        make_ready(block.threads[i]);
        block.running[i / warp_lanes] |= 1u << i % warp_lanes;
    }
    while (block.live > 0) {
        if (block.ready_count == 0) report_deadlock();
        unsigned at = unsigned(random_below(block.ready_count));
        Thread &next = block.threads[block.ready[at]];
        block.ready[at] = block.ready[--block.ready_count];
        resume(next);
    }
}

void place_threads(const Launch &launch, uint64_t number) {
    const Size &size = launch.block, &grid = launch.grid;
    Size place{unsigned(number % grid.x), unsigned(number / grid.x % grid.y),
               unsigned(number / grid.x / grid.y)};
    for (unsigned i = 0; i < block.size; i++) {
        Size thread{i % size.x, i / size.x % size.y, i / size.x / size.y};
        block.threads[i].where = {thread,         place,          size, grid, i % warp_lanes,
                                  i / warp_lanes, false, nullptr};
    }
}

}  // namespace

Thread &self() { return *reinterpret_cast<Thread *>(current); }
unsigned rank(const Thread &thread) { return unsigned(&thread - block.threads); }

void make_ready(Thread &thread) {
    thread.wait = Wait::none;
    block.ready[block.ready_count++] = rank(thread);
}

void give_way() {
    Thread &thread = self();
    sanitize::become(scheduler.actor);
    sanitize::leave_stack(thread.done ? nullptr : &thread.fake_stack, scheduler.stack,
                          scheduler.stack_bytes);
    emulator_switch_stack(&thread.stack_pointer, scheduler.stack_pointer);
    sanitize::enter_stack(thread.fake_stack, nullptr, nullptr);
}

void may_give_way() {
    if (--accesses_left != 0) return;
    accesses_left = 1 + unsigned(random_below(2 * accesses_between));
    make_ready(self());
    give_way();
}

Device::~Device() {
    for (Crew *crew : crews_) {
        if (crew == nullptr) continue;
        for (Thread &thread : crew->threads) {
            if (thread.stack == nullptr) continue;
            sanitize::end_actor(thread.actor);
            munmap(thread.stack, stack_bytes);
        }
        delete crew;
    }
}

void Device::run(const Launch &launch) {
    block.launch = &launch;
    block.size = launch.block.x * launch.block.y * launch.block.z;
    scheduler.actor = sanitize::this_actor();
    uint64_t blocks = uint64_t(launch.grid.x) * launch.grid.y * launch.grid.z;
    // A stride without a common divisor goes through all blocks, from a drawn first one.
    uint64_t stride = 1 + random_below(blocks), first = random_below(blocks);
    while (std::gcd(stride, blocks) != 1) stride++;
    for (uint64_t i = 0; i < blocks; i++) {
        Crew *&crew = crews_[i % 2];
        if (crew == nullptr) crew = new Crew;
        block.crew = crew;
        block.threads = crew->threads;
        place_threads(launch, (first + i * stride) % blocks);
        run_block();
    }
    for (Crew *crew : crews_) {
        if (crew != nullptr) sanitize::acquire(&crew->order.finished);
    }
    current = nullptr;
}

}  // namespace emulator

// report.cpp - how a fault ends the program, what is drawn by the seed, and the mutant.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "device.h"

namespace emulator {
namespace {

const char *seed() {
    const char *asked = std::getenv("EMULATOR_SEED");
    return asked ? asked : "1";
}

unsigned asked_mutant() {
    const char *asked = std::getenv("EMULATOR_MUTANT");
    return asked ? unsigned(std::strtoul(asked, nullptr, 10)) : 0;
}

}  // namespace

const unsigned mutant = asked_mutant();

bool mutant_reached() {
    static const int told = std::atexit([] {
        std::fprintf(stderr, "emulator: mutant %u was reached\n", mutant);
    });
    return told == 0;
}

void fail(Site site, const char *format, ...) {
    std::fflush(stdout);
    std::fprintf(stderr, "emulator: %s:%d: ", site.file, site.line);
    va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (current != nullptr) {
        const Size &block = current->block, &thread = current->thread;
        std::fprintf(stderr, "; block (%u, %u, %u), thread (%u, %u, %u)", block.x, block.y, block.z,
                     thread.x, thread.y, thread.z);
    }
    std::fprintf(stderr, "; EMULATOR_SEED=%s\n", seed());
    std::abort();
}

uint64_t random_below(uint64_t bound) {
    // xorshift; zero would stay zero, so the state is odd to begin with.
    static uint64_t state = (std::strtoull(seed(), nullptr, 10) + 1) * 0x9e3779b97f4a7c15u | 1;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % bound;
}

}  // namespace emulator

// bench.cpp - random rows at the speed of coding them: a table of normal numbers, of which each run
// of tokens and layer reads another part.
#include "bench.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "cpu/threads.h"
#include "failure.h"
#include "random.h"
#include "step.h"

namespace specache {
namespace {

constexpr uint32_t table_bits = 20;
constexpr uint32_t run_tokens = 512;

// The sum of twelve numbers of 16 bits is normal but for its far tails (Irwin-Hall): its mean is
// 12 * 32,767.5, its deviation 65,536.
std::vector<float> normal_numbers(uint32_t seed, uint64_t count) {
    std::vector<float> numbers(count);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t sum = 0;
        for (uint64_t part = 0; part < 3; part++) {
            uint64_t bits = counted(uint64_t(seed) << 40 | (i * 3 + part));
            for (; bits != 0; bits >>= 16) sum += uint32_t(bits & 0xFFFF);
        }
        numbers[i] = (float(sum) - 393210.0f) / 65536.0f;
    }
    return numbers;
}

// A sum of whole cache lines, so that no compiler leaves the reads out.
uint64_t sum_of_lines(const uint8_t *from, uint64_t bytes) {
    typedef uint64_t Line __attribute__((vector_size(64)));
    Line sums[4] = {};
    for (uint64_t at = 0; at + sizeof sums <= bytes; at += sizeof sums) {
        Line lines[4];
        std::memcpy(lines, from + at, sizeof lines);
        for (uint32_t i = 0; i < 4; i++) sums[i] += lines[i];
    }
    Line sum = sums[0] + sums[1] + sums[2] + sums[3];
    uint64_t all = 0;
    for (uint32_t i = 0; i < 8; i++) all += sum[i];
    return all;
}

}  // namespace

void fill(Store &store, Sequence &sequence, uint32_t tokens, uint32_t seed) {
    const specache_config &config = store.plan.config;
    store.check_ended(sequence);
    uint64_t length = uint64_t(sequence.length) + tokens;
    if (length > config.tokens_max) {
        fail(SPECACHE_CAPACITY, "the sequence would hold %llu tokens, tokens_max is %u",
             static_cast<unsigned long long>(length), config.tokens_max);
    }
    uint64_t run = uint64_t(run_tokens) * config.kv_heads * config.head_dim;
    std::vector<float> numbers = normal_numbers(seed, (1u << table_bits) + run);
    try {
        for (uint32_t done = 0; done < tokens; done += run_tokens) {
            uint32_t count = std::min(run_tokens, tokens - done);
            for (uint32_t layer = 0; layer < config.layers; layer++) {
                uint64_t part = uint64_t(sequence.length) * config.layers + layer;
                auto from = [&](uint64_t what) {
                    return numbers.data() + (counted(part * 2 + what) >> (64 - table_bits));
                };
                append(store, sequence, layer, count, nullptr, from(0), from(1), nullptr,
                       Where::host);
            }
        }
    } catch (...) {
        store.undo(sequence);  // no run is left half done
        throw;
    }
}

uint64_t read_far(Store &store, uint64_t first, uint64_t bytes) {
    uint64_t held = store.plan.pages * store.plan.page_rows;
    if (store.far.memory == nullptr || !store.device->shares_memory()) {
        fail(SPECACHE_UNSUPPORTED, "the host cannot read this store's far memory in place");
    }
    if (first > held || bytes > held - first) {
        fail(SPECACHE_ARGUMENT, "%llu bytes from %llu on are not within far memory's %llu",
             static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(first),
             static_cast<unsigned long long>(held));
    }
    constexpr uint64_t piece = 1 << 18;
    std::atomic<uint64_t> sum{0};
    auto started = std::chrono::steady_clock::now();
    parallel(store.device->host(), uint32_t((bytes + piece - 1) / piece), [&](uint32_t i) {
        sum += sum_of_lines(store.far.memory + first + i * piece,
                            std::min(piece, bytes - i * piece));
    });
    return uint64_t(std::chrono::nanoseconds(std::chrono::steady_clock::now() - started).count());
}

uint64_t far_reads_time(Store &store, uint32_t reads, uint32_t bytes, uint32_t seed) {
    const Plan &plan = store.plan;
    if (!plan.in_file) fail(SPECACHE_UNSUPPORTED, "the store has no far file");
    uint64_t most = std::min(staging_pages * plan.layer_block, plan.far_bytes());
    if (bytes == 0 || bytes > most) {
        fail(SPECACHE_ARGUMENT, "bytes %u are not within 1..%llu", bytes,
             static_cast<unsigned long long>(most));
    }
    uint64_t room = staging_pages * plan.layer_block / bytes;
    std::vector<Copy> copies(reads);
    for (uint32_t i = 0; i < reads; i++) {
        uint64_t place = counted(uint64_t(seed) << 32 | i) % (plan.far_bytes() / bytes);
        copies[i] = {place * bytes, store.work.far_pages + i % room * bytes};
    }
    Device &device = *store.device;
    device.compute().wait(*store.written);
    auto started = std::chrono::steady_clock::now();
    device.fetch(device.late(), {store.far, copies.data(), &reads, bytes, 0, 0, nullptr});
    device.late().signal(*store.late_arrived);
    device.compute().wait(*store.late_arrived);
    device.check();
    return uint64_t(std::chrono::nanoseconds(std::chrono::steady_clock::now() - started).count());
}

}  // namespace specache

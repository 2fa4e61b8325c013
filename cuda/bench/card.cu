// card.cu - what the card's own memory and link give, in the same run: the rates that all else is
// held against.
#include <cstring>

#include "../block.cuh"
#include "bench.h"

namespace bench {
namespace {

using namespace specache::cuda;

// Published GB/s of memory, by what the card calls itself (a GH200 is no H200); sources are in
// bench/roofline/machines.ts.
struct Published {
    const char *name;
    double rate;
};
constexpr Published published[] = {{" RTX A6000", 768}, {" RTX 4090", 1008},
                                   {" H100 80GB HBM3", 3350}, {" H200", 4800}, {" B200", 8000}};

// Reads all and keeps next to nothing: a decode step reads nearly everything once.
__global__ void read_all(const uint4 *from, uint64_t count, uint32_t *to) {
    uint32_t sum = 0;
    uint64_t threads = uint64_t(gridDim.x) * blockDim.x;
#pragma unroll 4
    for (uint64_t i = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += threads) {
        uint4 x = __ldcs(from + i);
        sum ^= x.x ^ x.y ^ x.z ^ x.w;
    }
    if (sum == 0x12345678u) *to = sum;
}

double link_ms(Timer &timer, void *to, const void *from, uint64_t bytes) {
    return timer.time([&] {
        check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, timer.stream().stream), "a copy");
    });
}

}  // namespace

void measure_card(Run &run) {
    cudaDeviceProp gpu{};
    int cache = 0;
    size_t free_bytes = 0, total = 0;
    check(cudaSetDevice(0), "the bench");
    check(cudaGetDeviceProperties(&gpu, 0), "the bench");
    check(cudaDeviceGetAttribute(&cache, cudaDevAttrL2CacheSize, 0), "the bench");
    check(cudaMemGetInfo(&free_bytes, &total), "the bench");
    Card &card = run.card;
    card.name = gpu.name;
    card.emulated = card.name == "emulated device";
    card.multiprocessors = uint32_t(gpu.multiProcessorCount);
    card.cache_bytes = uint64_t(cache);
    card.free_bytes = free_bytes;
    for (const Published &each : published) {
        if (card.name.find(each.name) != std::string::npos) card.published = each.rate;
    }
    Timer timer(card, run.options);
    uint64_t bytes = std::min(uint64_t(run.options.copied_mib * 1048576), free_bytes / 8);
    Near<uint8_t> from(bytes / 16 * 16), to(bytes / 16 * 16);
    check(cudaMemsetAsync(from.data(), 7, from.bytes(), timer.stream().stream), "the bench");
    // Clocks rise under load: half a second of it, or what the emulated device does once.
    auto begun = std::chrono::steady_clock::now();
    auto read = [&] {
        read_all<<<8 * card.multiprocessors, 512, 0, timer.stream().stream>>>(
            reinterpret_cast<const uint4 *>(from.data()), from.bytes() / 16,
            reinterpret_cast<uint32_t *>(to.data()));
        launched("read_all");
    };
    do {
        read();
        timer.stream().finish();
    } while (!card.emulated &&
             std::chrono::steady_clock::now() - begun < std::chrono::milliseconds(500));
    card.read = gb_per_s(double(from.bytes()), timer.time(read));
    card.copy = gb_per_s(2 * double(from.bytes()),
                         link_ms(timer, to.data(), from.data(), from.bytes()));
}

void bench_card(const Run &run) {
    const Card &card = run.card;
    std::printf("card %s: %u multiprocessors, L2 %.1f MiB%s\n", card.name.c_str(),
                card.multiprocessors, double(card.cache_bytes) / 1048576,
                card.emulated ? "; EMULATED: no time here means anything" : "");
    std::printf("  memory: read %.1f GB/s, copy %.1f GB/s (read and written)", card.read,
                card.copy);
    if (card.published > 0) {
        std::printf(", published %.0f GB/s: read is %.0f %% of it", card.published,
                    100 * card.read / card.published);
    }
    uint64_t bytes = uint64_t(run.options.copied_mib * 1048576 / 4);
    Timer timer(card, run.options);
    Near<uint8_t> near(bytes);
    void *memory = nullptr;
    check(cudaHostAlloc(&memory, bytes, cudaHostAllocMapped), "the bench");
    std::memset(memory, 3, bytes);
    double in = gb_per_s(double(bytes), link_ms(timer, near.data(), memory, bytes));
    double out = gb_per_s(double(bytes), link_ms(timer, memory, near.data(), bytes));
    cudaFreeHost(memory);
    std::printf("\n  host link, copies of %.0f MiB: to the card %.1f GB/s, from it %.1f GB/s\n",
                double(bytes) / 1048576, in, out);
    run.add(Record("card").with("name", card.name)
                .with("multiprocessors", card.multiprocessors)
                .with("l2_bytes", double(card.cache_bytes)).with("read_gb_s", card.read)
                .with("copy_gb_s", card.copy).with("published_gb_s", card.published)
                .with("to_card_gb_s", in).with("from_card_gb_s", out));
}

}  // namespace bench

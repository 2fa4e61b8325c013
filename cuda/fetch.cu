// fetch.cu - the two ways of fetch.h.
#include "fetch.h"

#include <cstring>

#include "block.cuh"

namespace specache::cuda {
namespace {

// Few, so that they leave the multiprocessors to the compute stream; 32 blocks of 4 warps have
// 64 KB of 512-byte rows in flight, 25 GB/s times 2 us of the bus.
constexpr uint32_t fetch_blocks = 32;

// A warp a row. packed: rows lie one behind the other; else each where its copy says.
__global__ void place_rows(const uint8_t *from, const Copy *copies, const uint32_t *count,
                           uint32_t row_bytes, bool packed) {
    uint32_t warps = gridDim.x * warps_of_block();
    for (uint32_t i = blockIdx.x * warps_of_block() + warp_of(); i < *count; i += warps) {
        uint64_t at = packed ? uint64_t(i) * row_bytes : copies[i].from;
        const uint4 *row = reinterpret_cast<const uint4 *>(from + at);
        uint4 *to = reinterpret_cast<uint4 *>(copies[i].to);
        for (uint32_t part = lane_of(); part < row_bytes / sizeof(uint4); part += lanes) {
            to[part] = row[part];
        }
    }
}

}  // namespace

Fetcher::Fetcher(bool gathered, uint32_t copies_max, uint32_t row_bytes) : copies_max_(copies_max) {
    if (!gathered || copies_max == 0) return;
    uint64_t rows = uint64_t(copies_max) * row_bytes;
    auto pinned = []<class T>(std::unique_ptr<T[], FreeHost> &to, uint64_t count) {
        void *memory = nullptr;
        check(cudaHostAlloc(&memory, count * sizeof(T), cudaHostAllocMapped), "the fetcher");
        to.reset(static_cast<T *>(memory));
    };
    pinned(host_.copies, copies_max);
    pinned(host_.count, 1);
    pinned(host_.rows, rows);
    host_.row_bytes = row_bytes;
    void *near = nullptr;
    check(cudaMalloc(&near, rows), "the fetcher");
    near_.reset(static_cast<uint8_t *>(near));
}

void Fetcher::fetch(Stream &stream, const Fetch &fetch) {
    if (near_ != nullptr) return gather_and_copy(queue(stream), fetch);
    place_rows<<<fetch_blocks, block_threads, 0, queue(stream)>>>(
        fetch.far.memory, fetch.copies, fetch.count, fetch.row_bytes, false);
    launched("a fetch");
}

// On a thread of the runtime's, which may not call it.
void Fetcher::gather(void *gathering) {
    const Gathering &at = *static_cast<const Gathering *>(gathering);
    for (uint32_t i = 0; i < at.count[0]; i++) {
        std::memcpy(&at.rows[uint64_t(i) * at.row_bytes], at.far + at.copies[i].from, at.row_bytes);
    }
}

void Fetcher::gather_and_copy(cudaStream_t stream, const Fetch &fetch) {
    // The same at every fetch, and set at the first alone: a thread of the runtime's may read it.
    if (host_.far == nullptr) host_.far = fetch.far.memory;
    check(cudaMemcpyAsync(host_.count.get(), fetch.count, sizeof(uint32_t), cudaMemcpyDeviceToHost,
                          stream), "a fetch");
    check(cudaMemcpyAsync(host_.copies.get(), fetch.copies, copies_max_ * sizeof(Copy),
                          cudaMemcpyDeviceToHost, stream), "a fetch");
    check(cudaLaunchHostFunc(stream, gather, &host_), "a fetch");
    check(cudaMemcpyAsync(near_.get(), host_.rows.get(), uint64_t(copies_max_) * fetch.row_bytes,
                          cudaMemcpyHostToDevice, stream), "a fetch");
    place_rows<<<fetch_blocks, block_threads, 0, stream>>>(near_.get(), fetch.copies,
                                                           fetch.count, fetch.row_bytes, true);
    launched("a fetch");
}

}  // namespace specache::cuda

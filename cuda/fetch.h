// fetch.h - rows from one far memory, pinned host memory, to their places near, in one of two
// ways. Nothing waits for the host and nothing is allocated after the fetcher was made.
#pragma once
#include <memory>

#include "stream.h"

namespace specache::cuda {

struct FreeHost {
    void operator()(void *memory) const { cudaFreeHost(memory); }
};
struct FreeNear {
    void operator()(void *memory) const { cudaFree(memory); }
};

// gathered false: a kernel of few blocks reads the rows over the bus, does its rows and ends.
// gathered true: the list goes to the host, a host thread puts the rows one behind the other, one
// copy takes them over the bus, a kernel puts them in their places. The copy has to be of as many
// rows as there could be, since the host does not know the count when it is queued.
class Fetcher {
public:
    Fetcher(bool gathered, uint32_t copies_max, uint32_t row_bytes);
    void fetch(Stream &stream, const Fetch &fetch);

private:
    // Pinned, of the fetch at work: fetches of one stream follow one another.
    struct Gathering {
        std::unique_ptr<Copy[], FreeHost> copies;     // [copies_max]
        std::unique_ptr<uint32_t[], FreeHost> count;  // [1]
        std::unique_ptr<uint8_t[], FreeHost> rows;    // [copies_max] rows
        const uint8_t *far = nullptr;
        uint32_t row_bytes = 0;
    };
    static void gather(void *gathering);
    void gather_and_copy(cudaStream_t stream, const Fetch &fetch);

    const uint32_t copies_max_;
    Gathering host_;
    std::unique_ptr<uint8_t[], FreeNear> near_;  // [copies_max] rows; null: not gathered
};

}  // namespace specache::cuda

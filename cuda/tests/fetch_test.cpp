// fetch_test.cpp - rows from far to the places that their copies name, by both ways.
#include "../../native/tests/test.h"
#include "../fetch.h"
#include "near.h"

using namespace specache;
using fixture::Near;

namespace {

constexpr uint32_t far_rows = 300;

// Fetches every third row into places in reverse order, `count` of them, and looks at all places.
void check_fetch(bool gathered, uint32_t copies_max, uint32_t count, uint32_t row_bytes) {
    cuda::Fetcher fetcher(gathered, copies_max, row_bytes);
    Near<uint8_t> far(far_rows * row_bytes), places(copies_max * row_bytes, uint8_t(0xEE));
    for (size_t i = 0; i < far.size(); i++) far[i] = uint8_t(i * 31 + i / row_bytes * 7);
    Near<Copy> copies(copies_max);
    Near<uint32_t> counts(1, count);
    for (uint32_t i = 0; i < copies_max; i++) {
        copies[i] = {uint64_t(3 * i % far_rows) * row_bytes,
                     places.data() + uint64_t(copies_max - 1 - i) * row_bytes};
    }
    Fetch fetch{{far.data(), -1}, copies.data(), counts.data(), row_bytes, 0, 0, nullptr};
    for (int twice = 0; twice < 2; twice++) fetcher.fetch(fixture::near_stream(), fetch);
    fixture::finish_near();
    bool right = true;
    for (uint32_t i = 0; i < copies_max; i++) {
        for (uint32_t at = 0; at < row_bytes; at++) {
            uint8_t expected = i < count ? far[copies[i].from + at] : uint8_t(0xEE);
            right = right && copies[i].to[at] == expected;
        }
    }
    CHECK(right);
}

}  // namespace

TEST("a fetch puts each row in its place, and touches no other, by either way") {
    for (bool gathered : {false, true}) {
        for (uint32_t row_bytes : {64u, 320u, 1024u, 2048u, 3584u}) {
            for (uint32_t count : {0u, 1u, 128u, 131u}) {
                check_fetch(gathered, 131, count, row_bytes);
            }
        }
    }
}

TEST("a fetcher of no rows has nothing to gather with, and fetches none") {
    for (bool gathered : {false, true}) {
        cuda::Fetcher fetcher(gathered, 0, 512);
        Near<uint32_t> none(1, 0u);
        fetcher.fetch(fixture::near_stream(), {{nullptr, -1}, nullptr, none.data(), 512, 0, 0,
                                               nullptr});
        fixture::finish_near();
    }
}

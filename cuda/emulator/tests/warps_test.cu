// warps_test.cu - shuffles, votes, matches and reductions of a warp.
#include "../../../native/tests/test.h"
#include "device.h"

namespace {

// y (5, 32) i32: what each kind of shuffle gives to each lane.
__global__ void shuffles(int *y) {
    int lane = threadIdx.x;
    y[lane] = __shfl_xor_sync(~0u, lane, 5);
    y[32 + lane] = __shfl_up_sync(~0u, lane, 3);
    y[64 + lane] = __shfl_down_sync(~0u, lane, 3, 8);
    y[96 + lane] = __shfl_sync(~0u, lane, 2, 16);
    long long wide = __shfl_xor_sync(~0u, (long long)lane << 40, 1);
    y[128 + lane] = int(wide >> 40);
}

__global__ void votes(unsigned *y) {
    unsigned lane = threadIdx.x;
    unsigned odd = __ballot_sync(~0u, lane % 2);
    bool all = __all_sync(~0u, lane < 32), any = __any_sync(~0u, lane == 40);
    unsigned half = lane < 16 ? __ballot_sync(0xffffu, lane > 3) : 0;
    if (lane == 0) y[0] = odd, y[1] = all, y[2] = any, y[3] = half, y[4] = __activemask();
}

__global__ void matches(unsigned *y) {
    unsigned lane = threadIdx.x;
    int all = 0;
    y[lane] = __match_any_sync(~0u, lane / 8);
    y[32 + lane] = __match_all_sync(~0u, 7, &all) + all;
    y[64 + lane] = __match_all_sync(~0u, lane, &all) + all;
}

__global__ void reductions(int *y) {
    int lane = threadIdx.x, value = lane - 10;
    y[lane] = __reduce_add_sync(~0u, value);
    y[32 + lane] = __reduce_min_sync(~0u, value);
    y[64 + lane] = int(__reduce_max_sync(~0u, unsigned(lane)));
    y[96 + lane] = int(__reduce_xor_sync(~0u, 1u << lane % 16));
}

// Lanes go on alone between meetings, as since Volta.
__global__ void through_shared(int *y) {
    __shared__ int row[32];
    int lane = threadIdx.x;
    row[lane] = lane * lane;
    __syncwarp();
    int value = row[31 - lane];
    __syncwarp();
    if (lane < 8) row[lane] = value;
    if (lane < 8) __syncwarp(0xffu);
    y[lane] = lane < 8 ? row[7 - lane] : value;
}

}  // namespace

TEST("shuffles move values between lanes, in segments too") {
    int *y = on_device<int>(160);
    shuffles<<<1, 32, 0, main_stream()>>>(y);
    std::vector<int> got = download(y, 160);
    for (int lane = 0; lane < 32; lane++) {
        CHECK_NEAR(got[lane], lane ^ 5, 0);
        CHECK_NEAR(got[32 + lane], lane < 3 ? lane : lane - 3, 0);
        CHECK_NEAR(got[64 + lane], lane % 8 > 4 ? lane : lane + 3, 0);
        CHECK_NEAR(got[96 + lane], lane / 16 * 16 + 2, 0);
        CHECK_NEAR(got[128 + lane], lane ^ 1, 0);
    }
}

TEST("votes of a warp and of half of it") {
    unsigned *y = on_device<unsigned>(5);
    votes<<<1, 32, 0, main_stream()>>>(y);
    std::vector<unsigned> got = download(y, 5);
    CHECK(got[0] == 0xaaaaaaaau);
    CHECK(got[1] == 1 && got[2] == 0);
    CHECK(got[3] == 0xfff0u);
    CHECK(got[4] & 1);
}

TEST("match finds lanes with the same value") {
    unsigned *y = on_device<unsigned>(96);
    matches<<<1, 32, 0, main_stream()>>>(y);
    std::vector<unsigned> got = download(y, 96);
    for (int lane = 0; lane < 32; lane++) {
        CHECK(got[lane] == 0xffu << lane / 8 * 8);
        CHECK(got[32 + lane] == 0);  // all ones and 1
        CHECK(got[64 + lane] == 0);
    }
}

TEST("redux adds, compares and combines over a warp") {
    int *y = on_device<int>(128);
    reductions<<<1, 32, 0, main_stream()>>>(y);
    std::vector<int> got = download(y, 128);
    for (int lane = 0; lane < 32; lane++) {
        CHECK_NEAR(got[lane], 31 * 16 - 320, 0);
        CHECK_NEAR(got[32 + lane], -10, 0);
        CHECK_NEAR(got[64 + lane], 31, 0);
        CHECK_NEAR(got[96 + lane], 0, 0);
    }
}

TEST("syncwarp orders the accesses of its lanes") {
    int *y = on_device<int>(32);
    through_shared<<<1, 32, 0, main_stream()>>>(y);
    std::vector<int> got = download(y, 32);
    for (int lane = 0; lane < 32; lane++) {
        int from = lane < 8 ? 31 - (7 - lane) : 31 - lane;
        CHECK_NEAR(got[lane], from * from, 0);
    }
}

// tensor_test.cu - matrix products of a warp against plain loops, and what feeds them.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "../../../native/tests/test.h"
#include "device.h"

namespace {

__device__ uint32_t shared_place(const void *at) { return uint32_t(__cvta_generic_to_shared(at)); }

// A (16, 16), B given as its columns (8, 16), C (16, 8) f32: ldmatrix, then one product.
template <class H> __global__ void product_of_halves(const H *a, const H *b, float *c) {
    __shared__ alignas(16) H left[16][16], right[8][16];
    int lane = threadIdx.x;
    for (int i = lane; i < 256; i += 32) left[i / 16][i % 16] = a[i];
    for (int i = lane; i < 128; i += 32) right[i / 16][i % 16] = b[i];
    __syncwarp();
    uint32_t a0, a1, a2, a3, b0, b1;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a0), "=r"(a1), "=r"(a2), "=r"(a3)
                 : "r"(shared_place(&left[lane % 16][lane / 16 * 8])));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(b0), "=r"(b1)
                 : "r"(shared_place(&right[lane % 8][lane / 8 % 2 * 8])));
    float d[4] = {};
    if constexpr (sizeof(H) == 2 && std::is_same_v<H, __half>) {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    } else {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    }
    for (int i = 0; i < 4; i++) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}

// A (16, 32) i8 or u8, B's columns (8, 32) i8, C (16, 8) i32; words of both straight from memory.
template <bool is_signed> __global__ void product_of_bytes(const uint32_t *a, const uint32_t *b,
                                                           int *c) {
    int lane = threadIdx.x, row = lane / 4, word = lane % 4;
    uint32_t a0 = a[row * 8 + word], a1 = a[(row + 8) * 8 + word], a2 = a[row * 8 + word + 4],
             a3 = a[(row + 8) * 8 + word + 4], b0 = b[row * 8 + word], b1 = b[row * 8 + word + 4];
    int d[4] = {1, 2, 3, 4};
    if constexpr (is_signed) {
        asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                     : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    } else {
        asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                     : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    }
    for (int i = 0; i < 4; i++) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}

// The shape that sm_75 has: A (8, 16) i8, B's columns (8, 16) i8, C (8, 8) i32.
__global__ void small_product_of_bytes(const uint32_t *a, const uint32_t *b, int *c) {
    int lane = threadIdx.x, d[2] = {};
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                 : "+r"(d[0]), "+r"(d[1])
                 : "r"(a[lane]), "r"(b[lane]));
    c[lane * 2] = d[0], c[lane * 2 + 1] = d[1];
}

__global__ void load_transposed(const uint16_t *from, uint32_t *to) {
    __shared__ alignas(16) uint16_t rows[8][8];
    int lane = threadIdx.x;
    for (int i = lane; i < 64; i += 32) rows[i / 8][i % 8] = from[i];
    __syncwarp();
    uint32_t got;
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(got)
                 : "r"(shared_place(rows[lane % 8])));
    to[lane] = got;
}

// Four matrices beside each other: from (8, 32).
__global__ void load_four_transposed(const uint16_t *from, uint32_t *to) {
    __shared__ alignas(16) uint16_t rows[8][32];
    int lane = threadIdx.x;
    for (int i = lane; i < 256; i += 32) rows[i / 32][i % 32] = from[i];
    __syncwarp();
    uint32_t *got = to + lane * 4;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(got[0]), "=r"(got[1]), "=r"(got[2]), "=r"(got[3])
                 : "r"(shared_place(&rows[lane % 8][lane / 8 * 8])));
}

template <class H> void check_halves(H (*narrow)(float), float (*widen)(H)) {
    std::vector<H> a(256), b(128);
    for (int i = 0; i < 256; i++) a[i] = narrow(float(i * 7 % 23 - 11) / 4);
    for (int i = 0; i < 128; i++) b[i] = narrow(float(i * 5 % 19 - 9) / 8);
    float *c = on_device<float>(128);
    product_of_halves<<<1, 32, 0, main_stream()>>>(upload(a), upload(b), c);
    std::vector<float> got = download(c, 128);
    for (int i = 0; i < 128; i++) {
        float sum = 0;
        for (int k = 0; k < 16; k++) sum += widen(a[i / 8 * 16 + k]) * widen(b[i % 8 * 16 + k]);
        CHECK_NEAR(got[i], sum, 0);
    }
}

template <class A> void check_bytes(void (*kernel)(const uint32_t *, const uint32_t *, int *)) {
    std::vector<uint32_t> a(128), b(64);
    for (uint32_t i = 0; i < 128; i++) a[i] = i * 2654435761u;
    for (uint32_t i = 0; i < 64; i++) b[i] = i * 40503u * 65521u + 77;
    int *c = on_device<int>(128);
    kernel<<<1, 32, 0, main_stream()>>>(upload(a), upload(b), c);
    std::vector<int> got = download(c, 128);
    for (int row = 0; row < 16; row++) {
        for (int column = 0; column < 8; column++) {
            int sum = 1 + column % 2 + row / 8 * 2;
            for (int k = 0; k < 32; k++) {
                sum += A(a[row * 8 + k / 4] >> k % 4 * 8) *
                       int8_t(b[column * 8 + k / 4] >> k % 4 * 8);
            }
            CHECK_NEAR(got[row * 8 + column], sum, 0);
        }
    }
}

}  // namespace

TEST("mma of halves loaded by ldmatrix") {
    check_halves<__half>([](float value) { return __float2half(value); },
                         [](__half value) { return __half2float(value); });
}

TEST("mma of bf16 loaded by ldmatrix") {
    check_halves<__nv_bfloat16>([](float value) { return __float2bfloat16(value); },
                                [](__nv_bfloat16 value) { return __bfloat162float(value); });
}

TEST("mma of signed bytes") { check_bytes<int8_t>(product_of_bytes<true>); }
TEST("mma of unsigned with signed bytes") { check_bytes<uint8_t>(product_of_bytes<false>); }

TEST("mma of bytes in the shape of sm_75") {
    std::vector<uint32_t> a(32), b(32);
    for (uint32_t i = 0; i < 32; i++) a[i] = i * 2654435761u, b[i] = ~i * 40503u;
    int *c = on_device<int>(64);
    small_product_of_bytes<<<1, 32, 0, main_stream()>>>(upload(a), upload(b), c);
    std::vector<int> got = download(c, 64);
    for (int i = 0; i < 64; i++) {
        int sum = 0;
        for (int k = 0; k < 16; k++) {
            sum += int8_t(a[i / 8 * 4 + k / 4] >> k % 4 * 8) *
                   int8_t(b[i % 8 * 4 + k / 4] >> k % 4 * 8);
        }
        CHECK_NEAR(got[i], sum, 0);
    }
}

TEST("ldmatrix transposes") {
    std::vector<uint16_t> from(64);
    for (int i = 0; i < 64; i++) from[i] = uint16_t(i * 3);
    uint32_t *to = on_device<uint32_t>(32);
    load_transposed<<<1, 32, 0, main_stream()>>>(upload(from), to);
    std::vector<uint32_t> got = download(to, 32);
    for (int lane = 0; lane < 32; lane++) {
        CHECK_NEAR(got[lane] & 0xffff, from[lane % 4 * 2 * 8 + lane / 4], 0);
        CHECK_NEAR(got[lane] >> 16, from[(lane % 4 * 2 + 1) * 8 + lane / 4], 0);
    }
}

TEST("ldmatrix transposes four matrices, each of its own place") {
    std::vector<uint16_t> from(256);
    for (int i = 0; i < 256; i++) from[i] = uint16_t(i * 3);
    uint32_t *to = on_device<uint32_t>(128);
    load_four_transposed<<<1, 32, 0, main_stream()>>>(upload(from), to);
    std::vector<uint32_t> got = download(to, 128);
    for (int i = 0; i < 128; i++) {
        int lane = i / 4, column = i % 4 * 8 + lane / 4, row = lane % 4 * 2;
        CHECK_NEAR(got[i] & 0xffff, from[row * 32 + column], 0);
        CHECK_NEAR(got[i] >> 16, from[(row + 1) * 32 + column], 0);
    }
}

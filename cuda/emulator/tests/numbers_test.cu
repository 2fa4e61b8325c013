// numbers_test.cu - integer, bit, byte and float arithmetic against plain C++.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "../../../native/tests/test.h"
#include "device.h"

namespace {

__device__ unsigned insert(unsigned field, unsigned into, unsigned from, unsigned bits) {
    unsigned result;
    asm("bfi.b32 %0, %1, %2, %3, %4;" : "=r"(result) : "r"(field), "r"(into), "r"(from), "r"(bits));
    return result;
}
__device__ int extract(int value, unsigned from, unsigned bits) {
    int result;
    asm("bfe.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(value), "r"(from), "r"(bits));
    return result;
}
__device__ int highest(int value) {
    int result;
    asm("bfind.s32 %0, %1;" : "=r"(result) : "r"(value));
    return result;
}

__global__ void bits(const unsigned *x, unsigned *y) {
    unsigned a = x[0], b = x[1];
    y[0] = __popc(a), y[1] = __brev(a), y[2] = __clz(b), y[3] = __ffs(b), y[4] = __fns(a, 0, 3);
    y[5] = insert(a, b, 4, 9), y[6] = unsigned(extract(int(a), 3, 7)), y[7] = highest(int(a));
    y[8] = __byte_perm(a, b, 0x7241), y[9] = __funnelshift_l(a, b, 11);
    y[10] = __funnelshift_r(a, b, 45), y[11] = (a & b) ^ (~a | x[2]);
    y[12] = __sad(int(a), int(b), 5), y[13] = unsigned(__popcll((uint64_t(a) << 32) | b));
}

__global__ void products(const int *x, int *y, long long *wide) {
    int a = x[0], b = x[1];
    y[0] = __dp4a(a, b, 7), y[1] = int(__dp4a(unsigned(a), unsigned(b), 7u));
    y[2] = __dp2a_lo(a, b, 1), y[3] = __dp2a_hi(a, b, 1), y[4] = __mulhi(a, b), y[5] = a / x[2];
    y[6] = a % x[2], y[7] = int(unsigned(a) / unsigned(x[2])), y[8] = min(a, b), y[9] = max(a, b);
    wide[0] = (long long)a * b + x[2], wide[1] = wide[0] / x[2];
    wide[2] = (long long)__umul64hi(wide[0], ~0ull);
}

__global__ void floats(const float *x, float *y) {
    float a = x[0], b = x[1];
    y[0] = copysignf(a, b), y[1] = fmaf(a, b, 2.0f), y[2] = a / b, y[3] = sqrtf(a);
    y[4] = rsqrtf(a);
    y[5] = exp2f(b), y[6] = log2f(a), y[7] = sinf(a), y[8] = cosf(a), y[9] = expf(b);
    y[10] = fminf(a, b), y[11] = floorf(b), y[12] = truncf(b), y[13] = rintf(b), y[14] = tanhf(b);
    sincosf(x[2], &y[15], &y[16]);  // so large that its argument is reduced in integers
    y[17] = float(double(a) * double(b) / 3.0), y[18] = __saturatef(a), y[19] = isnan(a);
}

__global__ void conversions(const float *x, int *y) {
    y[0] = int(x[0]), y[1] = __float2int_rn(x[0]), y[2] = __float2int_ru(x[1]);
    y[3] = __float2int_rd(x[1]), y[4] = int(x[2]), y[5] = int(unsigned(x[3]));
    y[6] = int(int8_t(int(x[0]))), y[7] = __half_as_ushort(__float2half_rn(x[4]));
    y[8] = __half_as_ushort(__float2half_rz(x[4]));
    y[9] = __bfloat16_as_ushort(__float2bfloat16(x[4]));
    y[10] = int(__float_as_uint(__int2float_rn(16777217))), y[11] = int(double(x[1]) * 1e6);
    y[12] = int(float(uint8_t(200)) + float(int16_t(-300)));
    int packed;
    asm("cvt.pack.sat.s8.s32.b32 %0, %1, %2, %3;" : "=r"(packed) : "r"(-300), "r"(5), "r"(0));
    y[13] = packed;
    uint32_t tf32;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(tf32) : "f"(x[4]));
    y[14] = int(tf32);
}

__global__ void halves(const __half2 *x, __half2 *y, const __nv_bfloat162 *u, __nv_bfloat162 *v) {
    y[0] = __hfma2(x[0], x[1], x[2]), y[1] = __hadd2(x[0], x[1]), y[2] = __hmul2(x[0], x[2]);
    y[3] = __hmax2(x[0], x[1]), y[4] = __hneg2(x[0]);
    y[5] = __halves2half2(__hsub(x[0].x, x[1].y), __hlt(x[0].x, x[1].x) ? x[0].x : x[1].x);
    v[0] = __hfma2(u[0], u[1], u[2]), v[1] = __hadd2(u[0], u[1]), v[2] = __hmul2(u[0], u[2]);
    v[3] = __hmin2(u[0], u[1]), v[4] = __habs2(u[0]);
    v[5] = __floats2bfloat162_rn(__low2float(u[0]) + 1.0f, __high2float(u[1]) * 3.0f);
}

float as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace

TEST("bits are counted, turned, found, inserted and permuted") {
    unsigned a = 0x9b31f00du, b = 0x0004c3a8u, c = 0x12345678u;
    unsigned *x = upload(std::vector<unsigned>{a, b, c}), *y = on_device<unsigned>(14);
    bits<<<1, 1, 0, main_stream()>>>(x, y);
    std::vector<unsigned> got = download(y, 14);
    unsigned turned = 0;
    for (int i = 0; i < 32; i++) turned |= (a >> i & 1) << (31 - i);
    CHECK(got[0] == unsigned(__builtin_popcount(a)) && got[1] == turned);
    CHECK(got[2] == unsigned(__builtin_clz(b)) && got[3] == unsigned(__builtin_ffs(int(b))));
    CHECK(got[4] == 3);  // bits 0, 2, 3 of d
    CHECK(got[5] == ((b & ~(0x1ffu << 4)) | (a & 0x1ff) << 4));
    CHECK(int(got[6]) == int(a << 22) >> 25);
    CHECK(got[7] == 30);  // the highest zero of a negative number
    CHECK(got[8] == ((b >> 24) << 24 | (a >> 16 & 255) << 16 | (b & 255) << 8 | (a >> 8 & 255)));
    CHECK(got[9] == (b << 11 | a >> 21) && got[10] == (a >> 13 | b << 19));
    CHECK(got[11] == ((a & b) ^ (~a | c)));
    CHECK(got[12] == b - a + 5);
    CHECK(got[13] == unsigned(__builtin_popcount(a) + __builtin_popcount(b)));
}

TEST("integer products, sums of byte products and quotients") {
    int a = -123456789, b = 0x7f80ff01, c = 37;
    int *x = upload(std::vector<int>{a, b, c}), *y = on_device<int>(10);
    long long *wide = on_device<long long>(3);
    products<<<1, 1, 0, main_stream()>>>(x, y, wide);
    std::vector<int> got = download(y, 10);
    std::vector<long long> got_wide = download(wide, 3);
    int bytes = 7, unsigned_bytes = 7, low = 1, high = 1;
    for (int i = 0; i < 4; i++) {
        bytes += int8_t(a >> 8 * i) * int8_t(b >> 8 * i);
        unsigned_bytes += uint8_t(a >> 8 * i) * uint8_t(b >> 8 * i);
    }
    for (int i = 0; i < 2; i++) {
        low += int16_t(a >> 16 * i) * int8_t(b >> 8 * i);
        high += int16_t(a >> 16 * i) * int8_t(b >> (8 * i + 16));
    }
    CHECK(got[0] == bytes && got[1] == unsigned_bytes && got[2] == low && got[3] == high);
    CHECK(got[4] == int((long long)a * b >> 32) && got[5] == a / c && got[6] == a % c);
    CHECK(unsigned(got[7]) == unsigned(a) / unsigned(c) && got[8] == a && got[9] == b);
    long long product = (long long)a * b + c;
    CHECK(got_wide[0] == product && got_wide[1] == product / c);
    CHECK(got_wide[2] == (long long)((unsigned __int128)(unsigned long long)product * ~0ull >> 64));
}

TEST("float functions are within a few ulps of the host's") {
    float a = 2.75f, b = -1.375f, large = 1e6f;
    float *x = upload(std::vector<float>{a, b, large}), *y = on_device<float>(20);
    floats<<<1, 1, 0, main_stream()>>>(x, y);
    std::vector<float> got = download(y, 20);
    float wanted[] = {std::copysign(a, b), std::fma(a, b, 2.0f), a / b, std::sqrt(a),
                      1 / std::sqrt(a), std::exp2(b), std::log2(a), std::sin(a), std::cos(a),
                      std::exp(b), b, std::floor(b), std::trunc(b), std::rint(b), std::tanh(b),
                      std::sin(large), std::cos(large), a * b / 3, 1, 0};
    constexpr float tolerance = 4e-7f;  // about 3 ulps of what is near 1
    for (int i = 0; i < 20; i++) CHECK_NEAR(got[i], wanted[i], tolerance);
}

TEST("conversions round and saturate as asked") {
    float third = 1.0f / 3;
    float *x = upload(std::vector<float>{2.5f, -1.25f, 1e20f, -7.0f, third});
    int *y = on_device<int>(15);
    conversions<<<1, 1, 0, main_stream()>>>(x, y);
    std::vector<int> got = download(y, 15);
    CHECK(got[0] == 2 && got[1] == 2 && got[2] == -1 && got[3] == -2);
    CHECK(got[4] == 0x7fffffff && got[5] == 0 && got[6] == 2);
    CHECK(got[7] == 0x3555 && got[8] == 0x3555 && got[9] == 0x3eab);
    CHECK(as_float(unsigned(got[10])) == 16777216.0f && got[11] == -1250000 && got[12] == -100);
    CHECK((got[13] & 0xffff) == 0x8005);
    CHECK(as_float(unsigned(got[14])) == as_float(0x3eaaa000u));
}

TEST("halves and bf16 are rounded once") {
    std::vector<__half2> x{{1.5f, -2.25f}, {0.1f, 3.0f}, {100.0f, 0.001f}};
    std::vector<__nv_bfloat162> u{{1.5f, -2.25f}, {0.1f, 3.0f}, {100.0f, 0.001f}};
    __half2 *y = on_device<__half2>(6);
    __nv_bfloat162 *v = on_device<__nv_bfloat162>(6);
    halves<<<1, 1, 0, main_stream()>>>(upload(x), y, upload(u), v);
    std::vector<__half2> got = download(y, 6);
    std::vector<__nv_bfloat162> got_bf16 = download(v, 6);
    auto h = [](double value) { return __half2float(__double2half(value)); };
    auto b = [](double value) { return __bfloat162float(__double2bfloat16(value)); };
    float x0 = __half2float(x[0].x), x1 = __half2float(x[1].x), x2 = __half2float(x[2].x);
    CHECK_NEAR(__half2float(got[0].x), h(double(x0) * x1 + x2), 0);
    CHECK_NEAR(__half2float(got[1].x), h(double(x0) + x1), 0);
    CHECK_NEAR(__half2float(got[2].x), h(double(x0) * x2), 0);
    CHECK_NEAR(__half2float(got[3].y), 3, 0);
    CHECK_NEAR(__half2float(got[4].y), 2.25, 0);
    CHECK_NEAR(__half2float(got[5].y), x1, 0);
    float u0 = __bfloat162float(u[0].x), u1 = __bfloat162float(u[1].x);
    float u2 = __bfloat162float(u[2].x);
    CHECK_NEAR(__bfloat162float(got_bf16[0].x), b(double(u0) * u1 + u2), 0);
    CHECK_NEAR(__bfloat162float(got_bf16[1].x), b(double(u0) + u1), 0);
    CHECK_NEAR(__bfloat162float(got_bf16[2].x), b(double(u0) * u2), 0);
    CHECK_NEAR(__bfloat162float(got_bf16[3].y), -2.25, 0);
    CHECK_NEAR(__bfloat162float(got_bf16[4].y), 2.25, 0);
    CHECK_NEAR(__bfloat162float(got_bf16[5].x), 2.5, 0);
}

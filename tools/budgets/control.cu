// control.cu - kernels whose machine code is known beforehand: each holds one sort of instruction
// an exact number of times. The opcodes that sass.ts counts were found, not documented; these
// kernels confirm them with the same nvcc and target in the same run.
#include <cstdint>

extern "C" {

__global__ void control_copy(const float4 *from, float4 *to) {  // one 128-bit load, one store
    to[threadIdx.x] = from[threadIdx.x];
}

__global__ void control_bytes(const uint8_t *from, uint8_t *to) {  // one 8-bit load, one store
    to[threadIdx.x] = from[threadIdx.x];
}

// Three products of 8-bit integers.
__global__ void control_product(const int4 *from, int4 *to) {
    int4 a = from[0], c = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < 3; i++) {
        asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%4, %5}, {%0, %1, %2, %3};"
                     : "+r"(c.x), "+r"(c.y), "+r"(c.z), "+r"(c.w)
                     : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w));
    }
    to[threadIdx.x] = c;
}

// Two products of bf16 numbers.
__global__ void control_half_product(const int4 *from, float4 *to) {
    int4 a = from[0];
    float4 c = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%4, %5}, {%0, %1, %2, %3};"
                     : "+f"(c.x), "+f"(c.y), "+f"(c.z), "+f"(c.w)
                     : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w));
    }
    to[threadIdx.x] = c;
}

// Two barriers and one 32-bit load of shared memory.
__global__ void control_shared(const int *from, int *to) {
    __shared__ int held[64];
    held[threadIdx.x] = from[threadIdx.x];
    __syncthreads();
    int x = held[threadIdx.x ^ 1];
    __syncthreads();
    to[threadIdx.x] = x;
}

// A loop of two shuffles, and one more behind it.
__global__ void control_loop(const int *from, int *to, int count) {
    int x = from[threadIdx.x];
#pragma unroll 1
    for (int i = 0; i < count; i++) {
        x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
        x ^= __shfl_xor_sync(0xFFFFFFFFu, x, 2);
    }
    to[threadIdx.x] = __shfl_sync(0xFFFFFFFFu, x, 5);
}

// One load by an address that may be of any memory.
__global__ void control_generic(const int *from, int *to) {
    int x;
    asm volatile("ld.b32 %0, [%1];" : "=r"(x) : "l"(from + threadIdx.x) : "memory");
    to[threadIdx.x] = x;
}
}

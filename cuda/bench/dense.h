// dense.h - the rival: attention of one new token over a dense 16-bit cache, the sequences of a
// batch in one launch. Head dimension 128 and 4 query heads a KV head, known when it is compiled.
#pragma once
#include <cuda_runtime.h>

#include "../../native/kernels.h"

namespace bench {

constexpr uint32_t dense_dim = 128, dense_group = 4;

struct Dense {
    specache::Type type;           // f16 or bf16
    const void *keys, *values;     // [sequences][kv_heads][tokens][128]
    const float *queries;          // [sequences][kv_heads * 4][128]
    float *partials;               // dense_partials() floats
    float *outputs;                // as queries
    uint32_t sequences, kv_heads, tokens;
    uint32_t splits;               // of the tokens, at least one for each block of a head
    float scale;
};

inline uint64_t dense_partials(uint32_t sequences, uint32_t kv_heads, uint32_t splits) {
    return uint64_t(sequences) * kv_heads * dense_group * splits * (dense_dim + 2);
}

void dense(cudaStream_t stream, const Dense &dense);

}  // namespace bench

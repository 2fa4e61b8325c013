// borrowed.h - a caller's buffers in host memory, as near memory while a call works on them.
#pragma once
#include "store/store.h"

namespace specache {

enum class Where { near, host };  // where queries, keys, values and outputs are

struct Borrowed {
    // queries and outputs null: not wanted. tokens: at most chunk_tokens.
    Borrowed(Store &store_in, Where where, uint32_t tokens_in, const float *queries_in,
             const float *keys_in, const float *values_in, float *outputs_in)
        : store(store_in), tokens(tokens_in), queries(queries_in), keys(keys_in),
          values(values_in), outputs(outputs_in) {
        if (where == Where::near || store.device->shares_memory()) return;
        const Work &work = store.work;
        uint64_t kv = bytes(store.plan.config.kv_heads);
        store.device->upload(work.lent_keys, keys, kv);
        store.device->upload(work.lent_values, values, kv);
        keys = work.lent_keys;
        values = work.lent_values;
        if (queries == nullptr) return;
        store.device->upload(work.lent_queries, queries, bytes(store.plan.config.query_heads));
        queries = work.lent_queries;
        to = outputs;
        outputs = work.lent_outputs;
    }
    // To be called when the work is queued: what came out goes to the caller.
    void give_back() const {
        if (to == nullptr) return;
        store.device->download(to, outputs, bytes(store.plan.config.query_heads));
    }

    Store &store;
    uint32_t tokens;
    const float *queries, *keys, *values;  // [tokens][heads][head_dim]
    float *outputs;                        // [tokens][query_heads][head_dim]

private:
    uint64_t bytes(uint32_t heads) const {
        return uint64_t(tokens) * heads * store.plan.config.head_dim * sizeof(float);
    }
    float *to = nullptr;  // host memory, where near memory is another
};

}  // namespace specache

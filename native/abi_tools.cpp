// abi_tools.cpp - the part of the ABI that measures and tests: audits, recordings, benches, hooks.
#include <algorithm>
#include <bit>
#include <cstring>

#include "abi.h"
#include "audit.h"
#include "bench.h"
#include "watch.h"

using namespace specache;

EXPORT int32_t specache_record(uint64_t id) {
    return on_store(id, [&](Store &store) {
        const specache_config &config = store.plan.config;
        store.recorded.resize(uint64_t(config.layers) * config.query_heads * config.head_dim);
    });
}

EXPORT int32_t specache_audit(uint64_t id, uint32_t share_bits, uint32_t seed_low,
                              uint32_t seed_high) {
    return on_store(id, [&](Store &store) {
        set_audit(store, std::bit_cast<float>(share_bits), uint64_t(seed_high) << 32 | seed_low);
    });
}

EXPORT int32_t specache_audited(uint64_t id, uint64_t sequence, double *sums) {
    return on_store(id, [&](Store &store) {
        not_null("sums", sums);
        audited(store, store.sequence(sequence), sums);
    });
}

EXPORT int32_t specache_recorded(uint64_t id, float *queries) {
    return on_store(id, [&](Store &store) {
        not_null("queries", queries);
        if (store.recorded.empty()) fail(SPECACHE_ARGUMENT, "nothing is recorded");
        std::copy(store.recorded.begin(), store.recorded.end(), queries);
    });
}

EXPORT int32_t specache_watch(uint64_t id, uint64_t sequence) {
    return on_store(id, [&](Store &store) {
        set_watch(store, sequence == 0 ? nullptr : &store.sequence(sequence));
    });
}

EXPORT int32_t specache_watched(uint64_t id, uint32_t *position_out, uint32_t *counts,
                                uint32_t *tokens, uint8_t *sources) {
    return on_store(id, [&](Store &store) {
        not_null("position_out", position_out);
        not_null("counts", counts);
        if (store.plan.config.k_max != 0) {
            not_null("tokens", tokens);
            not_null("sources", sources);
        }
        *position_out = watched(store, counts, tokens, sources);
    });
}

EXPORT int32_t specache_delay(uint64_t id, uint32_t seed, uint32_t microseconds) {
    return guarded([&] { find(id)->device->delay(seed, microseconds); });
}

EXPORT int32_t specache_hold(uint64_t id, uint32_t layer) {
    return guarded([&] { find(id)->device->hold(layer); });
}

EXPORT int32_t specache_release(uint64_t id) {
    return guarded([&] { find(id)->device->unhold(); });
}

EXPORT int32_t specache_fill(uint64_t id, uint64_t sequence, uint32_t tokens, uint32_t seed) {
    return on_store(id, [&](Store &store) {
        fill(store, store.sequence(sequence), tokens, seed);
    });
}

EXPORT int32_t specache_time(uint64_t *nanoseconds_out) {
    return guarded([&] {
        not_null("nanoseconds_out", nanoseconds_out);
        *nanoseconds_out = call_nanoseconds;
    });
}

EXPORT int32_t specache_read_far(uint64_t id, uint64_t first, uint64_t bytes,
                                 uint64_t *nanoseconds_out) {
    return on_store(id, [&](Store &store) {
        not_null("nanoseconds_out", nanoseconds_out);
        *nanoseconds_out = read_far(store, first, bytes);
    });
}

EXPORT int32_t specache_far_access(uint64_t id, uint64_t *values_out) {
    return on_store(id, [&](Store &store) {
        not_null("values_out", values_out);
        FarAccess access = store.device->far_access();
        const uint64_t values[SPECACHE_FAR_COUNT] = {access.direct, access.ring, access.alignment,
                                                     access.reads_most, access.reads, access.bytes};
        std::copy(std::begin(values), std::end(values), values_out);
    });
}

EXPORT int32_t specache_far_reads(uint64_t id, uint32_t reads, uint32_t bytes, uint32_t seed,
                                  uint64_t *nanoseconds_out) {
    return on_store(id, [&](Store &store) {
        not_null("nanoseconds_out", nanoseconds_out);
        *nanoseconds_out = far_reads_time(store, reads, bytes, seed);
    });
}

EXPORT int32_t specache_trace_start(uint64_t id, uint32_t events_max) {
    return guarded([&] { find(id)->device->trace_start(events_max); });
}

EXPORT int32_t specache_trace(uint64_t id, uint64_t *events, uint32_t events_max,
                              uint32_t *events_out) {
    return guarded([&] {
        not_null("events", events);
        not_null("events_out", events_out);
        *events_out = find(id)->device->trace_copy(events, events_max);
    });
}

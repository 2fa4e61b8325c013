// cancel_test.cpp - a cancel is heard within a layer, and what it ended can be asked for again.
#include "driver.h"
#include "product.h"
#include "tables.h"

using driver::far_path;
using driver::Run;
using driver::same_bits;
using driver::small_config;
using namespace specache;

namespace {

// Prefilled and decoded alike, in RAM or in a file; outputs from here on.
struct Pair {
    Run plain, run;
    Pair(uint32_t far, uint32_t held)
        : plain(config(far), far_path().c_str()), run(config(far), far_path().c_str()) {
        for (Run *each : {&plain, &run}) {
            CHECK(each->prefill(0, 300) == SPECACHE_OK);
            CHECK(each->decode(300, held - 300, 1, 32) == SPECACHE_OK);
            each->outputs.clear();
        }
    }
    static specache_config config(uint32_t far) {
        specache_config config = small_config();
        config.far = far;
        config.slots = far == 1 ? 40 : 0;
        return config;
    }
    void check_alike(uint32_t first) {
        CHECK(plain.decode(first, 70, 1, 32) == SPECACHE_OK);
        CHECK(run.decode(first, 70, 1, 32) == SPECACHE_OK);
        CHECK(same_bits(plain.outputs, run.outputs));
    }
};

}  // namespace

TEST("a step whose page is cancelled half way is dropped, and gives the same bits again") {
    for (uint32_t far : {0u, 1u}) {
        Pair pair(far, 319);  // the next token fills a page
        Run &run = pair.run;
        specache_options options{32, 1, 0};
        CHECK(specache_begin(run.store, run.sequence, 2, 1, &options) == SPECACHE_OK);
        for (uint32_t layer = 0; layer < 3; layer++) run.attend(layer, 319, 2);
        CHECK(specache_cancel(run.store) == SPECACHE_OK);
        CHECK(specache_keep(run.store, run.sequence, 1) == SPECACHE_CANCELLED);
        CHECK(specache_keep(run.store, run.sequence, 1) == SPECACHE_ARGUMENT);
        CHECK(run.stats()[SPECACHE_STATS_TOKENS] == 319);
        run.outputs.clear();
        pair.check_alike(319);
    }
}

TEST("a layer of a run that is cancelled can be asked for again") {
    for (uint32_t far : {0u, 1u}) {
        Pair pair(far, 310);
        Run &run = pair.run;
        for (uint32_t layer : {1u, 0u, 2u}) {
            auto q = run.make(0, layer, 310, 400, 6), k = run.make(1, layer, 310, 400, 2);
            auto v = run.make(2, layer, 310, 400, 2), out = q, again = q;
            auto append = [&](Run &each, std::vector<float> &outputs) {
                return specache_append(each.store, each.sequence, layer, 400, q.data(), k.data(),
                                       v.data(), outputs.data());
            };
            CHECK(specache_cancel(run.store) == SPECACHE_OK);
            CHECK(append(run, again) == SPECACHE_CANCELLED);
            CHECK(append(run, again) == SPECACHE_OK);
            CHECK(append(pair.plain, out) == SPECACHE_OK);
            CHECK(same_bits(out, again));
        }
        pair.check_alike(710);
    }
}

TEST("a product that is cancelled leaves out what no thread has begun") {
    std::mt19937 random(21);
    fixture::Product product(Type::q8_0, 95, 64, 4, false, false, random);
    std::atomic<bool> cancelled{false};
    Threads threads(3);
    CpuStream stream;
    stream.threads = &threads;
    stream.cancelled = &cancelled;
    for (const Kernels *kernels : fast_tables()) {
        for (bool prefill : {false, true}) {
            cancelled = false;
            auto whole = product.by(kernels->project, prefill, 4, stream);
            CHECK(whole == product.by(kernels->project, prefill, 4));
            cancelled = true;
            CHECK(product.by(kernels->project, prefill, 4, stream) == product.out);
        }
    }
}

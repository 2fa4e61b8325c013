// slots_test.cpp - the CUDA device's cache of fetched rows against the reference, step after step.
#include "slots.h"

using namespace slots;

TEST("CUDA resolve() and settle() hold the reference's rows over many steps and sizes") {
    uint64_t late = 0, reused = 0, prefetched = 0;
    for (uint32_t i = 0; i < 12; i++) {
        Options options;
        options.kv_heads = i % 4 + 1;
        options.k = std::vector<uint32_t>{1, 7, 20, 40, 200}[i % 5];
        options.inputs = i / 4 + 2;
        options.slots = std::vector<uint32_t>{1, 12, 30, 150}[i / 3];
        options.arriving = std::min(options.slots, std::vector<uint32_t>{4, 64, 11}[i % 3]);
        options.guesses_first = i % 2 == 0;
        options.seed = i;
        options.steps = 20;
        Counters counters = compare(options);
        late += counters.late_rows;
        reused += counters.reused_rows;
        prefetched += counters.prefetched_rows;
    }
    CHECK(late > 0 && reused > 0 && prefetched > 0);
}

TEST("CUDA resolve() and settle() move rows of every type and of more parts than threads") {
    for (Type type : {Type::f32, Type::f16, Type::bf16}) {
        for (uint32_t dim : {16u, 24u, 80u, 256u}) {
            Options options;
            options.head_dim = dim;
            options.kv_type = type;
            options.k = 40;
            options.slots = 50;
            options.steps = 6;
            compare(options);
        }
    }
}

TEST("CUDA resolve() reads late rows above the given value alone") {
    uint64_t all = 0;
    for (float above : {-1.0f, 0.0f, 0.01f, 0.02f, INFINITY}) {
        Options options;
        options.late_above = above;
        options.values = Values::few;
        options.steps = 30;
        uint64_t late = compare(options).late_rows;
        if (above == -1) all = late;
        if (above == 0) CHECK(late > 0 && late < all);
        if (above == INFINITY) CHECK(late == 0);
    }
}

TEST("CUDA resolve() fetches the best of the wanted, and settle() keeps the best, of equal ones") {
    for (Values values : {Values::few, Values::tied, Values::tiny}) {
        for (uint32_t arriving : {1u, 5u, 24u}) {
            for (bool guesses_first : {true, false}) {
                Options options;
                options.values = values;
                options.arriving = arriving;
                options.guesses_first = guesses_first;
                options.inputs = 3;
                options.trusted = 2;
                options.steps = 20;
                options.seed = arriving;
                CHECK(compare(options).prefetched_rows > 0);
            }
        }
    }
}

TEST("CUDA resolve() and settle() serve steps without guesses, and without a trusted input") {
    for (uint32_t trusted : {0u, 4u}) {
        Options options;
        options.trusted = trusted;
        options.inputs = trusted == 0 ? 2 : 1;
        options.late_above = trusted == 0 ? -1 : 0.001f;
        Counters counters = compare(options);
        CHECK(trusted != 0 || counters.late_rows == 0);
        CHECK(trusted != 0 || counters.reused_rows == 0);
    }
}

TEST("CUDA settle() keeps late rows of an input behind one that chose nothing") {
    for (uint32_t kv_heads : {1u, 2u}) {
        Options options;
        options.kv_heads = kv_heads;
        options.k = 1;  // none in a sixteenth of the lists
        options.slots = 6;
        options.arriving = 2;
        options.steps = 100;
        CHECK(compare(options).late_rows > 0);
    }
}

TEST("CUDA resolve() without slots reads every row of a trusted input where it lies") {
    Options options;
    options.slots = options.arriving = 0;
    Counters counters = compare(options);
    CHECK(counters.late_rows > 0 && counters.prefetched_rows == 0 && counters.fetched_bytes == 0);
    options.k = 0;
    CHECK(compare(options).late_rows == 0);
}

TEST("CUDA resolve() in mode paper makes exact what the step before fetched, cut at the window") {
    for (uint32_t k : {0u, 1u, 20u, 150u}) {
        for (Values values : {Values::any, Values::few}) {
            Options options;
            options.paper = true;
            options.k = options.slots = options.arriving = k;
            options.inputs = 2;
            options.trusted = 1;
            options.values = values;
            options.jumps = 3;
            Counters counters = compare(options);
            CHECK(counters.late_rows == 0 && (k == 0 || counters.prefetched_rows > 0));
        }
    }
}

TEST("CUDA resolve() of equal values fetches the lower tokens, settle() keeps those of guesses") {
    Options options;
    options.kv_heads = 1;
    options.k = 40;
    options.slots = 8;
    options.arriving = 4;
    Run run(options);
    run.step = 1;
    run.length = 256;
    run.inputs = 2;
    run.trusted = 1;
    std::fill(run.values.begin(), run.values.end(), 0.5f);
    for (uint32_t i = 0; i < 40; i++) {
        run.chosen[i] = 10 + i;       // the trusted input's: all late
        run.chosen[40 + i] = 30 + i;  // the guess's: from 50 on wanted
    }
    run.counts[0] = run.counts[1] = 40;
    Side &side = run.device;
    cuda::resolve(fixture::near_stream(), run.arguments(side));
    fixture::finish_near();
    CHECK(side.wanted[0] == 4);
    for (uint32_t i = 0; i < 4; i++) CHECK(side.copies[i].from == run.far_row(0, 50 + i));
    run.fetch(side);
    cuda::settle(fixture::near_stream(), run.arguments(side));
    fixture::finish_near();
    auto kept = run.held(side, side.now, 0);
    CHECK(kept.size() == 8);
    for (uint32_t i = 0; i < 4; i++) CHECK(kept.count(30 + i) == 1 && kept.count(50 + i) == 1);
    run.check_slots();
    CHECK(side.counters[0].late_rows == 40 && side.counters[0].prefetched_rows == 4);
    CHECK(side.counters[0].fetched_bytes == 4 * run.row);
}

// slots.h - the CUDA device's cache of fetched rows beside the reference's: both go through the
// same random steps from empty slots on, and have to hold the same rows after each.
//   places  which slot a row is in may differ; what a slot holds, and of whom, may not
//   far     random bytes: a row is right if it has those of its token
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "../../native/reference/reference.h"
#include "../../native/tests/test.h"
#include "near.h"

namespace slots {

using namespace specache;
using fixture::Near;

enum class Values { any, few, tied, tiny };  // few: one of four, 0 among them; tiny: below 1e-38

struct Options {
    uint32_t kv_heads = 2, head_dim = 16;
    Type kv_type = Type::bf16;
    uint32_t slots = 24, arriving = 8, k = 20;
    uint32_t inputs = 4, trusted = 4;  // at most; a step has fewer at random
    bool paper = false, guesses_first = true;
    float late_above = -1;
    Values values = Values::any;
    uint32_t steps = 40, seed = 1;
    uint32_t jumps = 12;  // a step in so many is not where the one before was
};

constexpr uint32_t pages = 8, tokens_max = pages * page_tokens;

// What a device holds between steps, and the scratch of one.
struct Side {
    Near<uint8_t> slot_rows;
    Near<uint32_t> tokens, used;
    Near<Slot> now, next;
    Near<uint32_t> exact, exact_counts, late, wanted, slot_of, list;
    Near<const uint8_t *> rows;
    Near<Copy> copies;
    Near<float> wanted_value;
    Near<Counters> counters;
    Near<Candidate> candidates;

    Side(const Options &options, uint64_t row) {
        uint32_t places = options.slots + options.arriving, all = options.kv_heads * places;
        uint32_t chosen = options.inputs * options.kv_heads * options.k;
        slot_rows.assign(all * row, 0x11);
        tokens.assign(all, 0);
        used.assign(all, 0);
        now.assign(all, Slot::empty);
        next.assign(all, Slot::empty);
        exact.assign(chosen, 0);
        exact_counts.assign(options.inputs * options.kv_heads, 0);
        late.assign(1, 77);
        wanted.assign(1, 77);
        slot_of.assign(options.kv_heads * tokens_max, 0);
        wanted_value.assign(options.kv_heads * tokens_max, 0);
        list.assign(chosen, 0);
        rows.assign(chosen, nullptr);
        copies.assign(options.kv_heads * options.arriving, {});
        counters.assign(1, {});
        candidates.assign(all + chosen, {});
    }
};

struct Run {
    Options options;
    Shape shape;
    std::mt19937 random;
    uint64_t row, stride;
    uint32_t places, step = 0, length = 200, inputs = 0, trusted = 0;
    Near<uint8_t> far;
    Near<uint32_t> ids, chosen, counts;
    Near<uint32_t> positions = Near<uint32_t>(inputs_max);  // of the step at work
    Near<uint32_t> step_number = Near<uint32_t>(1);
    Near<float> values;
    Side truth, device;
    const uint8_t unset = 0;  // what a row points to that nobody has resolved

    explicit Run(const Options &in)
        : options(in), shape{in.kv_heads, 2 * in.kv_heads, in.head_dim, in.kv_type, 1},
          random(in.seed), row(row_bytes(shape)), stride(3 * in.kv_heads * page_tokens * row),
          places(in.slots + in.arriving), far(pages * stride),
          chosen(in.inputs * in.kv_heads * in.k), counts(in.inputs * in.kv_heads),
          values(chosen.size()), truth(in, row), device(in, row) {
        for (uint8_t &byte : far) byte = uint8_t(random());
        for (uint32_t page = 0; page < pages; page++) ids.push_back((page * 3 + 5) % pages);
    }

    uint32_t below(uint32_t limit) { return uint32_t(random() % limit); }
    uint64_t far_at() const { return options.kv_heads * page_tokens * row; }
    uint64_t far_row(uint32_t head, uint32_t token) const {
        return ids[token / page_tokens] * stride + far_at() +
               (uint64_t(head) * page_tokens + token % page_tokens) * row;
    }
    bool is_row(const uint8_t *bytes, uint32_t head, uint32_t token) const {
        return std::memcmp(bytes, &far[far_row(head, token)], row) == 0;
    }

    Resolve arguments(Side &side) {
        for (uint32_t i = 0; i < inputs_max; i++) positions[i] = length + i;
        step_number[0] = step;
        return {shape, {0, options.kv_heads},
                {side.slot_rows.data(), side.tokens.data(), side.used.data(), side.now.data(),
                 side.next.data()},
                options.slots, options.arriving, options.paper, options.guesses_first,
                chosen.data(), values.data(), counts.data(), side.exact.data(),
                side.exact_counts.data(), side.rows.data(), ids.data(), far.data(), stride,
                far_at(), nullptr, nullptr, side.late.data(), side.copies.data(),
                side.wanted.data(), side.slot_of.data(), side.wanted_value.data(),
                side.list.data(), side.counters.data(), inputs, trusted, options.k,
                positions.data(), step_number.data(), options.late_above, side.candidates.data(),
                tokens_max};
    }

    float any_value() {
        switch (options.values) {
            case Values::few: return float(below(4)) * 0.01f;
            case Values::tied: return 0.25f;
            case Values::tiny: return float(below(3)) * 4e-39f;
            case Values::any: break;
        }
        return std::exp(-float(below(1000)) / 100) * 0.05f;
    }

    // Choices come mostly of a few tokens, so that slots hold some of them.
    void choose() {
        step++;
        uint32_t most = tokens_max - options.inputs;
        length = std::min(length + below(3), most);
        if (below(options.jumps) == 0) {  // to an end of a page half of the time
            length = below(2) == 0 ? 64 + below(most - 64) : page_tokens * (2 + below(5)) - 1;
        }
        inputs = 1 + below(options.inputs);
        trusted = below(std::min(options.trusted, inputs) + 1);
        if (options.paper) inputs = std::min(inputs, trusted + 1);  // its slots are one guess's
        for (uint32_t pair = 0; pair < inputs * options.kv_heads; pair++) {
            uint32_t tail = coded_pages(length + pair / options.kv_heads) * page_tokens;
            std::map<uint32_t, float> list;
            uint32_t count = below(8) == 0 ? below(options.k + 1) : options.k;
            uint32_t hot = options.k + options.k / 2 + 4;
            for (uint32_t tries = 0; tail != 0 && tries < 4 * count && list.size() < count;
                 tries++) {
                uint32_t token = sink_tokens + below(below(4) == 0 ? tail : hot);
                if (token < tail) list[token] = any_value();
            }
            counts[pair] = uint32_t(list.size());
            uint32_t at = pair * options.k;
            for (auto [token, value] : list) {
                chosen[at] = token;
                values[at++] = value;
            }
        }
        for (Side *side : {&truth, &device}) {
            std::fill(side->rows.begin(), side->rows.end(), &unset);
            std::fill(side->exact_counts.begin(), side->exact_counts.end(), 12345);
        }
    }

    // Where a side has a row: far, in a slot (which one does not matter), nowhere, or not told.
    uint64_t kind(const Side &side, uint32_t head, const uint8_t *at) const {
        if (at == nullptr || at == &unset) return at == nullptr ? 0 : 1;
        if (at >= far.data() && at < far.data() + far.size()) return 2 + uint64_t(at - far.data());
        uint64_t place = uint64_t(at - side.slot_rows.data()) / row;
        bool own = place / places == head && uint64_t(at - side.slot_rows.data()) % row == 0;
        return own && side.now[place] == Slot::visible ? UINT64_MAX : 3;
    }
    void compare_rows() const {
        for (uint32_t pair = 0; pair < inputs * options.kv_heads; pair++) {
            uint32_t head = pair % options.kv_heads, at = pair * options.k;
            const Near<uint32_t> &list = options.paper ? truth.exact : chosen;
            uint32_t count = options.paper ? truth.exact_counts[pair] : counts[pair];
            if (options.paper) {
                CHECK(device.exact_counts[pair] == count);
                CHECK(std::equal(&truth.exact[at], &truth.exact[at] + count, &device.exact[at]));
            }
            for (uint32_t i = at; i < at + count; i++) {
                const uint8_t *bytes = device.rows[i];
                CHECK(kind(truth, head, truth.rows[i]) == kind(device, head, bytes));
                if (kind(device, head, bytes) > 1) CHECK(is_row(bytes, head, list[i]));
            }
        }
    }

    // Whose rows are in slots of a state, and when each was used last.
    std::map<uint32_t, uint32_t> held(const Side &side, const Near<Slot> &state,
                                      uint32_t head) const {
        std::map<uint32_t, uint32_t> list;
        for (uint32_t i = head * places; i < (head + 1) * places; i++) {
            if (state[i] == Slot::visible) CHECK(list.emplace(side.tokens[i], side.used[i]).second);
        }
        return list;
    }
    void compare_slots() const {
        for (uint32_t head = 0; head < options.kv_heads; head++) {
            CHECK(held(truth, truth.now, head) == held(device, device.now, head));
            CHECK(held(truth, truth.next, head) == held(device, device.next, head));
            CHECK(held(device, device.now, head).size() <= options.slots);
        }
    }
    void compare_rest() const {
        CHECK(std::memcmp(truth.counters.data(), device.counters.data(), sizeof(Counters)) == 0);
        CHECK(device.late[0] == 0);
        for (uint32_t slot : device.slot_of) CHECK(slot == 0);
        for (float value : device.wanted_value) CHECK(value == 0);
        for (uint32_t head = 0; head < options.kv_heads; head++) {
            CHECK(fetched(truth, head) == fetched(device, head));
        }
    }

    // From where, in this order; heads may come in any order.
    std::vector<uint64_t> fetched(const Side &side, uint32_t head) const {
        std::vector<uint64_t> list;
        for (uint32_t i = 0; i < side.wanted[0]; i++) {
            uint64_t place = uint64_t(side.copies[i].to - side.slot_rows.data()) / row;
            if (place / places == head) list.push_back(side.copies[i].from);
        }
        return list;
    }
    void fetch(Side &side) const {
        for (uint32_t i = 0; i < side.wanted[0]; i++) {
            uint64_t place = uint64_t(side.copies[i].to - side.slot_rows.data()) / row;
            CHECK(side.now[place] != Slot::visible);
            std::copy_n(&far[side.copies[i].from], row, side.copies[i].to);
        }
    }
    void check_slots() const {
        for (uint32_t i = 0; i < options.kv_heads * places; i++) {
            if (device.now[i] != Slot::visible) continue;
            CHECK(is_row(&device.slot_rows[i * row], i / places, device.tokens[i]));
        }
    }

    void run_step() {
        choose();
        reference_resolve(fixture::near_stream(), arguments(truth));
        cuda::resolve(fixture::near_stream(), arguments(device));
        fixture::finish_near();
        compare_rows();
        compare_slots();
        compare_rest();
        bool settles = options.slots != 0 && !options.paper, early = below(2) == 0;
        for (Side *side : {&truth, &device}) {
            if (early || !settles) fetch(*side);
        }
        if (settles) {
            reference_settle(fixture::near_stream(), arguments(truth));
            cuda::settle(fixture::near_stream(), arguments(device));
            fixture::finish_near();
            compare_slots();
            compare_rest();
        }
        for (Side *side : {&truth, &device}) {
            if (options.paper) side->now = side->next;
            if (settles && !early) fetch_late(*side);
        }
        check_slots();
    }
    // A prefetch that arrives when the step is over: its places are the next step's by then.
    void fetch_late(Side &side) const {
        for (uint32_t i = 0; i < side.wanted[0]; i++) {
            std::copy_n(&far[side.copies[i].from], row, side.copies[i].to);
        }
    }
};

// Steps of both; returns what was counted.
inline Counters compare(const Options &options) {
    Run run(options);
    for (uint32_t i = 0; i < options.steps && test::failures() < 10; i++) run.run_step();
    return run.device.counters[0];
}

}  // namespace slots

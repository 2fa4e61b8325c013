// one_loop.cpp - a layer's attention of a short text as one loop of all threads: what they wait for
// one another between loops would cost as much as the work.
//
//   chosen[head]          scan -> choose -> resolve
//   exact[head][input]    waits for chosen[head]: rows
//   coded[head]           waits for chosen[head]: the others' codes
//   whoever ends a head's last part adds its parts up
//
// Work is taken in this order, so what somebody waits for is always at work already.
#include <atomic>
#include <vector>

#include "../../one_loop.h"
#include "../../reference/reference.h"
#include "../threads.h"
#include "heads.h"

namespace specache::SPECACHE_ISA {
namespace {

struct Head {
    uint32_t chosen;  // 1: it is
    uint32_t parts;   // that have not ended
    Counters counters;
};

void wait_for_chosen(Head &head) {
    std::atomic_ref<uint32_t> chosen(head.chosen);
    for (uint32_t i = 0; chosen.load(std::memory_order_acquire) == 0; i++) {
        pause_between_looks(i);
    }
}

void choose_one(const OneLoop &loop, uint32_t head, float *near_logits, Head &of) {
    if (loop.scan.logits != nullptr) scan_head(loop.scan, head);
    choose_head(loop.choose, head, near_logits);
    Resolve resolve = loop.resolve;
    resolve.counters = &of.counters;
    reference_resolve_head(resolve, head);
    std::atomic_ref<uint32_t>(of.chosen).store(1, std::memory_order_release);
}

}  // namespace

void one_loop(Stream &stream, const OneLoop &loop) {
    const Attend &attend = loop.attend;
    const HeadRun &run = attend.heads;
    uint32_t pairs = attend.inputs * run.count;
    uint32_t pages = coded_pages(attend.positions[attend.inputs - 1]);
    bool coded = attend.logits != nullptr && pages != 0;
    static thread_local std::vector<Head> scratch;
    scratch.assign(run.count, {0, attend.inputs + coded, {}});
    Head *heads = scratch.data();
    static thread_local std::vector<float> logits;  // [run.count] heads, as in heads.h
    uint64_t of_head =
        uint64_t(attend.inputs) * (attend.shape.query_heads / attend.shape.kv_heads) *
        near_logits_room;
    float *near_logits = coded ? grown(logits, run.count * of_head) : nullptr;
    auto near_logits_of = [&](uint32_t place) {
        return near_logits == nullptr ? nullptr : near_logits + place * of_head;
    };
    std::atomic<uint32_t> next{0};
    parallel(stream, run.count + pairs + (coded ? run.count : 0), [&](uint32_t) {
        uint32_t part = next.fetch_add(1, std::memory_order_relaxed);
        if (part < run.count) {
            return choose_one(loop, run.first + part, near_logits_of(part), heads[part]);
        }
        part -= run.count;
        uint32_t place = part < pairs ? part / attend.inputs : part - pairs;
        Head &of = heads[place];
        wait_for_chosen(of);
        if (part >= pairs) {
            attend_codes(attend, run.first + place);
        } else {
            attend_exact(attend, part % attend.inputs, run.first + place, near_logits_of(place));
        }
        std::atomic_ref<uint32_t> left(of.parts);
        if (left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
        for (uint32_t input = 0; input < attend.inputs; input++) {
            attend_end(attend, input, run.first + place);
        }
    });
    for (uint32_t i = 0; i < run.count; i++) {
        loop.resolve.counters->late_rows += heads[i].counters.late_rows;
        loop.resolve.counters->reused_rows += heads[i].counters.reused_rows;
    }
}

}  // namespace specache::SPECACHE_ISA

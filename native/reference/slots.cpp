// slots.cpp - the cache of fetched rows: what of the chosen is near, what is late, what is wanted,
// and what the next step should find (DESIGN section 4, "Slots"). All of this decides only how much
// of the fetch is hidden, never (but in mode paper, whose exact set is what was fetched) a bit of
// the output.
#include <algorithm>
#include <bit>
#include <vector>

#include "reference.h"

namespace specache {
namespace {

// One KV head at work.
struct Head {
    const Resolve &of;
    uint32_t head;
    uint64_t row = row_bytes(of.shape);
    uint32_t places = of.visible + of.arriving;
    Slots slots = {of.slots.rows + uint64_t(head) * places * row, of.slots.tokens + head * places,
                   of.slots.used + head * places, of.slots.now + head * places,
                   of.slots.next + head * places};

    uint32_t pair(uint32_t input) const { return input * of.shape.kv_heads + head; }
    uint64_t list(uint32_t input) const { return uint64_t(pair(input)) * of.k_max; }
    uint8_t *slot_row(uint32_t place) const { return slots.rows + place * row; }
    uint64_t far_row(uint32_t token) const {
        return of.pages[token / page_tokens] * of.far_stride + of.far_at +
               (uint64_t(head) * page_tokens + token % page_tokens) * row;
    }
    // slot_of is scratch of all heads: entries are set for one head and cleared again.
    void map_slots() const {
        for (uint32_t i = 0; i < places; i++) {
            if (slots.now[i] == Slot::visible) of.slot_of[slots.tokens[i]] = i + 1;
        }
    }
    void unmap_slots() const {
        for (uint32_t i = 0; i < places; i++) {
            if (slots.now[i] == Slot::visible) of.slot_of[slots.tokens[i]] = 0;
        }
    }
    uint32_t place_of(uint32_t token) const { return places == 0 ? 0 : of.slot_of[token]; }
};

// Where an input's list has a token, or null.
const uint32_t *place_in_list(const Head &at, uint32_t input, uint32_t token) {
    const uint32_t *first = at.of.chosen + at.list(input);
    const uint32_t *last = first + at.of.counts[at.pair(input)];
    const uint32_t *found = std::lower_bound(first, last, token);
    return found == last || *found != token ? nullptr : found;
}

// The row that one of the first `inputs` inputs has of a token, or null.
const uint8_t *row_of(const Head &at, uint32_t inputs, uint32_t token) {
    for (uint32_t input = 0; input < inputs; input++) {
        const uint32_t *found = place_in_list(at, input, token);
        if (found == nullptr) continue;
        const uint8_t *row = at.of.rows[found - at.of.chosen];
        if (row != nullptr) return row;
    }
    return nullptr;
}

// Input 0's rows without slots and where far memory is read in place: all that are not left out are
// late. A loop of its own, since short texts wait for little else.
void resolve_late(const Head &at) {
    const Resolve &of = at.of;
    uint64_t list = at.list(0), late = 0;
    const uint8_t *base = of.far + of.far_at + uint64_t(at.head) * page_tokens * at.row;
    for (uint32_t i = 0, count = of.counts[at.pair(0)]; i < count; i++) {
        uint32_t token = of.chosen[list + i];
        bool read = of.values[list + i] > of.late_above;
        uint64_t row = of.pages[token / page_tokens] * of.far_stride + token % page_tokens * at.row;
        of.rows[list + i] = read ? base + row : nullptr;
        late += read;
    }
    of.counters->late_rows += late;
}

// A trusted input's rows: in a slot, late, or late for a trusted input before it.
void resolve_true(const Head &at, uint32_t input) {
    Counters &counters = *at.of.counters;
    uint64_t list = at.list(input);
    for (uint32_t i = 0; i < at.of.counts[at.pair(input)]; i++) {
        uint32_t token = at.of.chosen[list + i], place = at.place_of(token);
        const uint8_t *&row = at.of.rows[list + i];
        row = nullptr;
        if (place != 0) {
            at.slots.used[place - 1] = *at.of.step;
            counters.reused_rows++;
            row = at.slot_row(place - 1);
            continue;
        }
        if (!(at.of.values[list + i] > at.of.late_above)) continue;
        row = row_of(at, input, token);
        if (row != nullptr) {
            counters.reused_rows++;
            continue;
        }
        counters.late_rows++;
        if (at.of.far != nullptr) {
            row = at.of.far + at.far_row(token);
            continue;
        }
        uint32_t late = (*at.of.late)++;
        uint8_t *staged = at.of.staging + uint64_t(late) * at.row;
        at.of.late_copies[late] = {at.far_row(token), staged};
        counters.fetched_bytes += at.row;
        row = staged;
    }
}

// A guess uses what slots hold; the rest of its choice is wanted, the largest value of any guess.
// A row that is late in this step is near already, or can be (far RAM), when the step has attended.
uint32_t resolve_guess(const Head &at, uint32_t input, uint32_t wanted) {
    uint64_t list = at.list(input);
    for (uint32_t i = 0; i < at.of.counts[at.pair(input)]; i++) {
        uint32_t token = at.of.chosen[list + i], place = at.place_of(token);
        at.of.rows[list + i] = place != 0 ? at.slot_row(place - 1) : nullptr;
        if (at.places == 0) continue;
        float value = at.of.values[list + i];
        // A value may underflow to 0, which here means "not wanted": the least positive stands in.
        float &largest = at.of.wanted_value[token];
        if (largest == 0) at.of.list[wanted++] = token;
        largest = std::max({largest, value, 1e-38f});
    }
    return wanted;
}

// Whether a trusted input fetches this token late in this step.
bool is_late(const Head &at, uint32_t token) {
    return row_of(at, at.of.trusted, token) != nullptr;
}

// Starts the fetch of the most valuable wanted rows into places that the running step cannot see.
// A token of the list is marked when a slot already has it or gets it: its entry becomes the token
// of a row to keep. Returns how many copies were added.
uint32_t prefetch(const Head &at, uint32_t wanted, Copy *copies) {
    uint32_t *tokens = at.of.list, count = 0;
    bool ahead_only = at.of.ahead_only;
    std::fill(at.slots.next, at.slots.next + at.places, Slot::empty);
    for (uint32_t i = 0; i < wanted; i++) {
        uint32_t token = tokens[i], place = at.place_of(token);
        if (place != 0) {
            at.slots.used[place - 1] = *at.of.step;
            if (ahead_only) at.slots.next[place - 1] = Slot::visible;
        } else if (ahead_only || !is_late(at, token)) {
            tokens[count++] = token;
        }
    }
    const float *value = at.of.wanted_value;
    if (count > at.of.arriving) {
        std::nth_element(tokens, tokens + at.of.arriving, tokens + count,
                         [&](uint32_t a, uint32_t b) {
            return value[a] != value[b] ? value[a] > value[b] : a < b;
        });
        count = at.of.arriving;
    }
    std::sort(tokens, tokens + count);  // far rows are read in the order in which they lie
    uint32_t place = 0;
    for (uint32_t i = 0; i < count; i++, place++) {
        while (at.slots.now[place] == Slot::visible || at.slots.next[place] == Slot::visible)
            place++;
        copies[i] = {at.far_row(tokens[i]), at.slot_row(place)};
        at.slots.tokens[place] = tokens[i];
        at.slots.used[place] = *at.of.step;
        at.slots.next[place] = Slot::visible;
    }
    return count;
}

// Mode paper: exact is what the step before fetched, for every input.
void resolve_paper(const Head &at) {
    uint32_t *tokens = at.of.exact + at.list(0), count = 0;
    bool codes_alone = at.of.trusted == 0;  // the pre-decode
    for (uint32_t i = 0; i < at.places && !codes_alone; i++) {
        if (at.slots.now[i] == Slot::visible) tokens[count++] = at.slots.tokens[i];
    }
    std::sort(tokens, tokens + count);
    for (uint32_t input = at.of.inputs; input-- > 0;) {  // input 0's list is copied from
        // A step that was not kept may have fetched what this one sees in its window.
        uint32_t tail = coded_pages(at.of.positions[input]) * page_tokens;
        count = uint32_t(std::lower_bound(tokens, tokens + count, tail) - tokens);
        std::copy(tokens, tokens + count, at.of.exact + at.list(input));
        at.of.exact_counts[at.pair(input)] = count;
        for (uint32_t i = 0; i < count; i++) {
            at.of.rows[at.list(input) + i] = at.slot_row(at.place_of(tokens[i]) - 1);
        }
    }
}

bool before(const Candidate &a, const Candidate &b) {
    return a.worth != b.worth ? a.worth > b.worth : a.token < b.token;
}

// First what a guess chose, then what a trusted input chose, both by value, then the rest by the
// step that used it last. Values are not negative, so their bits order as they do.
uint64_t worth_of(float by_guess, float by_truth, uint32_t used) {
    if (by_guess != 0) return uint64_t(2) << 32 | std::bit_cast<uint32_t>(by_guess);
    if (by_truth != 0) return uint64_t(1) << 32 | std::bit_cast<uint32_t>(by_truth);
    return used;
}

// The largest value that a trusted input gives a token that it chose; 0: none did.
float value_of(const Head &at, uint32_t token) {
    float value = 0;
    for (uint32_t input = 0; input < at.of.trusted; input++) {
        const uint32_t *found = place_in_list(at, input, token);
        if (found != nullptr) value = std::max(value, at.of.values[found - at.of.chosen]);
    }
    return value;
}

std::vector<Candidate> &candidates_of(const Head &at, uint32_t &arriving) {
    static thread_local std::vector<Candidate> list;  // grows once, at the first step
    list.clear();
    arriving = 0;
    const float *wanted = at.of.wanted_value;
    for (uint32_t i = 0; i < at.places; i++) {
        if (at.slots.next[i] == Slot::visible) arriving++;
        if (at.slots.now[i] != Slot::visible) continue;
        uint32_t token = at.slots.tokens[i];
        float value = value_of(at, token);
        list.push_back({worth_of(wanted[token], value, at.slots.used[i]), nullptr, token, i});
    }
    for (uint32_t input = 0; input < at.of.trusted; input++) {
        for (uint32_t i = 0; i < at.of.counts[at.pair(input)]; i++) {
            uint32_t token = at.of.chosen[at.list(input) + i];
            const uint8_t *row = at.of.rows[at.list(input) + i];
            if (row == nullptr || at.place_of(token) != 0) continue;
            if (row_of(at, input, token) != nullptr) continue;  // listed for an input before
            uint64_t worth = worth_of(wanted[token], value_of(at, token), *at.of.step);
            list.push_back({worth, row, token, 0});
        }
    }
    return list;
}

void settle_head(const Head &at) {
    at.map_slots();
    uint32_t arriving = 0;
    std::vector<Candidate> &list = candidates_of(at, arriving);
    size_t kept = std::min<size_t>(list.size(), at.of.visible - arriving);
    if (kept < list.size()) {
        std::nth_element(list.begin(), list.begin() + int64_t(kept), list.end(), before);
    }
    for (size_t i = 0; i < kept; i++) {
        if (list[i].row == nullptr) at.slots.next[list[i].place] = Slot::visible;
    }
    at.unmap_slots();
    uint32_t place = 0;
    for (size_t i = 0; i < kept; i++) {
        if (list[i].row == nullptr) continue;
        while (at.slots.next[place] == Slot::visible) place++;
        std::copy(list[i].row, list[i].row + at.row, at.slot_row(place));
        at.slots.tokens[place] = list[i].token;
        at.slots.used[place] = *at.of.step;
        at.slots.next[place] = Slot::visible;
    }
    std::copy(at.slots.next, at.slots.next + at.places, at.slots.now);
}

// Tokens that a guess chose, again: prefetch() reordered the list and settle needs the map clean.
void clear_wanted(const Head &at) {
    for (uint32_t input = at.of.trusted; input < at.of.inputs; input++) {
        for (uint32_t i = 0; i < at.of.counts[at.pair(input)]; i++) {
            at.of.wanted_value[at.of.chosen[at.list(input) + i]] = 0;
        }
    }
}

void mark_wanted(const Head &at) {
    for (uint32_t input = at.of.trusted; input < at.of.inputs; input++) {
        uint64_t list = at.list(input);
        for (uint32_t i = 0; i < at.of.counts[at.pair(input)]; i++) {
            float &largest = at.of.wanted_value[at.of.chosen[list + i]];
            largest = std::max({largest, at.of.values[list + i], 1e-38f});
        }
    }
}

}  // namespace

void reference_resolve_head(const Resolve &resolve, uint32_t head) {
    Head at{resolve, head};
    uint32_t wanted = 0;
    at.map_slots();
    for (uint32_t input = 0; input < resolve.inputs; input++) {
        if (input >= resolve.trusted) wanted = resolve_guess(at, input, wanted);
        else if (resolve.ahead_only) continue;
        else if (input == 0 && at.places == 0 && resolve.far != nullptr) resolve_late(at);
        else resolve_true(at, input);
    }
    if (at.places != 0) {
        if (!resolve.ahead_only || resolve.inputs > resolve.trusted) {
            uint32_t added = prefetch(at, wanted, resolve.copies + *resolve.wanted);
            *resolve.wanted += added;
            resolve.counters->prefetched_rows += added;
            resolve.counters->fetched_bytes += added * at.row;
        }
        clear_wanted(at);
    }
    if (resolve.ahead_only) resolve_paper(at);
    at.unmap_slots();
}

void reference_resolve(Stream &, const Resolve &resolve) {
    *resolve.late = 0;
    if (resolve.heads.first == 0) *resolve.wanted = 0;
    for (uint32_t i = 0; i < resolve.heads.count; i++) {
        reference_resolve_head(resolve, resolve.heads.first + i);
    }
}

void reference_settle(Stream &, const Resolve &resolve) {
    for (uint32_t i = 0; i < resolve.heads.count; i++) {
        Head at{resolve, resolve.heads.first + i};
        if (resolve.guesses_first) mark_wanted(at);
        settle_head(at);
        clear_wanted(at);
    }
}

}  // namespace specache

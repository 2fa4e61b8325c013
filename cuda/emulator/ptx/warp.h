// warp.h - instructions in which the lanes of a warp look at each other's registers.
#pragma once
#include "memory.h"

namespace emulator::ptx {

template <class... Words> Payload offer(Words... words) { return {{uint32_t(words)...}}; }

inline uint32_t ballot(uint32_t mask, bool vote, Site site) {
    const Meeting &all = meet(mask, offer(vote), site);
    uint32_t votes = 0;
    for (unsigned lane = 0; lane < warp_lanes; lane++) {
        if (all.come >> lane & 1) votes |= all.lanes[lane].words[0] << lane;
    }
    return votes;
}
inline bool vote_all(uint32_t mask, bool vote, Site site) { return ballot(mask, !vote, site) == 0; }
inline bool vote_any(uint32_t mask, bool vote, Site site) { return ballot(mask, vote, site) != 0; }
inline bool vote_uni(uint32_t mask, bool vote, Site site) {
    const Meeting &all = meet(mask, offer(vote), site);
    for (unsigned lane = 0; lane < warp_lanes; lane++) {
        if (all.come >> lane & 1 && all.lanes[lane].words[0] != uint32_t(vote)) return false;
    }
    return true;
}

// The lanes that offer the same value; `everybody`: whether all that came do.
template <class T> uint32_t match(T value, uint32_t mask, Site site, bool *everybody) {
    const Meeting &all = meet(mask, offer(uint64_t(value), uint64_t(value) >> 32), site);
    uint32_t same = 0;
    for (unsigned lane = 0; lane < warp_lanes; lane++) {
        if (!(all.come >> lane & 1)) continue;
        const uint32_t *words = all.lanes[lane].words;
        if (T(uint64_t(words[1]) << 32 | words[0]) == value) same |= 1u << lane;
    }
    *everybody = same == all.come;
    return same;
}

template <class T, class Operation>
T reduce(T value, uint32_t mask, Site site, Operation operation) {
    const Meeting &all = meet(mask, offer(uint32_t(value)), site);
    bool first = true;
    T result{};
    for (unsigned lane = 0; lane < warp_lanes; lane++) {
        if (!(all.come >> lane & 1)) continue;
        T other = T(all.lanes[lane].words[0]);
        result = first ? other : operation(result, other);
        first = false;
    }
    return result;
}

enum class Shuffle { up, down, bfly, idx };
// `limits`: the last lane that may be read in bits 0-4, the mask of the segment in bits 8-12.
template <Shuffle kind>
uint32_t shuffle(uint32_t value, uint32_t by, uint32_t limits, uint32_t mask, Site site, bool *in) {
    int lane = int(current->lane), segment = limits >> 8 & 31, clamp = limits & 31;
    int first = lane & segment, last = first | (clamp & ~segment), offset = int(by & 31);
    int source = kind == Shuffle::up     ? lane - offset
                 : kind == Shuffle::down ? lane + offset
                 : kind == Shuffle::bfly ? lane ^ offset
                                         : first | (offset & ~segment);
    *in = kind == Shuffle::up ? source >= last : source <= last;
    if (!*in) source = lane;
    const Meeting &all = meet(mask, offer(value), site);
    if (!(all.come >> source & 1)) fail(site, "a lane shuffles from lane %d, not there", source);
    return all.lanes[source].words[0];
}

}  // namespace emulator::ptx

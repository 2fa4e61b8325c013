// decode.cpp - steps of one sequence in a row: the token that one gives is the next one's input.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "model.h"

namespace specache {
namespace {

using Clock = std::chrono::steady_clock;

enum class Came { kept, at_work, nothing };

// A step and its end. A later one that fails, or has no finite logit, is undone: the next call
// meets it as its first, whose failure or logit is told.
Came step_and_keep(Model &model, const StepInputs &one, bool first) {
    uint32_t length = one.sequence->length;
    try {
        step(model, &one, 1);
        if (*one.ids == undecided_token) return Came::at_work;
        if (!std::isfinite(*one.largest)) {
            if (first) return Came::at_work;
            keep(model.store, *one.sequence, 0);
            return Came::nothing;
        }
        keep(model.store, *one.sequence, 1);
        return Came::kept;
    } catch (...) {
        bool kept = one.sequence->length != length;  // it failed behind its end
        if (first && !kept) throw;
        try {
            model.store.undo(*one.sequence);
        } catch (const Failure &) {  // of a device that has failed: the next call says so
        }
        return kept ? Came::kept : Came::nothing;
    }
}

}  // namespace

uint32_t decode(Model &model, StepInputs one, const InARow &row) {
    const Clock::time_point began = Clock::now();
    const Clock::duration most = std::chrono::microseconds(row.microseconds);
    const uint32_t *ends = row.ends + row.ends_count;
    Clock::duration longest{0};
    uint32_t token = *one.tokens;
    one.tokens = &token;
    for (uint32_t made = 0; made < row.steps; one.ids++, one.largest++) {
        Clock::time_point now = Clock::now();
        if (made != 0 && now - began + longest > most) return made;
        Came came = step_and_keep(model, one, made == 0);
        if (came == Came::nothing) return made;
        made++;
        token = *one.ids;
        if (came == Came::at_work || std::find(row.ends, ends, token) != ends) return made;
        longest = std::max(longest, Clock::now() - now);
    }
    return row.steps;
}

}  // namespace specache

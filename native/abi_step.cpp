// abi_step.cpp - the part of the ABI that makes steps and draws tokens.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "abi.h"
#include "cpu/tables.h"
#include "random.h"

using namespace specache;

namespace {

Options options_of(const specache_options &options) {
    float above = std::bit_cast<float>(options.late_above_bits);
    if (options.late > 2) fail(SPECACHE_ARGUMENT, "late %u is above 2", options.late);
    if (options.late == 2 && !(above >= 0 && above <= 1)) {
        fail(SPECACHE_ARGUMENT, "late_above %g is outside 0..1", double(above));
    }
    constexpr float none = std::numeric_limits<float>::infinity();
    return {options.k, options.late == 0 ? none : options.late == 1 ? -1.0f : above};
}

double double_of(uint32_t low, uint32_t high) {
    return std::bit_cast<double>(uint64_t(high) << 32 | low);
}

Sampling sampling_of(const specache_sampling &from) {
    Sampling sampling{double_of(from.temperature_low, from.temperature_high),
                      double_of(from.top_p_low, from.top_p_high),
                      double_of(from.min_p_low, from.min_p_high), from.top_k,
                      uint64_t(from.seed_high) << 32 | from.seed_low};
    if (!(sampling.temperature >= 0 && std::isfinite(sampling.temperature))) {
        fail(SPECACHE_ARGUMENT, "temperature %g is not a finite number from 0 on",
             sampling.temperature);
    }
    if (sampling.temperature == 0) return {};  // nothing is drawn
    if (!(sampling.top_p >= 0 && sampling.top_p <= 1)) {
        fail(SPECACHE_ARGUMENT, "top_p %g is outside 0..1", sampling.top_p);
    }
    if (!(sampling.min_p >= 0 && sampling.min_p <= 1)) {
        fail(SPECACHE_ARGUMENT, "min_p %g is outside 0..1", sampling.min_p);
    }
    return sampling;
}

// Without tokens and what is said of them; logits from their beginning on.
StepInputs inputs_of(const specache_step_share &share, const specache_sampling *sampling,
                     Sequence &sequence, float *logits) {
    if (share.logits > 2) fail(SPECACHE_ARGUMENT, "logits %u is above 2", share.logits);
    if (share.logits != 0) not_null("logits", logits);
    StepInputs inputs{};
    inputs.sequence = &sequence;
    inputs.inputs = share.inputs;
    inputs.trusted = share.trusted;
    inputs.options = options_of({share.k, share.late, share.late_above_bits});
    inputs.logits = share.logits == 0 ? nullptr : logits;
    inputs.undecided_alone = share.logits == 2;
    if (sampling != nullptr) inputs.sampling = sampling_of(*sampling);
    if (inputs.sampling.temperature != 0 && share.logits == 0) {
        fail(SPECACHE_ARGUMENT, "logits 0 of a temperature above 0");
    }
    return inputs;
}

Sequence &sequence_of(Store &store, const specache_step_share &share) {
    return store.sequence(uint64_t(share.sequence_high) << 32 | share.sequence_low);
}

}  // namespace

EXPORT int32_t specache_begin(uint64_t id, uint64_t sequence, uint32_t inputs, uint32_t trusted,
                              const specache_options *options) {
    return on_store(id, [&](Store &store) {
        not_null("options", options);
        begin(store, store.sequence(sequence), inputs, trusted, options_of(*options));
    });
}

EXPORT int32_t specache_keep(uint64_t id, uint64_t sequence, uint32_t count) {
    return on_store(id, [&](Store &store) { keep(store, store.sequence(sequence), count); });
}

EXPORT int32_t specache_step(uint64_t id, const specache_step_share *shares, uint32_t count,
                             const uint32_t *tokens, const specache_sampling *samplings,
                             uint32_t *ids, float *largest, float *logits) {
    return on_store(id, [&](Store &store) {
        Model &model = model_of(store);
        uint32_t most = store.plan.config.sequences_max;
        if (count < 1) fail(SPECACHE_ARGUMENT, "sequences %u of a step are below 1", count);
        if (count > most) {
            fail(SPECACHE_ARGUMENT, "sequences %u of a step are above sequences_max %u", count,
                 most);
        }
        not_null("shares", shares);
        bool empty = std::all_of(shares, shares + count, [](auto &of) { return of.inputs == 0; });
        if (!empty) {  // else refused below
            not_null("tokens", tokens);
            not_null("ids", ids);
            not_null("largest", largest);
        }
        std::vector<StepInputs> &list = model.step_list;  // has room: nothing is allocated
        list.clear();
        uint64_t row = 0, logits_row = 0;
        for (uint32_t i = 0; i < count; i++) {
            const specache_step_share &share = shares[i];
            Sequence &sequence = sequence_of(store, share);
            of_sequence(sequence, count, [&] {
                list.push_back(inputs_of(share, samplings == nullptr ? nullptr : samplings + i,
                                         sequence, logits));
                list.back().tokens = tokens + row;
                list.back().ids = ids + row;
                list.back().largest = largest + row;
                if (share.logits != 0) list.back().logits += logits_row * model.config.vocabulary;
            });
            row += share.inputs;
            logits_row += share.logits == 0 ? 0 : share.inputs;
        }
        step(model, list.data(), count);
    });
}

EXPORT int32_t specache_decode(uint64_t id, const specache_step_share *share,
                               const specache_sampling *sampling, uint32_t token, uint32_t steps,
                               uint32_t microseconds, const uint32_t *ends, uint32_t ends_count,
                               uint32_t *ids, float *largest, float *logits, uint32_t *made_out) {
    return on_store(id, [&](Store &store) {
        Model &model = model_of(store);
        not_null("share", share);
        not_null("ids", ids);
        not_null("largest", largest);
        not_null("made_out", made_out);
        if (ends_count != 0) not_null("ends", ends);
        if (steps < 1) fail(SPECACHE_ARGUMENT, "steps %u are below 1", steps);
        if (share->inputs != 1 || share->trusted != 1) {
            fail(SPECACHE_ARGUMENT, "inputs %u, trusted %u of steps in a row are not 1",
                 share->inputs, share->trusted);
        }
        StepInputs one = inputs_of(*share, sampling, sequence_of(store, *share), logits);
        one.tokens = &token;
        one.ids = ids;
        one.largest = largest;
        *made_out = decode(model, one, {steps, microseconds, ends, ends_count});
    });
}

EXPORT int32_t specache_sample(const specache_sampling *from, const float *logits,
                               uint32_t vocabulary, uint32_t position, uint32_t isa,
                               uint32_t *id_out) {
    return guarded([&] {
        not_null("sampling", from);
        not_null("logits", logits);
        not_null("id_out", id_out);
        Sampling sampling = sampling_of(*from);
        if (isa > isa_last) fail(SPECACHE_ARGUMENT, "isa %u is above %u", isa, isa_last);
        Likeliest likeliest{no_token, -std::numeric_limits<float>::infinity()};
        for (uint32_t id = 0; id < vocabulary; id++) {
            if (logits[id] > likeliest.logit) likeliest = {id, logits[id]};
        }
        if (!std::isfinite(likeliest.logit)) {
            fail(SPECACHE_DATA, "the largest logit %g is not finite", double(likeliest.logit));
        }
        *id_out = likeliest.id;
        if (sampling.temperature == 0) return;
        kernels_for(isa).draw({logits, vocabulary, likeliest, &sampling,
                               word_of(sampling.seed, position), id_out});
    });
}

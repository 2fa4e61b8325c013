// heads.h - scan, choose and attend of one KV head, by one thread, in the bits that the kernels of
// those names have: for one_loop.cpp.
#pragma once
#include "exact.h"

namespace specache::SPECACHE_ISA {

// A head's logits of near rows, [inputs][group][near_logits_room]: choose_head() leaves them, so
// that attend_exact() need not make them again. Null: it makes them itself.
constexpr uint32_t near_logits_room = (exact_near_max + lanes - 1) / lanes * lanes;

void scan_head(const Scan &scan, uint32_t head);
void choose_head(const Choose &choose, uint32_t head, float *near_logits);
// The exact rows.
void attend_exact(const Attend &attend, uint32_t input, uint32_t head, const float *near_logits);
void attend_codes(const Attend &attend, uint32_t head);                  // of all inputs
void attend_end(const Attend &attend, uint32_t input, uint32_t head);    // when both are there

}  // namespace specache::SPECACHE_ISA

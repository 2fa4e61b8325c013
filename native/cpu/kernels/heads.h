// heads.h - scan, choose and attend of one KV head, by one thread, in the bits that the kernels of
// those names have: for one_loop.cpp.
#pragma once
#include "../kernels.h"

namespace specache::SPECACHE_ISA {

void scan_head(const Scan &scan, uint32_t head);
void choose_head(const Choose &choose, uint32_t head);
void attend_exact(const Attend &attend, uint32_t input, uint32_t head);  // the exact rows
void attend_codes(const Attend &attend, uint32_t head);                  // of all inputs
void attend_end(const Attend &attend, uint32_t input, uint32_t head);    // when both are there

}  // namespace specache::SPECACHE_ISA

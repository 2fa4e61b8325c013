// codes.h - a page decoded again: what the codes say, in double precision.
#pragma once
#include "../codes.h"
#include "reference.h"

namespace specache {

// keys, values: [64][head_dim].
void reference_decode(const HeadCode &code, uint32_t head_dim, const uint8_t *codes, double *keys,
                      double *values);
// The integer of one rotated key's channel: -1, 1 or -3, -1, 1, 3.
int reference_key_level(const HeadCode &code, const CodeLayout &layout, const uint8_t *codes,
                        uint32_t token, uint32_t channel);

}  // namespace specache

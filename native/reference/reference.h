// reference.h - every kernel in plain loops and double precision: the truth for tests.
#pragma once
#include "../device.h"

namespace specache {

extern const Kernels reference_kernels;

void reference_embed(Stream &, const Embed &);
void reference_project(Stream &, const Project &);
void reference_normalize(Stream &, const Normalize &);
void reference_rotate(Stream &, const Rotate &);
void reference_gate(Stream &, const Gate &);

}  // namespace specache

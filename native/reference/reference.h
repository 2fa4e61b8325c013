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
void reference_argmax(Stream &, const Argmax &);
void reference_draw(const DrawRow &);
void reference_make_rows(Stream &, const MakeRows &);
void reference_copy_rows(Stream &, const CopyRows &);
void reference_encode(Stream &, const Encode &);
void reference_scan(Stream &, const Scan &);
void reference_choose(Stream &, const Choose &);
void reference_resolve(Stream &, const Resolve &);
void reference_resolve_head(const Resolve &, uint32_t head);  // of its heads
void reference_attend(Stream &, const Attend &);
void reference_settle(Stream &, const Resolve &);
void reference_prefill_attend(Stream &, const PrefillAttend &);
void reference_prefill_finish(Stream &, const PrefillFinish &);
void reference_audit(Stream &, const Audit &);

}  // namespace specache

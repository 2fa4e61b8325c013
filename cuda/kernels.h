// kernels.h - the kernels of the CUDA device so far; native/kernels.h says what each does. Each
// puts its work on the stream and returns; buffers are near memory, far rows pinned host memory.
#pragma once
#include "../native/device.h"

namespace specache::cuda {

void embed(Stream &, const Embed &);
void project(Stream &, const Project &);
void normalize(Stream &, const Normalize &);
void rotate(Stream &, const Rotate &);
void gate(Stream &, const Gate &);
void argmax(Stream &, const Argmax &);
void make_rows(Stream &, const MakeRows &);
void copy_rows(Stream &, const CopyRows &);
void encode(Stream &, const Encode &);
void scan(Stream &, const Scan &);
void choose(Stream &, const Choose &);
void resolve(Stream &, const Resolve &);
void attend(Stream &, const Attend &);
void settle(Stream &, const Resolve &);
void prefill_attend(Stream &, const PrefillAttend &);
void prefill_finish(Stream &, const PrefillFinish &);

}  // namespace specache::cuda

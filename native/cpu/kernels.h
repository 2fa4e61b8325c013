// kernels.h - the kernels of one instruction set; table.cpp puts them into its table.
#pragma once
#include "../device.h"

namespace specache::SPECACHE_ISA {

void embed(Stream &, const Embed &);
void project(Stream &, const Project &);
void project_int8(Stream &, const Project &);   // project() where its inputs are 8 bits
bool project_whole(Stream &, const Project &);  // the same where it can: by whole numbers
void normalize(Stream &, const Normalize &);
void rotate(Stream &, const Rotate &);
void gate(Stream &, const Gate &);
void argmax(Stream &, const Argmax &);
void draw(const DrawRow &);
void make_rows(Stream &, const MakeRows &);
void copy_rows(Stream &, const CopyRows &);
void encode(Stream &, const Encode &);
void scan(Stream &, const Scan &);
void choose(Stream &, const Choose &);
void attend(Stream &, const Attend &);
void prefill_attend(Stream &, const PrefillAttend &);
void prefill_finish(Stream &, const PrefillFinish &);
void audit(Stream &, const Audit &);
void one_loop(Stream &, const OneLoop &);

}  // namespace specache::SPECACHE_ISA

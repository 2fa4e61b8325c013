// table.cpp - this instruction set's kernels, by name.
#include "../../reference/reference.h"
#include "../kernels.h"
#include "../tables.h"

namespace specache::SPECACHE_ISA {

#define SPECACHE_TEXT_OF(name) #name
#define SPECACHE_TEXT(name) SPECACHE_TEXT_OF(name)

// The slots are kept by plain loops over lists: the reference's, which no instruction set betters.
const Kernels kernels = {
    SPECACHE_TEXT(SPECACHE_ISA), embed, project, normalize, rotate, gate, argmax, make_rows,
    copy_rows, encode, scan, choose, reference_resolve, attend, reference_settle, prefill_attend,
    prefill_finish, audit, one_loop, draw};

}  // namespace specache::SPECACHE_ISA

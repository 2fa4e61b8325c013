// table.cpp - this instruction set's kernels, by name.
#include "../kernels.h"
#include "../tables.h"

namespace specache::SPECACHE_ISA {

#define SPECACHE_TEXT_OF(name) #name
#define SPECACHE_TEXT(name) SPECACHE_TEXT_OF(name)

const Kernels kernels = {
    SPECACHE_TEXT(SPECACHE_ISA), embed, project, normalize, rotate, gate, make_rows, encode, scan,
    choose, attend, prefill_attend, prefill_finish, audit};

}  // namespace specache::SPECACHE_ISA

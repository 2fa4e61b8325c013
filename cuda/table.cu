#include "table.h"

namespace specache::cuda {

const Kernels kernels{"cuda", embed, project, normalize, rotate, gate, argmax, make_rows, copy_rows,
                      encode, scan, choose, resolve, attend, settle, prefill_attend, prefill_finish,
                      nullptr, nullptr, nullptr};

}  // namespace specache::cuda

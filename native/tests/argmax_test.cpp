// argmax_test.cpp - argmax of every kernel table, and that its work may be shared by threads.
#include "argmax.h"

#include "tables.h"

using namespace specache;

TEST("argmax() gives the largest logit, and of equal ones the lower id") {
    for (const Kernels *kernels : kernel_tables()) fixture::check_ties(kernels->argmax);
}

TEST("argmax() never gives a NaN or -infinity, and says where nothing else is") {
    for (const Kernels *kernels : kernel_tables()) fixture::check_not_finite(kernels->argmax);
}

TEST("argmax() of several inputs gives what the reference does") {
    for (const Kernels *kernels : fast_tables()) fixture::check_rows_of_inputs(kernels->argmax);
}

TEST("argmax() finds the largest logit of half a million wherever it is") {
    for (const Kernels *kernels : kernel_tables()) fixture::check_many_slices(kernels->argmax);
}

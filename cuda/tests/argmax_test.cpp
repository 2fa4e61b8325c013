// argmax_test.cpp - argmax of the CUDA device, as the CPU's is tested.
#include "../../native/tests/argmax.h"

using namespace specache;

TEST("CUDA argmax() gives the largest logit, and of equal ones the lower id") {
    fixture::check_ties(cuda::argmax);
}

TEST("CUDA argmax() never gives a NaN or -infinity, and says where nothing else is") {
    fixture::check_not_finite(cuda::argmax);
}

TEST("CUDA argmax() of several inputs gives what the reference does") {
    fixture::check_rows_of_inputs(cuda::argmax);
}

TEST("CUDA argmax() finds the largest logit of half a million wherever it is") {
    fixture::check_many_slices(cuda::argmax);
}

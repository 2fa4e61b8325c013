// ptx.h - all that translated kernels include, and how they make themselves known.
#pragma once
#include "../device/module.h"
#include "convert.h"
#include "tensor.h"

#define EMULATOR_HERE (emulator::Site{__FILE__, __LINE__})

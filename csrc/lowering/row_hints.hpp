// How GPU kernels deal rows to threads, where that does not follow from the dimensions of the work.
#pragma once

#include "lowering/kernel_hints.hpp"

namespace infercost {

RowHints row_hints(const Call& call, const Work& work);

}  // namespace infercost

// Assignment of rows to threads in GPU kernels, if it does not follow from the dimensions of the work.
#pragma once

#include "lowering/kernel_hints.hpp"

namespace infercost {

RowHints row_hints(const Call& call, const Work& work);

}  // namespace infercost

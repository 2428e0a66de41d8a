// How kernels that go along rows on a GPU deal them to threads, where the work's dimensions do not say it.
#pragma once

#include "lowering/kernel_hints.hpp"

namespace infercost {

RowHints row_hints(const Call& call, const Work& work);

}  // namespace infercost

// What other families need of convolutions.
#pragma once

#include "ops/rule.hpp"

namespace infercost {

// Weight is [out, in / groups, *window], or [in, out / groups, *window] when transposed.
void convolve(const Call& call, Work& work, TensorIndex input, TensorIndex weight, bool transposed);

}  // namespace infercost

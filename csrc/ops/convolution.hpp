// Convolutions that other families use.
#pragma once

#include "ops/rule.hpp"

namespace infercost {

// The weight is [out, in / groups, *window], or [in, out / groups, *window] if transposed.
void convolve(const Call& call, Work& work, TensorIndex input, TensorIndex weight, bool transposed);

}  // namespace infercost

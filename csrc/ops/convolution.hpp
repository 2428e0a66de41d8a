// Convolutions that other families use.
#pragma once

#include "ops/rule.hpp"

namespace infercost {

// The weight is [out, in / groups, *window], or [in, out / groups, *window] if transposed.
void convolve(const Call& call, Work& work, TensorIndex input, TensorIndex weight, bool transposed);

// Elements of the input that lie in a window. Windows whose step is longer than they are leave out positions
// between them: a 1x1 convolution with stride 2 reads a quarter of its input.
Expr elements_in_windows(const Call& call, TensorIndex input, TensorIndex weight, TensorIndex result);

}  // namespace infercost

// How an eager kernel meets memory: what it reads across the grain, repeats, or casts on the way.
#pragma once

#include "ops/call.hpp"

namespace infercost {

// Fills in Work::strided_bytes, channels_first, broadcast and mixed.
void set_access(const Call& call, Work& work);

// Whether a tensor of channels and pixels has a channel's pixels side by side.
bool has_channels_first(const Call& call, TensorIndex t);

// The work of copying an operand to where it lies dense.
Work copy_work(const Call& call, TensorIndex t, const Expr& bytes);

}  // namespace infercost

// Memory access of a kernel: strided reads, layouts, broadcasts and casts.
#pragma once

#include "lowering/kernel_hints.hpp"

namespace infercost {

MemoryAccess memory_access(const Call& call, const Work& work);

// Whether a tensor of channels and pixels has the pixels of a channel side by side (NCHW).
bool has_channels_first(const Call& call, TensorIndex t);

// Whether a copy of a tensor into dense order reads across the order in which the tensor lies.
bool is_copied_across(const Call& call, TensorIndex t);

}  // namespace infercost

// Memory access of a kernel: strided reads, layouts, broadcasts and casts.
#pragma once

#include "lowering/kernel_hints.hpp"

namespace infercost {

MemoryAccess memory_access(const Call& call, const Work& work);

// Whether the pixels of a channel are contiguous (NCHW), in a tensor of channels and pixels.
bool has_channels_first(const Call& call, TensorIndex t);

// Whether a copy of a tensor into dense order reads across its storage order.
bool is_copied_across(const Call& call, TensorIndex t);

}  // namespace infercost

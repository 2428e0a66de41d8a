// How an eager kernel meets memory: what it reads across the grain, repeats, or casts on the way.
#pragma once

#include "ops/call.hpp"

namespace infercost {

// Fills in Work::strided_bytes, channels_first, broadcast and mixed.
void set_access(const Call& call, Work& work);

}  // namespace infercost

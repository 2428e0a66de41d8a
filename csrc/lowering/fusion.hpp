// Fused execution: launches as in torch's inductor.
#pragma once

#include <vector>

#include "lowering/launch.hpp"

namespace infercost {

// Fuse pointwise loops, reductions and similar loops over the same space into one kernel; kernels of
// libraries remain unchanged. A node may be part of several kernels: cheap work is recomputed for each
// reader, and some ops become two kernels.
std::vector<Launch> fuse(const Pass& pass, std::vector<Launch> launches);

}  // namespace infercost

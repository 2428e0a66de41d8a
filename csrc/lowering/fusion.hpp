// Compiled execution: launches as torch's inductor makes them.
#pragma once

#include <vector>

#include "lowering/launch.hpp"

namespace infercost {

// Joins pointwise work, reductions and the like into one kernel where they run over the same space; kernels
// of libraries stay as they are. A node may be in several kernels: cheap work is computed again for each
// reader, and some ops become two kernels.
std::vector<Launch> fuse(const Pass& pass, std::vector<Launch> launches);

}  // namespace infercost

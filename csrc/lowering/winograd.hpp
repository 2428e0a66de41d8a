// Tiles of convolutions that Winograd's algorithms can compute.
#pragma once

#include "lowering/kernel_hints.hpp"

namespace infercost {

// For a convolution with a 3 x 3 filter, stride 1, no dilation and one group; zeros for all other work.
WinogradTiles winograd_tiles(const Call& call, const Work& work);

}  // namespace infercost

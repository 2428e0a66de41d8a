// Which convolutions Winograd's algorithms can compute, and on how many tiles.
#pragma once

#include "lowering/kernel_hints.hpp"

namespace infercost {

// Of a convolution with a filter of 3 x 3, stride 1, no dilation and one group; zeros for all other work.
WinogradTiles winograd_tiles(const Call& call, const Work& work);

}  // namespace infercost

// What both halves of the GPU model know: the menu of tiles, and what flash attention works on.
//
// Source of the mechanism: NVIDIA's "Matrix Multiplication Background" (tile and wave quantisation) and the
// measured step shapes of published GEMM tables. The tile menu is cuBLAS's public list; nothing is fitted.
#pragma once

#include "hardware/costs.hpp"

namespace infercost {

// Sides of tiles are kTileSides[...]: lengths of a product are rounded up to each of them once.
inline constexpr double kTileSides[kSideCount] = {256, 128, 64, 32};

struct Tile {
    int rows;  // index into kTileSides
    int cols;
};
inline constexpr Tile kTiles[] = {
    {0, 1},
    {1, 0},
    {1, 1},
    {0, 2},
    {2, 0},
    {1, 2},
    {2, 1},
    {2, 2},
    {2, 3},
    {3, 2}
};

// Splitting the reduction over cores pays only while each part still has this much of it.
inline constexpr double kSplitLength = 256;

// Flash attention works on blocks of this many query rows, and splits long key ranges likewise.
inline constexpr double kQueryRows = 128;
inline constexpr double kKeyColumns = 512;
// The smallest number of rows that a matrix instruction takes: a decode step pads its one query to it.
inline constexpr double kInstructionRows = 16;

}  // namespace infercost

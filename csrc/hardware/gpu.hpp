// What both halves of the GPU model know: the menus of tiles, and what attention works on.
//
// Source of the mechanism: NVIDIA's "Matrix Multiplication Background" (tile and wave quantisation) and the
// measured step shapes of published tables of products. Menus are a few of cuBLAS's public list: tables of
// measurements tell more of them hardly apart.
#pragma once

#include "hardware/costs.hpp"

namespace infercost {

inline constexpr TileMenu kMatrixTiles = {
    6, {{128, 256}, {128, 128}, {64, 64}, {64, 32}, {64, 16}, {64, 8}}
};
// By the number of rows alone.
inline constexpr TileMenu kTilesByRows = {
    4, {{256, 128, 1e300}, {128, 128, 1024}, {64, 128, 128}, {64, 64, 64}}
};
// Of weights that are widened on the way: down to the rows of one instruction.
inline constexpr TileMenu kWidenedTiles = {
    6, {{64, 256}, {64, 128}, {32, 64}, {16, 256}, {16, 128}, {16, 64}}
};
// Of experts, which have few rows each.
inline constexpr TileMenu kExpertTiles = {
    4, {{128, 128}, {64, 128}, {32, 128}, {16, 128}}
};
inline constexpr TileMenu kVectorTiles = {
    4, {{128, 128}, {128, 64}, {128, 32}, {64, 64}}
};
// Of batches of products on the vector unit, where no tile has fewer columns than rows.
inline constexpr TileMenu kBatchedTiles = {
    2, {{128, 128}, {64, 128}}
};
inline constexpr TileMenu kBatchedTile = {1, {{128, 128}}};
// Accumulators of this many elements fill a core: smaller tiles lie side by side, up to eight.
inline constexpr double kResidentElements = 2.0 * 128 * 128;
inline constexpr double kMostResident = 8;

// Groups of so many channels are products like others; those of up to so many keep the vector unit from its
// rate.
inline constexpr double kWideGroup = 64;
inline constexpr double kNarrowGroup = 24;
// Elements that an index of 32 bits counts.
inline constexpr double kMostElements = 2147483647;
// The largest window that libraries have a depthwise kernel for.
inline constexpr double kWidestDirect = 7 * 7;

// Attention: a tile holds this many query rows, of all heads that share keys; keys come in blocks.
inline constexpr double kQueryRows = 128;
inline constexpr double kInstructionRows = 64;
inline constexpr double kKeyBlock = 64;
inline constexpr double kLeastSplitKeys = 128;
inline constexpr double kMostSplits = 128;
// Keys are narrow with so little of the bytes that the queries' dtype would have.
inline constexpr double kNarrow = 0.75;
// Blocks that stream keys on one core at a time.
inline constexpr double kDecodeBlocks = 2;
// Wider heads are split into parts of a fixed number, and their results are combined, unless there are many.
inline constexpr double kWidestHeld = 256;
inline constexpr double kWideParts = 32;
inline constexpr double kMostWideSets = 1024;
// With fewer query rows than this against the same keys, keys are streamed and queries held.
inline constexpr double kDecodeRows = 16;

// Fused Winograd: a block has 32 tiles of 2 x 2 and 64 channels, and 16 products.
inline constexpr double kFusedTiles = 32;
inline constexpr double kFusedChannels = 64;
inline constexpr double kFusedProducts = 16;
// Winograd with separate transforms: 36 products stand for a square of 4 x 4.
inline constexpr double kTileProducts = 36;

}  // namespace infercost

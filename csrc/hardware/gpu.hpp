// Facts of both halves of the GPU model: the menus of tiles, and the shapes of attention.
//
// Source of the mechanism: NVIDIA's "Matrix Multiplication Background" (tile and wave quantization) and the
// measured step shapes of published tables of products. Menus are a subset of cuBLAS's public list, because
// measurements hardly distinguish more tiles.
#pragma once

#include "hardware/costs.hpp"

namespace infercost {

inline constexpr TileMenu kMatrixTiles = {
    6, {{128, 256}, {128, 128}, {64, 64}, {64, 32}, {64, 16}, {64, 8}}
};
// Selected by the number of rows only.
inline constexpr TileMenu kTilesByRows = {
    4, {{256, 128, 1e300}, {128, 128, 1024}, {64, 128, 128}, {64, 64, 64}}
};
// The same where pairs of cores share a tile.
inline constexpr TileMenu kSharedTilesByRows = {
    4, {{256, 128, 1e300, 2}, {128, 128, 256, 2}, {64, 128, 128}, {64, 64, 64}}
};
// Weights that are widened while they are read: down to the rows of one instruction.
inline constexpr TileMenu kWidenedTiles = {
    6, {{64, 256}, {64, 128}, {32, 64}, {16, 256}, {16, 128}, {16, 64}}
};
// Experts, which have few rows each.
inline constexpr TileMenu kExpertTiles = {
    4, {{128, 128}, {64, 128}, {32, 128}, {16, 128}}
};
inline constexpr TileMenu kVectorTiles = {
    4, {{128, 128}, {128, 64}, {128, 32}, {64, 64}}
};
// Batches of products on the vector unit, where no tile has fewer columns than rows.
inline constexpr TileMenu kBatchedTiles = {
    2, {{128, 128}, {64, 128}}
};
inline constexpr TileMenu kBatchedTile = {1, {{128, 128}}};
// Accumulators of this many elements fill a core: up to eight smaller tiles share a core.
inline constexpr double kResidentElements = 2.0 * 128 * 128;
inline constexpr double kMostResident = 8;

// Groups of at least this many channels are ordinary products; groups of up to this many reduce the rate of
// the vector unit.
inline constexpr double kWideGroup = 64;
inline constexpr double kNarrowGroup = 24;
// Power of convolutions by Winograd's algorithms at full clock, divided by that of products (T4).
inline constexpr double kWinogradPower = 0.8;
// Elements of a 32-bit index.
inline constexpr double kMostElements = 2147483647;
// The largest window of a library's depthwise kernels.
inline constexpr double kWidestDirect = 7 * 7;

// Threads that quantize a row, four elements each at a time.
inline constexpr double kQuantizingThreads = 512;

// Attention: queries are padded to the rows of an instruction; under a mask, keys come in blocks.
inline constexpr double kInstructionRows = 64;
inline constexpr double kKeyBlock = 64;
inline constexpr double kLeastSplitKeys = 128;
inline constexpr double kMostSplits = 128;
// A core that streams keys draws at most twice its share of DRAM.
inline constexpr double kLeastShare = 0.5;
// Keys are narrow below this share of the bytes that they would have in the queries' dtype.
inline constexpr double kNarrow = 0.75;
// The widest heads with a full tile of queries, if narrow keys are turned.
inline constexpr double kTurnedWidth = 128;
// Wider heads are split into a fixed number of parts whose results are combined, unless there are many heads.
inline constexpr double kWidestHeld = 256;
inline constexpr double kWideParts = 32;
inline constexpr double kMostWideSets = 1024;
// With fewer query rows per set of keys, keys are streamed and queries are held.
inline constexpr double kDecodeRows = 16;

// Fused Winograd: a block has 32 tiles of 2 x 2 and 64 channels, and 16 products.
inline constexpr double kFusedTiles = 32;
inline constexpr double kFusedChannels = 64;
inline constexpr double kFusedProducts = 16;
// Winograd with separate transforms: 36 products per 4 x 4 tile.
inline constexpr double kTileProducts = 36;

}  // namespace infercost

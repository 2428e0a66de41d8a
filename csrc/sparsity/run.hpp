// The innermost loops of the scan: a tile of a weight in one instruction set. run.cpp is compiled once per
// instruction set, like that of evaluate. Only plain data crosses the boundary.
#pragma once

#include <cstdint>

namespace infercost {

// A tile is a band of rows by columns whose used bits fit the first-level cache. Both are multiples of the
// largest block, so that no block or group crosses tiles.
inline constexpr int kBandRows = 64;
inline constexpr int kTileColumns = 8192;
inline constexpr int kTileWords = kTileColumns / 64;
inline constexpr int kBlockSizes[] = {4, 8, 16, 32, 64};
inline constexpr int kBlockSizeCount = 5;

struct WeightTile {
    const unsigned char* data;  // its first element
    std::int64_t row_stride;    // in bytes; the elements of a row are contiguous
    int rows;                   // at most kBandRows
    int columns;                // at most kTileColumns
    int bits;                   // of an element: 4, 8, 16, 32 or 64
    std::uint64_t keep;         // an element is zero if (element & keep) == zero; repeated over the word
    std::uint64_t zero;
    bool flat;  // rows are parts of one row: figures across rows are not computed
};

// Groups of M elements with more than N nonzero elements, along one axis.
struct Overfull {
    std::uint64_t two_of_four;
    std::uint64_t one_of_four;
    std::uint64_t four_of_eight;
};

// Counts of the scan. Groups and blocks at an edge are padded with zeros.
struct TileCounts {
    std::uint64_t nonzeros;
    Overfull along_rows;
    Overfull along_columns;
    std::uint64_t used_blocks[kBlockSizeCount];  // blocks with a nonzero element
};

// Positions of nonzero elements: a bit per row of the band, and a bit per column of the tile.
struct TileUse {
    std::uint64_t rows;
    std::uint64_t columns[kTileWords];
};

// scan_tile adds to the counts and overwrites the use. sum_words is a plain read of memory, the reference for
// the speed of a scan.
#define INFERCOST_DECLARE_SCAN(isa)                                               \
    namespace isa {                                                               \
    void scan_tile(const WeightTile& tile, TileCounts& counts, TileUse& use);     \
    std::uint64_t sum_words(const unsigned char* data, std::uint64_t word_count); \
    }
INFERCOST_DECLARE_SCAN(baseline)
INFERCOST_DECLARE_SCAN(avx2)
INFERCOST_DECLARE_SCAN(avx512)
#undef INFERCOST_DECLARE_SCAN

}  // namespace infercost

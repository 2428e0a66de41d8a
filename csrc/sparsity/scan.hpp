// One pass over a weight: how many of its elements are zero, and how the zeros lie.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "simd/isa.hpp"
#include "sparsity/element.hpp"
#include "sparsity/magnitudes.hpp"
#include "sparsity/run.hpp"

namespace infercost {

// A weight as it is scanned: its first dimension by all others.
struct WeightShape {
    std::uint64_t rows = 0;
    std::uint64_t columns = 0;
    std::uint64_t channel_columns =
        1;              // of one entry of the second dimension: the size of a convolution's kernel
    bool flat = false;  // one row of which only elements and groups are wanted
};

struct Dimension {
    std::uint64_t size;
    std::int64_t stride;  // in bytes
};

// A part of a weight in memory. Where the elements of a row lie apart, `inner` has the dimensions behind the
// first, and all columns are in the region.
struct Region {
    const unsigned char* data = nullptr;  // its first element
    std::uint64_t first_row = 0;          // a multiple of kBandRows
    std::uint64_t rows = 0;               // up to the last row, or a multiple of it
    std::uint64_t first_column = 0;       // a multiple of 64
    std::uint64_t columns = 0;            // up to the last column, or a multiple of 64
    std::int64_t row_stride = 0;          // in bytes
    std::vector<Dimension> inner;
};

struct ScanResult {
    std::uint64_t elements = 0;
    std::uint64_t zeros = 0;
    std::uint64_t zero_rows = 0;
    std::uint64_t channels = 0;
    std::uint64_t zero_channels = 0;
    TileCounts counts{};
    Magnitudes magnitudes;
};

// Takes a weight region by region and adds up. Each element has to be in one region; which regions, threads
// and instruction sets there were changes nothing in the result.
class Scan {
  public:
    // `zero` is the integer that stands for zero in a quantised weight. Without `magnitudes` none are
    // sampled. Throws std::invalid_argument.
    Scan(const Element& element, const WeightShape& shape, std::int64_t zero, bool magnitudes = true);

    // Throws std::invalid_argument for a region that does not fit the weight.
    void add(const Region& region, unsigned threads, Isa isa);

    // Throws std::invalid_argument where elements are missing or were given twice.
    ScanResult result() const;

    const Element& element() const { return element_; }
    const WeightShape& shape() const { return shape_; }

  private:
    struct Piece;  // a tile's place in the weight
    class Worker;

    void check(const Region& region) const;
    void merge(const TileCounts& counts);
    void take_sample(const Tile& tile, const Piece& piece);
    void take_sample(const Tile& tile, const unsigned char* data, std::uint64_t first, std::uint64_t count);

    Element element_;
    WeightShape shape_;
    std::int64_t zero_;
    std::uint64_t added_ = 0;
    TileCounts counts_{};
    std::mutex counts_mutex_;
    // A bit for each row and each column in which something is not zero. Threads meet in them.
    std::vector<std::atomic<std::uint64_t>> used_rows_;
    std::vector<std::atomic<std::uint64_t>> used_columns_;
    SamplePlaces places_;
    std::vector<double> sample_;
};

}  // namespace infercost

// One pass over a weight: the number of zeros, and their structure.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/function_ref.hpp"
#include "simd/isa.hpp"
#include "sparsity/element.hpp"
#include "sparsity/magnitudes.hpp"
#include "sparsity/run.hpp"

namespace infercost {

// Shape of a weight in a scan: its first dimension by all others.
struct WeightShape {
    std::uint64_t rows = 0;
    std::uint64_t columns = 0;
    std::uint64_t channel_columns =
        1;              // of one entry of the second dimension: the size of a convolution's filter
    bool flat = false;  // one row, of which only elements and groups are counted
};

struct Dimension {
    std::uint64_t size;
    std::int64_t stride;  // in bytes
};

// A part of a weight in memory. If the elements of a row are not contiguous, `inner` holds the dimensions
// after the first, and the region contains all columns.
struct ScanRegion {
    const unsigned char* data = nullptr;  // its first element
    std::uint64_t first_row = 0;          // a multiple of kBandRows
    std::uint64_t rows = 0;               // ends at the last row, or is a multiple of kBandRows
    std::uint64_t first_column = 0;       // a multiple of 64
    std::uint64_t columns = 0;            // ends at the last column, or is a multiple of 64
    std::int64_t row_stride = 0;          // in bytes
    std::vector<Dimension> inner;
};

// Bytes of a source that are in memory for as long as this lives.
class MappedBytes {
  public:
    virtual ~MappedBytes() = default;
    virtual const unsigned char* data() const = 0;
    // Throws if some bytes were not those of the source when they were scanned.
    virtual void check() const = 0;
};

// Bytes that come into memory when they are scanned, such as those of a file.
class ByteSource {
  public:
    virtual ~ByteSource() = default;
    // Copies bytes to `into`; called by several threads at a time. Throws if there are fewer.
    virtual void read(std::uint64_t offset, std::size_t bytes, unsigned char* into) const = 0;
    // The bytes without a copy, or none if they have to be read. Throws if there are fewer.
    virtual std::unique_ptr<MappedBytes> map(std::uint64_t offset, std::uint64_t bytes) const = 0;
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

// Scans a weight region by region and accumulates the counts. Each element must be in exactly one region. The
// result does not depend on the regions, threads and instruction sets.
class Scan {
  public:
    // `zero` is the integer that represents zero in a quantized weight. Without `magnitudes`, no magnitudes
    // are sampled. Throws InputError.
    Scan(const Element& element, const WeightShape& shape, std::int64_t zero, bool magnitudes = true);

    // Throws InputError for a region that does not fit the weight.
    void add(const ScanRegion& region, unsigned threads, Isa isa);
    // The same for a region whose first element is at `offset` of a source; `data` is not used. About 128 MB
    // are mapped at a time. Where the source has no map, and for a megabyte or less, each thread reads about
    // a megabyte at a time. Throws what the source throws, and InputError for inner dimensions.
    void add(const ScanRegion& region, const ByteSource& source, std::uint64_t offset, unsigned threads,
             Isa isa);

    // Throws InputError if elements are missing or were scanned twice.
    ScanResult result() const;

    const Element& element() const { return element_; }
    const WeightShape& shape() const { return shape_; }

  private:
    struct Piece;  // position of a tile in the weight
    class Worker;

    void check(const ScanRegion& region) const;
    void scan_in_units(std::uint64_t units, unsigned threads, const ScanRegion& region, Isa isa,
                       FunctionRef<void(Worker&, std::uint64_t)> scan_unit);
    void merge(const TileCounts& counts);
    void take_sample(const WeightTile& tile, const Piece& piece);
    void take_sample(const WeightTile& tile, const unsigned char* data, std::uint64_t first,
                     std::uint64_t count);

    Element element_;
    WeightShape shape_;
    std::int64_t zero_;
    std::uint64_t added_ = 0;
    TileCounts counts_{};
    std::mutex counts_mutex_;
    // A bit per row and per column with a nonzero element. Threads share them.
    std::vector<std::atomic<std::uint64_t>> used_rows_;
    std::vector<std::atomic<std::uint64_t>> used_columns_;
    SamplePlaces places_;
    std::vector<double> sample_;
};

}  // namespace infercost

#include "sparsity/scan.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/errors.hpp"
#include "core/threads.hpp"
#include "sparsity/gather.hpp"

namespace infercost {
namespace {

// Columns per copy, so that it fits the second-level cache.
constexpr std::uint64_t kGatheredColumns = 512;
// Columns per row of a flat weight; a multiple of all groups.
constexpr std::uint64_t kFlatColumns = 4096;
constexpr std::uint64_t kMostElements = std::uint64_t{1} << 48;  // its product with kSampleSize still fits

// What a thread reads of a source at a time, so that it is still in a cache when it is scanned.
constexpr std::uint64_t kUnitBytes = std::uint64_t{1} << 20;
// What is mapped of a source at a time: a limit of resident memory.
constexpr std::uint64_t kWindowBytes = std::uint64_t{1} << 27;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 62;  // between the first and the last of a source

using ScanTile = decltype(&baseline::scan_tile);

ScanTile scan_tile_of([[maybe_unused]] Isa isa) {
#ifdef INFERCOST_X86_DISPATCH
    if (isa == Isa::avx512) return &avx512::scan_tile;
    if (isa == Isa::avx2) return &avx2::scan_tile;
#endif
    return &baseline::scan_tile;
}

std::uint64_t repeated(std::uint64_t pattern, int bits) {
    if (bits == 64) return pattern;
    std::uint64_t word = 0;
    for (int shift = 0; shift < 64; shift += bits) word |= pattern << shift;
    return word;
}

std::uint64_t divided_up(std::uint64_t a, std::uint64_t b) {
    return a / b + (a % b == 0 ? 0 : 1);
}

std::uint64_t checked_elements(const WeightShape& shape) {
    if (shape.rows != 0 && shape.columns > kMostElements / shape.rows) {
        throw InputError("a weight of " + std::to_string(shape.rows) + " x " + std::to_string(shape.columns) +
                         " elements is too large; expected at most 2^48");
    }
    return shape.rows * shape.columns;
}

void add_groups(Overfull& to, const Overfull& from) {
    to.two_of_four += from.two_of_four;
    to.one_of_four += from.one_of_four;
    to.four_of_eight += from.four_of_eight;
}

void add_counts(TileCounts& to, const TileCounts& from) {
    to.nonzeros += from.nonzeros;
    add_groups(to.along_rows, from.along_rows);
    add_groups(to.along_columns, from.along_columns);
    for (int b = 0; b < kBlockSizeCount; ++b) to.used_blocks[b] += from.used_blocks[b];
}

struct ByteRange {
    std::uint64_t offset, bytes;
};

// The windows of a source that are mapped at the moment. The thread that needs the first unit of a window
// maps it, and the one that ends its last unit checks and unmaps it, so that no thread waits for another's
// units.
class Windows {
  public:
    // `range_of` gives the bytes of a window, which consists of `each` units.
    Windows(const ByteSource& source, std::uint64_t units, std::uint64_t each,
            std::function<ByteRange(std::uint64_t)> range_of)
        : source_(source), units_(units), each_(each), range_of_(std::move(range_of)) {}

    // The byte at `start` of the source, in the window of a unit; null if the unit has to be read.
    const unsigned char* enter(std::uint64_t unit, std::uint64_t start) {
        const std::uint64_t w = unit / each_;
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto [place, is_new] = open_.try_emplace(w);
        Window& window = place->second;
        if (is_new) {
            const ByteRange range = range_of_(w);
            window.offset = range.offset;
            window.units_left = std::min(each_, units_ - w * each_);
            // A map takes some 10 us more than to read a part that stays in a cache.
            if (range.bytes > kUnitBytes) window.bytes = source_.map(range.offset, range.bytes);
        }
        return window.bytes ? window.bytes->data() + (start - window.offset) : nullptr;
    }
    // Throws if the window of a unit, which has been scanned, had wrong bytes.
    void leave(std::uint64_t unit) {
        std::unique_ptr<MappedBytes> done;  // unmapped without the lock
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            const auto place = open_.find(unit / each_);
            if (--place->second.units_left > 0) return;
            done = std::move(place->second.bytes);
            open_.erase(place);
        }
        if (done) done->check();
    }

  private:
    struct Window {
        std::uint64_t offset = 0;
        std::uint64_t units_left = 0;
        std::unique_ptr<MappedBytes> bytes;
    };

    const ByteSource& source_;
    std::uint64_t units_;
    std::uint64_t each_;
    std::function<ByteRange(std::uint64_t)> range_of_;
    std::mutex mutex_;
    std::map<std::uint64_t, Window> open_;
};

// Columns of a tile; tiles of a row have equal widths, up to a whole word.
std::uint64_t tile_width(const ScanRegion& region) {
    const std::uint64_t most = region.inner.empty() ? std::uint64_t{kTileColumns} : kGatheredColumns;
    return divided_up(divided_up(region.columns, divided_up(region.columns, most)), 64) * 64;
}

}  // namespace

struct Scan::Piece {
    std::uint64_t row, column;  // position of its first element in the weight
};

// The part of a region that one thread scans. Its counts are merged once, at the end.
class Scan::Worker {
  public:
    Worker(Scan& scan, const ScanRegion& region, ScanTile scan_tile)
        : scan_(scan), region_(region), scan_tile_(scan_tile) {
        if (!region.inner.empty()) {
            const auto bits = static_cast<std::uint64_t>(scan.element_.bits);
            gathered_.resize(kBandRows * kGatheredColumns * bits / 8);
        }
    }

    // Rows and columns are relative to the region.
    void run(std::uint64_t row, std::uint64_t column, std::uint64_t rows, std::uint64_t columns) {
        const Element& element = scan_.element_;
        WeightTile tile{};
        tile.rows = static_cast<int>(rows);
        tile.columns = static_cast<int>(columns);
        tile.bits = element.bits;
        tile.keep = repeated(element.keep(), element.bits);
        // No bit pattern of an exponent-only element is zero: nothing equals a pattern outside of `keep`.
        const bool never = element.encoding == Encoding::power_of_two;
        tile.keep = never ? 0 : tile.keep;
        const auto zero = static_cast<std::uint64_t>(scan_.zero_) & element.keep();
        tile.zero = never ? ~std::uint64_t{0} : repeated(zero, element.bits);
        tile.flat = scan_.shape_.flat;
        if (region_.inner.empty()) {
            const auto first_bit = static_cast<std::int64_t>(column) * element.bits;
            tile.data = region_.data + static_cast<std::int64_t>(row) * region_.row_stride + first_bit / 8;
            tile.row_stride = region_.row_stride;
        } else {
            gather(region_, element.bits / 8, {row, column, rows, columns}, gathered_.data());
            tile.data = gathered_.data();
            tile.row_stride = static_cast<std::int64_t>(columns) * element.bits / 8;
        }
        scan_tile_(tile, counts_, use_);
        const Piece piece{region_.first_row + row, region_.first_column + column};
        note_use(piece, columns);
        scan_.take_sample(tile, piece);
    }

    // A flat weight: parts of it as rows. `first` is relative to the region.
    void run_flat(std::uint64_t first, std::uint64_t count) {
        ScanRegion pieces = region_;
        const auto bits = static_cast<std::uint64_t>(scan_.element_.bits);
        pieces.data += first * bits / 8;
        pieces.row_stride = static_cast<std::int64_t>(kFlatColumns * bits / 8);
        pieces.first_column += first;
        Worker part(scan_, pieces, scan_tile_);
        const std::uint64_t rows = count / kFlatColumns;
        if (rows > 0) part.run(0, 0, rows, kFlatColumns);
        if (count % kFlatColumns > 0) {
            part.region_.data += static_cast<std::int64_t>(rows) * pieces.row_stride;
            part.region_.first_column += rows * kFlatColumns;
            part.run(0, 0, 1, count % kFlatColumns);
        }
        add_counts(counts_, part.counts_);
    }

    const TileCounts& counts() const { return counts_; }

    // Memory for a part of the region.
    unsigned char* buffer(std::uint64_t bytes) {
        if (buffer_.size() < bytes) buffer_.resize(bytes);
        return buffer_.data();
    }
    // The next runs are relative to the part that begins at this row and column of the whole region.
    void move_to(const unsigned char* data, std::uint64_t row_bytes, std::uint64_t row,
                 std::uint64_t column) {
        region_.data = data;
        region_.row_stride = static_cast<std::int64_t>(row_bytes);
        region_.first_row = whole_row_ + row;
        region_.first_column = whole_column_ + column;
    }

  private:
    void note_use(const Piece& piece, std::uint64_t columns) {
        if (use_.rows != 0)
            scan_.used_rows_[piece.row / kBandRows].fetch_or(use_.rows, std::memory_order_relaxed);
        if (scan_.shape_.flat) return;
        for (std::uint64_t w = 0; w < divided_up(columns, 64); ++w) {
            std::atomic<std::uint64_t>& known = scan_.used_columns_[piece.column / 64 + w];
            const std::uint64_t fresh = use_.columns[w] & ~known.load(std::memory_order_relaxed);
            if (fresh != 0) known.fetch_or(fresh, std::memory_order_relaxed);
        }
    }

    Scan& scan_;
    ScanRegion region_;
    ScanTile scan_tile_;
    TileCounts counts_{};
    TileUse use_{};
    std::vector<unsigned char> gathered_;
    std::vector<unsigned char> buffer_;
    const std::uint64_t whole_row_ = region_.first_row;
    const std::uint64_t whole_column_ = region_.first_column;
};

Scan::Scan(const Element& element, const WeightShape& shape, std::int64_t zero, bool magnitudes)
    : element_(element), shape_(shape), zero_(zero), places_(magnitudes ? shape.rows * shape.columns : 0) {
    checked_elements(shape);
    if (shape.channel_columns == 0 || shape.columns % shape.channel_columns != 0) {
        throw InputError(std::to_string(shape.columns) + " columns are not a multiple of " +
                         std::to_string(shape.channel_columns) + ", the size of a channel");
    }
    if (shape.flat && shape.rows > 1) {
        throw InputError("a flat weight has " + std::to_string(shape.rows) + " rows; expected one");
    }
    if (zero != 0 && !element.is_integer()) {
        throw InputError("zero point " + std::to_string(zero) + " needs an integer dtype, got " +
                         std::string(element.name));
    }
    if (shape.rows == 0 || shape.columns == 0) return;  // nothing is scanned, whatever the other length is
    used_rows_ = std::vector<std::atomic<std::uint64_t>>(divided_up(shape.rows, kBandRows));
    if (!shape.flat) used_columns_ = std::vector<std::atomic<std::uint64_t>>(divided_up(shape.columns, 64));
    sample_.resize(places_.size());
}

void Scan::check(const ScanRegion& region) const {
    const auto fits = [](std::uint64_t first, std::uint64_t count, std::uint64_t all, std::uint64_t step) {
        return first % step == 0 && first <= all && count <= all - first &&
               (count % step == 0 || first + count == all);
    };
    const bool whole_rows = region.first_column == 0 && region.columns == shape_.columns;
    if (!fits(region.first_row, region.rows, shape_.rows, kBandRows) ||
        !fits(region.first_column, region.columns, shape_.columns, 64) ||
        (!region.inner.empty() && (!whole_rows || element_.bits < 8 || shape_.flat))) {
        throw InputError("a region of " + std::to_string(region.rows) + " x " +
                         std::to_string(region.columns) + " from row " + std::to_string(region.first_row) +
                         " and column " + std::to_string(region.first_column) + " does not fit a weight of " +
                         std::to_string(shape_.rows) + " x " + std::to_string(shape_.columns));
    }
}

// Calls scan_unit(worker, i) for i below `units`, on several threads, each with a worker of its own.
void Scan::scan_in_units(std::uint64_t units, unsigned threads, const ScanRegion& region, Isa isa,
                         FunctionRef<void(Worker&, std::uint64_t)> scan_unit) {
    const ScanTile scan_tile = scan_tile_of(isa);
    std::atomic<std::uint64_t> next = 0;
    std::vector<std::exception_ptr> errors(
        std::max<std::uint64_t>(1, std::min<std::uint64_t>(threads, units)));
    const auto work = [&](std::size_t t) {
        try {
            Worker worker(*this, region, scan_tile);
            for (std::uint64_t i = next++; i < units; i = next++) {
                check_interrupt();
                scan_unit(worker, i);
            }
            merge(worker.counts());
        } catch (...) {
            errors[t] = std::current_exception();
            next = units;
        }
    };
    run_threads(errors.size(), work);
    for (const std::exception_ptr& error : errors) {
        if (error) std::rethrow_exception(error);
    }
    added_ += region.rows * region.columns;
}

void Scan::add(const ScanRegion& region, unsigned threads, Isa isa) {
    check(region);
    if (region.rows == 0 || region.columns == 0) return;
    if (shape_.flat) {
        const std::uint64_t stretch = kBandRows * kFlatColumns;
        return scan_in_units(divided_up(region.columns, stretch), threads, region, isa,
                             [&](Worker& worker, std::uint64_t i) {
                                 const std::uint64_t first = i * stretch;
                                 worker.run_flat(first, std::min(stretch, region.columns - first));
                             });
    }
    const std::uint64_t width = tile_width(region);
    const std::uint64_t across = divided_up(region.columns, width);
    scan_in_units(divided_up(region.rows, kBandRows) * across, threads, region, isa,
                  [&](Worker& worker, std::uint64_t i) {
                      const std::uint64_t row = i / across * kBandRows;
                      const std::uint64_t column = i % across * width;
                      worker.run(row, column, std::min<std::uint64_t>(kBandRows, region.rows - row),
                                 std::min(width, region.columns - column));
                  });
}

void Scan::add(const ScanRegion& region, const ByteSource& source, std::uint64_t offset, unsigned threads,
               Isa isa) {
    check(region);
    if (!region.inner.empty() || region.row_stride < 0) {
        throw InputError(
            "a region of a source has inner dimensions or a stride below zero; expected "
            "contiguous rows");
    }
    if (region.rows == 0 || region.columns == 0) return;
    const auto bits = static_cast<std::uint64_t>(element_.bits);
    const auto stride = static_cast<std::uint64_t>(region.row_stride);
    const std::uint64_t row_bytes = divided_up(region.columns * bits, 8);
    if (stride > kMostBytes / region.rows) {
        throw InputError("a region has " + std::to_string(region.rows) + " rows at distances of " +
                         std::to_string(stride) + " bytes; expected at most 2^62 bytes in all");
    }
    if (shape_.flat) {
        const std::uint64_t stretch = kBandRows * kFlatColumns;
        const std::uint64_t stretch_bytes = stretch * bits / 8;
        const std::uint64_t units = divided_up(region.columns, stretch);
        const std::uint64_t each = kWindowBytes / stretch_bytes;
        const auto range = [&](std::uint64_t w) {
            const std::uint64_t first = w * each * stretch_bytes;
            return ByteRange{offset + first, std::min(each * stretch_bytes, row_bytes - first)};
        };
        Windows windows(source, units, each, range);
        return scan_in_units(units, threads, region, isa, [&](Worker& worker, std::uint64_t i) {
            const std::uint64_t first = i * stretch;
            const std::uint64_t count = std::min(stretch, region.columns - first);
            const std::uint64_t start = offset + i * stretch_bytes;
            const unsigned char* data = windows.enter(i, start);
            if (!data) {
                unsigned char* const bytes = worker.buffer(divided_up(count * bits, 8));
                source.read(start, divided_up(count * bits, 8), bytes);
                data = bytes;
            }
            worker.move_to(data, 0, 0, first);
            worker.run_flat(0, count);
            windows.leave(i);
        });
    }
    // A unit is some whole bands if a band is small, or a part of a band's columns if it is large.
    const std::uint64_t band_bytes = std::max<std::uint64_t>(1, row_bytes * kBandRows);
    const std::uint64_t bands = std::max<std::uint64_t>(1, kUnitBytes / band_bytes);
    const std::uint64_t parts = divided_up(band_bytes, kUnitBytes);
    const std::uint64_t columns = divided_up(divided_up(region.columns, parts), 64) * 64;
    const std::uint64_t across = divided_up(region.columns, columns);
    const std::uint64_t tall = bands * kBandRows;
    const std::uint64_t units = divided_up(region.rows, tall) * across;
    // A window is all units of some rows.
    const std::uint64_t unit_rows_bytes = std::min(tall, region.rows) * std::max(stride, row_bytes);
    const std::uint64_t down = std::max<std::uint64_t>(1, kWindowBytes / unit_rows_bytes);
    const auto range = [&](std::uint64_t w) {
        const std::uint64_t first = w * down * tall;
        const std::uint64_t rows = std::min(down * tall, region.rows - first);
        return ByteRange{offset + first * stride, (rows - 1) * stride + row_bytes};
    };
    Windows windows(source, units, down * across, range);
    scan_in_units(units, threads, region, isa, [&](Worker& worker, std::uint64_t i) {
        const std::uint64_t row = i / across * tall;
        const std::uint64_t column = i % across * columns;
        const std::uint64_t rows = std::min(tall, region.rows - row);
        const std::uint64_t width = std::min(columns, region.columns - column);
        const std::uint64_t width_bytes = divided_up(width * bits, 8);
        const std::uint64_t start = offset + row * stride + column * bits / 8;
        if (const unsigned char* data = windows.enter(i, start)) {
            worker.move_to(data, stride, row, column);
        } else {
            unsigned char* const bytes = worker.buffer(rows * width_bytes);
            if (width_bytes == stride) {
                source.read(start, rows * width_bytes, bytes);
            } else {
                for (std::uint64_t r = 0; r < rows; ++r) {
                    source.read(start + r * stride, width_bytes, bytes + r * width_bytes);
                }
            }
            worker.move_to(bytes, width_bytes, row, column);
        }
        const std::uint64_t tile = tile_width(region);
        for (std::uint64_t r = 0; r < rows; r += kBandRows) {
            for (std::uint64_t c = 0; c < width; c += tile) {
                worker.run(r, c, std::min<std::uint64_t>(kBandRows, rows - r), std::min(tile, width - c));
            }
        }
        windows.leave(i);
    });
}

void Scan::merge(const TileCounts& counts) {
    const std::lock_guard<std::mutex> lock(counts_mutex_);
    add_counts(counts_, counts);
}

void Scan::take_sample(const WeightTile& tile, const Piece& piece) {
    const auto rows = static_cast<std::uint64_t>(tile.rows);
    const auto columns = static_cast<std::uint64_t>(tile.columns);
    const std::uint64_t first = piece.row * shape_.columns + piece.column;
    // If rows lie completely in this tile, they are one range of elements.
    if (shape_.flat || columns == shape_.columns) return take_sample(tile, tile.data, first, rows * columns);
    for (std::uint64_t r = 0; r < rows; ++r) {
        const unsigned char* row = tile.data + static_cast<std::int64_t>(r) * tile.row_stride;
        take_sample(tile, row, first + r * shape_.columns, columns);
    }
}

void Scan::take_sample(const WeightTile& tile, const unsigned char* data, std::uint64_t first,
                       std::uint64_t count) {
    const auto columns = static_cast<std::uint64_t>(tile.columns);
    for (std::uint64_t i = places_.share_of(first); i < places_.size(); ++i) {
        const std::uint64_t place = places_.place(i);
        if (place >= first + count) break;
        if (place < first) continue;
        const std::uint64_t offset = place - first;
        const unsigned char* row = data + static_cast<std::int64_t>(offset / columns) * tile.row_stride;
        sample_[i] = element_.magnitude(load_element(row, offset % columns, element_.bits), zero_);
    }
}

ScanResult Scan::result() const {
    ScanResult result;
    result.elements = shape_.rows * shape_.columns;
    if (added_ != result.elements) {
        throw InputError("regions of " + std::to_string(added_) + " elements were scanned; expected " +
                         std::to_string(result.elements));
    }
    result.counts = counts_;
    result.zeros = result.elements - counts_.nonzeros;
    result.zero_rows = shape_.rows;
    for (const std::atomic<std::uint64_t>& band : used_rows_) {
        const auto used = static_cast<std::uint64_t>(std::popcount(band.load(std::memory_order_relaxed)));
        result.zero_rows -= shape_.flat ? std::min<std::uint64_t>(used, 1) : used;
    }
    if (!shape_.flat) {
        result.channels = shape_.columns / shape_.channel_columns;
        if (used_columns_.empty()) result.zero_channels = result.channels;
        const std::uint64_t looked_at = used_columns_.empty() ? 0 : result.channels;
        for (std::uint64_t channel = 0; channel < looked_at; ++channel) {
            bool used = false;
            for (std::uint64_t k = 0; k < shape_.channel_columns && !used; ++k) {
                const std::uint64_t column = channel * shape_.channel_columns + k;
                used = (used_columns_[column / 64].load(std::memory_order_relaxed) >> (column % 64)) & 1U;
            }
            if (!used) ++result.zero_channels;
        }
    }
    result.magnitudes = summarize(sample_);
    return result;
}

}  // namespace infercost

#include "sparsity/gather.hpp"

#include <cstdlib>
#include <cstring>

namespace infercost {
namespace {

// Distance of the first element of each column from that of the row.
std::vector<std::int64_t> column_offsets(const std::vector<Dimension>& inner, std::uint64_t first,
                                         std::uint64_t count) {
    std::vector<std::int64_t> offsets(count);
    for (std::uint64_t c = 0; c < count; ++c) {
        std::uint64_t index = first + c;
        for (std::size_t d = inner.size(); d-- > 0;) {
            offsets[c] += static_cast<std::int64_t>(index % inner[d].size) * inner[d].stride;
            index /= inner[d].size;
        }
    }
    return offsets;
}

template <std::size_t Width>
void copy(const unsigned char* data, std::int64_t row_stride, const std::vector<std::int64_t>& offsets,
          std::uint64_t rows, unsigned char* out) {
    const std::uint64_t columns = offsets.size();
    // The axis with the smaller stride is read first, so that each cache line is read once.
    const bool rows_first = columns > 1 && std::abs(row_stride) < std::abs(offsets[1] - offsets[0]);
    if (rows_first) {
        for (std::uint64_t c = 0; c < columns; ++c) {
            const unsigned char* from = data + offsets[c];
            for (std::uint64_t r = 0; r < rows; ++r, from += row_stride) {
                std::memcpy(out + (r * columns + c) * Width, from, Width);
            }
        }
    } else {
        for (std::uint64_t r = 0; r < rows; ++r, data += row_stride) {
            for (std::uint64_t c = 0; c < columns; ++c, out += Width)
                std::memcpy(out, data + offsets[c], Width);
        }
    }
}

}  // namespace

void gather(const ScanRegion& region, int width, const Window& window, unsigned char* out) {
    const std::vector<std::int64_t> offsets = column_offsets(region.inner, window.column, window.columns);
    const unsigned char* data = region.data + static_cast<std::int64_t>(window.row) * region.row_stride;
    switch (width) {
        case 1:
            return copy<1>(data, region.row_stride, offsets, window.rows, out);
        case 2:
            return copy<2>(data, region.row_stride, offsets, window.rows, out);
        case 4:
            return copy<4>(data, region.row_stride, offsets, window.rows, out);
        default:
            return copy<8>(data, region.row_stride, offsets, window.rows, out);
    }
}

}  // namespace infercost

// Copies strided elements into contiguous memory.
#pragma once

#include <cstdint>

#include "sparsity/scan.hpp"

namespace infercost {

struct Window {
    std::uint64_t row, column;  // position of its first element in the region
    std::uint64_t rows, columns;
};

// Copy a window of a region whose rows have inner dimensions; `width` is the size of an element in bytes.
void gather(const ScanRegion& region, int width, const Window& window, unsigned char* out);

}  // namespace infercost

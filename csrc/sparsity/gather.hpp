// Elements that lie apart, copied side by side.
#pragma once

#include <cstdint>

#include "sparsity/scan.hpp"

namespace infercost {

struct Window {
    std::uint64_t row, column;  // of its first element, in the region
    std::uint64_t rows, columns;
};

// Copies a window of a region whose rows have inner dimensions; `width` is that of an element in bytes.
void gather(const Region& region, int width, const Window& window, unsigned char* out);

}  // namespace infercost

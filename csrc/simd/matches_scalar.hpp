// One element at a time, for unknown instruction sets. Included only by simd/matches.hpp.
#pragma once

#include <cstdint>

#include "simd/inline.hpp"

namespace infercost::INFERCOST_ISA {

struct Pattern {
    std::uint64_t keep, value;
};

INFERCOST_INLINE Pattern pattern_of(std::uint64_t keep, std::uint64_t value) {
    return {keep, value};
}

template <int Bits>
INFERCOST_INLINE std::uint64_t matches(const unsigned char* p, Pattern pattern) {
    constexpr std::uint64_t all = Bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (Bits % 64)) - 1;
    std::uint64_t found = 0;
    for (int i = 0; i < 64; ++i) {
        std::uint64_t element = 0;
        if constexpr (Bits == 4) {
            element = (p[i / 2] >> (4 * (i % 2))) & 15;
        } else {
            for (int b = Bits / 8; b-- > 0;) element = element << 8 | p[i * (Bits / 8) + b];
        }
        found |= std::uint64_t{(element & pattern.keep & all) == (pattern.value & all)} << i;
    }
    return found;
}

}  // namespace infercost::INFERCOST_ISA

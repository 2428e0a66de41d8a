// Wide elements, 64 bytes at a time, with AVX-512 F. Narrow elements use AVX2, because comparing them needs
// an extension (BW) that the dispatch does not check. Included only by simd/matches.hpp.
#pragma once

#include "simd/matches_avx2.hpp"

namespace infercost::INFERCOST_ISA {

INFERCOST_INLINE __m512i kept_64(const unsigned char* p, Pattern pattern) {
    return _mm512_and_si512(_mm512_loadu_si512(p), _mm512_broadcast_i64x4(pattern.keep));
}

template <int Bits>
INFERCOST_INLINE std::uint64_t matches(const unsigned char* p, Pattern pattern) {
    if constexpr (Bits == 4) return match_64_of_4(p, pattern);
    if constexpr (Bits == 8) return match_32_of_8(p, pattern) | match_32_of_8(p + 32, pattern) << 32;
    if constexpr (Bits == 16) return match_32_of_16(p, pattern) | match_32_of_16(p + 64, pattern) << 32;
    const __m512i value = _mm512_broadcast_i64x4(pattern.value);
    std::uint64_t found = 0;
    if constexpr (Bits == 32) {
        for (int i = 0; i < 4; ++i) {
            const std::uint64_t equal = _mm512_cmpeq_epi32_mask(kept_64(p + 64 * i, pattern), value);
            found |= equal << (16 * i);
        }
    }
    if constexpr (Bits == 64) {
        for (int i = 0; i < 8; ++i) {
            const std::uint64_t equal = _mm512_cmpeq_epi64_mask(kept_64(p + 64 * i, pattern), value);
            found |= equal << (8 * i);
        }
    }
    return found;
}

}  // namespace infercost::INFERCOST_ISA

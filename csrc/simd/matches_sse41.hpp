// 16 bytes at a time: SSE4.1, the baseline of x86-64. Included only by simd/matches.hpp.
#pragma once

#include <cstdint>
#include <immintrin.h>

#include "simd/inline.hpp"

namespace infercost::INFERCOST_ISA {

struct Pattern {
    __m128i keep, value;
};

// `keep` and `value` are repeated over the word.
INFERCOST_INLINE Pattern pattern_of(std::uint64_t keep, std::uint64_t value) {
    return {_mm_set1_epi64x(static_cast<long long>(keep)), _mm_set1_epi64x(static_cast<long long>(value))};
}

INFERCOST_INLINE __m128i kept(const unsigned char* p, Pattern pattern) {
    return _mm_and_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), pattern.keep);
}
INFERCOST_INLINE std::uint64_t top_bits(__m128i bytes) {
    return static_cast<std::uint32_t>(_mm_movemask_epi8(bytes));
}

// Sixteen elements each, except for the last two functions.
INFERCOST_INLINE std::uint64_t match_16_of_8(const unsigned char* p, Pattern pattern) {
    return top_bits(_mm_cmpeq_epi8(kept(p, pattern), pattern.value));
}
INFERCOST_INLINE __m128i equal_16(const unsigned char* p, Pattern pattern) {
    return _mm_cmpeq_epi16(kept(p, pattern), pattern.value);
}
INFERCOST_INLINE std::uint64_t match_16_of_16(const unsigned char* p, Pattern pattern) {
    return top_bits(_mm_packs_epi16(equal_16(p, pattern), equal_16(p + 16, pattern)));
}
INFERCOST_INLINE __m128i equal_32(const unsigned char* p, Pattern pattern) {
    return _mm_cmpeq_epi32(kept(p, pattern), pattern.value);
}
INFERCOST_INLINE std::uint64_t match_16_of_32(const unsigned char* p, Pattern pattern) {
    const __m128i low = _mm_packs_epi32(equal_32(p, pattern), equal_32(p + 16, pattern));
    const __m128i high = _mm_packs_epi32(equal_32(p + 32, pattern), equal_32(p + 48, pattern));
    return top_bits(_mm_packs_epi16(low, high));
}
INFERCOST_INLINE std::uint64_t match_2_of_64(const unsigned char* p, Pattern pattern) {
    const __m128i equal = _mm_cmpeq_epi64(kept(p, pattern), pattern.value);
    return static_cast<std::uint32_t>(_mm_movemask_pd(_mm_castsi128_pd(equal)));
}
INFERCOST_INLINE std::uint64_t match_32_of_4(const unsigned char* p, Pattern pattern) {
    const __m128i low_half = _mm_set1_epi8(15);
    const __m128i bytes = kept(p, pattern);
    const __m128i wanted = _mm_and_si128(pattern.value, low_half);
    const __m128i low = _mm_cmpeq_epi8(_mm_and_si128(bytes, low_half), wanted);
    const __m128i high = _mm_cmpeq_epi8(_mm_and_si128(_mm_srli_epi16(bytes, 4), low_half), wanted);
    return top_bits(_mm_unpacklo_epi8(low, high)) | top_bits(_mm_unpackhi_epi8(low, high)) << 16;
}

template <int Bits>
INFERCOST_INLINE std::uint64_t matches(const unsigned char* p, Pattern pattern) {
    std::uint64_t found = 0;
    if constexpr (Bits == 4) found = match_32_of_4(p, pattern) | match_32_of_4(p + 16, pattern) << 32;
    if constexpr (Bits == 8) {
        for (int i = 0; i < 4; ++i) found |= match_16_of_8(p + 16 * i, pattern) << (16 * i);
    }
    if constexpr (Bits == 16) {
        for (int i = 0; i < 4; ++i) found |= match_16_of_16(p + 32 * i, pattern) << (16 * i);
    }
    if constexpr (Bits == 32) {
        for (int i = 0; i < 4; ++i) found |= match_16_of_32(p + 64 * i, pattern) << (16 * i);
    }
    if constexpr (Bits == 64) {
        for (int i = 0; i < 32; ++i) found |= match_2_of_64(p + 16 * i, pattern) << (2 * i);
    }
    return found;
}

}  // namespace infercost::INFERCOST_ISA

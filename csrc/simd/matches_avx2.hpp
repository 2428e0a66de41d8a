// 32 bytes at a time: AVX2. Included by simd/matches.hpp, and by the AVX-512 file for narrow elements.
#pragma once

#include <cstdint>
#include <immintrin.h>

#include "simd/inline.hpp"

namespace infercost::INFERCOST_ISA {

struct Pattern {
    __m256i keep, value;
};

// `keep` and `value` are repeated over the word.
INFERCOST_INLINE Pattern pattern_of(std::uint64_t keep, std::uint64_t value) {
    return {_mm256_set1_epi64x(static_cast<long long>(keep)),
            _mm256_set1_epi64x(static_cast<long long>(value))};
}

INFERCOST_INLINE __m256i kept(const unsigned char* p, Pattern pattern) {
    return _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), pattern.keep);
}
INFERCOST_INLINE std::uint64_t top_bits(__m256i bytes) {
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(bytes));
}

INFERCOST_INLINE std::uint64_t match_32_of_8(const unsigned char* p, Pattern pattern) {
    return top_bits(_mm256_cmpeq_epi8(kept(p, pattern), pattern.value));
}
// Packing operates on halves of a register, so its quarters must be reordered.
INFERCOST_INLINE std::uint64_t match_32_of_16(const unsigned char* p, Pattern pattern) {
    const __m256i a = _mm256_cmpeq_epi16(kept(p, pattern), pattern.value);
    const __m256i b = _mm256_cmpeq_epi16(kept(p + 32, pattern), pattern.value);
    return top_bits(_mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xD8));
}
INFERCOST_INLINE std::uint64_t match_32_of_32(const unsigned char* p, Pattern pattern) {
    const __m256i a = _mm256_cmpeq_epi32(kept(p, pattern), pattern.value);
    const __m256i b = _mm256_cmpeq_epi32(kept(p + 32, pattern), pattern.value);
    const __m256i c = _mm256_cmpeq_epi32(kept(p + 64, pattern), pattern.value);
    const __m256i d = _mm256_cmpeq_epi32(kept(p + 96, pattern), pattern.value);
    const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return top_bits(_mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}
INFERCOST_INLINE std::uint64_t match_4_of_64(const unsigned char* p, Pattern pattern) {
    const __m256i equal = _mm256_cmpeq_epi64(kept(p, pattern), pattern.value);
    return static_cast<std::uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(equal)));
}
INFERCOST_INLINE std::uint64_t match_64_of_4(const unsigned char* p, Pattern pattern) {
    const __m256i low_half = _mm256_set1_epi8(15);
    const __m256i bytes = kept(p, pattern);
    const __m256i wanted = _mm256_and_si256(pattern.value, low_half);
    const __m256i low = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, low_half), wanted);
    const __m256i high = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_srli_epi16(bytes, 4), low_half), wanted);
    const __m256i even = _mm256_unpacklo_epi8(low, high);  // elements 0..15 and 32..47
    const __m256i odd = _mm256_unpackhi_epi8(low, high);   // elements 16..31 and 48..63
    return top_bits(_mm256_permute2x128_si256(even, odd, 0x20)) |
           top_bits(_mm256_permute2x128_si256(even, odd, 0x31)) << 32;
}

#ifndef __AVX512F__
template <int Bits>
INFERCOST_INLINE std::uint64_t matches(const unsigned char* p, Pattern pattern) {
    if constexpr (Bits == 4) return match_64_of_4(p, pattern);
    if constexpr (Bits == 8) return match_32_of_8(p, pattern) | match_32_of_8(p + 32, pattern) << 32;
    if constexpr (Bits == 16) return match_32_of_16(p, pattern) | match_32_of_16(p + 64, pattern) << 32;
    if constexpr (Bits == 32) return match_32_of_32(p, pattern) | match_32_of_32(p + 128, pattern) << 32;
    std::uint64_t found = 0;
    if constexpr (Bits == 64) {
        for (int i = 0; i < 16; ++i) found |= match_4_of_64(p + 32 * i, pattern) << (4 * i);
    }
    return found;
}
#endif

}  // namespace infercost::INFERCOST_ISA

// 16 bytes at a time: NEON of 64-bit Arm. Included only by simd/matches.hpp.
#pragma once

#include <arm_neon.h>
#include <cstdint>

#include "simd/inline.hpp"

namespace infercost::INFERCOST_ISA {

struct Pattern {
    uint64x2_t keep, value;
};

// `keep` and `value` are repeated over the word.
INFERCOST_INLINE Pattern pattern_of(std::uint64_t keep, std::uint64_t value) {
    return {vdupq_n_u64(keep), vdupq_n_u64(value)};
}

INFERCOST_INLINE uint8x16_t kept(const unsigned char* p, Pattern pattern) {
    return vandq_u8(vld1q_u8(p), vreinterpretq_u8_u64(pattern.keep));
}

// Sixteen elements as bytes, all ones if equal. Taking the even parts of two adjacent registers narrows them.
template <int Bits>
INFERCOST_INLINE uint8x16_t equal_16(const unsigned char* p, Pattern pattern) {
    if constexpr (Bits == 8) return vceqq_u8(kept(p, pattern), vreinterpretq_u8_u64(pattern.value));
    if constexpr (Bits == 16) {
        const uint16x8_t value = vreinterpretq_u16_u64(pattern.value);
        const uint16x8_t a = vceqq_u16(vreinterpretq_u16_u8(kept(p, pattern)), value);
        const uint16x8_t b = vceqq_u16(vreinterpretq_u16_u8(kept(p + 16, pattern)), value);
        return vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b));
    }
    if constexpr (Bits == 32) {
        const uint32x4_t value = vreinterpretq_u32_u64(pattern.value);
        uint16x8_t halves[2];
        for (int i = 0; i < 2; ++i) {
            const uint32x4_t a = vceqq_u32(vreinterpretq_u32_u8(kept(p + 32 * i, pattern)), value);
            const uint32x4_t b = vceqq_u32(vreinterpretq_u32_u8(kept(p + 32 * i + 16, pattern)), value);
            halves[i] = vuzp1q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
        }
        return vuzp1q_u8(vreinterpretq_u8_u16(halves[0]), vreinterpretq_u8_u16(halves[1]));
    }
    if constexpr (Bits == 64) {
        uint32x4_t quarters[4];
        for (int i = 0; i < 4; ++i) {
            const uint64x2_t a = vceqq_u64(vreinterpretq_u64_u8(kept(p + 32 * i, pattern)), pattern.value);
            const uint64x2_t b =
                vceqq_u64(vreinterpretq_u64_u8(kept(p + 32 * i + 16, pattern)), pattern.value);
            quarters[i] = vuzp1q_u32(vreinterpretq_u32_u64(a), vreinterpretq_u32_u64(b));
        }
        const uint16x8_t a =
            vuzp1q_u16(vreinterpretq_u16_u32(quarters[0]), vreinterpretq_u16_u32(quarters[1]));
        const uint16x8_t b =
            vuzp1q_u16(vreinterpretq_u16_u32(quarters[2]), vreinterpretq_u16_u32(quarters[3]));
        return vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b));
    }
}

// One bit for each of 64 bytes of ones or zeros. Each byte keeps the bit of its position modulo eight, and
// three pairwise sums combine eight of them into one byte.
INFERCOST_INLINE std::uint64_t gathered_bits(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
    const uint8x16_t places = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    const uint8x16_t ab = vpaddq_u8(vandq_u8(a, places), vandq_u8(b, places));
    const uint8x16_t cd = vpaddq_u8(vandq_u8(c, places), vandq_u8(d, places));
    const uint8x16_t abcd = vpaddq_u8(ab, cd);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(abcd, abcd)), 0);
}

template <int Bits>
INFERCOST_INLINE std::uint64_t matches(const unsigned char* p, Pattern pattern) {
    if constexpr (Bits == 4) {
        const uint8x16_t low_half = vdupq_n_u8(15);
        const uint8x16_t wanted = vandq_u8(vreinterpretq_u8_u64(pattern.value), low_half);
        uint8x16_t equal[4];
        for (int i = 0; i < 2; ++i) {
            const uint8x16_t bytes = kept(p + 16 * i, pattern);
            const uint8x16_t low = vceqq_u8(vandq_u8(bytes, low_half), wanted);
            const uint8x16_t high = vceqq_u8(vshrq_n_u8(bytes, 4), wanted);
            equal[2 * i] = vzip1q_u8(low, high);
            equal[2 * i + 1] = vzip2q_u8(low, high);
        }
        return gathered_bits(equal[0], equal[1], equal[2], equal[3]);
    } else {
        constexpr int step = 2 * Bits;  // bytes of sixteen elements
        return gathered_bits(equal_16<Bits>(p, pattern), equal_16<Bits>(p + step, pattern),
                             equal_16<Bits>(p + 2 * step, pattern), equal_16<Bits>(p + 3 * step, pattern));
    }
}

}  // namespace infercost::INFERCOST_ISA

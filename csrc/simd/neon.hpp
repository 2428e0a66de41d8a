// Two doubles: NEON of 64-bit Arm. Included only by simd/vec.hpp.
#pragma once

#include <arm_neon.h>

#include "simd/inline.hpp"

namespace infercost::INFERCOST_ISA {

struct Vec {
    static constexpr int lanes = 2;
    float64x2_t v;
};
struct Mask {
    uint64x2_t v;
};

INFERCOST_INLINE Vec splat(double x) {
    return {vdupq_n_f64(x)};
}
INFERCOST_INLINE Vec load(const double* p) {
    return {vld1q_f64(p)};
}
INFERCOST_INLINE void store(double* p, Vec a) {
    vst1q_f64(p, a.v);
}
INFERCOST_INLINE double first_lane(Vec a) {
    return vgetq_lane_f64(a.v, 0);
}
INFERCOST_INLINE Vec operator+(Vec a, Vec b) {
    return {vaddq_f64(a.v, b.v)};
}
INFERCOST_INLINE Vec operator-(Vec a, Vec b) {
    return {vsubq_f64(a.v, b.v)};
}
INFERCOST_INLINE Vec operator*(Vec a, Vec b) {
    return {vmulq_f64(a.v, b.v)};
}
INFERCOST_INLINE Vec operator/(Vec a, Vec b) {
    return {vdivq_f64(a.v, b.v)};
}
INFERCOST_INLINE Vec sqrt(Vec a) {
    return {vsqrtq_f64(a.v)};
}
INFERCOST_INLINE Vec max(Vec a, Vec b) {  // not vmaxq, which orders zeros by sign
    return {vbslq_f64(vcgtq_f64(a.v, b.v), a.v, b.v)};
}
INFERCOST_INLINE Vec min(Vec a, Vec b) {
    return {vbslq_f64(vcltq_f64(a.v, b.v), a.v, b.v)};
}
INFERCOST_INLINE Vec ceil(Vec a) {
    return {vrndpq_f64(a.v)};
}
INFERCOST_INLINE Vec floor(Vec a) {
    return {vrndmq_f64(a.v)};
}
INFERCOST_INLINE Mask operator<(Vec a, Vec b) {
    return {vcltq_f64(a.v, b.v)};
}
INFERCOST_INLINE Mask operator>=(Vec a, Vec b) {
    return {vcgeq_f64(a.v, b.v)};
}
INFERCOST_INLINE Vec select(Mask mask, Vec yes, Vec no) {
    return {vbslq_f64(mask.v, yes.v, no.v)};
}
INFERCOST_INLINE Vec only(Mask mask, Vec a) {
    return {vreinterpretq_f64_u64(vandq_u64(mask.v, vreinterpretq_u64_f64(a.v)))};
}
INFERCOST_INLINE Mask both(Mask a, Mask b) {
    return {vandq_u64(a.v, b.v)};
}
INFERCOST_INLINE Mask neither(Mask a, Mask b) {
    return {vbicq_u64(vdupq_n_u64(~0ULL), vorrq_u64(a.v, b.v))};
}
INFERCOST_INLINE bool any(Mask mask) {
    return (vgetq_lane_u64(mask.v, 0) | vgetq_lane_u64(mask.v, 1)) != 0;
}

}  // namespace infercost::INFERCOST_ISA

// Two doubles: SSE4.1, the baseline of x86-64. Included only by simd/vec.hpp.
#pragma once

#include <immintrin.h>

#include "simd/inline.hpp"

namespace infercost::INFERCOST_ISA {

struct Vec {
    static constexpr int lanes = 2;
    __m128d v;
};
struct Mask {
    __m128d v;
};

INFERCOST_INLINE Vec splat(double x) {
    return {_mm_set1_pd(x)};
}
INFERCOST_INLINE Vec load(const double* p) {
    return {_mm_loadu_pd(p)};
}
INFERCOST_INLINE void store(double* p, Vec a) {
    _mm_storeu_pd(p, a.v);
}
INFERCOST_INLINE double first_lane(Vec a) {
    return _mm_cvtsd_f64(a.v);
}
INFERCOST_INLINE Vec operator+(Vec a, Vec b) {
    return {_mm_add_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec operator-(Vec a, Vec b) {
    return {_mm_sub_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec operator*(Vec a, Vec b) {
    return {_mm_mul_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec operator/(Vec a, Vec b) {
    return {_mm_div_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec sqrt(Vec a) {
    return {_mm_sqrt_pd(a.v)};
}
INFERCOST_INLINE Vec max(Vec a, Vec b) {
    return {_mm_max_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec min(Vec a, Vec b) {
    return {_mm_min_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec ceil(Vec a) {
    return {_mm_ceil_pd(a.v)};
}
INFERCOST_INLINE Vec floor(Vec a) {
    return {_mm_floor_pd(a.v)};
}
INFERCOST_INLINE Mask operator<(Vec a, Vec b) {
    return {_mm_cmplt_pd(a.v, b.v)};
}
INFERCOST_INLINE Mask operator>=(Vec a, Vec b) {
    return {_mm_cmpge_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec select(Mask mask, Vec yes, Vec no) {
    return {_mm_blendv_pd(no.v, yes.v, mask.v)};
}
INFERCOST_INLINE Vec only(Mask mask, Vec a) {
    return {_mm_and_pd(mask.v, a.v)};
}
INFERCOST_INLINE Mask both(Mask a, Mask b) {
    return {_mm_and_pd(a.v, b.v)};
}
INFERCOST_INLINE Mask neither(Mask a, Mask b) {
    const __m128i all = _mm_set1_epi32(-1);
    return {_mm_andnot_pd(_mm_or_pd(a.v, b.v), _mm_castsi128_pd(all))};
}
INFERCOST_INLINE bool any(Mask mask) {
    return _mm_movemask_pd(mask.v) != 0;
}

}  // namespace infercost::INFERCOST_ISA

// Eight doubles: AVX-512 F and DQ. Included only by simd/vec.hpp.
#pragma once

#include <immintrin.h>

#include "simd/inline.hpp"

namespace infercost::INFERCOST_ISA {

struct Vec {
    static constexpr int lanes = 8;
    __m512d v;
};
using Mask = __mmask8;

INFERCOST_INLINE Vec splat(double x) {
    return {_mm512_set1_pd(x)};
}
INFERCOST_INLINE Vec load(const double* p) {
    return {_mm512_loadu_pd(p)};
}
INFERCOST_INLINE void store(double* p, Vec a) {
    _mm512_storeu_pd(p, a.v);
}
INFERCOST_INLINE double first_lane(Vec a) {
    return _mm512_cvtsd_f64(a.v);
}
INFERCOST_INLINE Vec operator+(Vec a, Vec b) {
    return {_mm512_add_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec operator-(Vec a, Vec b) {
    return {_mm512_sub_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec operator*(Vec a, Vec b) {
    return {_mm512_mul_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec operator/(Vec a, Vec b) {
    return {_mm512_div_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec sqrt(Vec a) {
    return {_mm512_sqrt_pd(a.v)};
}
INFERCOST_INLINE Vec max(Vec a, Vec b) {
    return {_mm512_max_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec min(Vec a, Vec b) {
    return {_mm512_min_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec ceil(Vec a) {
    return {_mm512_roundscale_pd(a.v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)};
}
INFERCOST_INLINE Vec floor(Vec a) {
    return {_mm512_roundscale_pd(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}
INFERCOST_INLINE Mask operator<(Vec a, Vec b) {
    return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ);
}
INFERCOST_INLINE Mask operator>=(Vec a, Vec b) {
    return _mm512_cmp_pd_mask(a.v, b.v, _CMP_GE_OQ);
}
INFERCOST_INLINE Vec select(Mask mask, Vec yes, Vec no) {
    return {_mm512_mask_blend_pd(mask, no.v, yes.v)};
}
INFERCOST_INLINE Vec only(Mask mask, Vec a) {
    return {_mm512_maskz_mov_pd(mask, a.v)};
}
INFERCOST_INLINE Mask both(Mask a, Mask b) {
    return static_cast<Mask>(a & b);
}
INFERCOST_INLINE Mask neither(Mask a, Mask b) {
    return static_cast<Mask>(~(a | b));
}
INFERCOST_INLINE bool any(Mask mask) {
    return mask != 0;
}

}  // namespace infercost::INFERCOST_ISA

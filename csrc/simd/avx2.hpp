// Four doubles: AVX2. Included only by simd/vec.hpp.
#pragma once

#include <immintrin.h>

#include "simd/inline.hpp"

namespace infercost::INFERCOST_ISA {

struct Vec {
    static constexpr int lanes = 4;
    __m256d v;
};
struct Mask {
    __m256d v;
};

INFERCOST_INLINE Vec splat(double x) {
    return {_mm256_set1_pd(x)};
}
INFERCOST_INLINE Vec load(const double* p) {
    return {_mm256_loadu_pd(p)};
}
INFERCOST_INLINE void store(double* p, Vec a) {
    _mm256_storeu_pd(p, a.v);
}
INFERCOST_INLINE double first_lane(Vec a) {
    return _mm256_cvtsd_f64(a.v);
}
INFERCOST_INLINE Vec operator+(Vec a, Vec b) {
    return {_mm256_add_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec operator-(Vec a, Vec b) {
    return {_mm256_sub_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec operator*(Vec a, Vec b) {
    return {_mm256_mul_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec operator/(Vec a, Vec b) {
    return {_mm256_div_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec sqrt(Vec a) {
    return {_mm256_sqrt_pd(a.v)};
}
INFERCOST_INLINE Vec max(Vec a, Vec b) {
    return {_mm256_max_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec min(Vec a, Vec b) {
    return {_mm256_min_pd(a.v, b.v)};
}
INFERCOST_INLINE Vec ceil(Vec a) {
    return {_mm256_ceil_pd(a.v)};
}
INFERCOST_INLINE Vec floor(Vec a) {
    return {_mm256_floor_pd(a.v)};
}
INFERCOST_INLINE Mask operator<(Vec a, Vec b) {
    return {_mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ)};
}
INFERCOST_INLINE Mask operator>=(Vec a, Vec b) {
    return {_mm256_cmp_pd(a.v, b.v, _CMP_GE_OQ)};
}
INFERCOST_INLINE Vec select(Mask mask, Vec yes, Vec no) {
    return {_mm256_blendv_pd(no.v, yes.v, mask.v)};
}
INFERCOST_INLINE Vec only(Mask mask, Vec a) {
    return {_mm256_and_pd(mask.v, a.v)};
}
INFERCOST_INLINE Mask both(Mask a, Mask b) {
    return {_mm256_and_pd(a.v, b.v)};
}
INFERCOST_INLINE Mask neither(Mask a, Mask b) {
    return {_mm256_andnot_pd(_mm256_or_pd(a.v, b.v), _mm256_cmp_pd(a.v, a.v, _CMP_TRUE_UQ))};
}
INFERCOST_INLINE bool any(Mask mask) {
    return _mm256_movemask_pd(mask.v) != 0;
}

}  // namespace infercost::INFERCOST_ISA

// A vector of doubles in one instruction set, chosen by how the including file is compiled. Everything here
// is inline and lives in a namespace per set: the linker must never take the AVX-512 copy of a function for
// the baseline's. For the same reason files that include this use no inline functions of the standard
// library.
//
// The operations mean the same in every set, so results agree to the last bit: each is one IEEE operation,
// and max(a, b) is `a > b ? a : b` also for zeros of both signs.
#pragma once

#ifndef INFERCOST_ISA
#error "compile with -DINFERCOST_ISA=<namespace of the instruction set>"
#endif

#if defined(__AVX512F__) || defined(__AVX2__) || defined(__SSE4_1__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#else
#include <cmath>
#endif

#if defined(_MSC_VER)
#define INFERCOST_INLINE __forceinline
#define INFERCOST_LAMBDA
#else
#define INFERCOST_INLINE inline __attribute__((always_inline))
#define INFERCOST_LAMBDA __attribute__((always_inline))
#endif

namespace infercost::INFERCOST_ISA {

#if defined(__AVX512F__)

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

#elif defined(__AVX2__)

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

#elif defined(__SSE4_1__)

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

#elif defined(__ARM_NEON) && defined(__aarch64__)

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
INFERCOST_INLINE Vec max(Vec a, Vec b) {  // not vmaxq: it orders zeros by sign
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

#else

struct Vec {
    static constexpr int lanes = 1;
    double v;
};
struct Mask {
    bool v;
};

INFERCOST_INLINE Vec splat(double x) {
    return {x};
}
INFERCOST_INLINE Vec load(const double* p) {
    return {*p};
}
INFERCOST_INLINE void store(double* p, Vec a) {
    *p = a.v;
}
INFERCOST_INLINE Vec operator+(Vec a, Vec b) {
    return {a.v + b.v};
}
INFERCOST_INLINE Vec operator-(Vec a, Vec b) {
    return {a.v - b.v};
}
INFERCOST_INLINE Vec operator*(Vec a, Vec b) {
    return {a.v * b.v};
}
INFERCOST_INLINE Vec operator/(Vec a, Vec b) {
    return {a.v / b.v};
}
INFERCOST_INLINE Vec max(Vec a, Vec b) {
    return {a.v > b.v ? a.v : b.v};
}
INFERCOST_INLINE Vec min(Vec a, Vec b) {
    return {a.v < b.v ? a.v : b.v};
}
INFERCOST_INLINE Vec ceil(Vec a) {
    return {::ceil(a.v)};
}
INFERCOST_INLINE Vec floor(Vec a) {
    return {::floor(a.v)};
}
INFERCOST_INLINE Mask operator<(Vec a, Vec b) {
    return {a.v < b.v};
}
INFERCOST_INLINE Mask operator>=(Vec a, Vec b) {
    return {a.v >= b.v};
}
INFERCOST_INLINE Vec select(Mask mask, Vec yes, Vec no) {
    return mask.v ? yes : no;
}
INFERCOST_INLINE Vec only(Mask mask, Vec a) {
    return {mask.v ? a.v : 0.0};
}
INFERCOST_INLINE Mask both(Mask a, Mask b) {
    return {a.v && b.v};
}
INFERCOST_INLINE Mask neither(Mask a, Mask b) {
    return {!a.v && !b.v};
}
INFERCOST_INLINE bool any(Mask mask) {
    return mask.v;
}

#endif

}  // namespace infercost::INFERCOST_ISA

// Two doubles: WebAssembly's SIMD. Included only by simd/vec.hpp.
#pragma once

#include <wasm_simd128.h>

#include "simd/inline.hpp"

namespace infercost::INFERCOST_ISA {

struct Vec {
    static constexpr int lanes = 2;
    v128_t v;
};
struct Mask {
    v128_t v;
};

INFERCOST_INLINE Vec splat(double x) {
    return {wasm_f64x2_splat(x)};
}
INFERCOST_INLINE Vec load(const double* p) {
    return {wasm_v128_load(p)};
}
INFERCOST_INLINE void store(double* p, Vec a) {
    wasm_v128_store(p, a.v);
}
INFERCOST_INLINE double first_lane(Vec a) {
    return wasm_f64x2_extract_lane(a.v, 0);
}
INFERCOST_INLINE Vec operator+(Vec a, Vec b) {
    return {wasm_f64x2_add(a.v, b.v)};
}
INFERCOST_INLINE Vec operator-(Vec a, Vec b) {
    return {wasm_f64x2_sub(a.v, b.v)};
}
INFERCOST_INLINE Vec operator*(Vec a, Vec b) {
    return {wasm_f64x2_mul(a.v, b.v)};
}
INFERCOST_INLINE Vec operator/(Vec a, Vec b) {
    return {wasm_f64x2_div(a.v, b.v)};
}
INFERCOST_INLINE Vec sqrt(Vec a) {
    return {wasm_f64x2_sqrt(a.v)};
}
// pmax(x, y) is `x < y ? y : x`, so the operands change places; likewise of pmin.
INFERCOST_INLINE Vec max(Vec a, Vec b) {
    return {wasm_f64x2_pmax(b.v, a.v)};
}
INFERCOST_INLINE Vec min(Vec a, Vec b) {
    return {wasm_f64x2_pmin(b.v, a.v)};
}
INFERCOST_INLINE Vec ceil(Vec a) {
    return {wasm_f64x2_ceil(a.v)};
}
INFERCOST_INLINE Vec floor(Vec a) {
    return {wasm_f64x2_floor(a.v)};
}
INFERCOST_INLINE Mask operator<(Vec a, Vec b) {
    return {wasm_f64x2_lt(a.v, b.v)};
}
INFERCOST_INLINE Mask operator>=(Vec a, Vec b) {
    return {wasm_f64x2_ge(a.v, b.v)};
}
INFERCOST_INLINE Vec select(Mask mask, Vec yes, Vec no) {
    return {wasm_v128_bitselect(yes.v, no.v, mask.v)};
}
INFERCOST_INLINE Vec only(Mask mask, Vec a) {
    return {wasm_v128_and(mask.v, a.v)};
}
INFERCOST_INLINE Mask both(Mask a, Mask b) {
    return {wasm_v128_and(a.v, b.v)};
}
INFERCOST_INLINE Mask neither(Mask a, Mask b) {
    return {wasm_v128_not(wasm_v128_or(a.v, b.v))};
}
INFERCOST_INLINE bool any(Mask mask) {
    return wasm_v128_any_true(mask.v);
}

}  // namespace infercost::INFERCOST_ISA

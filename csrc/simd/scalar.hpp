// One double, for unknown instruction sets. Included only by simd/vec.hpp.
#pragma once

#include <cmath>

#include "simd/inline.hpp"

namespace infercost::INFERCOST_ISA {

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
INFERCOST_INLINE double first_lane(Vec a) {
    return a.v;
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
INFERCOST_INLINE Vec sqrt(Vec a) {
    return {::sqrt(a.v)};
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

}  // namespace infercost::INFERCOST_ISA

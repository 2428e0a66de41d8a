// Checked integer arithmetic: a count that does not fit is an error, never a wrapped or clamped number.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "core/errors.hpp"

namespace infercost {

// A dedicated type, so that bindings can turn it into Python's OverflowError.
struct OverflowError : std::overflow_error {
    using std::overflow_error::overflow_error;
};

[[noreturn]] inline void raise_overflow(const char* op, std::int64_t a, std::int64_t b) {
    throw OverflowError("integer overflow: " + std::to_string(a) + " " + op + " " + std::to_string(b) +
                        " does not fit 64 bits; use smaller sizes or split the batch");
}

// Each function stores a result that fits 64 bits and returns false, or returns true.
namespace portable {

inline constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
inline constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();

constexpr bool add_overflows(std::int64_t a, std::int64_t b, std::int64_t& result) {
    if (b > 0 ? a > kMax - b : a < kMin - b) return true;
    result = a + b;
    return false;
}

constexpr bool sub_overflows(std::int64_t a, std::int64_t b, std::int64_t& result) {
    if (b > 0 ? a < kMin + b : a > kMax + b) return true;
    result = a - b;
    return false;
}

constexpr bool mul_overflows(std::int64_t a, std::int64_t b, std::int64_t& result) {
    const bool overflows = a > 0   ? (b > 0 ? a > kMax / b : b < kMin / a)
                           : b > 0 ? a < kMin / b
                                   : a != 0 && b < kMax / a;
    if (overflows) return true;
    result = a * b;
    return false;
}

}  // namespace portable

#if defined(__GNUC__)  // Clang too

// One instruction each: the processor's overflow flag is read.
inline bool add_overflows(std::int64_t a, std::int64_t b, std::int64_t& result) {
    return __builtin_add_overflow(a, b, &result);
}
inline bool sub_overflows(std::int64_t a, std::int64_t b, std::int64_t& result) {
    return __builtin_sub_overflow(a, b, &result);
}
inline bool mul_overflows(std::int64_t a, std::int64_t b, std::int64_t& result) {
    return __builtin_mul_overflow(a, b, &result);
}

#else

using portable::add_overflows;
using portable::mul_overflows;
using portable::sub_overflows;

#endif

inline std::int64_t checked_add(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (add_overflows(a, b, result)) raise_overflow("+", a, b);
    return result;
}

inline std::int64_t checked_sub(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (sub_overflows(a, b, result)) raise_overflow("-", a, b);
    return result;
}

inline std::int64_t checked_mul(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (mul_overflows(a, b, result)) raise_overflow("*", a, b);
    return result;
}

// Rounds towards minus infinity, as Python and torch's symbolic shapes do.
inline std::int64_t floor_div(std::int64_t a, std::int64_t b) {
    if (b == 0) throw InputError("division by zero in a size expression");
    if (b == -1) return checked_sub(0, a);
    const std::int64_t quotient = a / b;
    return (a % b != 0 && ((a < 0) != (b < 0))) ? quotient - 1 : quotient;
}

inline std::int64_t floor_mod(std::int64_t a, std::int64_t b) {
    return checked_sub(a, checked_mul(floor_div(a, b), b));
}

// Zero or more, as std::gcd; throws OverflowError where that is 2^63.
inline std::int64_t checked_gcd(std::int64_t a, std::int64_t b) {
    constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
    // -2^63 has no absolute value of its own: one step of the algorithm removes it.
    if (a == kLowest && b != 0 && b != kLowest) return std::gcd(a % (b == -1 ? 1 : b), b);
    if (b == kLowest && a != 0 && a != kLowest) return std::gcd(b % (a == -1 ? 1 : a), a);
    if (a == kLowest || b == kLowest) raise_overflow("gcd", a, b);
    return std::gcd(a, b);
}

// n * log2(n), rounded; 0 for n < 1.
inline std::int64_t n_log2_n(std::int64_t n) {
    if (n <= 1) return 0;
    const double value = std::round(static_cast<double>(n) * std::log2(static_cast<double>(n)));
    if (value >= 0x1p63) raise_overflow("* log2 of", n, n);
    return static_cast<std::int64_t>(value);
}

}  // namespace infercost

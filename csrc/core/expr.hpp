// Integer expressions over named sizes ("batch", "sequence"), kept as polynomials so that sums over
// thousands of nodes stay as short as their mathematics.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/units.hpp"

namespace infercost {

using Sizes = std::map<std::string, std::int64_t, std::less<>>;

class Expr;
struct Atom;
using Replacements = std::map<std::string, Expr, std::less<>>;

// A product of atoms with powers, ordered by atom id; empty is the constant 1.
struct Factor {
    const Atom* atom;
    int power;
    friend bool operator==(const Factor&, const Factor&) = default;
};
using Monomial = std::vector<Factor>;

struct Term {
    Monomial monomial;
    std::int64_t coefficient;
    friend bool operator==(const Term&, const Term&) = default;
};

// A size with a dot in its name ("roi_heads.nms") may be 0, all others are at least 1. Expressions are
// simplified by this rule; it is part of their text, which is read without a graph beside it.
inline bool may_be_zero(std::string_view size) {
    return size.find('.') != std::string_view::npos;
}

// An immutable value: a constant (no allocation) or a shared sum of terms.
class Expr {
  public:
    Expr() = default;
    Expr(std::int64_t value) : value_(value) {}  // NOLINT: integers are expressions

    static Expr size(std::string_view name);
    static Expr parse(std::string_view text);
    static Expr maximum(const Expr& a, const Expr& b);
    static Expr minimum(const Expr& a, const Expr& b);
    static Expr ceil_div(const Expr& a, const Expr& b);
    // The greatest common divisor of numbers above zero.
    static Expr gcd(const Expr& a, const Expr& b);
    // n * log2(n), rounded: what a Fourier transform of n points grows with. 0 for n < 1.
    static Expr n_log2_n(const Expr& n);

    bool is_constant() const { return terms_ == nullptr; }
    // The value of a constant; throws std::invalid_argument naming the sizes that are still free.
    std::int64_t constant() const;
    // The terms of a non-constant expression, in canonical order.
    const std::vector<Term>& terms() const { return *terms_; }

    std::int64_t evaluate(const Sizes& sizes) const;
    // Replaces the sizes that are named, keeps the others.
    Expr substitute(const Sizes& sizes) const;
    Expr substitute(const Replacements& sizes) const;
    std::vector<std::string> names() const;
    std::string text() const;
    std::size_t hash() const;
    // True when the value is at least zero for every choice of sizes (false means "not proven").
    bool is_nonnegative() const;

    friend Expr operator+(const Expr& a, const Expr& b) {
        return a.is_constant() && b.is_constant() ? Expr(checked_add(a.value_, b.value_)) : add(a, b, 1);
    }
    friend Expr operator-(const Expr& a, const Expr& b) {
        return a.is_constant() && b.is_constant() ? Expr(checked_sub(a.value_, b.value_)) : add(a, b, -1);
    }
    friend Expr operator*(const Expr& a, const Expr& b) {
        return a.is_constant() && b.is_constant() ? Expr(checked_mul(a.value_, b.value_)) : multiply(a, b);
    }
    friend Expr operator/(const Expr& a, const Expr& b) {  // floor division
        return a.is_constant() && b.is_constant() ? Expr(floor_div(a.value_, b.value_)) : divide(a, b);
    }
    friend Expr operator%(const Expr& a, const Expr& b) {
        return a.is_constant() && b.is_constant() ? Expr(floor_mod(a.value_, b.value_)) : modulo(a, b);
    }
    Expr& operator+=(const Expr& other) { return *this = *this + other; }
    Expr& operator*=(const Expr& other) { return *this = *this * other; }
    friend bool operator==(const Expr& a, const Expr& b);

    static Expr from_terms(std::vector<Term> terms);

  private:
    static Expr add(const Expr& a, const Expr& b, std::int64_t sign);
    static Expr multiply(const Expr& a, const Expr& b);
    static Expr divide(const Expr& a, const Expr& b);
    template <class Map>
    Expr replaced(const Map& sizes) const;
    static Expr modulo(const Expr& a, const Expr& b);

    std::int64_t value_ = 0;
    std::shared_ptr<const std::vector<Term>> terms_;
};

// What a polynomial is made of: a named size, or a function that is not polynomial.
struct Atom {
    enum class Kind { size, floor_div, modulo, maximum, minimum, gcd, n_log2_n };
    Kind kind;
    std::string text;  // as printed, and the key under which it is interned
    std::vector<Expr> operands;
    std::uint32_t id;
    bool nonnegative;

    // Interned and immortal: equal atoms are one object.
    static const Atom* intern(Kind kind, std::string name, std::vector<Expr> operands);
    static Expr expr(const Atom* atom);
    std::int64_t apply(const std::vector<std::int64_t>& values) const;
    Expr apply(const std::vector<Expr>& values) const;
};

}  // namespace infercost

// Integer expressions over named sizes ("batch", "sequence"), kept as polynomials so that sums over
// thousands of nodes stay as short as their mathematics.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/checked_int.hpp"

namespace infercost {

using Sizes = std::map<std::string, std::int64_t, std::less<>>;

class Expr;
struct Atom;
using Replacements = std::map<std::string, Expr, std::less<>>;

// A counted reference to an interned atom, which lives as long as an expression names it.
class AtomRef {
  public:
    inline AtomRef(const AtomRef& other);
    AtomRef(AtomRef&& other) noexcept : atom_(std::exchange(other.atom_, nullptr)) {}
    AtomRef& operator=(AtomRef other) noexcept {
        std::swap(atom_, other.atom_);
        return *this;
    }
    inline ~AtomRef();

    const Atom& operator*() const { return *atom_; }
    const Atom* operator->() const { return atom_; }
    friend bool operator==(const AtomRef&, const AtomRef&) = default;

  private:
    friend struct Atom;
    explicit AtomRef(const Atom* counted) : atom_(counted) {}  // takes over one reference

    const Atom* atom_;
};

// A product of atoms with powers, in the order of atoms; empty is the constant 1.
struct Factor {
    AtomRef atom;
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
    // The value of a constant; throws InputError naming the sizes that are still free.
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

inline Expr product(std::span<const Expr> factors) {
    Expr total = 1;
    for (const Expr& factor : factors) total *= factor;
    return total;
}

// A sum of many expressions. Sums of equal numbers of parts are added first, so n parts take n log n steps;
// adding them one by one would copy the total n times.
class ExprSum {
  public:
    void add(Expr part) {
        std::size_t parts = 1;
        for (; !sums_.empty() && sums_.back().parts == parts; parts *= 2) {
            part = sums_.back().sum + part;
            sums_.pop_back();
        }
        sums_.push_back({std::move(part), parts});
    }
    Expr total() const {
        Expr total;
        for (std::size_t i = sums_.size(); i-- > 0;) total = sums_[i].sum + total;
        return total;
    }

  private:
    struct Partial {
        Expr sum;
        std::size_t parts;  // a power of two; smaller ones follow
    };
    std::vector<Partial> sums_;
};

// What a polynomial is made of: a named size, or a function that is not polynomial.
struct Atom {
    enum class Kind { size, floor_div, modulo, maximum, minimum, gcd, n_log2_n };
    const Kind kind;
    const std::string text;  // as printed, and the key under which it is interned
    const std::vector<Expr> operands;
    const bool nonnegative;
    const std::uint64_t order;  // a hash of the text: the order of atoms is the same in every process
    const std::uint64_t id;     // of this object; never given again

    // Interned: equal atoms are one object while any of them is in use.
    static AtomRef intern(Kind kind, const std::string& name, std::vector<Expr> operands);
    static Expr expr(const AtomRef& atom);
    // How many atoms are in use.
    static std::size_t count();
    std::int64_t apply(const std::vector<std::int64_t>& values) const;
    Expr apply(const std::vector<Expr>& values) const;

    // The canonical order of factors.
    friend bool operator<(const Atom& a, const Atom& b) {
        return a.order != b.order ? a.order < b.order : a.text < b.text;
    }

  private:
    friend class AtomRef;
    Atom(Kind kind, std::string text, std::vector<Expr> operands, bool nonnegative, std::uint64_t id);
    // Sizes are few, stand in every expression, and stay for good: no thread waits for their count.
    bool is_counted() const { return kind != Kind::size; }
    void release() const;

    mutable std::atomic<std::uint64_t> references_ = 1;
};

inline AtomRef::AtomRef(const AtomRef& other) : atom_(other.atom_) {
    if (atom_ && atom_->is_counted()) atom_->references_.fetch_add(1, std::memory_order_relaxed);
}

inline AtomRef::~AtomRef() {
    if (atom_ && atom_->is_counted()) atom_->release();
}

}  // namespace infercost

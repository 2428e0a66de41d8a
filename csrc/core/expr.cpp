#include "core/expr.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <set>
#include <span>

#include "core/errors.hpp"

namespace infercost {
namespace {

bool monomial_less(const Monomial& a, const Monomial& b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                        [](const Factor& x, const Factor& y) {
                                            if (x.atom != y.atom) return *x.atom < *y.atom;
                                            return x.power < y.power;
                                        });
}

// The terms of an expression; `constant` holds the one of a constant.
std::span<const Term> terms_of(const Expr& e, Term& constant) {
    if (!e.is_constant()) return e.terms();
    constant.coefficient = e.constant();
    return {&constant, 1};
}

// Bounds of an expression. Graphs of models stay far below them (a few dozen terms of degree 6); hostile text
// such as ((a+b)*(a+b))*... would otherwise take all memory.
constexpr std::size_t kMostTerms = 10'000;
constexpr int kHighestPower = 100;

void require_terms(std::size_t count) {
    if (count <= kMostTerms) return;
    throw InputError("a size expression has more than " + std::to_string(kMostTerms) +
                     " terms; expected fewer");
}

int sum_of_powers(int a, int b) {
    if (a + b <= kHighestPower) return a + b;
    throw InputError("a size expression has a factor to the power " + std::to_string(a + b) +
                     "; expected at most " + std::to_string(kHighestPower));
}

Monomial product(const Monomial& a, const Monomial& b) {
    Monomial result;
    result.reserve(a.size() + b.size());
    auto i = a.begin();
    auto j = b.begin();
    while (i != a.end() || j != b.end()) {
        if (i != a.end() && j != b.end() && i->atom == j->atom) {
            result.push_back({i->atom, sum_of_powers(i->power, j->power)});
            ++i, ++j;
        } else if (j == b.end() || (i != a.end() && *i->atom < *j->atom)) {
            result.push_back(*i++);
        } else {
            result.push_back(*j++);
        }
    }
    return result;
}

// a / b where b divides a, else nothing.
bool quotient(const Monomial& a, const Monomial& b, Monomial& result) {
    result = a;
    for (const Factor& divisor : b) {
        auto found = std::find_if(result.begin(), result.end(),
                                  [&](const Factor& f) { return f.atom == divisor.atom; });
        if (found == result.end() || found->power < divisor.power) return false;
        found->power -= divisor.power;
        if (found->power == 0) result.erase(found);
    }
    return true;
}

std::int64_t power(std::int64_t base, int exponent) {
    std::int64_t result = 1;
    for (int i = 0; i < exponent; ++i) result = checked_mul(result, base);
    return result;
}

}  // namespace

Expr Expr::size(std::string_view name) {
    return Atom::expr(Atom::intern(Atom::Kind::size, std::string(name), {}));
}

Expr Expr::from_terms(std::vector<Term> terms) {
    const auto less = [](const Term& x, const Term& y) { return monomial_less(x.monomial, y.monomial); };
    const auto not_less = [&](const Term& x, const Term& y) { return !less(x, y); };
    if (std::adjacent_find(terms.begin(), terms.end(), not_less) != terms.end()) {
        std::sort(terms.begin(), terms.end(), less);
        std::size_t last = 0;
        for (std::size_t i = 1; i < terms.size(); ++i) {
            if (terms[last].monomial == terms[i].monomial) {
                terms[last].coefficient = checked_add(terms[last].coefficient, terms[i].coefficient);
            } else if (++last != i) {
                terms[last] = std::move(terms[i]);
            }
        }
        terms.erase(terms.begin() + static_cast<std::ptrdiff_t>(last) + 1, terms.end());
    }
    std::erase_if(terms, [](const Term& t) { return t.coefficient == 0; });
    if (terms.empty()) return {};
    if (terms.size() == 1 && terms[0].monomial.empty()) return {terms[0].coefficient};
    require_terms(terms.size());
    Expr result;
    result.terms_ = std::make_shared<const std::vector<Term>>(std::move(terms));
    return result;
}

Expr Expr::add(const Expr& a, const Expr& b, std::int64_t sign) {
    if (b.is_constant() && b.value_ == 0) return a;
    if (a.is_constant() && a.value_ == 0 && sign > 0) return b;
    Term constant_a{};
    Term constant_b{};
    const std::span<const Term> x = terms_of(a, constant_a);
    const std::span<const Term> y = terms_of(b, constant_b);
    std::vector<Term> terms;
    terms.reserve(x.size() + y.size());
    auto i = x.begin();
    auto j = y.begin();
    while (i != x.end() || j != y.end()) {
        if (j == y.end() || (i != x.end() && monomial_less(i->monomial, j->monomial))) {
            terms.push_back(*i++);
            continue;
        }
        const std::int64_t coefficient = checked_mul(j->coefficient, sign);
        if (i != x.end() && i->monomial == j->monomial) {
            const std::int64_t sum = checked_add(i->coefficient, coefficient);
            if (sum != 0) terms.push_back({i->monomial, sum});
            ++i;
        } else {
            terms.push_back({j->monomial, coefficient});
        }
        ++j;
    }
    return from_terms(std::move(terms));
}

Expr Expr::multiply(const Expr& a, const Expr& b) {
    if (a.is_constant() && a.value_ == 1) return b;
    if (b.is_constant() && b.value_ == 1) return a;
    Term constant_a{};
    Term constant_b{};
    const std::span<const Term> left = terms_of(a, constant_a);
    const std::span<const Term> right = terms_of(b, constant_b);
    require_terms(left.size() * right.size() / 10);  // like terms join, but not most of them
    std::vector<Term> terms;
    terms.reserve(left.size() * right.size());
    for (const Term& x : left) {
        for (const Term& y : right) {
            terms.push_back({product(x.monomial, y.monomial), checked_mul(x.coefficient, y.coefficient)});
        }
    }
    return from_terms(std::move(terms));
}

Expr Expr::divide(const Expr& a, const Expr& b) {
    if (a == b) return {1};
    if (b.is_constant()) {
        const std::int64_t divisor = b.constant();
        if (divisor <= 0) throw InputError("a size expression divides by " + std::to_string(divisor));
        // (d*q + r) // d == q + r // d: whole multiples leave the division.
        std::vector<Term> whole;
        std::vector<Term> rest;
        for (const Term& term : a.terms()) {
            const std::int64_t part = floor_div(term.coefficient, divisor);
            whole.push_back({term.monomial, part});
            rest.push_back({term.monomial, floor_mod(term.coefficient, divisor)});
        }
        const Expr quotient_part = from_terms(std::move(whole));
        const Expr remainder = from_terms(std::move(rest));
        if (remainder.is_constant()) return quotient_part + remainder.constant() / divisor;
        return quotient_part + Atom::expr(Atom::intern(Atom::Kind::floor_div, "", {remainder, b}));
    }
    // Exact division by a single term keeps products of sizes polynomial: (batch*seq*64) // seq.
    if (b.terms().size() == 1) {
        const Term& divisor = b.terms()[0];
        Term constant{};
        std::vector<Term> result;
        bool exact = true;
        for (const Term& term : terms_of(a, constant)) {
            Monomial monomial;
            exact = exact && quotient(term.monomial, divisor.monomial, monomial) &&
                    floor_mod(term.coefficient, divisor.coefficient) == 0;
            if (!exact) break;
            result.push_back({std::move(monomial), floor_div(term.coefficient, divisor.coefficient)});
        }
        if (exact) return from_terms(std::move(result));
    }
    return Atom::expr(Atom::intern(Atom::Kind::floor_div, "", {a, b}));
}

Expr Expr::modulo(const Expr& a, const Expr& b) {
    if (a == b) return {0};
    if (b.is_constant()) {
        const std::int64_t divisor = b.constant();
        if (divisor <= 0) throw InputError("a size expression divides by " + std::to_string(divisor));
        std::vector<Term> rest;
        for (const Term& term : a.terms()) {
            rest.push_back({term.monomial, floor_mod(term.coefficient, divisor)});
        }
        const Expr remainder = from_terms(std::move(rest));
        if (remainder.is_constant()) return {floor_mod(remainder.constant(), divisor)};
        return Atom::expr(Atom::intern(Atom::Kind::modulo, "", {remainder, b}));
    }
    const Expr whole = a / b;
    if (whole * b == a) return {0};
    return Atom::expr(Atom::intern(Atom::Kind::modulo, "", {a, b}));
}

Expr Expr::ceil_div(const Expr& a, const Expr& b) {
    return Expr(0) - (Expr(0) - a) / b;
}

std::int64_t Expr::constant() const {
    if (is_constant()) return value_;
    std::string free;
    for (const std::string& name : names()) free += (free.empty() ? "" : ", ") + name;
    throw InputError("the value of '" + text() + "' depends on sizes that are not given: " + free);
}

std::int64_t Expr::evaluate(const Sizes& sizes) const {
    if (is_constant()) return value_;
    std::int64_t total = 0;
    for (const Term& term : *terms_) {
        std::int64_t value = term.coefficient;
        for (const Factor& factor : term.monomial) {
            std::int64_t base = 0;
            if (factor.atom->kind == Atom::Kind::size) {
                const auto found = sizes.find(factor.atom->text);
                if (found == sizes.end()) {
                    throw InputError("size '" + factor.atom->text + "' is not given");
                }
                base = found->second;
            } else {
                std::vector<std::int64_t> values;
                for (const Expr& operand : factor.atom->operands) values.push_back(operand.evaluate(sizes));
                base = factor.atom->apply(values);
            }
            value = checked_mul(value, power(base, factor.power));
        }
        total = checked_add(total, value);
    }
    return total;
}

template <class Map>
Expr Expr::replaced(const Map& sizes) const {
    if (is_constant() || sizes.empty()) return *this;
    ExprSum total;
    for (const Term& term : *terms_) {
        Expr value = term.coefficient;
        for (const Factor& factor : term.monomial) {
            Expr base;
            if (factor.atom->kind == Atom::Kind::size) {
                const auto found = sizes.find(factor.atom->text);
                base = found == sizes.end() ? Atom::expr(factor.atom) : Expr(found->second);
            } else {
                std::vector<Expr> values;
                for (const Expr& operand : factor.atom->operands) values.push_back(operand.replaced(sizes));
                base = factor.atom->apply(values);
            }
            for (int i = 0; i < factor.power; ++i) value = value * base;
        }
        total.add(std::move(value));
    }
    return total.total();
}

Expr Expr::substitute(const Sizes& sizes) const {
    return replaced(sizes);
}

Expr Expr::substitute(const Replacements& sizes) const {
    return replaced(sizes);
}

std::vector<std::string> Expr::names() const {
    std::set<std::string> found;
    const std::function<void(const Expr&)> visit = [&](const Expr& e) {
        if (e.is_constant()) return;
        for (const Term& term : e.terms()) {
            for (const Factor& factor : term.monomial) {
                if (factor.atom->kind == Atom::Kind::size) found.insert(factor.atom->text);
                for (const Expr& operand : factor.atom->operands) visit(operand);
            }
        }
    };
    visit(*this);
    return {found.begin(), found.end()};
}

std::size_t Expr::hash() const {
    if (is_constant()) return std::hash<std::int64_t>{}(value_);
    std::size_t seed = terms_->size();
    const auto mix = [&seed](std::size_t value) {
        seed ^= value + 0x9e3779b97f4a7c15ULL + (seed << 6) + (seed >> 2);
    };
    for (const Term& term : *terms_) {
        mix(std::hash<std::int64_t>{}(term.coefficient));
        for (const Factor& factor : term.monomial) {
            mix(static_cast<std::size_t>(factor.atom->order));
            mix(static_cast<std::size_t>(factor.power));
        }
    }
    return seed;
}

bool Expr::is_nonnegative() const {
    if (is_constant()) return value_ >= 0;
    std::int64_t constant = 0;
    std::int64_t least = 0;  // of the other terms; the largest integer stands for all beyond
    for (const Term& term : *terms_) {
        const bool positive = std::all_of(term.monomial.begin(), term.monomial.end(), [](const Factor& f) {
            return f.atom->kind == Atom::Kind::size && !may_be_zero(f.atom->text);
        });
        const bool known = std::all_of(term.monomial.begin(), term.monomial.end(),
                                       [](const Factor& f) { return f.atom->nonnegative; });
        if (term.monomial.empty()) {
            constant = term.coefficient;
        } else if (term.coefficient < 0 || !known) {
            return false;
        } else if (positive && add_overflows(least, term.coefficient, least)) {
            // A product of sizes that are at least 1.
            least = std::numeric_limits<std::int64_t>::max();
        }
    }
    return least >= 0 && constant >= -least;
}

bool operator==(const Expr& a, const Expr& b) {
    if (a.is_constant() || b.is_constant()) {
        return a.is_constant() && b.is_constant() && a.value_ == b.value_;
    }
    return a.terms_ == b.terms_ || *a.terms_ == *b.terms_;
}

}  // namespace infercost

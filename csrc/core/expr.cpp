#include "core/expr.hpp"

#include <algorithm>
#include <functional>
#include <set>

namespace infercost {
namespace {

bool monomial_less(const Monomial& a, const Monomial& b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                        [](const Factor& x, const Factor& y) {
                                            if (x.atom->id != y.atom->id) return x.atom->id < y.atom->id;
                                            return x.power < y.power;
                                        });
}

std::vector<Term> terms_of(const Expr& e) {
    if (!e.is_constant()) return e.terms();
    return {
        {Monomial{}, e.constant()}
    };
}

Monomial product(const Monomial& a, const Monomial& b) {
    Monomial result;
    result.reserve(a.size() + b.size());
    auto i = a.begin();
    auto j = b.begin();
    while (i != a.end() || j != b.end()) {
        if (j == b.end() || (i != a.end() && i->atom->id < j->atom->id)) {
            result.push_back(*i++);
        } else if (i == a.end() || j->atom->id < i->atom->id) {
            result.push_back(*j++);
        } else {
            result.push_back({i->atom, i->power + j->power});
            ++i, ++j;
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
    std::sort(terms.begin(), terms.end(),
              [](const Term& a, const Term& b) { return monomial_less(a.monomial, b.monomial); });
    std::vector<Term> merged;
    for (Term& term : terms) {
        if (!merged.empty() && merged.back().monomial == term.monomial) {
            merged.back().coefficient = checked_add(merged.back().coefficient, term.coefficient);
        } else {
            merged.push_back(std::move(term));
        }
    }
    std::erase_if(merged, [](const Term& t) { return t.coefficient == 0; });
    if (merged.empty()) return {};
    if (merged.size() == 1 && merged[0].monomial.empty()) return {merged[0].coefficient};
    Expr result;
    result.terms_ = std::make_shared<const std::vector<Term>>(std::move(merged));
    return result;
}

Expr Expr::add(const Expr& a, const Expr& b, std::int64_t sign) {
    std::vector<Term> terms = terms_of(a);
    for (Term term : terms_of(b)) {
        term.coefficient = checked_mul(term.coefficient, sign);
        terms.push_back(std::move(term));
    }
    return from_terms(std::move(terms));
}

Expr Expr::multiply(const Expr& a, const Expr& b) {
    std::vector<Term> terms;
    const std::vector<Term> right = terms_of(b);
    for (const Term& x : terms_of(a)) {
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
        if (divisor <= 0)
            throw std::invalid_argument("a size expression divides by " + std::to_string(divisor));
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
        std::vector<Term> result;
        bool exact = true;
        for (const Term& term : terms_of(a)) {
            Monomial monomial;
            exact = exact && quotient(term.monomial, divisor.monomial, monomial) &&
                    term.coefficient % divisor.coefficient == 0;
            if (!exact) break;
            result.push_back({std::move(monomial), term.coefficient / divisor.coefficient});
        }
        if (exact) return from_terms(std::move(result));
    }
    return Atom::expr(Atom::intern(Atom::Kind::floor_div, "", {a, b}));
}

Expr Expr::modulo(const Expr& a, const Expr& b) {
    if (a == b) return {0};
    if (b.is_constant()) {
        const std::int64_t divisor = b.constant();
        if (divisor <= 0)
            throw std::invalid_argument("a size expression divides by " + std::to_string(divisor));
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
    throw std::invalid_argument("the value of '" + text() + "' depends on sizes that are not given: " + free);
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
                    throw std::invalid_argument("size '" + factor.atom->text + "' is not given");
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
    Expr total;
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
        total = total + value;
    }
    return total;
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
            mix(factor.atom->id);
            mix(static_cast<std::size_t>(factor.power));
        }
    }
    return seed;
}

bool Expr::is_nonnegative() const {
    if (is_constant()) return value_ >= 0;
    std::int64_t bound = 0;
    for (const Term& term : *terms_) {
        const bool positive = std::all_of(term.monomial.begin(), term.monomial.end(), [](const Factor& f) {
            return f.atom->kind == Atom::Kind::size && !may_be_zero(f.atom->text);
        });
        const bool known = std::all_of(term.monomial.begin(), term.monomial.end(),
                                       [](const Factor& f) { return f.atom->nonnegative; });
        if (term.monomial.empty()) {
            bound += term.coefficient;
        } else if (term.coefficient < 0 || !known) {
            return false;
        } else if (positive) {
            bound += term.coefficient;  // a product of sizes that are at least 1
        }
    }
    return bound >= 0;
}

bool operator==(const Expr& a, const Expr& b) {
    if (a.is_constant() || b.is_constant()) {
        return a.is_constant() && b.is_constant() && a.value_ == b.value_;
    }
    return a.terms_ == b.terms_ || *a.terms_ == *b.terms_;
}

}  // namespace infercost

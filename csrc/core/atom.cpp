// Atoms: named sizes, and the functions of sizes that are not polynomials.
#include <algorithm>
#include <deque>
#include <mutex>
#include <numeric>
#include <unordered_map>

#include "core/expr.hpp"

namespace infercost {
namespace {

std::string printed(const Expr& e, bool nested) {
    const std::string text = e.text();
    const bool simple = text.find_first_of(" */%-") == std::string::npos;
    return nested && !simple ? "(" + text + ")" : text;
}

bool nonnegative_atom(Atom::Kind kind, const std::vector<Expr>& operands) {
    const auto proven = [](const Expr& e) { return e.is_nonnegative(); };
    switch (kind) {
        case Atom::Kind::size:
        case Atom::Kind::gcd:
        case Atom::Kind::n_log2_n:
            return true;
        case Atom::Kind::modulo:
            return operands[1].is_nonnegative();
        case Atom::Kind::maximum:
            return std::any_of(operands.begin(), operands.end(), proven);
        case Atom::Kind::floor_div:
        case Atom::Kind::minimum:
            return std::all_of(operands.begin(), operands.end(), proven);
    }
    return false;
}

std::string atom_text(Atom::Kind kind, const std::string& name, const std::vector<Expr>& operands) {
    switch (kind) {
        case Atom::Kind::size:
            return name;
        case Atom::Kind::floor_div:
            return printed(operands[0], true) + "//" + printed(operands[1], true);
        case Atom::Kind::modulo:
            return printed(operands[0], true) + "%" + printed(operands[1], true);
        case Atom::Kind::gcd:
            return "gcd(" + operands[0].text() + ", " + operands[1].text() + ")";
        case Atom::Kind::n_log2_n:
            return "n_log2_n(" + operands[0].text() + ")";
        case Atom::Kind::maximum:
        case Atom::Kind::minimum:
            break;
    }
    std::string text = kind == Atom::Kind::maximum ? "max(" : "min(";
    for (std::size_t i = 0; i < operands.size(); ++i) text += (i ? ", " : "") + operands[i].text();
    return text + ")";
}

// Flattens max(max(a, b), c) and drops operands that another one is proven to cover.
Expr extremum(Atom::Kind kind, const Expr& a, const Expr& b) {
    std::vector<Expr> operands;
    const auto covers = [kind](const Expr& x, const Expr& y) {
        return (kind == Atom::Kind::maximum ? x - y : y - x).is_nonnegative();
    };
    const auto insert = [&](const Expr& e) {
        for (const Expr& kept : operands) {
            if (covers(kept, e)) return;
        }
        std::erase_if(operands, [&](const Expr& kept) { return covers(e, kept); });
        operands.push_back(e);
    };
    for (const Expr& e : {a, b}) {
        const bool nested = !e.is_constant() && e.terms().size() == 1 && e.terms()[0].coefficient == 1 &&
                            e.terms()[0].monomial.size() == 1 && e.terms()[0].monomial[0].power == 1 &&
                            e.terms()[0].monomial[0].atom->kind == kind;
        if (nested) {
            for (const Expr& inner : e.terms()[0].monomial[0].atom->operands) insert(inner);
        } else {
            insert(e);
        }
    }
    if (operands.size() == 1) return operands[0];
    std::sort(operands.begin(), operands.end(),
              [](const Expr& x, const Expr& y) { return x.text() < y.text(); });
    return Atom::expr(Atom::intern(kind, "", std::move(operands)));
}

}  // namespace

Expr Atom::expr(const Atom* atom) {
    return Expr::from_terms({
        {Monomial{{atom, 1}}, 1}
    });
}

const Atom* Atom::intern(Kind kind, std::string name, std::vector<Expr> operands) {
    static std::mutex mutex;
    static std::deque<Atom>* const atoms = new std::deque<Atom>();
    static auto* const by_text = new std::unordered_map<std::string, const Atom*>();
    std::string text = atom_text(kind, name, operands);
    const bool nonnegative = nonnegative_atom(kind, operands);
    const std::scoped_lock lock(mutex);
    const auto found = by_text->find(text);
    if (found != by_text->end()) return found->second;
    atoms->push_back(
        {kind, text, std::move(operands), static_cast<std::uint32_t>(atoms->size()), nonnegative});
    by_text->emplace(std::move(text), &atoms->back());
    return &atoms->back();
}

std::int64_t Atom::apply(const std::vector<std::int64_t>& values) const {
    switch (kind) {
        case Kind::floor_div:
            return floor_div(values[0], values[1]);
        case Kind::modulo:
            return floor_mod(values[0], values[1]);
        case Kind::maximum:
            return *std::max_element(values.begin(), values.end());
        case Kind::minimum:
            return *std::min_element(values.begin(), values.end());
        case Kind::gcd:
            return std::gcd(values[0], values[1]);
        case Kind::n_log2_n:
            return n_log2_n(values[0]);
        case Kind::size:
            break;
    }
    throw std::logic_error("a named size is not applied to operands");
}

Expr Atom::apply(const std::vector<Expr>& values) const {
    if (kind == Kind::floor_div) return values[0] / values[1];
    if (kind == Kind::modulo) return values[0] % values[1];
    if (kind == Kind::gcd) return Expr::gcd(values[0], values[1]);
    if (kind == Kind::n_log2_n) return Expr::n_log2_n(values[0]);
    Expr result = values[0];
    for (std::size_t i = 1; i < values.size(); ++i) {
        result = kind == Kind::maximum ? Expr::maximum(result, values[i]) : Expr::minimum(result, values[i]);
    }
    return result;
}

Expr Expr::maximum(const Expr& a, const Expr& b) {
    if (a.is_constant() && b.is_constant()) return {std::max(a.value_, b.value_)};
    return extremum(Atom::Kind::maximum, a, b);
}

Expr Expr::gcd(const Expr& a, const Expr& b) {
    if (a.is_constant() && b.is_constant()) return {std::gcd(a.value_, b.value_)};
    const auto divides = [](const Expr& x, const Expr& y) { return !(x == Expr(0)) && y % x == Expr(0); };
    if (divides(a, b)) return a;
    if (divides(b, a)) return b;
    std::vector<Expr> operands = {a, b};
    if (operands[1].text() < operands[0].text()) std::swap(operands[0], operands[1]);
    return Atom::expr(Atom::intern(Atom::Kind::gcd, "", std::move(operands)));
}

Expr Expr::n_log2_n(const Expr& n) {
    if (n.is_constant()) return {infercost::n_log2_n(n.value_)};
    return Atom::expr(Atom::intern(Atom::Kind::n_log2_n, "", {n}));
}

Expr Expr::minimum(const Expr& a, const Expr& b) {
    if (a.is_constant() && b.is_constant()) return {std::min(a.value_, b.value_)};
    return extremum(Atom::Kind::minimum, a, b);
}

}  // namespace infercost

#include "plan/tape.hpp"

#include <cmath>
#include <numeric>

namespace infercost {
namespace {

TapeStep::Kind kind_of(Atom::Kind function) {
    switch (function) {
        case Atom::Kind::floor_div:
            return TapeStep::Kind::floor_div;
        case Atom::Kind::modulo:
            return TapeStep::Kind::modulo;
        case Atom::Kind::maximum:
            return TapeStep::Kind::maximum;
        case Atom::Kind::minimum:
            return TapeStep::Kind::minimum;
        case Atom::Kind::size:
            return TapeStep::Kind::size;
        case Atom::Kind::gcd:
        case Atom::Kind::n_log2_n:
            break;
    }
    return TapeStep::Kind::scalar;
}

// The text of a product of atoms, used as a key.
std::string key_of(const Monomial& monomial) {
    std::string key;
    for (const Factor& factor : monomial) {
        key += "*" + std::to_string(factor.atom->id) + "^" + std::to_string(factor.power);
    }
    return key;
}

}  // namespace

double tape_scalar(bool gcd, const double* operands) {
    if (!gcd) {
        const double n = operands[0];
        return n > 1 ? std::round(n * std::log2(n)) : 0;
    }
    return static_cast<double>(
        std::gcd(static_cast<std::int64_t>(operands[0]), static_cast<std::int64_t>(operands[1])));
}

Tape::Tape() {
    push("1", {TapeStep::Kind::one, false, 0, 0, 0, 0});
}

int Tape::push(const std::string& key, TapeStep step, const std::vector<Affine>& operands) {
    step.first_operand = static_cast<int>(operands_.size());
    step.operand_count = static_cast<int>(operands.size());
    operands_.insert(operands_.end(), operands.begin(), operands.end());
    const auto column = static_cast<int>(steps_.size());
    steps_.push_back(step);
    known_.emplace(key, column);
    return column;
}

Affine Tape::add(const Expr& e) {
    if (e.is_constant()) return {static_cast<double>(e.constant()), 0, 0};
    double constant = 0;
    std::vector<Affine> parts;
    std::string key = "+";
    for (const Term& term : e.terms()) {
        if (term.monomial.empty()) {
            constant = static_cast<double>(term.coefficient);
            key += std::to_string(term.coefficient);
        } else {
            const int column = monomial_column(term.monomial);
            parts.push_back({0, static_cast<double>(term.coefficient), column});
            key += "+" + std::to_string(term.coefficient) + "*c" + std::to_string(column);
        }
    }
    if (parts.size() == 1) return {constant, parts[0].coefficient, parts[0].column};
    const auto found = known_.find(key);
    if (found != known_.end()) return {0, 1, found->second};
    return {0, 1, push(key, {TapeStep::Kind::sum, false, 0, constant, 0, 0}, parts)};
}

int Tape::monomial_column(const Monomial& monomial) {
    if (monomial.size() == 1 && monomial[0].power == 1) return atom_column(*monomial[0].atom);
    const std::string key = key_of(monomial);
    const auto found = known_.find(key);
    if (found != known_.end()) return found->second;
    std::vector<Affine> factors;
    for (const Factor& factor : monomial) {
        const int column = atom_column(*factor.atom);
        for (int i = 0; i < factor.power; ++i) factors.push_back({0, 1, column});
    }
    return push(key, {TapeStep::Kind::product, false, 0, 0, 0, 0}, factors);
}

int Tape::atom_column(const Atom& atom) {
    const std::string key = "a" + std::to_string(atom.id);
    const auto found = known_.find(key);
    if (found != known_.end()) return found->second;
    if (atom.kind == Atom::Kind::size) {
        size_names_.push_back(atom.text);
        const auto size = static_cast<int>(size_names_.size()) - 1;
        return push(key, {TapeStep::Kind::size, false, size, 0, 0, 0});
    }
    std::vector<Affine> operands;
    for (const Expr& operand : atom.operands) operands.push_back(add(operand));
    return push(key, {kind_of(atom.kind), atom.kind == Atom::Kind::gcd, 0, 0, 0, 0}, operands);
}

}  // namespace infercost

#include "plan/tape.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace infercost {
namespace {

double apply(Atom::Kind kind, double a, double b) {
    switch (kind) {
        case Atom::Kind::floor_div:
            return std::floor(a / b);
        case Atom::Kind::modulo:
            return a - b * std::floor(a / b);
        case Atom::Kind::maximum:
            return a > b ? a : b;
        case Atom::Kind::minimum:
            return a < b ? a : b;
        case Atom::Kind::gcd:
            return static_cast<double>(std::gcd(static_cast<std::int64_t>(a), static_cast<std::int64_t>(b)));
        case Atom::Kind::size:
        case Atom::Kind::n_log2_n:
            break;
    }
    return a;
}

double at(const Affine& a, const double* columns, std::size_t i) {
    return a.constant + a.coefficient * columns[static_cast<std::size_t>(a.column) * kBlock + i];
}

// The text of a product of atoms, by which it is found again.
std::string key_of(const Monomial& monomial) {
    std::string key;
    for (const Factor& factor : monomial) {
        key += "*" + std::to_string(factor.atom->id) + "^" + std::to_string(factor.power);
    }
    return key;
}

}  // namespace

Tape::Tape() {
    push("1", {.kind = Kind::one});
}

int Tape::push(const std::string& key, Step step) {
    const auto column = static_cast<int>(steps_.size());
    steps_.push_back(std::move(step));
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
    return {0, 1, push(key, {.kind = Kind::sum, .constant = constant, .operands = std::move(parts)})};
}

int Tape::monomial_column(const Monomial& monomial) {
    if (monomial.size() == 1 && monomial[0].power == 1) return atom_column(monomial[0].atom);
    const std::string key = key_of(monomial);
    const auto found = known_.find(key);
    if (found != known_.end()) return found->second;
    Step step{.kind = Kind::product};
    for (const Factor& factor : monomial) {
        const int column = atom_column(factor.atom);
        for (int i = 0; i < factor.power; ++i) step.operands.push_back({0, 1, column});
    }
    return push(key, std::move(step));
}

int Tape::atom_column(const Atom* atom) {
    const std::string key = "a" + std::to_string(atom->id);
    const auto found = known_.find(key);
    if (found != known_.end()) return found->second;
    if (atom->kind == Atom::Kind::size) {
        size_names_.push_back(atom->text);
        return push(key, {.kind = Kind::size, .size = size_names_.size() - 1});
    }
    Step step{.kind = Kind::function, .function = atom->kind};
    for (const Expr& operand : atom->operands) step.operands.push_back(add(operand));
    return push(key, std::move(step));
}

void Tape::run(const double* const* sizes, std::size_t points, std::size_t padded, double* columns) const {
    for (std::size_t s = 0; s < steps_.size(); ++s) {
        const Step& step = steps_[s];
        double* const out = columns + s * kBlock;
        switch (step.kind) {
            case Kind::one:
                std::fill_n(out, points, 1.0);
                break;
            case Kind::size:
                std::copy_n(sizes[step.size], points, out);
                break;
            case Kind::product:
                std::fill_n(out, points, 1.0);
                for (const Affine& factor : step.operands) {
                    const double* column = columns + static_cast<std::size_t>(factor.column) * kBlock;
                    for (std::size_t i = 0; i < points; ++i) out[i] *= column[i];
                }
                break;
            case Kind::sum:
                std::fill_n(out, points, step.constant);
                for (const Affine& part : step.operands) {
                    for (std::size_t i = 0; i < points; ++i) out[i] += at(part, columns, i);
                }
                break;
            case Kind::function:
                for (std::size_t i = 0; i < points; ++i) out[i] = at(step.operands[0], columns, i);
                if (step.function == Atom::Kind::n_log2_n) {
                    for (std::size_t i = 0; i < points; ++i) {
                        out[i] = out[i] > 1 ? std::round(out[i] * std::log2(out[i])) : 0;
                    }
                }
                for (std::size_t n = 1; n < step.operands.size(); ++n) {
                    for (std::size_t i = 0; i < points; ++i) {
                        out[i] = apply(step.function, out[i], at(step.operands[n], columns, i));
                    }
                }
                break;
        }
        std::fill(out + points, out + padded, out[points - 1]);
    }
}

}  // namespace infercost

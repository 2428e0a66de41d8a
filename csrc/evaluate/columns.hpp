// Expressions over a block of points, in doubles (exact up to 2^53).
#pragma once

#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <unordered_map>
#include <vector>

#include "evaluate/evaluate.hpp"

namespace infercost {

using Block = std::array<double, kBlock>;

class BlockEvaluator {
  public:
    BlockEvaluator(const SizeColumns& sizes, std::size_t begin, std::size_t points)
        : sizes_(sizes), begin_(begin), points_(points) {}

    std::size_t points() const { return points_; }

    void evaluate(const Expr& e, double* out) {
        if (e.is_constant()) {
            const auto value = static_cast<double>(e.constant());
            for (std::size_t i = 0; i < points_; ++i) out[i] = value;
            return;
        }
        for (std::size_t i = 0; i < points_; ++i) out[i] = 0;
        Block product;
        for (const Term& term : e.terms()) {
            const auto coefficient = static_cast<double>(term.coefficient);
            for (std::size_t i = 0; i < points_; ++i) product[i] = coefficient;
            for (const Factor& factor : term.monomial) {
                const Block& base = atom(factor.atom);
                for (int p = 0; p < factor.power; ++p) {
                    for (std::size_t i = 0; i < points_; ++i) product[i] *= base[i];
                }
            }
            for (std::size_t i = 0; i < points_; ++i) out[i] += product[i];
        }
    }

  private:
    // Atoms recur in thousands of kernels: each is computed once per block.
    const Block& atom(const Atom* a) {
        std::unique_ptr<Block>& slot = atoms_[a];
        if (slot) return *slot;
        auto block = std::make_unique<Block>();
        if (a->kind == Atom::Kind::size) {
            const std::span<const std::int64_t> column = sizes_.find(a->text)->second;
            for (std::size_t i = 0; i < points_; ++i) (*block)[i] = static_cast<double>(column[begin_ + i]);
        } else {
            apply(*a, *block);
        }
        Block& result = *block;
        atoms_[a] = std::move(block);
        return result;
    }

    void apply(const Atom& a, Block& out) {
        evaluate(a.operands[0], out.data());
        if (a.kind == Atom::Kind::n_log2_n) {
            for (std::size_t i = 0; i < points_; ++i) {
                out[i] = out[i] > 1 ? std::round(out[i] * std::log2(out[i])) : 0;
            }
        }
        Block other;
        for (std::size_t n = 1; n < a.operands.size(); ++n) {
            evaluate(a.operands[n], other.data());
            for (std::size_t i = 0; i < points_; ++i) out[i] = combine(a.kind, out[i], other[i]);
        }
    }

    static double combine(Atom::Kind kind, double a, double b) {
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
                return static_cast<double>(
                    std::gcd(static_cast<std::int64_t>(a), static_cast<std::int64_t>(b)));
            case Atom::Kind::size:
            case Atom::Kind::n_log2_n:
                break;
        }
        return a;
    }

    const SizeColumns& sizes_;
    std::size_t begin_;
    std::size_t points_;
    std::unordered_map<const Atom*, std::unique_ptr<Block>> atoms_;
};

}  // namespace infercost

#include "core/expr_columns.hpp"

#include <algorithm>

#include "core/errors.hpp"

namespace infercost {
namespace {

using Values = std::vector<std::int64_t>;

class Evaluator {
  public:
    Evaluator(const SizeColumns& sizes, std::size_t points) : sizes_(sizes), points_(points) {}

    Values run(const Expr& e) {
        if (e.is_constant()) return Values(points_, e.constant());
        Values total(points_, 0);
        Values product(points_);
        for (const Term& term : e.terms()) {
            std::fill(product.begin(), product.end(), term.coefficient);
            for (const Factor& factor : term.monomial) {
                const std::span<const std::int64_t> base = column_of(*factor.atom);
                for (int power = 0; power < factor.power; ++power) {
                    for (std::size_t i = 0; i < points_; ++i) product[i] = checked_mul(product[i], base[i]);
                }
            }
            for (std::size_t i = 0; i < points_; ++i) total[i] = checked_add(total[i], product[i]);
        }
        return total;
    }

  private:
    std::span<const std::int64_t> column_of(const Atom& atom) {
        if (atom.kind == Atom::Kind::size) {
            const auto found = sizes_.find(atom.text);
            if (found == sizes_.end()) throw InputError("size '" + atom.text + "' is not given");
            if (found->second.size() != points_) {
                throw InputError("size '" + atom.text + "' has " + std::to_string(found->second.size()) +
                                 " values; expected " + std::to_string(points_));
            }
            return found->second;
        }
        const auto known = atoms_.find(&atom);
        if (known != atoms_.end()) return known->second;
        std::vector<Values> operands;
        for (const Expr& operand : atom.operands) operands.push_back(run(operand));
        Values applied(points_);
        Values row(operands.size());
        for (std::size_t i = 0; i < points_; ++i) {
            for (std::size_t j = 0; j < operands.size(); ++j) row[j] = operands[j][i];
            applied[i] = atom.apply(row);
        }
        return atoms_.emplace(&atom, std::move(applied)).first->second;
    }

    const SizeColumns& sizes_;
    std::size_t points_;
    std::map<const Atom*, Values> atoms_;  // each once, however often it occurs
};

}  // namespace

std::vector<std::int64_t> evaluate_columns(const Expr& e, const SizeColumns& sizes, std::size_t points) {
    return Evaluator(sizes, points).run(e);
}

}  // namespace infercost

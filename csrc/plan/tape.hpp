// The expressions of a plan as a list of steps, each of which fills one column of a block of points: a named
// size, a product of columns, a sum, or a function that is no polynomial. Equal expressions share a column.
//
// Values are doubles, exact up to 2^53.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/expr.hpp"
#include "core/kernel_terms.hpp"

namespace infercost {

// How many points are evaluated together: all columns of most plans then stay in the first cache.
inline constexpr std::size_t kBlock = 256;

class Tape {
  public:
    Tape();

    // Adds what is needed for an expression, once.
    Affine add(const Expr& e);

    // Named sizes that the steps read, in the order of `sizes` of run().
    const std::vector<std::string>& size_names() const { return size_names_; }
    std::size_t column_count() const { return steps_.size(); }

    // Fills `columns` (column_count() x kBlock) at `points` points; sizes[s][i] is the value of a size. What
    // lies behind the last point is filled with that point again, up to `padded`.
    void run(const double* const* sizes, std::size_t points, std::size_t padded, double* columns) const;

  private:
    enum class Kind : std::uint8_t { one, size, product, sum, function };
    struct Step {
        Kind kind;
        Atom::Kind function = Atom::Kind::size;
        std::size_t size = 0;
        double constant = 0;             // of a sum
        std::vector<Affine> operands{};  // of products (coefficient 1), sums and functions
    };

    int atom_column(const Atom* atom);
    int monomial_column(const Monomial& monomial);
    int push(const std::string& key, Step step);

    std::vector<Step> steps_;
    std::vector<std::string> size_names_;
    std::unordered_map<std::string, int> known_;
};

}  // namespace infercost

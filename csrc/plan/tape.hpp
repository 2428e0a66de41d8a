// The expressions of a plan as a list of steps. Each step fills one column of a block of points: a named
// size, a product of columns, a sum, or a non-polynomial function. Equal expressions share a column.
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
#include "plan/tape_step.hpp"

namespace infercost {

// Points per block, so that all columns of most plans fit the first-level cache.
inline constexpr std::size_t kBlock = 256;

class Tape {
  public:
    Tape();

    // Add the steps of an expression, once.
    Affine add(const Expr& e);

    // Named sizes that the steps read, in the order of their indices in size steps.
    const std::vector<std::string>& size_names() const { return size_names_; }
    std::size_t column_count() const { return steps_.size(); }

    // Step i fills column i.
    const std::vector<TapeStep>& steps() const { return steps_; }
    const std::vector<Affine>& operands() const { return operands_; }

  private:
    int atom_column(const Atom& atom);
    int monomial_column(const Monomial& monomial);
    int push(const std::string& key, TapeStep step, const std::vector<Affine>& operands = {});

    std::vector<TapeStep> steps_;
    std::vector<Affine> operands_;
    std::vector<std::string> size_names_;
    std::unordered_map<std::string, int> known_;
};

}  // namespace infercost

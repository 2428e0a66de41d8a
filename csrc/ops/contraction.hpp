// Products that other families use.
#pragma once

#include "ops/rule.hpp"

namespace infercost {

// Every distinct letter is a loop; operands are joined from left to right.
void einsum(const Call& call, Work& work);
// True if the einsum has one operand and no sum, and is therefore a view.
bool einsum_aliases(const Call& call);
void einsum_bytes(const Call& call, Work& work);

// Work and traffic of tokens that are sorted by expert; each token is multiplied by one matrix.
void grouped_product(const Call& call, Work& work);
void grouped_traffic(const Call& call, Work& work);
// The number of matrices with rows, and the elements of these in a stack with one part for each matrix.
Expr groups_used(const Call& call);
Expr group_count(const Call& call);
Expr grouped_elements(const Call& call, TensorIndex stack);

}  // namespace infercost

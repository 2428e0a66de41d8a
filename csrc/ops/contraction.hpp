// The product that has a file of its own, and what other families need.
#pragma once

#include "ops/rule.hpp"

namespace infercost {

// By letters: every distinct letter is a loop, operands are joined from left to right.
void einsum(const Call& call, Work& work);
// Of one operand without a sum it is a view.
bool einsum_aliases(const Call& call);
void einsum_bytes(const Call& call, Work& work);

// Tokens sorted by expert, each of which meets one matrix, and what they move.
void grouped_product(const Call& call, Work& work);
void grouped_traffic(const Call& call, Work& work);

}  // namespace infercost

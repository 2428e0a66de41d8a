// Products that rows of several tables are made of.
#pragma once

#include "ops/rule.hpp"

namespace infercost {

// By letters: every distinct letter is a loop, operands are joined from left to right.
void einsum(const Call& call, Work& work);

// Rows sorted by group, each of which meets one matrix; routing is taken as balanced.
void grouped_mm(const Call& call, Work& work);
void grouped_operands(const Call& call, Work& work);

}  // namespace infercost

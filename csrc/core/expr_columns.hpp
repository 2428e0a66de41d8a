// Values of an expression at many sizes.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/expr.hpp"

namespace infercost {

using SizeColumns = std::map<std::string, std::span<const std::int64_t>, std::less<>>;

// The values at `points` rows of columns, as Expr::evaluate() gives them one by one. Throws as that does, and
// InputError for a column of another length.
std::vector<std::int64_t> evaluate_columns(const Expr& e, const SizeColumns& sizes, std::size_t points);

}  // namespace infercost

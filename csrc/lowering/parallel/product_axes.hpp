// What relations of products share: operands, results and biases.
#pragma once

#include <initializer_list>

#include "lowering/parallel/relations.hpp"

namespace infercost {

// The first of these arguments that is a tensor.
TensorIndex named(const Call& call, std::initializer_list<const char*> names);
// The result of a product has the leading dimensions of `left`, and `last`. Results of a head are gathered.
void set_result(Relations& relations, const Call& call, TensorIndex left, AxisId last);
// The last dimension of a bias is that of the result.
void relate_bias(Relations& relations, const Call& call, const char* name, AxisId last);
// The dimensions of a weight in a narrow format, [..., n, k / values], and of all that is stored beside it in
// arguments such as `weight_scale`.
bool relate_narrow(Relations& relations, const Call& call, TensorIndex weight, AxisId inner);
// The result and the bias of a product with a stack of matrices. Rows are sorted by expert, [rows, k], or
// there are rows of each expert, [experts, rows, k].
bool relate_experts(Relations& relations, const Call& call, TensorIndex left, TensorIndex right,
                    AxisId experts, AxisId outer);

}  // namespace infercost

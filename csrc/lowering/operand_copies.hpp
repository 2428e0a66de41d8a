// Copies of operands that torch makes before a kernel that accepts only one layout. Each copy is a separate
// kernel.
#pragma once

#include <vector>

#include "lowering/kernel_hints.hpp"

namespace infercost {

struct OperandCopy {
    TensorIndex tensor;
    Expr bytes;  // of the copy
};
using OperandCopies = std::vector<OperandCopy>;

// Copies for `linear` and `matmul`: broadcast operands, and operands whose leading dimensions cannot be
// folded without a copy.
OperandCopies product_copies(const Call& call);
// Copies for row ops: operands that are not contiguous. A compiler's kernels read them in their own layout.
OperandCopies row_copies(const Call& call);

// The work of copying an operand into dense order, and its memory access.
Work copy_work(const Call& call, TensorIndex t, const Expr& bytes);
KernelHints copy_hints(const Call& call, TensorIndex t);

// Bytes of the copy that folds all dimensions except the last `kept` into one; 0 if strides allow a view.
Expr folding_copy(const Call& call, TensorIndex t, int kept);
Expr copy_unless_contiguous(const Call& call, TensorIndex t);

}  // namespace infercost

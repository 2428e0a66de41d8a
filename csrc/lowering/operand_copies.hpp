// Copies of operands that torch makes before a kernel that accepts only one layout. Each is a kernel of its
// own.
#pragma once

#include <vector>

#include "lowering/kernel_hints.hpp"

namespace infercost {

struct OperandCopy {
    TensorIndex tensor;
    Expr bytes;  // of the copy
};
using OperandCopies = std::vector<OperandCopy>;

// Of `linear` and `matmul`: broadcast operands, and those whose leading dimensions are not one in memory.
OperandCopies product_copies(const Call& call);
// Of ops over rows: operands that are not contiguous. A compiler's own kernels read them as they lie.
OperandCopies row_copies(const Call& call);

// The work of copying an operand into dense order, and its memory access.
Work copy_work(const Call& call, TensorIndex t, const Expr& bytes);
KernelHints copy_hints(const Call& call, TensorIndex t);

// Bytes of the copy that folds all dimensions but the last `kept` into one; 0 where strides allow a view.
Expr folding_copy(const Call& call, TensorIndex t, int kept);
Expr copy_unless_contiguous(const Call& call, TensorIndex t);

}  // namespace infercost

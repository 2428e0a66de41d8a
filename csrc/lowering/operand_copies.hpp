// Copies that torch makes of operands before it runs a kernel, because that takes them in one layout alone.
// They are kernels of their own.
#pragma once

#include <vector>

#include "lowering/kernel_hints.hpp"

namespace infercost {

struct OperandCopy {
    TensorIndex tensor;
    Expr bytes;  // of the copy
};
using OperandCopies = std::vector<OperandCopy>;

// Of `linear` and `matmul`: what is broadcast, or whose leading dimensions are no one dimension in memory.
OperandCopies product_copies(const Call& call);
// Of ops over rows: what is not contiguous. A compiler's own kernels read it as it lies.
OperandCopies row_copies(const Call& call);

// The work of copying an operand to where it lies dense, and how that copy meets memory.
Work copy_work(const Call& call, TensorIndex t, const Expr& bytes);
KernelHints copy_hints(const Call& call, TensorIndex t);

// What it costs to make one dimension of all but the last `kept`; nothing where strides allow a view.
Expr folding_copy(const Call& call, TensorIndex t, int kept);
Expr copy_unless_contiguous(const Call& call, TensorIndex t);

}  // namespace infercost

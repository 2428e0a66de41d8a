#include "lowering/operand_copies.hpp"

#include "lowering/memory_access.hpp"
#include "ops/shapes.hpp"

namespace infercost {

Expr copy_unless_contiguous(const Call& call, TensorIndex t) {
    return call.is_contiguous(t) ? Expr(0) : call.bytes(t, call.numel(t));
}

namespace {

// Whether a matrix product takes an operand without a copy: its rows or its columns are dense.
bool is_matrix(const Expr& row_step, const Expr& column_step) {
    return row_step == Expr(1) || column_step == Expr(1);
}

// The shape with all dimensions except the last `kept` folded into one.
List<Expr> folded(const Call& call, TensorIndex t, int kept) {
    const List<Expr> lengths = call.shape(t);
    lengths.require(static_cast<std::size_t>(kept));
    List<Expr> shape{1};
    for (std::size_t i = 0; i + static_cast<std::size_t>(kept) < lengths.size(); ++i) {
        shape[0] = shape[0] * lengths[i];
    }
    shape.insert(shape.end(), lengths.end() - kept, lengths.end());
    return shape;
}

}  // namespace

Expr folding_copy(const Call& call, TensorIndex t, int kept) {
    return is_viewable(call, t, folded(call, t, kept)) ? Expr(0) : call.bytes(t, call.numel(t));
}

namespace {

Expr leading(const Call& call, TensorIndex t, int kept) {
    return folded(call, t, kept)[0];
}

OperandCopies one(TensorIndex t, const Expr& bytes) {
    if (bytes == Expr(0)) return {};
    return {
        {t, bytes}
    };
}

OperandCopies matmul_copies(const Call& call) {
    const TensorIndex a = call.require_tensor("self");
    const TensorIndex b = call.require_tensor("other");
    if (call.rank(a) < 3 && call.rank(b) < 3) return {};
    if (call.rank(b) < 3) {
        // Rows are folded into one dimension, with a copy only if the gradient of a weight would need it.
        const Expr rows = folding_copy(call, a, 1);
        const bool weight = call.traffic(b) == Traffic::weight;
        return one(a, weight || rows == Expr(0) ? rows : folding_copy(call, a, 2));
    }
    if (call.rank(a) < 3) return one(b, folding_copy(call, b, 2));
    // Operands are expanded to the batch, and the batch dimensions are folded into one.
    const Expr batch = leading(call, call.output(), 2);
    OperandCopies copies;
    for (const TensorIndex t : {a, b}) {
        const bool broadcast = !(leading(call, t, 2) == batch);
        const Expr matrix = call.dim(t, -1) * call.dim(t, -2);
        Expr bytes;
        // One matrix for the whole batch is expanded without a copy.
        if (broadcast && !(leading(call, t, 2) == Expr(1))) {
            bytes = call.bytes(t, batch * matrix);
        } else if (!broadcast) {
            bytes = folding_copy(call, t, 2);
        }
        if (!(bytes == Expr(0))) copies.push_back({t, bytes});
    }
    return copies;
}

OperandCopies linear_copies(const Call& call) {
    const TensorIndex input = call.first_operand();
    if (const Expr copy = folding_copy(call, input, 1); !(copy == Expr(0))) return one(input, copy);
    const List<Expr> steps = call.strides(input);
    if (steps.size() < 2 || is_matrix(steps[steps.size() - 2], steps.back())) return {};
    return one(input, call.bytes(input, call.numel(input)));
}

}  // namespace

OperandCopies product_copies(const Call& call) {
    const LibraryTrait reads = traits_of(call).library;
    if (reads == LibraryTrait::matmul) return matmul_copies(call);
    if (reads == LibraryTrait::linear) return linear_copies(call);
    return {};
}

OperandCopies row_copies(const Call& call) {
    if (traits_of(call).library != LibraryTrait::contiguous_rows) return {};
    return one(call.first_operand(), copy_unless_contiguous(call, call.first_operand()));
}

Work copy_work(const Call& call, TensorIndex t, const Expr& bytes) {
    Work work;
    work.kind = WorkKind::copy;
    work.dtype = call.stored_dtype(t);
    call.read(work, t);
    work.written[Traffic::activation] = bytes;
    return work;
}

KernelHints copy_hints(const Call& call, TensorIndex t) {
    if (!is_copied_across(call, t)) return {};
    return {.access = {.strided_bytes = call.bytes(t)}};
}

}  // namespace infercost

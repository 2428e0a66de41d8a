#include "lowering/memory_access.hpp"

namespace infercost {
namespace {

constexpr int kNoAxis = -1;
constexpr int kFlat = 2;  // only batch and channels

// The dimension of consecutive elements in memory; kNoAxis if there is none.
int innermost(const List<Expr>& lengths, const List<Expr>& strides) {
    for (std::size_t i = lengths.size(); i-- > 0;) {
        if (!(lengths[i] == Expr(1)) && strides[i] == Expr(1)) return static_cast<int>(i);
    }
    return kNoAxis;
}

// Whether consecutive elements of the result along `axis` are not consecutive in the operand, so that each
// cache line is read for one element at a time. False for an operand that is constant along that axis.
bool across(const List<Expr>& lengths, const List<Expr>& strides, std::size_t axis) {
    return !(lengths[axis] == Expr(1)) && !(strides[axis] == Expr(1)) && !(strides[axis] == Expr(0));
}

void add_elementwise(const Call& call, const Work& work, MemoryAccess& access) {
    if (call.output_count() == 0) return;
    const TensorIndex result = call.output();
    const List<Expr> lengths = call.shape(result);
    const int axis = innermost(lengths, call.strides(result));
    const bool computes = work.kind == WorkKind::pointwise;
    call.for_each_input([&](TensorIndex t) {
        const List<Expr> operand = call.shape(t);
        const List<Expr> strides = call.strides(t);
        if (computes) {
            access.broadcast = access.broadcast || !(call.distinct(t) == call.numel(result));
            access.mixed_dtypes = access.mixed_dtypes || (is_floating(call.stored_dtype(t)) &&
                                                          call.stored_dtype(t) != call.stored_dtype(result) &&
                                                          is_floating(call.stored_dtype(result)));
        }
        if (operand.empty() || axis == kNoAxis) return;
        // In a copy to another shape (reshape), the last dimension of both varies fastest.
        std::size_t own = operand.size() - 1;
        if (operand.size() == lengths.size()) {
            own = static_cast<std::size_t>(axis);
        } else if (computes && operand.size() < lengths.size()) {  // broadcast from the right
            const std::size_t missing = lengths.size() - operand.size();
            if (static_cast<std::size_t>(axis) < missing) return;
            own = static_cast<std::size_t>(axis) - missing;
        }
        if (across(operand, strides, own)) access.strided_bytes += call.bytes(t);
    });
}

}  // namespace

// With channels last, the values of all channels of a pixel are contiguous.
bool has_channels_first(const Call& call, TensorIndex t) {
    const List<Expr> lengths = call.shape(t);
    const List<Expr> strides = call.strides(t);
    if (lengths.size() < 3 || lengths[1] == Expr(1) || strides[1] == Expr(1)) return false;
    for (std::size_t i = 2; i < lengths.size(); ++i) {
        if (!(lengths[i] == Expr(1))) return true;
    }
    return false;
}

MemoryAccess memory_access(const Call& call, const Work& work) {
    MemoryAccess access;
    switch (work.kind) {
        case WorkKind::pointwise:
        case WorkKind::copy:
            add_elementwise(call, work, access);
            break;
        case WorkKind::convolution:
            access.channels_first = has_channels_first(call, call.first_operand()) ||
                                    (call.output_count() > 0 && has_channels_first(call, call.output()));
            break;
        case WorkKind::normalization:
            access.needs_layout_change = call.op().name.find("group_norm") != std::string::npos &&
                                         call.rank(call.first_operand()) > kFlat &&
                                         !has_channels_first(call, call.first_operand());
            break;
        case WorkKind::pooling:
            access.channels_first = call.output_count() > 0 && has_channels_first(call, call.output());
            break;
        default:
            break;
    }
    return access;
}

bool is_copied_across(const Call& call, TensorIndex t) {
    const List<Expr> lengths = call.shape(t);
    return !lengths.empty() && across(lengths, call.strides(t), lengths.size() - 1);
}

}  // namespace infercost

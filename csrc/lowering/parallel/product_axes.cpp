#include "lowering/parallel/product_axes.hpp"

namespace infercost {

TensorIndex named(const Call& call, std::initializer_list<const char*> names) {
    for (const char* name : names) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) return t;
    }
    return call.require_tensor(*names.begin());
}

void set_result(Relations& relations, const Call& call, TensorIndex left, AxisId last) {
    AxisList axes = relations.of(left);
    axes.back() = last;
    if (relations.is_head(relations.node())) {
        relations.add_vocabulary(last);
        relations.add_head(last);
        axes.back() = relations.axes().leaf(relations.axes().length(last));
    }
    relations.set(call.output(), axes);
}

void relate_bias(Relations& relations, const Call& call, const char* name, AxisId last) {
    const TensorIndex bias = call.tensor(name);
    if (bias == kNoTensor || relations.of(bias).empty()) return;
    const AxisId axis = relations.axis(bias, -1);
    if (relations.axes().length(axis) == relations.axes().length(last)) relations.axes().equal(axis, last);
}

bool relate_experts(Relations& relations, const Call& call, TensorIndex left, TensorIndex right,
                    AxisId experts, AxisId outer) {
    AxisList axes = relations.of(left);
    const std::size_t rank = axes.size();
    if (rank != 2 && rank != 3) return false;
    const AxisId inner = axes.back();
    if (const TensorIndex bias = call.tensor("bias"); bias != kNoTensor) {
        const AxisList own = relations.of(bias);
        if (own.size() == 2) {
            relations.axes().equal(own[0], experts);
            relations.axes().equal(own[1], outer);
        }
    }
    if (rank == 3) relations.axes().equal(axes[0], experts);
    axes.back() = outer;
    relations.set(call.output(), axes);
    relations.sums(call, right, inner, outer);
    relations.add_experts({relations.node(), experts, rank == 2 ? relations.axis(left, 0) : Axes::kOne});
    return true;
}

}  // namespace infercost

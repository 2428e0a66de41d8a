#include "lowering/parallel/expert_rows.hpp"

#include "ops/collective.hpp"

namespace infercost {

void ExpertRows::dispatch(NodeIndex node) {
    const Call call = shapes_.flow().call(node);
    TensorIndex tokens = kNoTensor;
    for (const NamedArgument& argument : edits_.arguments_now(node)) {
        const TensorIndex* operand = std::get_if<TensorIndex>(&argument.value);
        if (operand && tokens == kNoTensor) tokens = *operand;
    }
    if (shapes_.layout().with_same_tokens() > 1) {
        std::vector<Expr> shape = shapes_.local_shape(call.first_operand());
        shape.front() = Expr::ceil_div(shape.front(), shapes_.layout().with_same_tokens());
        const TensorIndex own = edits_.made_like(call.first_operand(), shape);
        edits_.rewriter.insert_before(node, kSlice, first_of(tokens, 0, shape.front()), {&own, 1});
        tokens = own;
    }
    std::vector<NamedArgument> arguments = edits_.group(tokens, shapes_.layout().expert);
    add_experts(arguments, call.output());
    edits_.rewriter.replace(node, kDispatch, arguments);
}
void ExpertRows::count(const Experts& experts) {
    const Call call = shapes_.flow().call(experts.node);
    const auto loads = shapes_.loads().find(shapes_.axes().root(experts.rows));
    if (shapes_.layout().loads_differ() && loads != shapes_.loads().end()) {
        const TensorIndex rows =
            call.tensor("mat2") != kNoTensor ? call.require_tensor("self") : call.require_tensor("input");
        Expr all = shapes_.graph().expr(shapes_.graph().dims(shapes_.flow().tensor(rows).shape)[0]);
        if (shapes_.tokens().tensors.contains(rows)) all = all.substitute(shapes_.tokens().replaced);
        edits_.rewriter.set_argument(experts.node, {"groups_used", loads->second.experts(all)});
    } else if (call.has("groups_used") && shapes_.layout().expert > 1) {
        const Expr used = Expr::ceil_div(call.integer("groups_used", 1), shapes_.layout().expert);
        edits_.rewriter.set_argument(experts.node, {"groups_used", used});
    }
}

void ExpertRows::combine(const Joined& joined, const std::vector<Expr>& shape, TensorIndex sum) {
    const TensorIndex t = joined.tensor;
    std::vector<NamedArgument> arguments = edits_.group(joined.rows, shapes_.layout().expert);
    add_experts(arguments, joined.rows);
    const std::int64_t ranks = shapes_.layout().with_same_tokens();
    if (ranks == 1) {
        edits_.rewriter.insert_after(joined.after, kCombine, arguments, {&sum, 1});
        return;
    }
    Expr tokens = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) tokens = tokens * shape[i];
    const TensorIndex part = edits_.made_like(t, {Expr::ceil_div(tokens, ranks), shape.back()});
    edits_.rewriter.insert_after(joined.after, kCombine, arguments, {&part, 1});
    edits_.rewriter.insert_after(joined.after, kAllGather, edits_.group(part, ranks), {&sum, 1});
}

void ExpertRows::drop_unread() {
    for (const Node& node : shapes_.graph().nodes()) {
        for (const std::int64_t output : shapes_.graph().node_outputs(node)) {
            const auto t = static_cast<TensorIndex>(output);
            if (shapes_.flow().tensor(t).role == Role::activation) edits_.rewriter.drop_if_unread(t);
        }
    }
}

void ExpertRows::add_experts(std::vector<NamedArgument>& arguments, TensorIndex rows) const {
    const AxisId axis = shapes_.axes().root(shapes_.relations().known(rows).front());
    for (const Experts& each : shapes_.relations().experts()) {
        if (shapes_.axes().root(each.rows) != axis) continue;
        arguments.push_back({"experts", Expr(shapes_.axes().length(each.experts))});
        const ExpertLoads& loads = shapes_.loads().at(axis);
        if (loads.top_k() > 1) arguments.push_back({"top_k", Expr(loads.top_k())});
        if (loads.share() != kBalanced) arguments.push_back({"share", Expr(loads.share())});
        break;
    }
}

}  // namespace infercost

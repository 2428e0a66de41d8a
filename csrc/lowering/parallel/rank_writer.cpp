#include "lowering/parallel/rank_writer.hpp"

#include <numeric>
#include <set>

#include "core/errors.hpp"
#include "lowering/parallel/head_exchange.hpp"
#include "lowering/parallel/key_gathering.hpp"
#include "lowering/parallel/local_arguments.hpp"
#include "lowering/parallel/rank_sums.hpp"
#include "ops/collective.hpp"

namespace infercost {
namespace {

class RankWriter {
  public:
    RankWriter(const Graph& graph, Relations& relations, const Layout& layout, const TokenShares& tokens)
        : shapes_(graph, relations, layout, tokens), rewriter_(graph) {}

    RankGraph run(const std::vector<Joined>& joins) {
        const Relations& relations = shapes_.relations();
        const Layout& layout = shapes_.layout();
        const TokenShares& tokens = shapes_.tokens();
        find_whole_norms();
        for (std::size_t t = 0; t < shapes_.graph().tensors().size(); ++t)
            narrow(static_cast<TensorIndex>(t));
        write_arguments(shapes_, rewriter_);
        for (const NodeIndex node : tokens.nodes) replace_sizes(node);
        for (const Experts& each : relations.experts()) experts_.count(each);
        for (const Joined& joined : joins) sums_.join(joined);
        for (const Gathered& gathered : tokens.gathered) sums_.gather(gathered);
        for (const TensorIndex t : tokens.returned) sums_.return_all(t, kAllGather);
        for (const TensorIndex t : tokens.summed) sums_.return_all(t, kAllReduce);
        if (layout.context > 1) gather_tokens();
        for (const LogitsGradient& each : relations.logits_gradients()) divide_gradient(each);
        for (NodeIndex i = 0; i < shapes_.flow().count(); ++i) {
            if (relations.is_head(i)) gather_logits(i);
            if (whole_norms_.contains(i)) gather_norm(i);
            if (sends_tokens(layout) && makes_expert_rows(shapes_.relations(), i)) experts_.dispatch(i);
        }
        if (sends_tokens(layout)) experts_.drop_unread();
        RankGraph made;
        made.shares = shapes_.shares();
        made.graph = rewriter_.build().graph;
        return made;
    }

  private:
    void narrow(TensorIndex t) {
        if (!shapes_.is_split(t) && !shapes_.tokens().tensors.contains(t)) return;
        const std::vector<Expr> shape = shapes_.local_shape(t);
        const Tensor& tensor = shapes_.flow().tensor(t);
        const std::int64_t all = shapes_.number(shapes_.flow().numel(t));
        std::int64_t own = 1;
        for (const Expr& length : shape) own *= shapes_.number(length);
        rewriter_.set_shape(t, shape, shapes_.local_strides(t));
        const std::int64_t common = std::gcd(own, all);
        const auto part = [&](std::int64_t elements) {
            return checked_mul(elements, own / common) / (all / common);
        };
        if (tensor.logical_numel >= 0) rewriter_.set_logical_numel(t, part(tensor.logical_numel));
        if (tensor.storage_elements >= 0) rewriter_.set_storage_elements(t, part(tensor.storage_elements));
    }

    // Columns of logits are gathered.
    void gather_logits(NodeIndex node) {
        const Call call = shapes_.flow().call(node);
        const AxisId columns = head_axis(call);
        if (columns == Axes::kOne || !shapes_.axes().is_split(columns)) return;
        const TensorIndex result = call.output();
        std::vector<Expr> shape = shapes_.local_shape(result);
        shape.back() = Expr::ceil_div(shape.back(), shapes_.axes().info(columns).splits);
        const TensorIndex part = edits_.made_like(result, shape);
        // The product of this rank, with its own result.
        rewriter_.insert_before(node, call.op().full, edits_.arguments_now(node), {&part, 1});
        rewriter_.replace(node, kAllGather, edits_.group(part, shapes_.axes().info(columns).splits));
    }
    // A rank has the gradient of all logits, and reads the columns that its part of the weight has.
    void divide_gradient(const LogitsGradient& gradient) {
        const Call call = shapes_.flow().call(gradient.node);
        const TensorIndex result = call.output();
        const auto last = shapes_.flow().tensor(result).shape.count - 1;
        if (!shapes_.is_split(result, last)) return;
        std::vector<Expr> shape = shapes_.local_shape(result);
        shape.back() = shapes_.flow().shape(result).back();
        const TensorIndex whole = edits_.made_like(result, shape);
        rewriter_.insert_before(gradient.node, call.op().full, edits_.arguments_now(gradient.node),
                                {&whole, 1});
        rewriter_.replace(gradient.node, kSlice, first_of(whole, -1, shapes_.local(result, last)));
    }
    AxisId head_axis(const Call& call) const {
        for (const Summed& each : shapes_.relations().products()) {
            if (each.node == shapes_.relations().node_of(call)) return shapes_.axes().root(each.outer);
        }
        return Axes::kOne;
    }

    // A norm of all heads together needs all of them.
    void find_whole_norms() {
        for (NodeIndex i = 0; i < shapes_.flow().count(); ++i) {
            const Call call = shapes_.flow().call(i);
            if (shapes_.flow().kind(i) != WorkKind::normalization || !call.has("normalized_shape")) continue;
            const AxisList& known = shapes_.relations().known(call.first_operand());
            if (known.empty() || !shapes_.axes().is_split(known.back())) continue;
            if (call.output_count() != 1) {
                throw InputError("a norm of all heads of '" + shapes_.flow().module(i) +
                                 "' has several results, and cannot be divided; expected tensor=1");
            }
            whole_norms_.insert(i);
            for (const char* name : {"weight", "bias"}) {
                if (const TensorIndex t = call.tensor(name); t != kNoTensor) shapes_.keep_whole(t);
            }
        }
    }
    void gather_norm(NodeIndex node) {
        const Call call = shapes_.flow().call(node);
        const TensorIndex result = call.output();
        std::vector<Expr> shape = shapes_.local_shape(result);
        shape.back() = shapes_.flow().shape(result).back();
        const TensorIndex whole = edits_.made_like(call.first_operand(), shape);
        const TensorIndex normed = edits_.made_like(result, shape);
        std::vector<NamedArgument> arguments = edits_.arguments_now(node);
        for (NamedArgument& argument : arguments) {
            const TensorIndex* operand = std::get_if<TensorIndex>(&argument.value);
            if (!operand) continue;
            rewriter_.insert_before(node, kAllGather, edits_.group(*operand, shapes_.layout().of_attention()),
                                    {&whole, 1});
            argument.value = whole;
            break;
        }
        rewriter_.insert_before(node, call.op().full, arguments, {&normed, 1});
        rewriter_.replace(node, kSlice, first_of(normed, -1, shapes_.local_shape(result).back()));
    }

    // Named sizes in the arguments of nodes with a share of the tokens.
    void replace_sizes(NodeIndex node) {
        for (NamedArgument& argument : edits_.arguments_now(node)) {
            if (Expr* value = std::get_if<Expr>(&argument.value); value && !value->is_constant()) {
                *value = value->substitute(shapes_.tokens().replaced);
                rewriter_.set_argument(node, argument);
            } else if (auto* list = std::get_if<std::vector<Expr>>(&argument.value)) {
                for (Expr& each : *list) each = each.substitute(shapes_.tokens().replaced);
                rewriter_.set_argument(node, argument);
            }
        }
    }

    // Keys and values are gathered before each attention, or exchanged for heads; then results are.
    void gather_tokens() {
        const std::int64_t nodes =
            shapes_.layout().nodes_of(shapes_.layout().tensor * shapes_.layout().context);
        const auto local = [&](TensorIndex t) { return shapes_.local_shape(t); };
        const auto all = [&](TensorIndex t) { return shapes_.shape_of_all_tokens(t); };
        for (const Attended& each : shapes_.relations().attended()) {
            const Call call = shapes_.flow().call(each.node);
            if (shapes_.layout().ulysses && shapes_.has_tokens(call.require_tensor("key"))) {
                exchange_heads(rewriter_, shapes_.flow(),
                               {each.node, shapes_.layout().context, nodes, local, all});
                continue;
            }
            std::vector<GatheredPart> parts;
            for (const char* name : {"key", "value"}) {
                const TensorIndex t = call.require_tensor(name);
                if (!shapes_.has_tokens(t) || (!parts.empty() && parts.front().tensor == t)) continue;
                parts.push_back({t, shapes_.flow().tensor(t).dtype, local(t), all(t)});
            }
            if (parts.empty()) continue;
            const std::vector<TensorIndex> whole =
                gather_parts(rewriter_, each.node, parts, shapes_.layout().context, nodes);
            GraphRewriter::Replaced replaced;
            for (std::size_t i = 0; i < parts.size(); ++i) replaced.emplace_back(parts[i].tensor, whole[i]);
            rewriter_.replace_operands(each.node, replaced);
            rewriter_.set_argument(each.node, {"context_parts", Expr(shapes_.layout().context)});
        }
        for (const TensorIndex t : shapes_.graph().outputs()) {
            if (!shapes_.has_tokens(t) || shapes_.flow().maker(t) == kNoNode) continue;
            const TensorIndex whole = edits_.made_like(t, all(t));
            rewriter_.insert_after(shapes_.flow().maker(t), kAllGather,
                                   edits_.group(t, shapes_.layout().context, nodes), {&whole, 1});
            rewriter_.return_instead(t, whole);
        }
    }

    LocalShapes shapes_;
    GraphRewriter rewriter_;
    RankEdits edits_{shapes_, rewriter_};
    ExpertRows experts_{edits_};
    RankSums sums_{edits_, experts_};
    std::set<NodeIndex> whole_norms_;
};

}  // namespace

RankGraph write_rank(const std::shared_ptr<const Graph>& graph, Relations& relations, const Layout& layout,
                     const PartialSums& sums, const TokenShares& tokens) {
    return RankWriter(*graph, relations, layout, tokens).run(sums.joins);
}

}  // namespace infercost

#include "lowering/parallel/rank_writer.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "core/errors.hpp"
#include "core/graph_rewriter.hpp"
#include "lowering/parallel/head_exchange.hpp"
#include "lowering/parallel/key_gathering.hpp"
#include "lowering/parallel/node_arguments.hpp"
#include "ops/collective.hpp"

namespace infercost {
namespace {

constexpr std::string_view kSlice = "aten.slice.Tensor";
constexpr const char* kLengths[] = {"size", "shape", "sizes", "input_sizes"};

class RankWriter {
  public:
    RankWriter(const std::shared_ptr<const Graph>& graph, Relations& relations, const Layout& layout,
               const TokenShares& tokens)
        : graph_(*graph),
          relations_(relations),
          layout_(layout),
          tokens_(tokens),
          loads_(loads_by_rows(relations, layout)),
          rewriter_(*graph) {}

    RankGraph run(const std::vector<Joined>& joins) {
        find_whole_norms();
        for (std::size_t t = 0; t < graph_.tensors().size(); ++t) narrow(static_cast<TensorIndex>(t));
        for (NodeIndex i = 0; i < flow().count(); ++i) fix_arguments(i);
        for (const NodeIndex node : tokens_.nodes) replace_sizes(node);
        for (const Experts& each : relations_.experts()) count_experts(each);
        for (const Joined& joined : joins) join(joined);
        for (const Gathered& gathered : tokens_.gathered) gather(gathered);
        for (const TensorIndex t : tokens_.returned) return_all(t, kAllGather);
        for (const TensorIndex t : tokens_.summed) return_all(t, kAllReduce);
        if (layout_.context > 1) gather_tokens();
        for (const LogitsGradient& each : relations_.logits_gradients()) divide_gradient(each);
        for (NodeIndex i = 0; i < flow().count(); ++i) {
            if (relations_.is_head(i)) gather_logits(i);
            if (whole_norms_.contains(i)) gather_norm(i);
            if (sends_tokens(layout_) && makes_expert_rows(relations_, i)) dispatch(i);
        }
        if (sends_tokens(layout_)) drop_unread();
        RankGraph made;
        made.shares = shares();
        made.graph = rewriter_.build().graph;
        return made;
    }

  private:
    const Flow& flow() const { return relations_.flow(); }
    const Axes& axes() const { return relations_.axes(); }

    bool is_split(TensorIndex t, std::integral auto dim) const {
        const AxisList& known = relations_.known(t);
        if (std::cmp_greater_equal(dim, known.size()) || !axes().is_split(known[dim]) || whole_.contains(t))
            return false;
        return !is_weight(t) || axes().local_of_all_tokens(known[dim]) != axes().length(known[dim]);
    }
    // Weights of positions have those of all tokens.
    bool is_weight(TensorIndex t) const {
        const Role role = flow().tensor(t).role;
        return role == Role::parameter || role == Role::buffer;
    }
    bool is_split(TensorIndex t) const {
        for (std::size_t i = 0; i < relations_.known(t).size(); ++i) {
            if (is_split(t, i)) return true;
        }
        return false;
    }

    // ---- lengths ----

    Expr local(TensorIndex t, std::integral auto dim) const {
        return local(t, dim, tokens_.tensors.contains(t));
    }
    Expr local(TensorIndex t, std::integral auto dim, bool shared) const {
        Expr whole = graph_.expr(graph_.dim(flow().tensor(t).shape, dim));
        if (shared) whole = whole.substitute(tokens_.replaced);
        if (!is_split(t, dim)) return whole;
        const AxisId axis = relations_.known(t)[dim];
        if (axes().is_leaf(axis) && axes().info(axis).busiest > 0)
            return loads_.at(axes().root(axis)).rows(whole);
        if (axes().is_leaf(axis) && axes().info(axis).unit == 1 && !is_weight(t))
            return Expr::ceil_div(whole, axes().info(axis).splits);
        const Axes::Length own = is_weight(t) ? axes().local_of_all_tokens(axis) : axes().local(axis);
        return scaled(whole, own, axes().length(axis));
    }
    // With the tokens of all ranks of `context`.
    std::vector<Expr> shape_of_all_tokens(TensorIndex t) const {
        std::vector<Expr> shape = local_shape(t);
        for (std::size_t i = 0; i < shape.size(); ++i) {
            if (!has_tokens(t, i)) continue;
            const AxisId axis = relations_.known(t)[i];
            shape[i] = scaled(flow().shape(t)[i], axes().local_of_all_tokens(axis), axes().length(axis));
        }
        return shape;
    }
    bool has_tokens(TensorIndex t, std::size_t dim) const {
        if (!is_split(t, dim)) return false;
        const AxisId axis = relations_.known(t)[dim];
        return axes().local_of_all_tokens(axis) != axes().local(axis);
    }
    bool has_tokens(TensorIndex t) const {
        for (std::size_t i = 0; i < relations_.known(t).size(); ++i) {
            if (has_tokens(t, i)) return true;
        }
        return false;
    }
    std::vector<Expr> local_shape(TensorIndex t) const { return local_shape(t, tokens_.tensors.contains(t)); }
    // With the tokens that a rank has where they are shared, or with the others.
    std::vector<Expr> local_shape(TensorIndex t, bool shared) const {
        std::vector<Expr> shape;
        for (std::size_t i = 0; i < flow().tensor(t).shape.count; ++i) shape.push_back(local(t, i, shared));
        return shape;
    }
    static Expr scaled(const Expr& whole, std::int64_t now, std::int64_t before) {
        const std::int64_t common = std::gcd(now, before);
        const Expr many = whole * (now / common);
        // Blocks of a packed weight, of which the last may be shorter.
        if (whole.is_constant()) return Expr::ceil_div(many, before / common);
        return many / (before / common);
    }
    std::int64_t number(const Expr& value) const { return relations_.number(value); }

    // A stride grows with the lengths of the dimensions inside it.
    std::vector<Expr> local_strides(TensorIndex t) const {
        const std::span<const Dim> shape = graph_.dims(flow().tensor(t).shape);
        const std::span<const Dim> strides = graph_.dims(flow().tensor(t).strides);
        std::vector<Expr> found;
        for (std::size_t i = 0; i < strides.size(); ++i) {
            const Expr stride = graph_.expr(strides[i]);
            std::int64_t now = 1;
            std::int64_t before = 1;
            for (std::size_t j = 0; j < strides.size(); ++j) {
                if (j == i || !is_split(t, j) || number(graph_.expr(strides[j])) >= number(stride)) continue;
                const std::int64_t all = number(graph_.expr(shape[j]));
                const std::int64_t own = number(local(t, j, false));
                const std::int64_t common = std::gcd(own, all);
                now *= own / common;
                before *= all / common;
            }
            const Expr own = tokens_.tensors.contains(t) ? stride.substitute(tokens_.replaced) : stride;
            found.push_back(scaled(own, now, before));
        }
        return found;
    }

    void narrow(TensorIndex t) {
        if (!is_split(t) && !tokens_.tensors.contains(t)) return;
        const std::vector<Expr> shape = local_shape(t);
        const Tensor& tensor = flow().tensor(t);
        const std::int64_t all = number(flow().numel(t));
        std::int64_t own = 1;
        for (const Expr& length : shape) own *= number(length);
        rewriter_.set_shape(t, shape, local_strides(t));
        const std::int64_t common = std::gcd(own, all);
        const auto part = [&](std::int64_t elements) {
            return checked_mul(elements, own / common) / (all / common);
        };
        if (tensor.logical_numel >= 0) rewriter_.set_logical_numel(t, part(tensor.logical_numel));
        if (tensor.storage_elements >= 0) rewriter_.set_storage_elements(t, part(tensor.storage_elements));
    }

    std::vector<Share> shares() const {
        std::vector<Share> found;
        for (std::size_t i = 0; i < graph_.tensors().size(); ++i) {
            const auto t = static_cast<TensorIndex>(i);
            const Tensor& tensor = flow().tensor(t);
            if (tensor.role != Role::parameter && tensor.role != Role::buffer) continue;
            std::int64_t own = 1;
            for (const Expr& length : local_shape(t)) own *= number(length);
            const std::int64_t all = number(flow().numel(t));
            found.push_back({graph_.name(tensor.name), own, all, own == all ? why_whole(t) : ""});
        }
        return found;
    }
    std::string why_whole(TensorIndex t) const {
        if (layout_.tensor == 1 || flow().tensor(t).role != Role::parameter) return "";
        if (whole_.contains(t)) return "a norm needs them all";
        for (const AxisId axis : relations_.known(t)) {
            if (std::string why = axes().why(axis); !why.empty()) return why;
        }
        return "no product sums over them";
    }

    // ---- arguments ----

    void fix_arguments(NodeIndex node) {
        const Call call = flow().call(node);
        if (call.output_count() == 0) return;
        const TensorIndex result = call.output();
        const std::string_view op = call.op().name;
        const Relation relation = traits_of(call).relation;
        if (relation == Relation::split) return fix_parts(node, call);
        if (relation == Relation::cut) return fix_bounds(node, call, call.first_operand());
        if (relation == Relation::placed) fix_bounds(node, call, result);
        if (relation == Relation::embedding_backward && is_split(result, 0)) {
            rewriter_.set_argument(node, {"num_weights", local(result, 0)});
        }
        if (op == "aten.unflatten") return fix_unflatten(node, call);
        for (const char* name : kLengths) {
            const List<Expr> given = call.integers(name);
            if (given.empty() || given.size() != flow().tensor(result).shape.count || !is_split(result))
                continue;
            std::vector<Expr> now;
            for (std::size_t i = 0; i < given.size(); ++i) {
                now.push_back(given[i] == Expr(-1) || !is_split(result, i) ? given[i] : local(result, i));
            }
            rewriter_.set_argument(node, {name, now});
        }
        if (call.has("repeats") && call.tensor("repeats") == kNoTensor) fix_repeats(node, call);
        if (call.has("groups") && is_split(call.first_operand())) {
            const TensorIndex input = call.first_operand();
            const std::size_t channels = flow().tensor(input).shape.count -
                                         flow().tensor(call.require_tensor("weight")).shape.count + 1;
            if (is_split(input, channels)) rewriter_.set_argument(node, {"groups", local(input, channels)});
        }
        if (op == "aten.arange" && call.has("end") && is_split(result, 0)) {
            rewriter_.set_argument(node, {"end", local(result, 0)});
        }
    }

    void fix_parts(NodeIndex node, const Call& call) {
        const int dim = dim_of(call, "dim", call.rank(call.first_operand()), 0);
        if (dim < 0 || !is_split(call.first_operand(), dim)) return;
        std::vector<Expr> lengths;
        for (std::size_t i = 0; i < call.output_count(); ++i) lengths.push_back(local(call.output(i), dim));
        if (call.has("split_sizes")) rewriter_.set_argument(node, {"split_sizes", lengths});
        if (call.has("split_size")) {
            const List<Expr> given = call.integers("split_size");
            if (given.size() > 1) {
                rewriter_.set_argument(node, {"split_size", lengths});
            } else {
                rewriter_.set_argument(node, {"split_size", lengths.front()});
            }
        }
    }

    // A part of `source` begins after the sections before it.
    void fix_bounds(NodeIndex node, const Call& call, TensorIndex source) {
        const int dim = dim_of(call, "dim", call.rank(source), 0);
        if (dim < 0 || !is_split(source, dim) || !(call.integer("step", 1) == Expr(1))) return;
        const AxisId axis = relations_.known(source)[dim];
        std::int64_t start = number(call.integer("start", 0));
        if (start < 0) start += axes().length(axis);
        std::int64_t from = 0;
        std::int64_t seen = 0;
        for (const AxisId section : axes().sections(axis)) {
            if (seen >= start) break;
            seen += axes().length(section);
            from += axes().local(section);
        }
        const TensorIndex part = source == call.output() ? call.first_operand() : call.output();
        const Expr length = local(part, dim);
        rewriter_.set_argument(node, {"start", Expr(from)});
        if (call.has("length")) rewriter_.set_argument(node, {"length", length});
        if (call.has("end")) rewriter_.set_argument(node, {"end", Expr(from) + length});
    }

    void fix_unflatten(NodeIndex node, const Call& call) {
        const int dim = dim_of(call, "dim", call.rank(call.first_operand()), 0);
        const List<Expr> given = call.integers("sizes");
        if (dim < 0 || given.empty()) return;
        std::vector<Expr> now;
        for (std::size_t i = 0; i < given.size(); ++i) {
            const std::size_t place = static_cast<std::size_t>(dim) + i;
            now.push_back(given[i] == Expr(-1) || !is_split(call.output(), place)
                              ? given[i]
                              : local(call.output(), place));
        }
        rewriter_.set_argument(node, {"sizes", now});
    }

    void fix_repeats(NodeIndex node, const Call& call) {
        const TensorIndex source = call.first_operand();
        const TensorIndex result = call.output();
        if (!is_split(result)) return;
        const List<Expr> given = call.integers("repeats");
        const std::size_t after = flow().tensor(result).shape.count;
        const std::size_t before = flow().tensor(source).shape.count;
        if (call.has("dim")) {
            const int dim = dim_of(call, "dim", call.rank(source), 0);
            if (dim < 0) return;
            rewriter_.set_argument(node, {"repeats", local(result, dim) / local(source, dim)});
            return;
        }
        if (given.size() != after || after < before) return;
        std::vector<Expr> now;
        for (std::size_t i = 0; i < after; ++i) {
            const Expr own = i < after - before ? Expr(1) : local(source, i - (after - before));
            now.push_back(is_split(result, i) ? local(result, i) / own : given[i]);
        }
        rewriter_.set_argument(node, {"repeats", now});
    }

    // ---- collectives ----

    std::vector<NamedArgument> group(TensorIndex input, std::int64_t devices) const {
        return group(input, devices, layout_.nodes_of(devices));
    }
    static std::vector<NamedArgument> group(TensorIndex input, std::int64_t devices, std::int64_t nodes) {
        return {
            {"input",   input        },
            {"devices", Expr(devices)},
            {"nodes",   Expr(nodes)  },
        };
    }

    std::vector<NamedArgument> arguments_now(NodeIndex node) const {
        return arguments_of(rewriter_.graph(), rewriter_.graph().nodes()[node]);
    }

    TensorIndex made_like(TensorIndex t, const std::vector<Expr>& shape) {
        return rewriter_.add_tensor(flow().tensor(t).dtype, shape, std::nullopt, Role::activation, "");
    }

    // Columns of logits are gathered.
    void gather_logits(NodeIndex node) {
        const Call call = flow().call(node);
        const AxisId columns = head_axis(call);
        if (columns == Axes::kOne || !axes().is_split(columns)) return;
        const TensorIndex result = call.output();
        std::vector<Expr> shape = local_shape(result);
        shape.back() = Expr::ceil_div(shape.back(), axes().info(columns).splits);
        const TensorIndex part = made_like(result, shape);
        // The product of this rank, with its own result.
        rewriter_.insert_before(node, call.op().full, arguments_now(node), {&part, 1});
        rewriter_.replace(node, kAllGather, group(part, axes().info(columns).splits));
    }
    // A rank has the gradient of all logits, and reads the columns that its part of the weight has.
    void divide_gradient(const LogitsGradient& gradient) {
        const Call call = flow().call(gradient.node);
        const TensorIndex result = call.output();
        const auto last = flow().tensor(result).shape.count - 1;
        if (!is_split(result, last)) return;
        std::vector<Expr> shape = local_shape(result);
        shape.back() = flow().shape(result).back();
        const TensorIndex whole = made_like(result, shape);
        rewriter_.insert_before(gradient.node, call.op().full, arguments_now(gradient.node), {&whole, 1});
        rewriter_.replace(gradient.node, kSlice, first_of(whole, -1, local(result, last)));
    }
    AxisId head_axis(const Call& call) const {
        for (const Summed& each : relations_.products()) {
            if (each.node == relations_.node_of(call)) return axes().root(each.outer);
        }
        return Axes::kOne;
    }

    // A norm of all heads together needs all of them.
    void find_whole_norms() {
        for (NodeIndex i = 0; i < flow().count(); ++i) {
            const Call call = flow().call(i);
            if (flow().kind(i) != WorkKind::normalization || !call.has("normalized_shape")) continue;
            const AxisList& known = relations_.known(call.first_operand());
            if (known.empty() || !axes().is_split(known.back())) continue;
            if (call.output_count() != 1) {
                throw InputError("a norm of all heads of '" + flow().module(i) +
                                 "' has several results, and cannot be divided; expected tensor=1");
            }
            whole_norms_.insert(i);
            for (const char* name : {"weight", "bias"}) {
                if (const TensorIndex t = call.tensor(name); t != kNoTensor) whole_.insert(t);
            }
        }
    }
    void gather_norm(NodeIndex node) {
        const Call call = flow().call(node);
        const TensorIndex result = call.output();
        std::vector<Expr> shape = local_shape(result);
        shape.back() = flow().shape(result).back();
        const TensorIndex whole = made_like(call.first_operand(), shape);
        const TensorIndex normed = made_like(result, shape);
        std::vector<NamedArgument> arguments = arguments_now(node);
        for (NamedArgument& argument : arguments) {
            const TensorIndex* operand = std::get_if<TensorIndex>(&argument.value);
            if (!operand) continue;
            rewriter_.insert_before(node, kAllGather, group(*operand, layout_.of_attention()), {&whole, 1});
            argument.value = whole;
            break;
        }
        rewriter_.insert_before(node, call.op().full, arguments, {&normed, 1});
        rewriter_.replace(node, kSlice, first_of(normed, -1, local_shape(result).back()));
    }

    // Tokens are sent to the ranks of their experts, each rank of a copy with its share of them.
    void dispatch(NodeIndex node) {
        const Call call = flow().call(node);
        TensorIndex tokens = kNoTensor;
        for (const NamedArgument& argument : arguments_now(node)) {
            const TensorIndex* operand = std::get_if<TensorIndex>(&argument.value);
            if (operand && tokens == kNoTensor) tokens = *operand;
        }
        if (layout_.with_same_tokens() > 1) {
            std::vector<Expr> shape = local_shape(call.first_operand());
            shape.front() = Expr::ceil_div(shape.front(), layout_.with_same_tokens());
            const TensorIndex own = made_like(call.first_operand(), shape);
            rewriter_.insert_before(node, kSlice, first_of(tokens, 0, shape.front()), {&own, 1});
            tokens = own;
        }
        std::vector<NamedArgument> arguments = group(tokens, layout_.expert);
        add_experts(arguments, call.output());
        rewriter_.replace(node, kDispatch, arguments);
    }
    void add_experts(std::vector<NamedArgument>& arguments, TensorIndex rows) const {
        const AxisId axis = axes().root(relations_.known(rows).front());
        for (const Experts& each : relations_.experts()) {
            if (axes().root(each.rows) != axis) continue;
            arguments.push_back({"experts", Expr(axes().length(each.experts))});
            const ExpertLoads& loads = loads_.at(axis);
            if (loads.top_k() > 1) arguments.push_back({"top_k", Expr(loads.top_k())});
            if (loads.share() != kBalanced) arguments.push_back({"share", Expr(loads.share())});
            break;
        }
    }
    // Products of the experts that have rows.
    void count_experts(const Experts& experts) {
        const Call call = flow().call(experts.node);
        const auto loads = loads_.find(axes().root(experts.rows));
        if (layout_.loads_differ() && loads != loads_.end()) {
            const TensorIndex rows =
                call.tensor("mat2") != kNoTensor ? call.require_tensor("self") : call.require_tensor("input");
            Expr all = graph_.expr(graph_.dims(flow().tensor(rows).shape)[0]);
            if (tokens_.tensors.contains(rows)) all = all.substitute(tokens_.replaced);
            rewriter_.set_argument(experts.node, {"groups_used", loads->second.experts(all)});
        } else if (call.has("groups_used") && layout_.expert > 1) {
            const Expr used = Expr::ceil_div(call.integer("groups_used", 1), layout_.expert);
            rewriter_.set_argument(experts.node, {"groups_used", used});
        }
    }

    // Named sizes in the arguments of nodes with a share of the tokens.
    void replace_sizes(NodeIndex node) {
        for (NamedArgument& argument : arguments_now(node)) {
            if (Expr* value = std::get_if<Expr>(&argument.value); value && !value->is_constant()) {
                *value = value->substitute(tokens_.replaced);
                rewriter_.set_argument(node, argument);
            } else if (auto* list = std::get_if<std::vector<Expr>>(&argument.value)) {
                for (Expr& each : *list) each = each.substitute(tokens_.replaced);
                rewriter_.set_argument(node, argument);
            }
        }
    }
    void gather(const Gathered& gathered) {
        const TensorIndex t = gathered.tensor;
        const TensorIndex now = summed_.contains(t) ? summed_.at(t) : t;
        const TensorIndex all = made_like(t, local_shape(t, !tokens_.tensors.contains(t)));
        rewriter_.insert_after(gathered.after, kAllGather, group(now, tokens_.devices), {&all, 1});
        for (const NodeIndex node : gathered.readers)
            rewriter_.replace_operands(node, {
                                                 {now, all}
            });
    }
    void return_all(TensorIndex t, std::string_view collective) {
        const TensorIndex now = summed_.contains(t) ? summed_.at(t) : t;
        const TensorIndex all = made_like(t, local_shape(t, false));
        rewriter_.insert_after(flow().maker(t), collective, group(now, tokens_.devices), {&all, 1});
        rewriter_.return_instead(now, all);
    }

    // Keys and values are gathered before each attention, or exchanged for heads; then results are.
    void gather_tokens() {
        const std::int64_t nodes = layout_.nodes_of(layout_.tensor * layout_.context);
        const auto local = [&](TensorIndex t) { return local_shape(t); };
        const auto all = [&](TensorIndex t) { return shape_of_all_tokens(t); };
        for (const Attended& each : relations_.attended()) {
            const Call call = flow().call(each.node);
            if (layout_.ulysses && has_tokens(call.require_tensor("key"))) {
                exchange_heads(rewriter_, flow(), {each.node, layout_.context, nodes, local, all});
                continue;
            }
            std::vector<GatheredPart> parts;
            for (const char* name : {"key", "value"}) {
                const TensorIndex t = call.require_tensor(name);
                if (!has_tokens(t) || (!parts.empty() && parts.front().tensor == t)) continue;
                parts.push_back({t, flow().tensor(t).dtype, local(t), all(t)});
            }
            if (parts.empty()) continue;
            const std::vector<TensorIndex> whole =
                gather_parts(rewriter_, each.node, parts, layout_.context, nodes);
            GraphRewriter::Replaced replaced;
            for (std::size_t i = 0; i < parts.size(); ++i) replaced.emplace_back(parts[i].tensor, whole[i]);
            rewriter_.replace_operands(each.node, replaced);
            rewriter_.set_argument(each.node, {"context_parts", Expr(layout_.context)});
        }
        for (const TensorIndex t : graph_.outputs()) {
            if (!has_tokens(t) || flow().maker(t) == kNoNode) continue;
            const TensorIndex whole = made_like(t, all(t));
            rewriter_.insert_after(flow().maker(t), kAllGather, group(t, layout_.context, nodes),
                                   {&whole, 1});
            rewriter_.return_instead(t, whole);
        }
    }

    void join(const Joined& joined) {
        const TensorIndex t = joined.tensor;
        const bool scattered = tokens_.scattered.contains(t);
        const std::vector<Expr> shape = local_shape(t, tokens_.tensors.contains(t) != scattered);
        const TensorIndex sum = made_like(t, shape);
        summed_.emplace(t, sum);
        if (joined.parts == Parts::sum) {
            const std::string_view op = scattered ? kReduceScatter : kAllReduce;
            rewriter_.insert_after(joined.after, op, group(t, joined.devices), {&sum, 1});
        } else {
            combine(joined, shape, sum);
        }
        read_instead(joined, sum);
    }

    // Results of experts return to the ranks of their tokens, which add them up.
    void combine(const Joined& joined, const std::vector<Expr>& shape, TensorIndex sum) {
        const TensorIndex t = joined.tensor;
        std::vector<NamedArgument> arguments = group(joined.rows, layout_.expert);
        add_experts(arguments, joined.rows);
        const std::int64_t ranks = layout_.with_same_tokens();
        if (ranks == 1) {
            rewriter_.insert_after(joined.after, kCombine, arguments, {&sum, 1});
            return;
        }
        Expr tokens = 1;
        for (std::size_t i = 0; i + 1 < shape.size(); ++i) tokens = tokens * shape[i];
        const TensorIndex part = made_like(t, {Expr::ceil_div(tokens, ranks), shape.back()});
        rewriter_.insert_after(joined.after, kCombine, arguments, {&part, 1});
        rewriter_.insert_after(joined.after, kAllGather, group(part, ranks), {&sum, 1});
    }

    // Nodes after a join read the sum, up to one that writes the tensor again.
    void read_instead(const Joined& joined, TensorIndex sum) {
        const std::vector<NodeIndex>& readers = readers_of(joined.tensor);
        if (std::all_of(readers.begin(), readers.end(),
                        [&](NodeIndex node) { return node > joined.after; })) {
            rewriter_.redirect(joined.tensor, sum);  // and what is written in place
            return;
        }
        bool written = false;
        for (const NodeIndex node : readers) {
            if (node <= joined.after || written) continue;
            rewriter_.replace_operands(node, {
                                                 {joined.tensor, sum}
            });
            const auto results = graph_.node_outputs(graph_.nodes()[node]);
            written = std::find(results.begin(), results.end(), joined.tensor) != results.end();
        }
        if (!written) rewriter_.return_instead(joined.tensor, sum);
    }
    const std::vector<NodeIndex>& readers_of(TensorIndex t) {
        if (readers_.empty()) {
            readers_.resize(graph_.tensors().size());
            for (NodeIndex i = 0; i < flow().count(); ++i) {
                for (const Operand& operand : flow().operands(i)) {
                    std::vector<NodeIndex>& list = readers_[operand.tensor];
                    if (list.empty() || list.back() != i) list.push_back(i);
                }
            }
        }
        return readers_[t];
    }

    // What experts' results went through before a combine does it.
    void drop_unread() {
        for (const Node& node : graph_.nodes()) {
            for (const std::int64_t output : graph_.node_outputs(node)) {
                const auto t = static_cast<TensorIndex>(output);
                if (flow().tensor(t).role == Role::activation) rewriter_.drop_if_unread(t);
            }
        }
    }

    const Graph& graph_;
    Relations& relations_;
    const Layout& layout_;
    const TokenShares& tokens_;
    std::map<AxisId, ExpertLoads> loads_;
    GraphRewriter rewriter_;
    std::map<TensorIndex, TensorIndex> summed_;  // partial sum -> what it is added up to
    std::set<NodeIndex> whole_norms_;
    std::set<TensorIndex> whole_;  // weights that stay whole
    IndexedVector<TensorIndex, std::vector<NodeIndex>> readers_;
};

}  // namespace

RankGraph write_rank(const std::shared_ptr<const Graph>& graph, Relations& relations, const Layout& layout,
                     const PartialSums& sums, const TokenShares& tokens) {
    return RankWriter(graph, relations, layout, tokens).run(sums.joins);
}

}  // namespace infercost

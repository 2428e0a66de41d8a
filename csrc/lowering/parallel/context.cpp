#include "lowering/parallel/context.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/errors.hpp"
#include "lowering/flow.hpp"
#include "lowering/parallel/head_exchange.hpp"
#include "lowering/parallel/key_gathering.hpp"
#include "lowering/parallel/node_arguments.hpp"
#include "ops/collective.hpp"

namespace infercost {
namespace {

// Sizes that count tokens, in the order in which they are looked for.
constexpr std::string_view kRows[] = {"height", "frames"};

std::vector<std::int64_t> numbers(const List<Expr>& given) {
    std::vector<std::int64_t> found;
    for (std::size_t i = 0; i < given.size(); ++i) {
        if (!given[i].is_constant()) return {};
        found.push_back(given[i].constant());
    }
    return found;
}

// A convolution whose windows do not overlap.
bool is_patches(const Call& call) {
    const std::vector<std::int64_t> stride = numbers(call.integers("stride"));
    const TensorIndex weight = call.tensor("weight");
    if (weight == kNoTensor || stride.empty()) return false;
    for (int dim = 2; dim < call.rank(weight); ++dim) {
        const Expr width = call.dim(weight, dim);
        const std::int64_t step =
            stride[std::min<std::size_t>(static_cast<std::size_t>(dim) - 2, stride.size() - 1)];
        if (!(width == Expr(step))) return false;
    }
    return true;
}

bool is_live(const Flow& flow, NodeIndex node, TensorIndex t) {
    for (const Operand& operand : flow.operands(node)) {
        if (operand.tensor == t) return operand.producer != kNoNode && flow.is_live(operand.producer);
    }
    return false;
}

bool passes(const Flow& flow, NodeIndex node) {
    const std::size_t live = static_cast<std::size_t>(std::count_if(
        flow.operands(node).begin(), flow.operands(node).end(),
        [&](const Operand& each) { return each.producer == kNoNode || flow.is_live(each.producer); }));
    return live == 1 && flow.operands(node).size() == 1 &&
           (flow.is_free(node) || flow.kind(node) == WorkKind::copy);
}

NodeIndex producer_of(const Flow& flow, NodeIndex node, TensorIndex t) {
    for (const Operand& operand : flow.operands(node)) {
        if (operand.tensor == t) return operand.producer;
    }
    return kNoNode;
}

constexpr std::int64_t kAnySize = 64;

std::int64_t elements(const Flow& flow, TensorIndex t) {
    Sizes ones;
    for (const std::string& name : flow.graph().size_names()) ones.emplace(name, kAnySize);
    return flow.numel(t).evaluate(ones);
}

// The tokens of a graph that ranks divide: the size that counts them, and what has it.
class DividedTokens {
  public:
    DividedTokens(const Flow& flow, std::int64_t devices)
        : flow_(flow), graph_(flow.graph()), devices_(devices) {
        const std::string size = find_size();
        replaced_.emplace(size, Expr::ceil_div(Expr::size(size), devices));
    }

    bool decodes() const { return decodes_; }
    const std::string& size() const { return replaced_.begin()->first; }

    [[noreturn]] void refuse(const std::string& why) const {
        throw InputError("context=" + std::to_string(devices_) + " cannot divide this model: " + why +
                         "; expected context=1, and tensor=, pipeline= or data=");
    }

    Expr local(const Expr& length) const { return length.substitute(replaced_); }
    std::vector<Expr> lengths(Range range) const {
        std::vector<Expr> found;
        for (const Dim dim : graph_.dims(range)) found.push_back(graph_.expr(dim));
        return found;
    }
    std::vector<Expr> shape(TensorIndex t) const { return lengths(flow_.tensor(t).shape); }
    bool is_shared(const Expr& length) const { return !(local(length) == length); }
    bool is_shared(TensorIndex t) const {
        const std::vector<Expr> all = shape(t);
        return std::any_of(all.begin(), all.end(), [&](const Expr& length) { return is_shared(length); });
    }
    std::ptrdiff_t shared_dims(TensorIndex t) const {
        const std::vector<Expr> all = shape(t);
        return std::count_if(all.begin(), all.end(), [&](const Expr& length) { return is_shared(length); });
    }

    // Refuses nodes that need the tokens of other ranks.
    void require_separate(NodeIndex node) const {
        const Call call = flow_.call(node);
        std::vector<TensorIndex> shared;
        for (const Operand& operand : flow_.operands(node)) {
            const bool floating = is_floating(flow_.tensor(operand.tensor).dtype);
            if (floating && is_shared(operand.tensor)) shared.push_back(operand.tensor);
        }
        if (shared.empty()) return;
        const auto meet = [&](const std::string& how) {
            refuse("'" + flow_.module(node) + "' (" + std::string(call.op().name) + ") " + how);
        };
        switch (flow_.kind(node)) {
            case WorkKind::gemm:
                if (std::count_if(shared.begin(), shared.end(),
                                  [&](TensorIndex t) { return is_live(flow_, node, t); }) > 1)
                    meet("multiplies values of tokens with each other outside of an attention kernel");
                break;
            case WorkKind::convolution:
                if (!is_patches(call)) meet("reads neighboring tokens");
                break;
            case WorkKind::softmax:
            case WorkKind::normalization:
                if (is_shared(shape(shared.front()).back())) meet("normalizes over tokens");
                break;
            case WorkKind::reduction:
                if (call.output_count() > 0 && shared_dims(call.output()) < shared_dims(shared.front()))
                    meet("sums over tokens");
                break;
            case WorkKind::pooling:
            case WorkKind::scan:
            case WorkKind::library:
            case WorkKind::unknown:
                meet("reads several tokens");
                break;
            default:
                break;
        }
    }

  private:
    std::string find_size() {
        const bool trains = std::any_of(graph_.nodes().begin(), graph_.nodes().end(),
                                        [](const Node& node) { return node.phase == Phase::backward; });
        if (trains) refuse("this graph is of a training step");
        for (const TensorIndex t : graph_.inputs()) {
            const Tensor& tensor = flow_.tensor(t);
            decodes_ = decodes_ || (tensor.role == Role::kv_cache && is_floating(tensor.dtype));
        }
        const std::optional<std::string> tokens =
            graph_.size_of_role(decodes_ ? SizeRole::context : SizeRole::sequence);
        if (tokens) return *tokens;
        for (const std::string_view name : kRows) {
            if (!decodes_ && graph_.sizes().contains(name)) return std::string(name);
        }
        refuse(std::string("it has no size '") + (decodes_ ? "context" : "sequence") +
               "', and must be captured with it as a named size");
    }

    const Flow& flow_;
    const Graph& graph_;
    std::int64_t devices_;
    bool decodes_ = false;
    Replacements replaced_;
};

class ContextWriter {
  public:
    ContextWriter(const std::shared_ptr<const Graph>& graph, std::int64_t devices, std::int64_t nodes,
                  bool ulysses)
        : graph_(*graph),
          flow_(graph),
          devices_(devices),
          nodes_(nodes),
          ulysses_(ulysses),
          rewriter_(*graph),
          tokens_(flow_, devices) {
        if (ulysses_ && tokens_.decodes()) {
            throw InputError(
                "ulysses=1 exchanges tokens of a prompt for heads, and this graph is of a decode step; "
                "expected ulysses=0, which divides the positions of the caches");
        }
    }

    Rewritten run(bool only_shapes) {
        std::vector<NodeIndex> attentions;
        for (NodeIndex i = 0; i < flow_.count() && !only_shapes; ++i) {
            if (flow_.kind(i) == WorkKind::attention) {
                attentions.push_back(i);
                if (!tokens_.decodes() && !ulysses_) find_whole(i);
            } else if (flow_.is_live(i) && !flow_.is_free(i)) {
                tokens_.require_separate(i);
            }
        }
        if (attentions.empty() && !only_shapes) tokens_.refuse("this graph has no attention in one kernel");
        for (std::size_t t = 0; t < graph_.tensors().size(); ++t) narrow(static_cast<TensorIndex>(t));
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!whole_nodes_.contains(i)) replace_sizes(i);
        }
        bool any = false;
        for (const NodeIndex i : attentions)
            any = (tokens_.decodes() ? add_up(i) : ulysses_ ? exchange(i) : gather(i)) || any;
        if (!any && !only_shapes) {
            tokens_.refuse("no attention reads keys of the size '" + tokens_.size() + "'");
        }
        rewriter_.sort_nodes();  // keys may be read before values are made
        return rewriter_.build();
    }

  private:
    std::vector<Expr> local_shape(TensorIndex t) const {
        std::vector<Expr> found = tokens_.shape(t);
        if (!whole_.contains(t)) {
            for (Expr& length : found) length = tokens_.local(length);
        }
        return found;
    }
    // ---- attention ----

    static constexpr const char* kOperands[] = {"key", "value"};

    // Keys and values are gathered before heads are repeated: as few bytes as possible.
    TensorIndex source_of(NodeIndex attention, const char* name) {
        TensorIndex t = flow_.call(attention).require_tensor(name);
        NodeIndex made = producer_of(flow_, attention, t);
        std::vector<NodeIndex> passed;
        TensorIndex smallest = t;
        std::size_t until = 0;
        while (made != kNoNode && flow_.is_live(made) && passes(flow_, made)) {
            passed.push_back(made);
            const Operand operand = flow_.operands(made).front();
            t = operand.tensor;
            made = operand.producer;
            if (elements(flow_, t) < elements(flow_, smallest)) {
                smallest = t;
                until = passed.size();
            }
        }
        for (std::size_t i = 0; i < until; ++i) {
            whole_nodes_.insert(passed[i]);
            for (const std::int64_t output : graph_.node_outputs(graph_.nodes()[passed[i]]))
                whole_.insert(static_cast<TensorIndex>(output));
        }
        return smallest;
    }
    struct Gathered {
        NodeIndex attention;
        std::vector<TensorIndex> sources;  // of keys and values
    };

    void find_whole(NodeIndex attention) {
        Gathered found{attention, {}};
        for (const char* name : kOperands) found.sources.push_back(source_of(attention, name));
        gathered_.push_back(std::move(found));
    }

    std::vector<NamedArgument> group(TensorIndex input) const {
        return {
            {"input",   input         },
            {"devices", Expr(devices_)},
            {"nodes",   Expr(nodes_)  },
        };
    }
    TensorIndex made(TensorIndex like, const std::vector<Expr>& dims) {
        return rewriter_.add_tensor(flow_.tensor(like).dtype, dims, std::nullopt, Role::activation, "");
    }
    // The first reader of a source on the way to an attention: what is gathered is made before it.
    NodeIndex first_reader(TensorIndex source, NodeIndex attention) const {
        NodeIndex first = attention;
        for (const NodeIndex node : whole_nodes_) {
            for (const Operand& operand : flow_.operands(node)) {
                if (operand.tensor == source) first = std::min(first, node);
            }
        }
        return first;
    }

    // Keys and values of all ranks, in one message: they are laid side by side, gathered, and viewed as
    // before.
    bool gather(NodeIndex attention) {
        const auto found = std::find_if(gathered_.begin(), gathered_.end(),
                                        [&](const Gathered& each) { return each.attention == attention; });
        const TensorIndex key = found->sources[0];
        const TensorIndex value = found->sources[1];
        if (!tokens_.is_shared(key)) return false;  // of another text, which all ranks have
        const NodeIndex before = std::min(first_reader(key, attention), first_reader(value, attention));
        std::vector<GatheredPart> parts;
        for (const TensorIndex t :
             key == value ? std::vector<TensorIndex>{key} : std::vector<TensorIndex>{key, value}) {
            parts.push_back({t, flow_.tensor(t).dtype, local_shape(t), tokens_.shape(t)});
        }
        const std::vector<TensorIndex> whole = gather_parts(rewriter_, before, parts, devices_, nodes_);
        for (NodeIndex node = before; node <= attention; ++node) {
            if (node != attention && !whole_nodes_.contains(node)) continue;
            for (std::size_t i = 0; i < parts.size(); ++i) {
                rewriter_.replace_operands(node, {
                                                     {parts[i].tensor, whole[i]}
                });
            }
        }
        rewriter_.set_argument(attention, {"context_parts", Expr(devices_)});
        widen_mask(attention);
        return true;
    }
    bool exchange(NodeIndex attention) {
        if (!tokens_.is_shared(flow_.call(attention).require_tensor("key"))) return false;
        exchange_heads(rewriter_, flow_,
                       {attention, devices_, nodes_, [this](TensorIndex t) { return local_shape(t); },
                        [this](TensorIndex t) { return tokens_.shape(t); }});
        return true;
    }
    // A mask has the columns of all keys.
    void widen_mask(NodeIndex attention) {
        const Call call = flow_.call(attention);
        for (const char* name : {"attn_mask", "attn_bias"}) {
            const TensorIndex mask = call.tensor(name);
            if (mask == kNoTensor || !tokens_.is_shared(tokens_.shape(mask).back())) continue;
            std::vector<Expr> dims = local_shape(mask);
            dims.back() = dims.back() * devices_;
            const TensorIndex wide = made(mask, dims);
            const NamedArgument copies[] = {
                {"tensors", std::vector<TensorIndex>(static_cast<std::size_t>(devices_), mask)},
                {"dim", Expr(-1)},
            };
            rewriter_.insert_before(attention, "aten.cat.default", copies, {&wide, 1});
            rewriter_.replace_operands(attention, {
                                                      {mask, wide}
            });
        }
    }

    // Each rank attends to its part of a cache. Sums of exponentials are gathered, and weighted results added
    // up.
    bool add_up(NodeIndex attention) {
        const Call call = flow_.call(attention);
        if (!tokens_.is_shared(call.require_tensor("key"))) return false;
        const TensorIndex result = call.output();
        const std::vector<Expr> dims = local_shape(result);
        const Expr rows = product(dims) / dims.back();
        const TensorIndex sums =
            rewriter_.add_tensor(DType::float32, std::vector<Expr>{rows}, std::nullopt, Role::activation, "");
        const NamedArgument of_rows[] = {
            {"self",  result                 },
            {"size",  std::vector<Expr>{rows}},
            {"dtype", std::string("float32") },
        };
        rewriter_.insert_after(attention, "aten.view.dtype", of_rows, {&sums, 1});
        const TensorIndex all_sums = rewriter_.add_tensor(DType::float32, std::vector<Expr>{rows * devices_},
                                                          std::nullopt, Role::activation, "");
        rewriter_.insert_after(attention, kAllGather, group(sums), {&all_sums, 1});
        const TensorIndex added = made(result, dims);
        rewriter_.insert_after(attention, kAllReduce, group(result), {&added, 1});
        rewriter_.redirect(result, added);
        return true;
    }

    // ---- shapes ----

    void narrow(TensorIndex t) {
        if (whole_.contains(t) || !tokens_.is_shared(t)) return;
        std::vector<Expr> strides = tokens_.lengths(flow_.tensor(t).strides);
        for (Expr& stride : strides) stride = tokens_.local(stride);
        rewriter_.set_shape(t, local_shape(t), strides);
    }
    void replace_sizes(NodeIndex node) {
        for (NamedArgument& argument : arguments_of(graph_, graph_.nodes()[node])) {
            if (Expr* value = std::get_if<Expr>(&argument.value); value && tokens_.is_shared(*value)) {
                *value = tokens_.local(*value);
                rewriter_.set_argument(node, argument);
            } else if (auto* list = std::get_if<std::vector<Expr>>(&argument.value)) {
                const bool any = std::any_of(list->begin(), list->end(),
                                             [&](const Expr& each) { return tokens_.is_shared(each); });
                if (!any) continue;
                for (Expr& each : *list) each = tokens_.local(each);
                rewriter_.set_argument(node, argument);
            }
        }
    }

    const Graph& graph_;
    Flow flow_;
    std::int64_t devices_;
    std::int64_t nodes_;
    bool ulysses_;
    GraphRewriter rewriter_;
    DividedTokens tokens_;
    std::vector<Gathered> gathered_;
    std::set<TensorIndex> whole_;      // with all tokens
    std::set<NodeIndex> whole_nodes_;  // that make them
};

}  // namespace

Rewritten context_graph(const std::shared_ptr<const Graph>& graph, std::int64_t devices, std::int64_t nodes,
                        bool only_shapes, bool ulysses) {
    return ContextWriter(graph, devices, nodes, ulysses).run(only_shapes);
}

}  // namespace infercost

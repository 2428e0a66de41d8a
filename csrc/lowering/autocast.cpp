#include "lowering/autocast.hpp"

#include <algorithm>
#include <unordered_map>

#include "ops/rule.hpp"

namespace infercost {
namespace {

// Autocast casts these dtypes; float64 and 8-bit floats keep their dtype.
bool eligible(DType dtype) {
    return dtype == DType::float32 || dtype == DType::float16 || dtype == DType::bfloat16;
}

DType promoted(DType a, DType b) {
    if (a == b) return a;
    if (bits_of(a) != bits_of(b)) return bits_of(a) > bits_of(b) ? a : b;
    return DType::float32;  // float16 with bfloat16
}

class Autocast {
  public:
    Autocast(const Graph& graph, DType lower)
        : from_(graph), rules_(rules_of(graph)), rewriter_(graph), lower_(lower) {}

    Rewritten run() {
        for (const Node& node : from_.nodes()) {
            visit(static_cast<NodeIndex>(&node - from_.nodes().data()), node);
        }
        return rewriter_.build();
    }

  private:
    void visit(NodeIndex number, const Node& node) {
        number_ = number;
        const OpName& op = from_.ops()[node.op];
        replaced_.clear();
        // In-place ops, which share the row of another op, have no policy.
        const OpRule* rule = rules_[static_cast<std::size_t>(node.op)];
        const CastPolicy own = rule && rule->op == op.name ? rule->traits.cast : CastPolicy::none;
        const CastPolicy policy = has_dtype(node) && own != CastPolicy::full ? CastPolicy::none : own;
        switch (policy) {
            case CastPolicy::none:
                break;
            case CastPolicy::lower:
                cast_operands(node, lower_);
                break;
            case CastPolicy::full_softmax:
                if (lower_ == DType::bfloat16) cast_operands(node, DType::float32);
                break;
            case CastPolicy::full:
            case CastPolicy::full_scan:
            case CastPolicy::restored:
                cast_operands(node, DType::float32);
                break;
            case CastPolicy::full_result:
                break;
            case CastPolicy::widest:
                if (const auto widest = promote(node, false)) cast_operands(node, *widest);
                break;
        }
        rewriter_.replace_operands(number, replaced_);
        set_results(node, op, policy);
    }

    bool has_dtype(const Node& node) const {
        for (const Argument& argument : from_.arguments(node)) {
            if (argument.kind == ArgKind::text && from_.name(argument.name) == "dtype") return true;
        }
        return false;
    }

    const Tensor& captured(TensorIndex t) const { return from_.tensors()[t]; }

    // A tensor without elements is a placeholder (a cache before its first step) with the dtype of its
    // neighbors.
    bool is_empty(TensorIndex t) const {
        const std::span<const Dim> shape = from_.dims(captured(t).shape);
        return std::find(shape.begin(), shape.end(), 0) != shape.end();
    }

    // Return the dtype of torch's promotion over floating operands, as captured or after casts. Operands with
    // dimensions take precedence over scalars.
    std::optional<DType> promote(const Node& node, bool as_captured) const {
        std::optional<DType> found[2];
        from_.for_each_input(node, [&](TensorIndex t) {
            const DType dtype = as_captured ? captured(t).dtype : rewriter_.dtype(t);
            if (!is_floating(dtype) || bits_of(dtype) <= 8 || is_empty(t)) return;
            std::optional<DType>& slot = found[captured(t).shape.count == 0];
            slot = slot ? promoted(*slot, dtype) : dtype;
        });
        return found[0] ? found[0] : found[1];
    }

    void cast_operands(const Node& node, DType dtype) {
        from_.for_each_input(node, [&](TensorIndex t) {
            if (!eligible(rewriter_.dtype(t)) || rewriter_.dtype(t) == dtype) return;
            for (const auto& [old, now] : replaced_) {
                if (old == t) return;
            }
            replaced_.emplace_back(t, cast(t, dtype));
        });
    }

    TensorIndex cast(TensorIndex t, DType dtype) {
        // Autocast caches only parameters that are cast to the lower precision, not views of them and not
        // buffers. Any other tensor is cast again for each reader.
        const bool cached = captured(t).role == Role::parameter && dtype == lower_;
        if (const auto found = cached_.find(t); cached && found != cached_.end()) return found->second;
        const TensorIndex result = rewriter_.add_like(t, dtype);
        const NamedArgument operand[] = {
            {"self", t}
        };
        rewriter_.insert_before(number_, "aten._to_copy.default", operand, {&result, 1});
        if (cached) {
            rewriter_.hold(result);
            cached_.emplace(t, result);
        }
        return result;
    }

    void set_results(const Node& node, const OpName& op, CastPolicy policy) {
        if (node.outputs.count == 0) return;
        TensorIndex first = kNoTensor;
        TensorIndex other = kNoTensor;
        for (const Argument& argument : from_.arguments(node)) {
            if (argument.kind == ArgKind::tensor) {
                const auto t = static_cast<TensorIndex>(argument.value);
                if (first == kNoTensor) first = t;
                if (from_.name(argument.name) == "other") other = t;
            }
        }
        const std::optional<DType> before = promote(node, true);
        const std::optional<DType> now = promote(node, false);
        for (const std::int64_t output : from_.node_outputs(node)) {
            const auto t = static_cast<TensorIndex>(output);
            if (!eligible(captured(t).dtype) || captured(t).role != Role::activation) continue;
            if (t == first) continue;  // its own operand
            DType dtype = captured(t).dtype;
            switch (policy) {
                case CastPolicy::lower:
                    dtype = lower_;
                    break;
                case CastPolicy::full:
                case CastPolicy::full_result:
                case CastPolicy::full_softmax:
                case CastPolicy::full_scan:
                    dtype = DType::float32;
                    break;
                case CastPolicy::restored:
                    if (first != kNoTensor) dtype = rewriter_.dtype(first);
                    break;
                case CastPolicy::none:
                case CastPolicy::widest:
                    dtype = result_of(node, op, t, first, other, before, now);
                    break;
            }
            rewriter_.set_dtype(t, dtype);
        }
    }

    // Return the dtype of a result if the op runs in the dtypes of its operands.
    DType result_of(const Node& node, const OpName& op, TensorIndex t, TensorIndex first, TensorIndex other,
                    std::optional<DType> before, std::optional<DType> now) const {
        const DType was = captured(t).dtype;
        if (has_dtype(node) || !now) return was;
        const bool to_other = op.name == "aten.type_as" || (op.name == "aten.to" && op.overload == "other");
        if (to_other && other != kNoTensor) return rewriter_.dtype(other);
        if (first != kNoTensor && is_floating(captured(first).dtype) && was == captured(first).dtype &&
            (op.name.ends_with('_') || as_first(op.name))) {
            return rewriter_.dtype(first);
        }
        return before == was ? *now : was;
    }

    // Ops without promotion: other operands are converted to the dtype of the first, or the kernel keeps them
    // in float32, such as the weights of a batch norm.
    static bool as_first(std::string_view name) {
        constexpr std::string_view kNames[] = {
            "batch_norm",
            "native_batch_norm",
            "_native_batch_norm_legit",
            "_native_batch_norm_legit_no_training",
            "cudnn_batch_norm",
            "_batch_norm_impl_index",
            "instance_norm",
            "view_as",
            "expand_as",
            "reshape_as",
            "masked_fill",
            "masked_scatter",
            "scatter",
            "scatter_reduce",
            "index_copy",
            "index_fill",
            "index_add",
            "slice_scatter",
            "select_scatter",
            "diagonal_scatter",
            "copy",
            "fill",
            "new_zeros",
            "new_empty",
            "new_ones",
            "new_full",
            "zeros_like",
            "ones_like",
            "empty_like",
            "full_like",
            "fake_quantize_per_tensor_affine",
            "fake_quantize_per_channel_affine",
        };
        constexpr std::string_view kSpace = "aten.";
        return name.starts_with(kSpace) && std::find(std::begin(kNames), std::end(kNames),
                                                     name.substr(kSpace.size())) != std::end(kNames);
    }

    const Graph& from_;
    std::vector<const OpRule*> rules_;  // by op
    GraphRewriter rewriter_;
    DType lower_;
    NodeIndex number_ = 0;                                 // the visited node
    std::unordered_map<TensorIndex, TensorIndex> cached_;  // copies of parameters
    GraphRewriter::Replaced replaced_;
};

}  // namespace

Rewritten autocast(const Graph& graph, DType lower) {
    return Autocast(graph, lower).run();
}

}  // namespace infercost

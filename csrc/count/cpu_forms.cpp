#include "count/cpu_forms.hpp"

namespace infercost {
namespace {

constexpr std::string_view kDropout = "aten.native_dropout";
constexpr std::string_view kAttention = "aten._scaled_dot_product_fused_attention_overrideable";
constexpr std::string_view kAttentionBackward =
    "aten._scaled_dot_product_fused_attention_overrideable_backward";

bool drops(const Call& call) {
    const Argument* share = call.find("dropout_p");
    return share && share->kind == ArgKind::real && share->real > 0;
}

Expr scores_of(const Call& call) {
    const TensorIndex query = call.require_tensor("query");
    const Expr columns = call.dim(call.require_tensor("key"), -2);
    return call.bytes(query, ratio(call.numel(query), call.dim(query, -1)) * columns);
}

}  // namespace

bool has_cpu_forms(const Graph& graph) {
    for (const OpName& op : graph.ops()) {
        if (op.name == kDropout || op.name == kAttention) return true;
    }
    return false;
}

StorageBytes::StorageBytes(const Pass& pass, MemoryOf device) {
    if (device == MemoryOf::accelerator || !has_cpu_forms(pass.graph)) return;
    for (const Node& node : pass.graph.nodes()) {
        const Call call(pass, node);
        if (call.output_count() < 2) continue;
        const std::string_view op = call.op().name;
        const TensorIndex kept = call.output(1);
        if (op == kDropout) {
            forms_[call.root(kept)] = call.bytes(call.output(0), call.numel(kept));
        } else if (op == kAttention && drops(call)) {
            // Copies of query, key and value are kept instead of them.
            forms_[call.root(kept)] = scores_of(call) * 3;
        }
    }
}

const Expr* StorageBytes::form_of(TensorIndex root) const {
    const auto found = forms_.find(root);
    return found == forms_.end() ? nullptr : &found->second;
}

Expr cpu_workspace(const Call& call) {
    return call.op().name == kAttentionBackward && drops(call) ? scores_of(call) * 2 : Expr(0);
}

}  // namespace infercost

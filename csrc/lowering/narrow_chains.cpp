#include "lowering/narrow_chains.hpp"

#include <algorithm>

#include "core/graph_rewriter.hpp"
#include "lowering/flow.hpp"

namespace infercost {
namespace {

constexpr std::string_view kCompiled[] = {"engine.convolution", "engine.product"};
constexpr std::string_view kFused[] = {"engine.convolution", "engine.product", "engine.pointwise",
                                       "engine.activation",  "engine.join",    "aten.cat"};
constexpr std::string_view kNorms[] = {"engine.norm", "engine.add_norm"};

class NarrowPass {
  public:
    NarrowPass(const std::shared_ptr<const Graph>& graph, DType narrow)
        : flow_(graph), rewriter_(*graph), narrow_(narrow), is_narrow_(graph->tensors().size(), false) {}

    std::shared_ptr<const Graph> run() {
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (flow_.is_free(i)) {
                follow(i);
            } else if (writes_narrow(i)) {
                round_results(i);
            }
        }
        return rewriter_.build().graph;
    }

  private:
    bool is_fused_kernel(NodeIndex node) const {
        const WorkKind kind = flow_.kind(node);
        return is_one_of(flow_.op(node), kFused) || kind == WorkKind::pooling ||
               kind == WorkKind::attention || kind == WorkKind::pointwise;
    }
    bool writes_narrow(NodeIndex node) const {
        return flow_.is_live(node) && (is_fused_kernel(node) || is_one_of(flow_.op(node), kNorms));
    }

    // Whether every kernel that reads a result takes it narrow, through views.
    bool is_read_narrow(NodeIndex node, TensorIndex t) const {
        bool read = false;
        for (const Use& use : flow_.uses(node)) {
            if (use.tensor != t) continue;
            read = true;
            const NodeIndex reader = use.consumer;
            if (!flow_.is_free(reader)) {
                if (!is_fused_kernel(reader)) return false;
                continue;
            }
            for (const std::int64_t output : flow_.graph().node_outputs(flow_.call(reader).node())) {
                const auto view = static_cast<TensorIndex>(output);
                if (flow_.is_output(view) || !is_read_narrow(reader, view)) return false;
            }
        }
        return read;
    }

    void round_results(NodeIndex node) {
        for (const std::int64_t output : flow_.graph().node_outputs(flow_.call(node).node())) {
            const auto t = static_cast<TensorIndex>(output);
            const Tensor& result = flow_.tensor(t);
            const NodeIndex writer = flow_.first_writer(t);  // in place, such as an activation
            const bool own = flow_.first_maker(t) == node && (writer == kNoNode || is_fused_kernel(writer));
            if (!own || result.role != Role::activation || !is_floating(result.dtype) ||
                bits_of(result.dtype) <= bits_of(narrow_) || flow_.is_output(t) || !is_read_narrow(node, t)) {
                continue;
            }
            set(t);
        }
    }

    // A view has the dtype of what it shows.
    void follow(NodeIndex node) {
        if (flow_.operands(node).empty() || !is_narrow_[flow_.operands(node).front().tensor]) return;
        for (const std::int64_t output : flow_.graph().node_outputs(flow_.call(node).node())) {
            set(static_cast<TensorIndex>(output));
        }
    }

    void set(TensorIndex t) {
        is_narrow_[t] = true;
        rewriter_.set_dtype(t, narrow_);
    }

    Flow flow_;
    GraphRewriter rewriter_;
    DType narrow_;
    IndexedVector<TensorIndex, bool> is_narrow_;
};

}  // namespace

std::shared_ptr<const Graph> narrow_chains(const std::shared_ptr<const Graph>& graph, DType narrow) {
    const auto compiled = [](const OpName& op) { return is_one_of(op.name, kCompiled); };
    if (std::none_of(graph->ops().begin(), graph->ops().end(), compiled)) return graph;
    return NarrowPass(graph, narrow).run();
}

}  // namespace infercost

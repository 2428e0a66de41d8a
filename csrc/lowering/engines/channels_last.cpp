// One layout for all convolutions.
#include <algorithm>

#include "core/graph_rewriter.hpp"
#include "lowering/engines/passes.hpp"
#include "lowering/flow.hpp"

namespace infercost {
namespace {

constexpr std::size_t kImageRank = 3;  // batch, channels, at least one position

// Strides of [batch, channels, ...] with channels innermost.
std::vector<Expr> channels_last(const std::vector<Expr>& shape) {
    std::vector<Expr> strides(shape.size());
    strides[1] = 1;
    Expr step = shape[1];
    for (std::size_t axis = shape.size(); axis-- > 2;) {
        strides[axis] = step;
        step = step * shape[axis];
    }
    strides[0] = step;
    return strides;
}

class LayoutPass {
  public:
    explicit LayoutPass(const GraphPtr& graph)
        : flow_(graph), rewriter_(*graph), last_(graph->tensors().size(), false) {}

    GraphPtr run() {
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!flow_.is_live(i)) continue;
            if (flow_.op(i) == "engine.convolution") take_input(i);
            if (follows(i)) set_results(i);
        }
        return rewriter_.build().graph;
    }

  private:
    bool is_last(TensorIndex t) const { return last_[t]; }

    // Whether a node makes channels last of channels last.
    bool follows(NodeIndex node) const {
        if (flow_.op(node) == "engine.convolution") return true;
        if (flow_.is_free(node) || flow_.operands(node).empty()) return false;
        const TensorIndex first = flow_.operands(node).front().tensor;
        const bool image = flow_.tensor(first).shape.count >= kImageRank;
        return image && is_last(first);
    }

    void set_results(NodeIndex node) {
        for (const std::int64_t output : flow_.graph().node_outputs(flow_.graph().nodes()[node])) {
            const auto t = static_cast<TensorIndex>(output);
            const std::vector<Expr> shape = flow_.shape(t);
            if (shape.size() < kImageRank || flow_.is_output(t)) continue;
            const std::vector<Expr> strides = channels_last(shape);
            rewriter_.set_shape(t, shape, strides);
            last_[t] = true;
        }
    }

    // The model's inputs arrive with channels first.
    void take_input(NodeIndex node) {
        const TensorIndex input = flow_.call(node).require_tensor("input");
        if (flow_.maker(input) != kNoNode || flow_.tensor(input).role != Role::input) return;
        const std::vector<Expr> shape = flow_.shape(input);
        if (shape.size() < kImageRank) return;
        TensorIndex& copy = copy_of(input);
        if (copy == kNoTensor) {
            const std::vector<Expr> strides = channels_last(shape);
            copy = rewriter_.add_tensor(flow_.tensor(input).dtype, shape, strides, Role::activation, "");
            const NamedArgument arguments[] = {
                {"kernel",   std::string("reformat")        },
                {"inputs",   std::vector<TensorIndex>{input}},
                {"flops",    Expr(0)                        },
                {"accesses", Expr(2)                        }
            };
            rewriter_.insert_before(node, "engine.pointwise.default", arguments, {&copy, 1});
        }
        rewriter_.replace_operands(node, {
                                             {input, copy}
        });
    }

    TensorIndex& copy_of(TensorIndex input) {
        for (auto& [from, copy] : copies_) {
            if (from == input) return copy;
        }
        return copies_.emplace_back(input, kNoTensor).second;
    }

    Flow flow_;
    GraphRewriter rewriter_;
    IndexedVector<TensorIndex, bool> last_;
    std::vector<std::pair<TensorIndex, TensorIndex>> copies_;
};

}  // namespace

GraphPtr put_channels_last(const GraphPtr& graph) {
    return LayoutPass(graph).run();
}

}  // namespace infercost

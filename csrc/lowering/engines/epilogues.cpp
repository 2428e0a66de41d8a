// Elementwise work inside the kernel of the convolution or of the product before it.
#include <algorithm>
#include <set>
#include <utility>

#include "core/graph_rewriter.hpp"
#include "lowering/engines/passes.hpp"
#include "lowering/engines/units.hpp"

namespace infercost {
namespace {

constexpr std::string_view kEpilogueProducts[] = {"aten.linear", "aten.addmm", "aten.mm", "aten.matmul"};
constexpr std::string_view kConvolutions[] = {
    "aten.conv1d",           "aten.conv2d",           "aten.conv3d",
    "aten.convolution",      "aten._convolution",     "aten._convolution_mode",
    "aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d"};
// Of integers, as explicit quantization writes them.
constexpr std::string_view kQuantizedProducts[] = {"quantized.linear", "quantized.linear_relu"};
constexpr std::string_view kQuantizedConvolutions[] = {"quantized.conv1d",      "quantized.conv2d",
                                                       "quantized.conv3d",      "quantized.conv1d_relu",
                                                       "quantized.conv2d_relu", "quantized.conv3d_relu"};
constexpr std::string_view kSums[] = {"aten.add", "quantized.add", "quantized.add_relu"};
constexpr std::string_view kScales[] = {"weight_scale", "weight_zero_point"};
constexpr std::string_view kKeptLists[] = {"stride", "padding", "dilation", "output_padding"};
constexpr std::size_t kMostNodes = 64;  // of one epilogue: a GELU written out has ten
constexpr std::size_t kMostNames = 4;

// "aten.relu_" is "aten.relu".
std::string_view functional(std::string_view op) {
    return op.ends_with('_') ? op.substr(0, op.size() - 1) : op;
}

bool is_in(std::string_view op, std::span<const std::string_view> names) {
    return std::find(names.begin(), names.end(), functional(op)) != names.end();
}

// A stack of weights is that of many products.
bool has_matrix(const Flow& flow, NodeIndex node) {
    const TensorIndex weight = flow.weight_of(node);
    return weight != kNoTensor && flow.tensor(weight).shape.count == 2;
}

// Statistics are constants: a scale and a shift of each channel.
bool is_known_norm(const Flow& flow, NodeIndex node) {
    const Call call = flow.call(node);
    return flow.kind(node) == WorkKind::normalization &&
           call.op().name.find("batch_norm") != std::string::npos && !call.flag("training", false) &&
           !call.flag("train", false);
}

bool is_elementwise(const Flow& flow, NodeIndex node) {
    return flow.kind(node) == WorkKind::pointwise && flow.call(node).output_count() == 1;
}

// A parameter, or what is made of parameters before the forward.
bool is_known(const Flow& flow, TensorIndex t, NodeIndex reader) {
    const std::span<const Operand> read = flow.operands(reader);
    const auto found =
        std::find_if(read.begin(), read.end(), [&](const Operand& operand) { return operand.tensor == t; });
    if (found == read.end() || found->producer == kNoNode) {
        return flow.tensor(t).role == Role::parameter;
    }
    return !flow.is_live(found->producer);
}

// Whether a value depends on a node, along nodes that run later.
bool depends(const Flow& flow, NodeIndex node, NodeIndex base, std::set<NodeIndex>& seen) {
    if (node == kNoNode || node < base) return false;
    if (node == base) return true;
    if (!seen.insert(node).second) return false;
    return std::any_of(flow.operands(node).begin(), flow.operands(node).end(),
                       [&](const Operand& read) { return depends(flow, read.producer, base, seen); });
}

void add_windows(const Call& call, std::vector<NamedArgument>& arguments) {
    for (const std::string_view name : kKeptLists) {
        const Argument* given = call.find(name);
        if (!given || given->kind == ArgKind::text) continue;
        std::vector<Expr> values;
        for (const Expr& value : call.integers(name)) values.push_back(value);
        arguments.push_back({std::string(name), values});
    }
    const bool transposed = call.op().name.find("transpose") != std::string::npos;
    arguments.push_back({"transposed", transposed || call.flag("transposed", false)});
    arguments.push_back({"groups", call.integer("groups", 1)});
}

class EpiloguePass {
  public:
    EpiloguePass(const GraphPtr& graph, const CompilerRow& row)
        : flow_(graph), rewriter_(*graph), row_(row), taken_(graph->nodes().size(), false) {}

    GraphPtr run() {
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!flow_.is_live(i)) continue;
            if (is_one_of(flow_.op(i), kConvolutions)) {
                convolution(i);
            } else if (is_one_of(flow_.op(i), kEpilogueProducts) && has_matrix(flow_, i)) {
                product(i);
            } else if (is_one_of(flow_.op(i), kQuantizedConvolutions)) {
                quantized(i, "engine.convolution.default", "qx", row_.after_convolution);
            } else if (is_one_of(flow_.op(i), kQuantizedProducts)) {
                quantized(i, "engine.product.default", "X", row_.after_product);
            }
        }
        for (NodeIndex i = 0; row_.joins_pointwise && i < flow_.count(); ++i) {
            if (flow_.is_live(i) && !taken_[i] && is_known_norm(flow_, i)) affine(i);
        }
        rewriter_.sort_nodes();
        return rewriter_.build().graph;
    }

  private:
    // A base and the nodes that run in its kernel.
    struct Kernel {
        Nodes nodes;                      // without the base
        std::vector<TensorIndex> added;   // tensors of other kernels that they read
        std::vector<TensorIndex> folded;  // parameters that become part of weight and bias
        TensorIndex result = kNoTensor;
        Expr flops = 0;
    };

    TensorIndex result_of(NodeIndex node) const { return flow_.call(node).output(); }

    bool fits(NodeIndex node, NodeIndex base, const std::set<NodeIndex>& inside, const Kernel& kernel,
              std::span<const std::string_view> allowed, Kernel& next) const {
        if (taken_[node] || !flow_.is_glue(node)) return false;
        const bool first = kernel.nodes.empty();
        const bool norm = is_known_norm(flow_, node);
        if (norm ? !first || flow_.operands(node).front().producer != base : !is_elementwise(flow_, node))
            return false;
        if (!norm && !is_in(flow_.op(node), allowed)) return false;
        const TensorIndex result = result_of(node);
        if (!(flow_.numel(result) == flow_.numel(result_of(base)))) return false;
        const NodeIndex made = flow_.first_maker(result);
        if (made != node && !inside.contains(made)) return false;  // written in place into another's tensor
        for (const Operand& read : flow_.operands(node)) {
            if (read.producer != kNoNode && inside.contains(read.producer)) continue;
            const bool live = read.producer != kNoNode && flow_.is_live(read.producer);
            const bool given = read.producer == kNoNode && flow_.tensor(read.tensor).role == Role::input;
            if (live || given) {
                std::set<NodeIndex> seen;
                if (!is_in(flow_.op(node), kSums) || !next.added.empty() ||
                    !(flow_.numel(read.tensor) == flow_.numel(result)) ||
                    depends(flow_, read.producer, base, seen)) {
                    return false;
                }
                next.added.push_back(read.tensor);
            } else if (flow_.tensor(read.tensor).shape.count <= 1 || norm) {
                next.folded.push_back(read.tensor);
            } else {
                next.added.push_back(read.tensor);  // a table, such as of positions
            }
        }
        next.nodes.push_back(node);
        next.flops += norm ? Expr(0) : flow_.pointwise_flops(node);
        return true;
    }

    // The value that nodes outside read, if it is one alone.
    TensorIndex only_result(NodeIndex base, const std::set<NodeIndex>& inside) const {
        TensorIndex only = kNoTensor;
        for (const NodeIndex node : inside) {
            const TensorIndex result = result_of(node);
            const bool read = std::any_of(flow_.uses(node).begin(), flow_.uses(node).end(),
                                          [&](const Use& use) { return !inside.contains(use.consumer); });
            if (!read && !(flow_.is_output(result) && flow_.maker(result) == node)) continue;
            if (only != kNoTensor) return kNoTensor;
            only = result;
        }
        // Nothing reads the last value of a forward whose results were cut off.
        return only != kNoTensor || inside.size() > 1 ? only : result_of(base);
    }

    Kernel grow(NodeIndex base, std::span<const std::string_view> allowed) const {
        Kernel best;
        best.result = result_of(base);
        Kernel now = best;
        std::set<NodeIndex> inside = {base};
        std::set<NodeIndex> open;
        const auto open_readers = [&](NodeIndex node) {
            for (const Use& use : flow_.uses(node)) open.insert(use.consumer);
        };
        open_readers(base);
        while (!open.empty() && now.nodes.size() < kMostNodes) {
            const NodeIndex node = *open.begin();
            open.erase(open.begin());
            Kernel next = now;
            if (inside.contains(node) || !fits(node, base, inside, now, allowed, next)) continue;
            now = std::move(next);
            inside.insert(node);
            open_readers(node);
            now.result = only_result(base, inside);
            if (now.result != kNoTensor) best = now;
        }
        return best;
    }

    // "conv2d+batch_norm+relu"
    std::string name_of(NodeIndex base, const Kernel& kernel) const {
        const auto plain = [](std::string_view op) {
            return std::string(functional(op.substr(op.find('.') + 1)));
        };
        std::string name = plain(flow_.op(base));
        if (kernel.nodes.size() > kMostNames) return name + "+pointwise";
        for (const NodeIndex node : kernel.nodes) name += "+" + plain(flow_.op(node));
        return name;
    }

    void emit(NodeIndex base, const Kernel& kernel, std::string_view op,
              std::vector<NamedArgument> arguments) {
        arguments.push_back({"kernel", name_of(base, kernel)});
        arguments.push_back({"inputs", kernel.added});
        arguments.push_back({"flops", kernel.flops});
        for (const TensorIndex t : kernel.folded) rewriter_.drop_if_unread(t);
        taken_[base] = true;
        rewriter_.remove(base);
        for (const NodeIndex node : kernel.nodes) {
            taken_[node] = true;
            rewriter_.remove(node);
        }
        rewriter_.insert_after(base, op, arguments, {&kernel.result, 1});
    }

    // The bias of the kernel: its own, or what a folded norm shifts by.
    static void add_bias(TensorIndex own, const Kernel& kernel, std::vector<NamedArgument>& arguments) {
        if (own == kNoTensor && !kernel.folded.empty()) own = kernel.folded.front();
        if (own != kNoTensor) arguments.push_back({"bias", own});
    }

    void convolution(NodeIndex node) {
        const Call call = flow_.call(node);
        const TensorIndex weight = call.require_tensor("weight");
        const NodeIndex made = flow_.maker(weight);
        if (made != kNoNode && flow_.is_live(made)) return;  // a filter that depends on the tokens
        const Kernel kernel = grow(node, row_.after_convolution);
        std::vector<NamedArgument> arguments = {
            {"input",  call.require_tensor("input")},
            {"weight", weight                      },
        };
        add_bias(call.tensor("bias"), kernel, arguments);
        add_windows(call, arguments);
        emit(node, kernel, "engine.convolution.default", std::move(arguments));
    }

    // The kernel reads and writes integers; requantizing is part of its elementwise work.
    void quantized(NodeIndex node, std::string_view op, std::string_view input_name,
                   std::span<const std::string_view> allowed) {
        const Call call = flow_.call(node);
        const TensorIndex input = call.tensor(input_name);
        const TensorIndex weight = call.tensor("weight");
        if (input == kNoTensor || weight == kNoTensor) return;  // packed, as torch's own modules are
        Kernel kernel = grow(node, allowed);
        std::vector<NamedArgument> arguments = {
            {"input",  input },
            {"weight", weight},
        };
        const TensorIndex bias = call.tensor("bias");
        kernel.flops += flow_.pointwise_flops(node);
        if (bias != kNoTensor) {
            arguments.push_back({"bias", bias});
            kernel.flops = kernel.flops -
                           flow_.numel(result_of(node));  // which the engine's kernel counts with its bias
        }
        for (const std::string_view name : kScales) {
            if (const TensorIndex t = call.tensor(name); t != kNoTensor) kernel.added.push_back(t);
        }
        if (op.starts_with("engine.convolution")) add_windows(call, arguments);
        emit(node, kernel, op, std::move(arguments));
    }

    void product(NodeIndex node) {
        const Call call = flow_.call(node);
        const bool added = flow_.op(node) == "aten.addmm";
        TensorIndex input = call.tensor(added ? "mat1" : "input");
        if (input == kNoTensor) input = call.first_operand();
        TensorIndex bias = call.tensor(added ? "self" : "bias");
        if (bias != kNoTensor && flow_.tensor(bias).role != Role::parameter) return;
        if (call.rank(call.output()) < 1 || input == kNoTensor || call.rank(input) < 1) return;
        if (is_known(flow_, input, node)) return;  // a weight times columns of an activation
        const Kernel kernel = grow(node, row_.after_product);
        std::vector<NamedArgument> arguments = {
            {"input",  input                },
            {"weight", flow_.weight_of(node)},
        };
        add_bias(bias, kernel, arguments);
        emit(node, kernel, "engine.product.default", std::move(arguments));
    }

    // A norm that no convolution precedes, and what follows it.
    void affine(NodeIndex node) {
        Kernel kernel = grow(node, row_.after_convolution);
        kernel.added.insert(kernel.added.begin(), flow_.operands(node).front().tensor);
        for (const Operand& read : flow_.operands(node)) {
            if (read.producer == kNoNode && flow_.tensor(read.tensor).role != Role::input) {
                kernel.added.push_back(read.tensor);
            }
        }
        kernel.flops += flow_.pointwise_flops(node);
        emit(node, kernel, "engine.pointwise.default",
             {
                 {"accesses", Expr(2)}
        });
    }

    Flow flow_;
    GraphRewriter rewriter_;
    const CompilerRow& row_;
    IndexedVector<NodeIndex, bool> taken_;
};

}  // namespace

GraphPtr fuse_epilogues(const GraphPtr& graph, const CompilerRow& row) {
    return EpiloguePass(graph, row).run();
}

}  // namespace infercost

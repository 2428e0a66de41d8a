#include "core/graph_rewriter.hpp"

#include <algorithm>
#include <numeric>

namespace infercost {

GraphRewriter::GraphRewriter(const Graph& graph) : from_(graph), graph_(std::make_shared<Graph>(graph)) {
    graph_->nodes_.clear();
    place_of_.reserve(graph.nodes().size());
}

std::uint32_t GraphRewriter::intern(std::string_view name) {
    const auto [entry, inserted] =
        graph_->name_ids_.try_emplace(std::string(name), static_cast<std::uint32_t>(graph_->names_.size()));
    if (inserted) graph_->names_.emplace_back(name);
    return entry->second;
}

std::uint32_t GraphRewriter::op(std::string_view name) {
    for (std::size_t i = 0; i < graph_->ops_.size(); ++i) {
        if (graph_->ops_[i].full == name) return static_cast<std::uint32_t>(i);
    }
    const std::size_t dot = name.find('.', name.find('.') + 1);
    graph_->ops_.push_back({std::string(name), std::string(name.substr(0, dot)),
                            dot == std::string_view::npos ? "default" : std::string(name.substr(dot + 1))});
    return static_cast<std::uint32_t>(graph_->ops_.size() - 1);
}

TensorIndex GraphRewriter::add_like(TensorIndex t, DType dtype) {
    Tensor tensor = graph_->tensors_[static_cast<std::size_t>(t)];
    tensor.dtype = dtype;
    tensor.role = Role::activation;
    tensor.name = 0;
    tensor.stands_for = -1;
    tensor.storage_elements = -1;
    // Elements keep their order and close ranks, as torch's empty_like has it. Where strides are expressions
    // their order is not known, and they are kept.
    const std::span<const Dim> shape = graph_->dims(tensor.shape);
    const std::span<const Dim> strides = graph_->dims(tensor.strides);
    const auto constant = [](Dim d) { return d >= 0; };
    if (std::all_of(shape.begin(), shape.end(), constant) &&
        std::all_of(strides.begin(), strides.end(), constant)) {
        std::vector<std::size_t> order(shape.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(),
                         [&](std::size_t a, std::size_t b) { return strides[a] > strides[b]; });
        std::vector<Dim> dense(shape.size());
        Dim step = 1;
        for (std::size_t i = order.size(); i-- > 0;) {
            const std::size_t axis = order[i];
            dense[axis] = step;
            step *= std::max<Dim>(shape[axis], 1);
        }
        tensor.strides = {static_cast<std::uint32_t>(graph_->dims_.size()), tensor.shape.count};
        graph_->dims_.insert(graph_->dims_.end(), dense.begin(), dense.end());
    }
    graph_->tensors_.push_back(tensor);
    return static_cast<TensorIndex>(graph_->tensors_.size() - 1);
}

TensorIndex GraphRewriter::add_scalar(DType dtype) {
    Tensor tensor{
        dtype, Role::activation, 0, {0, 0},
           {0, 0}
    };
    graph_->tensors_.push_back(tensor);
    return static_cast<TensorIndex>(graph_->tensors_.size() - 1);
}

void GraphRewriter::insert(std::string_view name, const Node& beside, Operands operands, TensorIndex result) {
    Node node = beside;
    node.op = op(name);
    node.arguments = {static_cast<std::uint32_t>(graph_->arguments_.size()),
                      static_cast<std::uint32_t>(operands.size())};
    for (const auto& [argument, tensor] : operands) {
        Argument given;
        given.name = intern(argument);
        given.kind = ArgKind::tensor;
        given.value = tensor;
        graph_->arguments_.push_back(given);
    }
    node.outputs = {static_cast<std::uint32_t>(graph_->integers_.size()), 1};
    graph_->integers_.push_back(result);
    graph_->nodes_.push_back(node);
}

void GraphRewriter::keep(const Replaced& replaced) {
    Node node = from_.nodes()[place_of_.size()];
    place_of_.push_back(static_cast<NodeIndex>(graph_->nodes_.size()));
    const auto other = [&](std::int64_t t) -> std::int64_t {
        for (const auto& [old, now] : replaced) {
            if (old == t) return now;
        }
        return t;
    };
    if (!replaced.empty()) {
        const Range arguments = node.arguments;
        node.arguments.begin = static_cast<std::uint32_t>(graph_->arguments_.size());
        for (std::uint32_t i = 0; i < arguments.count; ++i) {
            Argument argument = graph_->arguments_[arguments.begin + i];
            if (argument.kind == ArgKind::tensor) argument.value = other(argument.value);
            if (argument.kind == ArgKind::tensor_list) {
                const Range list = argument.range;
                argument.range.begin = static_cast<std::uint32_t>(graph_->integers_.size());
                for (std::uint32_t j = 0; j < list.count; ++j) {
                    graph_->integers_.push_back(other(graph_->integers_[list.begin + j]));
                }
            }
            graph_->arguments_.push_back(argument);
        }
    }
    graph_->nodes_.push_back(node);
}

Rewritten GraphRewriter::build() {
    std::vector<NodeIndex>& held = graph_->held_until_;
    for (NodeIndex& node : held) {
        if (node != kNotObserved) node = place_of_[static_cast<std::size_t>(node)];
    }
    if (!held.empty() || !held_.empty()) held.resize(graph_->tensors_.size(), kNotObserved);
    for (const TensorIndex t : held_) {
        held[static_cast<std::size_t>(t)] = static_cast<NodeIndex>(graph_->nodes_.size()) - 1;
    }
    graph_->validate();
    return {std::move(graph_), std::move(place_of_)};
}

}  // namespace infercost

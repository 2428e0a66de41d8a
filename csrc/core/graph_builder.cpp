#include <algorithm>
#include <cctype>
#include <stdexcept>

#include "core/errors.hpp"
#include "core/graph.hpp"

namespace infercost {

GraphBuilder::GraphBuilder(std::string model) : graph_(std::make_shared<Graph>()) {
    graph_->model_ = std::move(model);
    intern("");
}

GraphBuilder::GraphBuilder(const Graph& start) : graph_(std::make_shared<Graph>(start)) {}

void GraphBuilder::require_open() const {
    if (!graph_) throw std::logic_error("this GraphBuilder has already built its graph; make a new one");
}

std::uint32_t GraphBuilder::intern(std::string_view name) {
    const auto known = graph_->name_ids_.find(name);
    if (known != graph_->name_ids_.end()) return known->second;
    const auto id = static_cast<std::uint32_t>(graph_->names_.size());
    graph_->name_ids_.emplace(name, id);
    graph_->names_.emplace_back(name);
    return id;
}

std::uint32_t GraphBuilder::intern_op(std::string_view op) {
    if (op_ids_.empty()) {  // a builder that goes on from a graph
        for (const OpName& own : graph_->ops_) {
            op_ids_.emplace(own.full, static_cast<std::uint32_t>(op_ids_.size()));
        }
    }
    const auto known = op_ids_.find(op);
    if (known != op_ids_.end()) return known->second;
    const std::size_t first = op.find('.');
    const std::size_t second = first == std::string_view::npos ? first : op.find('.', first + 1);
    if (first == std::string_view::npos || first == 0 || first + 1 == op.size()) {
        throw InputError("op '" + std::string(op) +
                         "' is not a qualified name; expected namespace.name[.overload] such as "
                         "aten.conv2d.default");
    }
    const auto id = static_cast<std::uint32_t>(graph_->ops_.size());
    const bool has_overload = second != std::string_view::npos;
    graph_->ops_.push_back({std::string(op), std::string(op.substr(0, second)),
                            has_overload ? std::string(op.substr(second + 1)) : "default"});
    op_ids_.emplace(op, id);
    return id;
}

Dim GraphBuilder::dim_of(const Expr& value) {
    if (value.is_constant()) return value.constant();
    std::vector<Expr>& table = graph_->expressions_;
    for (; indexed_expressions_ < table.size(); ++indexed_expressions_) {
        expression_ids_.try_emplace(table[indexed_expressions_].text(),
                                    -static_cast<Dim>(indexed_expressions_) - 1);
    }
    const auto [entry, inserted] =
        expression_ids_.try_emplace(value.text(), -static_cast<Dim>(table.size()) - 1);
    if (inserted) {
        table.push_back(value);
        ++indexed_expressions_;
    }
    return entry->second;
}

void GraphBuilder::check_role(const std::string& name, const NamedSize& size) const {
    const bool of_data = size.role == SizeRole::data;
    if (of_data == size.origin.empty()) {
        throw InputError("size '" + name + "' has role " + std::string(name_of(size.role)) +
                         (of_data ? " and no origin" : " and an origin") +
                         "; sizes of role data, and only they, have an origin (a name with a dot "
                         "has role data unless another is given)");
    }
    if (size.role == SizeRole::batch) {
        if (const auto other = graph_->size_of_role(SizeRole::batch); other && *other != name) {
            throw InputError("size '" + name + "' has role batch and so has '" + *other +
                             "'; a graph has at most one size of role batch");
        }
    }
}

Expr GraphBuilder::add_size(const std::string& name, NamedSize size) {
    require_open();
    // Sizes stand in expressions, and expressions are read back from text.
    const auto in_names = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.';
    };
    const bool starts = !name.empty() && in_names(name[0]) && name[0] != '.' &&
                        !std::isdigit(static_cast<unsigned char>(name[0]));
    if (!starts || !std::all_of(name.begin(), name.end(), in_names)) {
        throw InputError("a size is called '" + name +
                         "'; expected letters, digits and underscores, with dots where it may be 0");
    }
    check_role(name, size);
    const bool of_data = size.role == SizeRole::data;
    if (size.minimum < (may_be_zero(name) ? 0 : 1)) {
        throw InputError("size '" + name + "' has minimum " + std::to_string(size.minimum) +
                         "; named sizes are at least 1, those with a dot in their name at least 0");
    }
    for (const Expr* limit : {&size.default_value, size.maximum ? &*size.maximum : nullptr}) {
        if (!limit) continue;
        if (!of_data) static_cast<void>(limit->constant());
        for (const std::string& other : limit->names()) {
            if (graph_->sizes_.contains(other)) continue;
            throw InputError("size '" + name + "' has a default or a bound in '" + other +
                             "', which is not declared before it");
        }
    }
    const Expr& value = size.default_value;
    const bool below = value.is_constant() && value.constant() < size.minimum;
    const bool above = value.is_constant() && size.maximum && size.maximum->is_constant() &&
                       value.constant() > size.maximum->constant();
    if (below || above) {
        throw InputError("size '" + name + "' has default " + value.text() +
                         ", which is outside its own range");
    }
    if (!graph_->sizes_.emplace(name, std::move(size)).second) {
        throw InputError("size '" + name + "' is declared twice");
    }
    graph_->size_names_.push_back(name);
    return Expr::size(name);
}

void GraphBuilder::add_guard(Guard guard) {
    require_open();
    if (guard.left.is_constant() && guard.right.is_constant()) return;
    for (const Guard& known : graph_->guards_) {
        if (known.text() == guard.text()) return;
    }
    graph_->guards_.push_back(std::move(guard));
}

Range GraphBuilder::push_dims(std::span<const Expr> values) {
    const Range range{static_cast<std::uint32_t>(graph_->dims_.size()),
                      static_cast<std::uint32_t>(values.size())};
    for (const Expr& value : values) {
        if (value.is_constant() && value.constant() < 0) {
            throw InputError("a tensor has length or stride " + std::to_string(value.constant()) +
                             "; expected zero or more");
        }
        graph_->dims_.push_back(dim_of(value));
    }
    return range;
}

// Of a row-major tensor.
Range GraphBuilder::push_strides_of(std::span<const Expr> shape) {
    std::vector<Expr> contiguous(shape.size());
    Expr step = 1;
    for (std::size_t i = shape.size(); i-- > 0;) {
        contiguous[i] = step;
        // torch keeps strides of empty tensors positive; so do we.
        step = step * (shape[i] == Expr(0) ? Expr(1) : shape[i]);
    }
    return push_dims(contiguous);
}

std::uint32_t GraphBuilder::intern_path(std::string_view path, const char* what) {
    // A row for each level of each path is held by module trees, so their size grows with the square of a
    // path.
    constexpr std::size_t kLongest = 2'000;
    constexpr std::ptrdiff_t kMostLevels = 200;
    if (path.size() > kLongest ||
        (path.size() > kMostLevels && std::count(path.begin(), path.end(), '.') >= kMostLevels)) {
        throw InputError(std::string(what) + " '" + std::string(path.substr(0, 40)) + "...' has " +
                         std::to_string(path.size()) + " characters in " +
                         std::to_string(std::count(path.begin(), path.end(), '.') + 1) +
                         " levels; expected at most " + std::to_string(kLongest) + " characters in " +
                         std::to_string(kMostLevels) + " levels");
    }
    return intern(path);
}

TensorIndex GraphBuilder::add_tensor(DType dtype, std::span<const Expr> shape,
                                     std::optional<std::span<const Expr>> strides, Role role,
                                     std::string_view name, std::optional<std::int64_t> logical_numel,
                                     std::optional<std::int64_t> storage_elements) {
    require_open();
    if (storage_elements && *storage_elements < 0) {
        throw InputError("a tensor's storage has " + std::to_string(*storage_elements) +
                         " elements; expected zero or more");
    }
    if (logical_numel && *logical_numel < 0) {
        throw InputError("a tensor has " + std::to_string(*logical_numel) +
                         " logical elements; expected zero or more");
    }
    if (strides && strides->size() != shape.size()) {
        throw InputError("a tensor has " + std::to_string(shape.size()) + " dimensions but " +
                         std::to_string(strides->size()) + " strides");
    }
    Tensor tensor{dtype,
                  role,
                  intern_path(name, "the name of a tensor"),
                  push_dims(shape),
                  {},
                  logical_numel.value_or(-1),
                  storage_elements.value_or(-1)};
    tensor.strides = strides ? push_dims(*strides) : push_strides_of(shape);
    graph_->tensors_.push_back(tensor);
    return static_cast<TensorIndex>(graph_->tensors_.size() - 1);
}

void GraphBuilder::begin_node(std::string_view op, std::string_view module, std::string_view source,
                              Phase phase) {
    require_open();
    node_ = Node{
        intern_op(op),  intern_path(module, "module path"),
        intern(source), Range{static_cast<std::uint32_t>(graph_->arguments_.size()), 0},
        Range{},
         phase
    };
}

Argument& GraphBuilder::push(std::string_view name, ArgKind kind) {
    Argument argument;
    argument.name = intern(name);
    argument.kind = kind;
    graph_->arguments_.push_back(argument);
    ++node_.arguments.count;
    return graph_->arguments_.back();
}

void GraphBuilder::argument_none(std::string_view name) {
    push(name, ArgKind::none);
}

void GraphBuilder::argument_tensor(std::string_view name, TensorIndex tensor) {
    push(name, ArgKind::tensor).value = tensor;
}

void GraphBuilder::argument_integer(std::string_view name, const Expr& value) {
    push(name, value.is_constant() ? ArgKind::integer : ArgKind::expression).value = dim_of(value);
}

void GraphBuilder::argument_boolean(std::string_view name, bool value) {
    push(name, ArgKind::boolean).value = value;
}

void GraphBuilder::argument_real(std::string_view name, double value) {
    push(name, ArgKind::real).real = value;
}

void GraphBuilder::argument_text(std::string_view name, std::string_view value) {
    const std::uint32_t id = intern(value);
    push(name, ArgKind::text).value = id;
}

void GraphBuilder::argument_tensors(std::string_view name, std::span<const TensorIndex> tensors) {
    push(name, ArgKind::tensor_list).range = {static_cast<std::uint32_t>(graph_->integers_.size()),
                                              static_cast<std::uint32_t>(tensors.size())};
    graph_->integers_.insert(graph_->integers_.end(), tensors.begin(), tensors.end());
}

void GraphBuilder::argument_integers(std::string_view name, std::span<const Expr> values) {
    set_integers(push(name, ArgKind::integer_list), values);
}

void GraphBuilder::set_integers(Argument& argument, std::span<const Expr> values) {
    bool constant = true;
    for (const Expr& value : values) constant = constant && value.is_constant();
    argument.kind = constant ? ArgKind::integer_list : ArgKind::expression_list;
    argument.range = {static_cast<std::uint32_t>(graph_->integers_.size()),
                      static_cast<std::uint32_t>(values.size())};
    for (const Expr& value : values) {
        // In a mixed list a negative constant (a "keep this" -1) would read as a table entry.
        const bool negative = !constant && value.is_constant() && value.constant() < 0;
        if (negative) graph_->expressions_.push_back(value);
        graph_->integers_.push_back(negative ? -static_cast<Dim>(graph_->expressions_.size())
                                             : dim_of(value));
    }
}

void GraphBuilder::argument_reals(std::string_view name, std::span<const double> values) {
    push(name, ArgKind::real_list).range = {static_cast<std::uint32_t>(graph_->reals_.size()),
                                            static_cast<std::uint32_t>(values.size())};
    graph_->reals_.insert(graph_->reals_.end(), values.begin(), values.end());
}

void GraphBuilder::argument(std::string_view name, const ArgumentValue& value) {
    struct Write {
        GraphBuilder& builder;
        std::string_view name;
        void operator()(std::monostate) const { builder.argument_none(name); }
        void operator()(TensorIndex tensor) const { builder.argument_tensor(name, tensor); }
        void operator()(const Expr& integer) const { builder.argument_integer(name, integer); }
        void operator()(bool boolean) const { builder.argument_boolean(name, boolean); }
        void operator()(double real) const { builder.argument_real(name, real); }
        void operator()(const std::string& text) const { builder.argument_text(name, text); }
        void operator()(const std::vector<TensorIndex>& list) const { builder.argument_tensors(name, list); }
        void operator()(const std::vector<Expr>& list) const { builder.argument_integers(name, list); }
        void operator()(const std::vector<double>& list) const { builder.argument_reals(name, list); }
    };
    std::visit(Write{*this, name}, value);
}

void GraphBuilder::check_operands(const Node& node, std::size_t number) const {
    const auto known = static_cast<TensorIndex>(graph_->tensors_.size());
    const auto check = [&](std::int64_t t) {
        if (t >= 0 && t < known) return;
        throw InputError("node " + std::to_string(number) + " names tensor " + std::to_string(t) +
                         "; the graph has " + std::to_string(known));
    };
    for (const std::int64_t t : graph_->node_outputs(node)) check(t);
    graph_->for_each_input(node, check);
}

NodeIndex GraphBuilder::end_node(std::span<const TensorIndex> outputs) {
    node_.outputs = {static_cast<std::uint32_t>(graph_->integers_.size()),
                     static_cast<std::uint32_t>(outputs.size())};
    graph_->integers_.insert(graph_->integers_.end(), outputs.begin(), outputs.end());
    check_operands(node_, graph_->nodes_.size());
    graph_->nodes_.push_back(node_);
    return static_cast<NodeIndex>(graph_->nodes_.size() - 1);
}

std::shared_ptr<const Graph> GraphBuilder::build(std::span<const TensorIndex> inputs,
                                                 std::span<const TensorIndex> outputs,
                                                 std::vector<NodeIndex> held_until) {
    require_open();
    for (const auto& list : {inputs, outputs}) {
        for (const TensorIndex t : list) {
            if (t < 0 || static_cast<std::size_t>(t) >= graph_->tensors_.size()) {
                throw InputError("graph input or output " + std::to_string(t) + " is not a tensor of it");
            }
        }
    }
    graph_->inputs_.assign(inputs.begin(), inputs.end());
    graph_->outputs_.assign(outputs.begin(), outputs.end());
    graph_->held_until_ = std::move(held_until);
    graph_->validate();
    std::shared_ptr<const Graph> result = std::move(graph_);
    graph_ = nullptr;
    return result;
}

}  // namespace infercost

#include "core/graph_rewriter.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <unordered_map>

#include "core/checked_int.hpp"
#include "core/errors.hpp"

namespace infercost {
namespace {

std::string entry_of(const char* what, std::int64_t index, std::size_t count) {
    return std::string(what) + " is " + std::to_string(index) + "; this graph has " + std::to_string(count) +
           " of them, numbered from 0";
}

}  // namespace

GraphRewriter::GraphRewriter(const Graph& graph)
    : builder_(graph), first_nodes_(graph.nodes().size()), removed_(first_nodes_, false) {}

void GraphRewriter::require_open() const {
    if (!builder_.graph_)
        throw std::logic_error("this GraphRewriter has already built its graph; make a new one");
}

std::size_t GraphRewriter::checked(TensorIndex t) const {
    require_open();
    const std::size_t count = builder_.graph_->tensors_.size();
    if (t < 0 || static_cast<std::size_t>(t) >= count) throw std::out_of_range(entry_of("tensor", t, count));
    return static_cast<std::size_t>(t);
}

Node& GraphRewriter::node(NodeIndex node) {
    require_open();
    if (node < 0 || static_cast<std::size_t>(node) >= first_nodes_)
        throw std::out_of_range(entry_of("node", node, first_nodes_));
    return builder_.graph_->nodes_[node];
}

// ---- sizes ----

Expr GraphRewriter::add_size(const std::string& name, NamedSize size) {
    require_open();
    return builder_.add_size(name, std::move(size));
}

void GraphRewriter::set_role(std::string_view size, SizeRole role) {
    require_open();
    Graph& graph = *builder_.graph_;
    const auto found = graph.sizes_.find(size);
    if (found == graph.sizes_.end()) {
        throw InputError("size '" + std::string(size) + "' gets role " + std::string(name_of(role)) +
                         ", but this graph has no size of that name");
    }
    NamedSize changed = found->second;
    changed.role = role;
    builder_.check_role(found->first, changed);
    found->second.role = role;
}

void GraphRewriter::set_default(std::string_view size, std::int64_t value) {
    require_open();
    Graph& graph = *builder_.graph_;
    const auto found = graph.sizes_.find(size);
    if (found == graph.sizes_.end()) {
        throw InputError("size '" + std::string(size) + "' gets default " + std::to_string(value) +
                         ", but this graph has no size of that name");
    }
    if (value < found->second.minimum) {
        throw InputError("size '" + std::string(size) + "' gets default " + std::to_string(value) +
                         ", below its minimum " + std::to_string(found->second.minimum));
    }
    found->second.default_value = Expr(value);
}

void GraphRewriter::add_guard(Guard guard) {
    require_open();
    builder_.add_guard(std::move(guard));
}

void GraphRewriter::bind(const Sizes& values) {
    require_open();
    Graph& graph = *builder_.graph_;
    graph.check_sizes(values);
    graph.check_guards(values);
    IndexedVector<Dim, Expr> bound;
    bound.reserve(graph.expressions_.size());
    for (const Expr& e : graph.expressions_) bound.push_back(e.substitute(values));
    graph.expressions_.clear();
    builder_.expression_ids_.clear();
    builder_.indexed_expressions_ = 0;
    const auto now = [&](Dim dim) { return dim >= 0 ? Expr(dim) : bound[-dim - 1]; };

    for (Dim& dim : graph.dims_) {
        if (dim < 0) dim = builder_.dim_of(now(dim));
    }
    for_each_running([&](const Node& running) {
        for (std::uint32_t i = 0; i < running.arguments.count; ++i) {
            Argument& argument = graph.arguments_[running.arguments.begin + i];
            if (argument.kind == ArgKind::expression) {
                const Expr value = now(argument.value);
                argument.kind = value.is_constant() ? ArgKind::integer : ArgKind::expression;
                argument.value = builder_.dim_of(value);
            } else if (argument.kind == ArgKind::expression_list) {
                std::vector<Expr> list;
                for (const std::int64_t value : graph.integers(argument.range)) list.push_back(now(value));
                builder_.set_integers(argument, list);
            }
        }
    });

    std::vector<Guard> guards;
    guards.swap(graph.guards_);
    for (const Guard& guard : guards) {
        builder_.add_guard({guard.left.substitute(values), guard.relation, guard.right.substitute(values)});
    }
    for (const auto& [name, value] : values) {
        graph.sizes_.erase(name);
        std::erase(graph.size_names_, name);
    }
    for (auto& [name, size] : graph.sizes_) {
        size.default_value = size.default_value.substitute(values);
        if (size.maximum) size.maximum = size.maximum->substitute(values);
    }
}

// ---- tensors ----

void GraphRewriter::set_shape(TensorIndex t, std::span<const Expr> shape,
                              std::optional<std::span<const Expr>> strides) {
    Tensor& changed = builder_.graph_->tensors_[checked(t)];
    if (strides && strides->size() != shape.size()) {
        throw InputError("a tensor has " + std::to_string(shape.size()) + " dimensions but " +
                         std::to_string(strides->size()) + " strides");
    }
    changed.shape = builder_.push_dims(shape);
    changed.strides = strides ? builder_.push_dims(*strides) : builder_.push_strides_of(shape);
}

TensorIndex GraphRewriter::add_tensor(DType dtype, std::span<const Expr> shape,
                                      std::optional<std::span<const Expr>> strides, Role role,
                                      std::string_view name, std::optional<std::int64_t> logical_numel,
                                      std::optional<std::int64_t> storage_elements) {
    require_open();
    return builder_.add_tensor(dtype, shape, strides, role, name, logical_numel, storage_elements);
}

TensorIndex GraphRewriter::add_like(TensorIndex t, DType dtype) {
    const std::size_t model = checked(t);
    Graph& graph = *builder_.graph_;
    Tensor like = graph.tensors_[model];
    like.dtype = dtype;
    like.role = Role::activation;
    like.name = 0;
    like.logical_numel = -1;
    like.storage_elements = -1;
    // torch's empty_like keeps the order of dimensions in memory and closes gaps. Strides that are
    // expressions have no known order, and are kept.
    const std::span<const Dim> shape = graph.dims(like.shape);
    const std::span<const Dim> strides = graph.dims(like.strides);
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
            step = checked_mul(step, std::max<Dim>(shape[axis], 1));
        }
        like.strides = {static_cast<std::uint32_t>(graph.dims_.size()), like.shape.count};
        graph.dims_.insert(graph.dims_.end(), dense.begin(), dense.end());
    }
    graph.tensors_.push_back(like);
    return static_cast<TensorIndex>(graph.tensors_.size() - 1);
}

void GraphRewriter::hold(TensorIndex t) {
    static_cast<void>(checked(t));
    held_.push_back(t);
}

void GraphRewriter::drop_if_unread(TensorIndex t) {
    static_cast<void>(checked(t));
    droppable_.push_back(t);
}

// ---- nodes ----

Range GraphRewriter::write(Arguments arguments) {
    builder_.node_.arguments = {static_cast<std::uint32_t>(builder_.graph_->arguments_.size()), 0};
    for (const auto& [name, value] : arguments) builder_.argument(name, value);
    return builder_.node_.arguments;
}

void GraphRewriter::insert(std::size_t slot, NodeIndex beside, std::string_view op, Arguments arguments,
                           std::span<const TensorIndex> outputs) {
    Graph& graph = *builder_.graph_;
    Node made = node(beside);
    made.op = builder_.intern_op(op);
    made.arguments = write(arguments);
    made.outputs = {static_cast<std::uint32_t>(graph.integers_.size()),
                    static_cast<std::uint32_t>(outputs.size())};
    graph.integers_.insert(graph.integers_.end(), outputs.begin(), outputs.end());
    builder_.check_operands(made, graph.nodes_.size());
    inserted_.push_back({slot, graph.nodes_.size()});
    graph.nodes_.push_back(made);
    removed_.push_back(false);
}

void GraphRewriter::insert_before(NodeIndex at, std::string_view op, Arguments arguments,
                                  std::span<const TensorIndex> outputs) {
    static_cast<void>(node(at));
    insert(2 * static_cast<std::size_t>(at), at, op, arguments, outputs);
}

void GraphRewriter::insert_after(NodeIndex at, std::string_view op, Arguments arguments,
                                 std::span<const TensorIndex> outputs) {
    static_cast<void>(node(at));
    insert(2 * static_cast<std::size_t>(at) + 1, at, op, arguments, outputs);
}

void GraphRewriter::replace(NodeIndex at, std::string_view op, Arguments arguments) {
    Node made = node(at);
    made.op = builder_.intern_op(op);
    made.arguments = write(arguments);
    builder_.check_operands(made, static_cast<std::size_t>(at));
    node(at) = made;
    add_readings(at);
}

void GraphRewriter::set_argument(NodeIndex at, const NamedArgument& given) {
    Graph& graph = *builder_.graph_;
    Node made = node(at);
    const std::uint32_t name = builder_.intern(given.name);
    const Range before = made.arguments;
    builder_.node_.arguments = {static_cast<std::uint32_t>(graph.arguments_.size()), 0};
    bool known = false;
    for (std::uint32_t i = 0; i < before.count; ++i) {
        const Argument argument = graph.arguments_[before.begin + i];
        if (argument.name == name) {
            builder_.argument(given.name, given.value);
            known = true;
        } else {
            graph.arguments_.push_back(argument);
            ++builder_.node_.arguments.count;
        }
    }
    if (!known) builder_.argument(given.name, given.value);
    made.arguments = builder_.node_.arguments;
    builder_.check_operands(made, static_cast<std::size_t>(at));
    node(at) = made;
    add_readings(at);
}

// ---- readers ----

constexpr std::int64_t kNoReading = -1;

void GraphRewriter::find_readers() {
    if (!last_reading_.empty()) return;
    last_reading_.assign(builder_.graph_->tensors_.size() + 1, kNoReading);
    for (std::size_t i = 0; i < first_nodes_; ++i) add_readings(static_cast<NodeIndex>(i));
}

void GraphRewriter::add_reader(TensorIndex t, NodeIndex node) {
    const auto at = static_cast<std::size_t>(t);
    if (at >= last_reading_.size()) last_reading_.resize(2 * at, kNoReading);
    readings_.push_back({node, last_reading_[at]});
    last_reading_[at] = static_cast<std::int64_t>(readings_.size()) - 1;
}

void GraphRewriter::add_readings(NodeIndex node) {
    if (last_reading_.empty()) return;
    const Graph& graph = *builder_.graph_;
    graph.for_each_input(graph.nodes_[node], [&](TensorIndex t) { add_reader(t, node); });
}

void GraphRewriter::replace_operands(NodeIndex at, const Replaced& replaced) {
    Node& changed = node(at);
    if (replaced.empty()) return;
    Graph& graph = *builder_.graph_;
    const auto now = [&](std::int64_t t) -> std::int64_t {
        for (const auto& [old, other] : replaced) {
            if (old == t) return other;
        }
        return t;
    };
    for (const auto& [old, other] : replaced) static_cast<void>(checked(other));
    for (std::uint32_t i = 0; i < changed.arguments.count; ++i) {
        Argument& argument = graph.arguments_[changed.arguments.begin + i];
        if (argument.kind == ArgKind::tensor) argument.value = now(argument.value);
        if (argument.kind != ArgKind::tensor_list) continue;
        for (std::uint32_t j = 0; j < argument.range.count; ++j) {
            std::int64_t& t = graph.integers_[argument.range.begin + j];
            t = now(t);
        }
    }
    if (last_reading_.empty()) return;
    for (const auto& [old, other] : replaced) add_reader(other, at);
}

void GraphRewriter::redirect(TensorIndex old, TensorIndex now) {
    static_cast<void>(checked(old));
    static_cast<void>(checked(now));
    Graph& graph = *builder_.graph_;
    find_readers();
    const auto last = static_cast<std::size_t>(old);
    std::int64_t entry = last < last_reading_.size() ? last_reading_[last] : kNoReading;
    if (now != old && last < last_reading_.size()) last_reading_[last] = kNoReading;
    while (entry != kNoReading) {
        const NodeIndex i = readings_[entry].node;
        entry = readings_[entry].before;
        const Node& reader = graph.nodes_[i];
        bool reads = false;
        graph.for_each_input(reader, [&](TensorIndex t) { reads = reads || t == old; });
        if (!reads || now == old) continue;
        replace_operands(i, {
                                {old, now}
        });
        for (std::uint32_t j = 0; j < reader.outputs.count; ++j) {  // written in place
            std::int64_t& t = graph.integers_[reader.outputs.begin + j];
            if (t == old) t = now;
        }
    }
    return_instead(old, now);
}

void GraphRewriter::return_instead(TensorIndex old, TensorIndex now) {
    static_cast<void>(checked(old));
    static_cast<void>(checked(now));
    Graph& graph = *builder_.graph_;
    if (std::find(graph.outputs_.begin(), graph.outputs_.end(), old) == graph.outputs_.end()) return;
    std::replace(graph.outputs_.begin(), graph.outputs_.end(), old, now);
    // The caller holds another tensor now.
    const auto at = static_cast<std::size_t>(old);
    if (at < graph.held_until_.size()) graph.held_until_[at] = kNotObserved;
}

void GraphRewriter::remove(NodeIndex at) {
    static_cast<void>(node(at));
    removed_[at] = true;
}

// ---- the new graph ----

// Nodes that are not removed, in no particular order.
template <class Visit>
void GraphRewriter::for_each_running(Visit&& visit) {
    const IndexedVector<NodeIndex, Node>& nodes = builder_.graph_->nodes_;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (!removed_[i]) visit(nodes[i]);
    }
}

// Removes nodes of which every result may be dropped and is unread; returns which tensors are gone.
IndexedVector<TensorIndex, bool> GraphRewriter::drop_unread() {
    Graph& graph = *builder_.graph_;
    constexpr std::size_t kNoNode = static_cast<std::size_t>(-1);
    const std::size_t tensors = graph.tensors_.size();
    IndexedVector<TensorIndex, bool> gone(tensors, false);
    std::vector<TensorIndex> orphans;  // results of removed nodes
    for (std::size_t i = 0; i < first_nodes_; ++i) {
        if (!removed_[i]) continue;
        for (const std::int64_t t : graph.node_outputs(graph.nodes_[i])) {
            orphans.push_back(static_cast<TensorIndex>(t));
        }
    }
    if (droppable_.empty() && orphans.empty()) return gone;

    // A node that writes in place reads its tensor: it stays, since it may write a part of another one.
    IndexedVector<TensorIndex, std::int64_t> reads(tensors, 0);
    IndexedVector<TensorIndex, std::size_t> maker(tensors, kNoNode);
    std::unordered_map<TensorIndex, std::vector<std::size_t>> more_makers;
    const auto count = [&](const Node& node, std::int64_t times) {
        graph.for_each_input(node, [&](TensorIndex t) { reads[t] += times; });
    };
    for (std::size_t i = 0; i < graph.nodes_.size(); ++i) {
        if (removed_[i]) continue;
        count(graph.nodes_[i], 1);
        for (const std::int64_t t : graph.node_outputs(graph.nodes_[i])) {
            std::size_t& first = maker[t];
            if (first == kNoNode) {
                first = i;
            } else {
                more_makers[static_cast<TensorIndex>(t)].push_back(i);
            }
        }
    }
    for (const std::vector<TensorIndex>& ends : {graph.inputs_, graph.outputs_}) {
        for (const TensorIndex t : ends) ++reads[t];
    }
    IndexedVector<TensorIndex, bool> droppable(tensors, false);
    for (const TensorIndex t : droppable_) droppable[t] = true;
    const auto unread = [&](std::int64_t t) { return droppable[t] && reads[t] == 0; };
    for (const TensorIndex t : orphans) {
        if (maker[t] == kNoNode && reads[t] == 0 && graph.tensors_[t].role == Role::activation)
            gone[t] = true;
    }
    for (bool changed = true; changed;) {  // what a removed node has read may be unread now
        changed = false;
        for (const TensorIndex t : droppable_) {
            if (gone[t] || reads[t] > 0) continue;
            if (maker[t] == kNoNode) {
                gone[t] = true;
                continue;
            }
            std::vector<std::size_t> makers = {maker[t]};
            if (const auto found = more_makers.find(t); found != more_makers.end()) {
                makers.insert(makers.end(), found->second.begin(), found->second.end());
            }
            const bool all = std::all_of(makers.begin(), makers.end(), [&](std::size_t node) {
                if (removed_[node]) return true;
                const auto results = graph.node_outputs(graph.nodes_[node]);
                return std::all_of(results.begin(), results.end(), unread);
            });
            if (!all) continue;
            for (const std::size_t node : makers) {
                if (removed_[node]) continue;
                removed_[node] = true;
                count(graph.nodes_[node], -1);
            }
            // Results of these nodes that have other makers go when it is their turn.
            gone[t] = true;
            changed = true;
        }
    }
    return gone;
}

// Puts inserted nodes into their places and leaves removed ones out.
void GraphRewriter::order_nodes() {
    Graph& graph = *builder_.graph_;
    const auto earlier = [](const Inserted& a, const Inserted& b) { return a.slot < b.slot; };
    if (!std::is_sorted(inserted_.begin(), inserted_.end(), earlier)) {
        std::stable_sort(inserted_.begin(), inserted_.end(), earlier);
    }
    std::vector<Node> ordered;
    ordered.reserve(graph.nodes_.size());
    place_of_.reserve(first_nodes_);
    auto next = inserted_.begin();
    const auto insert_slot = [&](std::size_t slot) {
        for (; next != inserted_.end() && next->slot == slot; ++next) {
            if (!removed_[next->number]) ordered.push_back(graph.nodes_[next->number]);
        }
    };
    for (std::size_t i = 0; i < first_nodes_; ++i) {
        insert_slot(2 * i);
        place_of_.push_back(static_cast<NodeIndex>(ordered.size()));
        if (!removed_[i]) ordered.push_back(graph.nodes_[i]);
        insert_slot(2 * i + 1);
    }
    const auto last = std::max<NodeIndex>(static_cast<NodeIndex>(ordered.size()) - 1, 0);
    for (NodeIndex& place : place_of_) place = std::min(place, last);
    graph.nodes_ = std::move(ordered);
}

// Stable: a node moves only behind a node whose result it reads. Each tensor has one maker here, or is
// written in place by nodes that keep their order.
void GraphRewriter::sort_by_results() {
    Graph& graph = *builder_.graph_;
    const std::size_t count = graph.nodes_.size();
    if (count == 0) return;
    constexpr std::size_t kNoNode = static_cast<std::size_t>(-1);
    IndexedVector<TensorIndex, std::size_t> maker(graph.tensors_.size(), kNoNode);
    for (std::size_t i = 0; i < count; ++i) {
        for (const std::int64_t t : graph.node_outputs(graph.nodes_[i])) {
            bool in_place = false;
            graph.for_each_input(graph.nodes_[i],
                                 [&](TensorIndex read) { in_place = in_place || read == t; });
            std::size_t& first = maker[t];
            if (first == kNoNode && !in_place) first = i;
        }
    }
    std::vector<Node> ordered;
    ordered.reserve(count);
    IndexedVector<NodeIndex, NodeIndex> place(count, 0);
    std::vector<char> state(count, 0);  // 0: not placed, 1: its operands are being placed, 2: placed
    std::vector<std::size_t> open;
    for (std::size_t start = 0; start < count; ++start) {
        open.push_back(start);
        while (!open.empty()) {
            const std::size_t i = open.back();
            if (state[i] == 2) {
                open.pop_back();
                continue;
            }
            state[i] = 1;
            bool waits = false;
            graph.for_each_input(graph.nodes_[i], [&](TensorIndex t) {
                const std::size_t before = maker[t];
                if (before == kNoNode || before == i || state[before] == 2) return;
                if (state[before] == 1) {
                    const auto name = [&](std::size_t node) {
                        return graph.ops_[graph.nodes_[node].op].full + " in '" +
                               graph.names_[graph.nodes_[node].module] + "'";
                    };
                    throw std::logic_error("nodes of a rewritten graph need each other's results: " +
                                           name(before) + " and " + name(i));
                }
                open.push_back(before);
                waits = true;
            });
            if (waits) continue;
            open.pop_back();
            state[i] = 2;
            place[i] = static_cast<NodeIndex>(ordered.size());
            ordered.push_back(graph.nodes_[i]);
        }
    }
    graph.nodes_ = std::move(ordered);
    for (NodeIndex& node : place_of_) node = place[node];
}

void GraphRewriter::set_lifetimes() {
    Graph& graph = *builder_.graph_;
    IndexedVector<TensorIndex, NodeIndex>& held = graph.held_until_;
    if (held.empty() && held_.empty()) return;
    for (NodeIndex& node : held) {
        if (node != kNotObserved) node = place_of_[node];
    }
    held.resize(graph.tensors_.size(), kNotObserved);
    const auto count = static_cast<NodeIndex>(graph.nodes_.size());
    for (NodeIndex i = 0; i < count; ++i) {
        const Node& user = graph.nodes_[i];
        const auto uses = [&](std::int64_t t) {
            NodeIndex& until = held[t];
            if (until != kNotObserved) until = std::max(until, i);
        };
        graph.for_each_input(user, uses);
        for (const std::int64_t t : graph.node_outputs(user)) uses(t);
    }
    for (const TensorIndex t : held_) held[t] = count - 1;
}

void GraphRewriter::remove_tensors(const IndexedVector<TensorIndex, bool>& gone) {
    Graph& graph = *builder_.graph_;
    if (std::find(gone.begin(), gone.end(), true) == gone.end()) return;
    IndexedVector<TensorIndex, TensorIndex> number(gone.size(), kNoTensor);
    std::size_t left = 0;
    for (std::size_t t = 0; t < gone.size(); ++t) {
        if (gone[t]) continue;
        graph.tensors_[left] = graph.tensors_[t];
        if (!graph.held_until_.empty()) graph.held_until_[left] = graph.held_until_[t];
        number[t] = static_cast<TensorIndex>(left++);
    }
    graph.tensors_.resize(left);
    if (!graph.held_until_.empty()) graph.held_until_.resize(left);
    const auto renumber = [&](auto& t) {
        if (t != kNoTensor) t = number[t];
    };
    for (const Node& node : graph.nodes_) {
        for (std::uint32_t i = 0; i < node.arguments.count; ++i) {
            Argument& argument = graph.arguments_[node.arguments.begin + i];
            if (argument.kind == ArgKind::tensor) renumber(argument.value);
            if (argument.kind != ArgKind::tensor_list) continue;
            for (std::uint32_t j = 0; j < argument.range.count; ++j) {
                renumber(graph.integers_[argument.range.begin + j]);
            }
        }
        for (std::uint32_t j = 0; j < node.outputs.count; ++j) {
            renumber(graph.integers_[node.outputs.begin + j]);
        }
    }
    for (TensorIndex& t : graph.inputs_) renumber(t);
    for (TensorIndex& t : graph.outputs_) renumber(t);
}

Rewritten GraphRewriter::build() {
    require_open();
    const IndexedVector<TensorIndex, bool> gone = drop_unread();
    order_nodes();
    if (sorted_) sort_by_results();
    set_lifetimes();
    remove_tensors(gone);
    builder_.graph_->validate();
    return {std::move(builder_.graph_), std::move(place_of_)};
}

}  // namespace infercost

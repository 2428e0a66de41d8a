#include "core/graph.hpp"

#include <algorithm>
#include <array>

#include "core/errors.hpp"

namespace infercost {
namespace {

constexpr EnumArray<Role, std::string_view> kRoleNames = {"input",    "parameter",  "buffer",
                                                          "constant", "activation", "kv_cache"};

constexpr EnumArray<SizeRole, std::string_view> kSizeRoleNames = {"other",   "batch",   "sequence",
                                                                  "context", "channel", "data"};

[[noreturn]] void invalid(const std::string& what) {
    throw InputError("invalid graph: " + what);
}

// "batch=4, sequence=16".
std::string assigned(const Sizes& sizes) {
    std::string text;
    for (const auto& [name, value] : sizes) {
        text += (text.empty() ? "" : ", ") + name + "=" + std::to_string(value);
    }
    return text.empty() ? "the defaults" : text;
}

}  // namespace

std::string_view name_of(Role role) {
    return kRoleNames[role];
}

Role parse_role(std::string_view name) {
    for (std::size_t i = 0; i < kRoleCount; ++i) {
        if (kRoleNames[i] == name) return static_cast<Role>(i);
    }
    throw InputError("unknown tensor role '" + std::string(name) +
                     "'; expected input, parameter, buffer, constant, activation or kv_cache");
}

std::string_view name_of(SizeRole role) {
    return kSizeRoleNames[role];
}

SizeRole parse_size_role(std::string_view name) {
    for (std::size_t i = 0; i < kSizeRoleCount; ++i) {
        if (kSizeRoleNames[i] == name) return static_cast<SizeRole>(i);
    }
    throw InputError("unknown role '" + std::string(name) +
                     "' of a size; expected batch, sequence, context, channel, data or other");
}

SizeRole role_of_name(std::string_view name) {
    if (name == "seq") return SizeRole::sequence;
    for (const SizeRole role : {SizeRole::batch, SizeRole::sequence, SizeRole::context}) {
        if (name == name_of(role)) return role;
    }
    return may_be_zero(name) ? SizeRole::data : SizeRole::other;
}

std::string_view name_of(Phase phase) {
    return phase == Phase::forward ? "forward" : "backward";
}

Phase parse_phase(std::string_view name) {
    if (name == "forward") return Phase::forward;
    if (name == "backward") return Phase::backward;
    throw InputError("unknown phase '" + std::string(name) + "'; expected forward or backward");
}

std::optional<std::uint32_t> Graph::find_name(std::string_view name) const {
    const auto found = name_ids_.find(name);
    if (found == name_ids_.end()) return std::nullopt;
    return found->second;
}

std::optional<std::string> Graph::size_of_role(SizeRole role) const {
    for (const std::string& name : size_names_) {
        if (sizes_.find(name)->second.role == role) return name;
    }
    return std::nullopt;
}

bool Graph::depends_on_data(std::string_view size) const {
    const auto found = sizes_.find(size);
    return found != sizes_.end() && found->second.role == SizeRole::data;
}

Expr Graph::elements_of(const Tensor& tensor) const {
    Expr elements = 1;
    for (const Dim dim : dims(tensor.shape)) elements = elements * expr(dim);
    return elements;
}

Expr Graph::bytes_of(const Tensor& tensor) const {
    constexpr std::int64_t kBits = 8;
    Expr bits = bits_of(tensor.dtype);
    for (const Dim dim : dims(tensor.shape)) bits = bits * expr(dim);
    return Expr::ceil_div(bits, kBits);
}

NodeIndex Graph::first_backward() const {
    const auto is_forward = [](const Node& node) { return node.phase == Phase::forward; };
    const auto first = std::partition_point(nodes_.begin(), nodes_.end(), is_forward);
    return static_cast<NodeIndex>(first - nodes_.begin());
}

std::vector<Expr> Graph::bind(const Sizes& sizes) const {
    check_sizes(sizes);
    check_guards(sizes);
    const Replacements known = replacements(sizes);
    std::vector<Expr> bound;
    bound.reserve(expressions_.size());
    for (const Expr& e : expressions_) bound.push_back(e.substitute(known));
    return bound;
}

Replacements Graph::replacements(const Sizes& sizes) const {
    Replacements known;
    for (const auto& [name, value] : sizes) known.emplace(name, value);
    for (const std::string& name : size_names_) {
        if (depends_on_data(name) && !known.contains(name)) {
            known.emplace(name, sizes_.find(name)->second.default_value.substitute(known));
        }
    }
    return known;
}

Replacements Graph::size_values(const Sizes& given) const {
    check_sizes(given);
    Sizes known = given;
    for (const std::string& name : size_names_) {
        if (!depends_on_data(name)) {
            known.try_emplace(name, sizes_.find(name)->second.default_value.constant());
        }
    }
    return replacements(known);
}

std::optional<std::int64_t> Graph::limit(const NamedSize& size, const Replacements& known) const {
    if (!size.maximum) return std::nullopt;
    const Expr bound = size.maximum->substitute(known);
    return bound.is_constant() ? std::optional(bound.constant()) : std::nullopt;
}

std::optional<std::string> Graph::wrong_size(const Sizes& sizes) const {
    for (const auto& [name, value] : sizes) {
        if (sizes_.contains(name)) continue;
        std::string known;
        for (const std::string& other : size_names_) known += (known.empty() ? "" : ", ") + other;
        return "unknown size '" + name + "'; " +
               (known.empty() ? "this graph was captured with fixed sizes only (name sizes "
                                "with dynamic= when capturing)"
                              : "this graph has: " + known);
    }
    const Replacements known = replacements(sizes);
    for (const auto& [name, value] : sizes) {
        const NamedSize& size = sizes_.find(name)->second;
        const std::optional<std::int64_t> maximum = limit(size, known);
        if (value >= size.minimum && (!maximum || value <= *maximum)) continue;
        std::string why;
        if (size.maximum && !size.maximum->is_constant()) why = ", which is " + size.maximum->text();
        return "size '" + name + "' is " + std::to_string(value) + "; expected at least " +
               std::to_string(size.minimum) +
               (maximum ? " and at most " + std::to_string(*maximum) + why : "");
    }
    return std::nullopt;
}

std::optional<std::string> Graph::wrong_length(const Sizes& known) const {
    for (const Expr& length : open_lengths_) {
        const std::vector<std::string> names = length.names();
        if (!std::all_of(names.begin(), names.end(),
                         [&](const auto& name) { return known.contains(name); })) {
            continue;
        }
        const std::int64_t value = length.evaluate(known);
        if (value >= 0) continue;
        return "a tensor has length or stride " + length.text() + ", which is " + std::to_string(value) +
               " for " + assigned(known) + "; expected sizes for which it is zero or more";
    }
    return std::nullopt;
}

std::optional<std::string> Graph::broken_guard(const Sizes& sizes) const {
    if (guards_.empty() && open_lengths_.empty()) return std::nullopt;
    Sizes exact;
    Sizes raised;
    for (const auto& [name, value] : replacements(sizes)) {
        if (!value.is_constant()) continue;
        const NamedSize& size = sizes_.find(name)->second;
        const bool truth = size.role == SizeRole::data && size.maximum && *size.maximum == Expr(1);
        exact[name] = value.constant();
        raised[name] = truth ? value.constant() : std::max<std::int64_t>(value.constant(), 2);
    }
    if (auto wrong = wrong_length(exact); wrong || raised.empty()) return wrong;
    for (const Guard& guard : guards_) {
        bool known = true;
        std::optional<std::string> of_data;
        for (const Expr* side : {&guard.left, &guard.right}) {
            for (const std::string& name : side->names()) {
                known = known && raised.contains(name);
                if (depends_on_data(name)) of_data = name;
            }
        }
        if (!known || guard.holds(exact) || guard.holds(raised)) continue;
        return "this graph holds only where " + guard.text() + ", got " + assigned(sizes) +
               "; capture the model again with " +
               (of_data ? "that value of " + *of_data : "an example of that size");
    }
    return std::nullopt;
}

void Graph::check_sizes(const Sizes& sizes) const {
    if (const auto wrong = wrong_size(sizes)) throw InputError(*wrong);
}

void Graph::check_guards(const Sizes& sizes) const {
    if (const auto broken = broken_guard(sizes)) throw InputError(*broken);
}

bool Graph::holds_at(const Sizes& sizes) const {
    return !wrong_size(sizes) && !broken_guard(sizes);
}

void Graph::check_defined(TensorIndex t, const IndexedVector<TensorIndex, bool>& defined,
                          const Node* node) const {
    if (defined[t]) return;
    const std::string where =
        node ? "node " + std::to_string(node - nodes_.data()) + " (" + ops_[node->op].full + ")"
             : "the graph's outputs";
    invalid(where + " uses tensor " + std::to_string(t) + " before any node produces it");
}

// What a node uses is held while it runs.
void Graph::check_held_until() const {
    if (held_until_.empty()) return;
    if (held_until_.size() != tensors_.size()) {
        invalid("held_until has " + std::to_string(held_until_.size()) +
                " entries; expected one for each of " + std::to_string(tensors_.size()) + " tensors");
    }
    const auto count = static_cast<NodeIndex>(nodes_.size());
    for (std::size_t t = 0; t < held_until_.size(); ++t) {
        if (held_until_[t] < kNotObserved || held_until_[t] >= count) {
            invalid("tensor " + std::to_string(t) + " is held until node " + std::to_string(held_until_[t]) +
                    "; the graph has " + std::to_string(count));
        }
    }
    for (NodeIndex i = 0; i < count; ++i) {
        const Node& node = nodes_[i];
        const auto check = [&](std::int64_t t) {
            const NodeIndex until = held_until_[t];
            if (until == kNotObserved || until >= i) return;
            invalid("tensor " + std::to_string(t) + " is held until node " + std::to_string(until) +
                    " but node " + std::to_string(i) + " (" + ops_[node.op].full + ") uses it");
        };
        for_each_input(node, check);
        for (const std::int64_t t : node_outputs(node)) check(t);
    }
}

// Lengths are as a rule products and quotients of sizes, which are proven to be zero or more by their form.
void Graph::find_open_lengths() {
    open_lengths_.clear();
    std::vector<bool> seen(expressions_.size(), false);
    Replacements above_minimum;  // each size as 1 + what it exceeds its minimum by
    for (const auto& [name, size] : sizes_) {
        if (size.minimum > 1) above_minimum.emplace(name, Expr::size(name) + (size.minimum - 1));
    }
    const auto look = [&](Range range) {
        for (const Dim dim : dims(range)) {
            if (dim >= 0) continue;
            const auto at = static_cast<std::size_t>(-dim - 1);
            if (seen[at]) continue;
            seen[at] = true;
            const Expr& length = expressions_[at];
            if (length.is_nonnegative() || length.substitute(above_minimum).is_nonnegative()) continue;
            open_lengths_.push_back(length);
        }
    };
    for (const Tensor& tensor : tensors_) {
        look(tensor.shape);
        look(tensor.strides);
    }
}

void Graph::validate() {
    IndexedVector<TensorIndex, bool> defined(tensors_.size(), false);
    for (std::size_t i = 0; i < tensors_.size(); ++i) defined[i] = tensors_[i].role != Role::activation;
    for (const TensorIndex t : inputs_) {
        if (!defined[t]) {
            invalid("input tensor " + std::to_string(t) + " has role activation; expected input or kv_cache");
        }
    }
    for (const Node& node : nodes_) {
        for_each_input(node, [&](TensorIndex t) { check_defined(t, defined, &node); });
        for (const std::int64_t out : node_outputs(node)) {
            if (defined[out]) {
                // Only an op that returns its own operand (in place, or a no-op) may name a known tensor.
                bool own = false;
                for_each_input(node, [&](TensorIndex t) { own = own || t == out; });
                if (!own) {
                    invalid("node " + std::to_string(&node - nodes_.data()) + " (" + ops_[node.op].full +
                            ") produces tensor " + std::to_string(out) + ", which already exists");
                }
            }
            defined[out] = true;
        }
    }
    for (const TensorIndex t : outputs_) check_defined(t, defined, nullptr);
    check_held_until();
    find_open_lengths();
    for (const Expr& e : expressions_) {
        for (const std::string& name : e.names()) {
            if (!sizes_.contains(name))
                invalid("'" + e.text() + "' uses size '" + name + "', which is not declared");
        }
    }
}

std::shared_ptr<const Graph> Graph::without_lifetimes() const {
    auto copy = std::make_shared<Graph>(*this);
    copy->held_until_.clear();
    return copy;
}

std::string_view name_of(Guard::Relation relation) {
    constexpr EnumArray<Guard::Relation, std::string_view, 6> kNames = {"==", "!=", "<", "<=", ">", ">="};
    return kNames[relation];
}

Guard::Relation parse_relation(std::string_view name) {
    for (int i = 0; i < 6; ++i) {
        if (name_of(static_cast<Guard::Relation>(i)) == name) return static_cast<Guard::Relation>(i);
    }
    throw InputError("unknown relation '" + std::string(name) + "'; expected ==, !=, <, <=, > or >=");
}

bool Guard::holds(const Sizes& sizes) const {
    const std::int64_t a = left.evaluate(sizes);
    const std::int64_t b = right.evaluate(sizes);
    switch (relation) {
        case Relation::equal:
            return a == b;
        case Relation::unequal:
            return a != b;
        case Relation::less:
            return a < b;
        case Relation::less_equal:
            return a <= b;
        case Relation::greater:
            return a > b;
        case Relation::greater_equal:
            return a >= b;
    }
    return false;
}

std::string Guard::text() const {
    return left.text() + " " + std::string(name_of(relation)) + " " + right.text();
}

}  // namespace infercost

// One forward pass as data: tensors, and the op calls that connect them. Built once, validated, immutable.
//
// Everything lies in flat arrays, so that a million nodes are a few hundred megabytes and one pass over
// memory; names are interned.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/dtype.hpp"
#include "core/expr.hpp"
#include "core/indexed.hpp"

namespace infercost {

using TensorIndex = std::int32_t;
using NodeIndex = std::int32_t;
inline constexpr TensorIndex kNoTensor = -1;
inline constexpr NodeIndex kNotObserved = -1;

enum class Role : std::uint8_t { input, parameter, buffer, constant, activation, kv_cache, count_ };
inline constexpr std::size_t kRoleCount = static_cast<std::size_t>(Role::count_);
std::string_view name_of(Role role);
Role parse_role(std::string_view name);

// Which half of a training step a node belongs to. A graph of inference is forward alone.
enum class Phase : std::uint8_t { forward, backward };
std::string_view name_of(Phase phase);
Phase parse_phase(std::string_view name);

// A length: zero or more is itself, below zero points into the graph's table of expressions.
using Dim = std::int64_t;

// A slice of one of the graph's pools.
struct Range {
    std::uint32_t begin;
    std::uint32_t count;
};

struct Tensor {
    DType dtype;
    Role role;
    std::uint32_t name;  // of a parameter, buffer, input or returned cache; 0 (empty) for other activations
    Range shape;         // in dims
    Range strides;       // in dims, in elements
    // Elements of the user's weight that are stored in it: of a packed weight more than it has, of a scale 0.
    // Below zero: its own number.
    std::int64_t logical_numel = -1;
    // Of a view that alone keeps a larger storage alive: the elements of that. Below zero: no more than its
    // own.
    std::int64_t storage_elements = -1;
};

enum class ArgKind : std::uint8_t {
    none,
    tensor,           // value: tensor index
    integer,          // value
    expression,       // value: Dim
    boolean,          // value
    real,             // real
    text,             // value: name id
    tensor_list,      // range in integers, -1 for an absent optional tensor
    integer_list,     // range in integers
    expression_list,  // range in integers, each a Dim
    real_list         // range in reals
};

struct Argument {
    std::uint32_t name = 0;
    ArgKind kind = ArgKind::none;
    union {
        std::int64_t value = 0;
        double real;
        Range range;
    };
};

struct Node {
    std::uint32_t op;      // index into the table of distinct ops
    std::uint32_t module;  // name id
    std::uint32_t source;  // name id
    Range arguments;
    Range outputs;  // in integers
    Phase phase = Phase::forward;
};

// "aten.conv2d.default" taken apart once per distinct op.
struct OpName {
    std::string full;      // aten.conv2d.default
    std::string name;      // aten.conv2d
    std::string overload;  // default
};

// The value of an argument, independent of a graph's tables.
using ArgumentValue = std::variant<std::monostate, TensorIndex, Expr, bool, double, std::string,
                                   std::vector<TensorIndex>,  // kNoTensor for an absent optional tensor
                                   std::vector<Expr>, std::vector<double>>;

struct NamedArgument {
    std::string name;
    ArgumentValue value;
};

// What a named size counts. The value of a size of role `data` follows from values in a forward ("boxes that
// non-maximum suppression keeps").
enum class SizeRole : std::uint8_t { other, batch, sequence, context, channel, data, count_ };
inline constexpr std::size_t kSizeRoleCount = static_cast<std::size_t>(SizeRole::count_);
std::string_view name_of(SizeRole role);
SizeRole parse_size_role(std::string_view name);
// The role of a size that is declared without one: "batch", "sequence" (or "seq") and "context" have the role
// of that name, a name with a dot has `data`, and all others have `other`.
SizeRole role_of_name(std::string_view name);

struct NamedSize {
    Expr default_value = 1;  // both in sizes that were declared before
    std::int64_t minimum = 1;
    std::optional<Expr> maximum;
    std::string origin;  // of a size of role `data`: what it is the length of, and why this default
    SizeRole role = SizeRole::other;
};

// A condition on sizes that the captured forward took for granted.
struct Guard {
    enum class Relation : std::uint8_t { equal, unequal, less, less_equal, greater, greater_equal };
    Expr left;
    Relation relation;
    Expr right;

    bool holds(const Sizes& sizes) const;
    std::string text() const;
};
std::string_view name_of(Guard::Relation relation);
Guard::Relation parse_relation(std::string_view name);

// Numbers of texts, looked up without a copy of the text.
struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using TextIds = std::unordered_map<std::string, std::uint32_t, TextHash, std::equal_to<>>;

class GraphBuilder;
class GraphRewriter;

// What another room keeps with a graph as long as it lives (deploy/derived_graphs.hpp).
class GraphNotes {
  public:
    virtual ~GraphNotes() = default;
};

// The notes of a graph; a copy of the graph starts without.
struct NotesSlot {
    NotesSlot() = default;
    NotesSlot(const NotesSlot& /*other*/) {}
    NotesSlot& operator=(const NotesSlot& /*other*/) { return *this; }
    ~NotesSlot() = default;

    std::unique_ptr<GraphNotes> notes;
};

class Graph {
  public:
    const std::string& model() const { return model_; }
    const std::map<std::string, NamedSize, std::less<>>& sizes() const { return sizes_; }
    // Names of sizes in the order of their declaration.
    std::span<const std::string> size_names() const { return size_names_; }
    // The first size of a role in the order of declaration; a graph has at most one of role `batch`.
    std::optional<std::string> size_of_role(SizeRole role) const;
    // Whether a size has role `data`; false for a name that is no size.
    bool depends_on_data(std::string_view size) const;
    IndexedSpan<TensorIndex, const Tensor> tensors() const { return tensors_; }
    IndexedSpan<NodeIndex, const Node> nodes() const { return nodes_; }
    std::span<const OpName> ops() const { return ops_; }
    std::span<const TensorIndex> inputs() const { return inputs_; }
    std::span<const TensorIndex> outputs() const { return outputs_; }
    std::span<const Expr> expressions() const { return expressions_; }
    std::span<const Guard> guards() const { return guards_; }
    // Lengths and strides of tensors that are below zero for some sizes in range ("h - 2"): check_guards()
    // and evaluation refuse such sizes.
    std::span<const Expr> open_lengths() const { return open_lengths_; }
    // For each tensor the last node that runs while something holds it, as the captured forward showed it, or
    // kNotObserved. Empty where nothing was observed.
    IndexedSpan<TensorIndex, const NodeIndex> held_until() const { return held_until_; }
    const std::string& name(std::uint32_t id) const { return names_[id]; }
    std::optional<std::uint32_t> find_name(std::string_view name) const;

    std::span<const Dim> dims(Range range) const { return {dims_.data() + range.begin, range.count}; }
    Dim dim(Range range, std::integral auto i) const {
        return IndexedSpan<std::int64_t, const Dim>(dims(range))[i];
    }
    Expr expr(Dim dim) const { return dim >= 0 ? Expr(dim) : expressions_[-dim - 1]; }
    Expr elements_of(const Tensor& tensor) const;
    Expr bytes_of(const Tensor& tensor) const;
    std::span<const Argument> arguments(const Node& node) const {
        return {arguments_.data() + node.arguments.begin, node.arguments.count};
    }
    std::span<const std::int64_t> integers(Range range) const {
        return {integers_.data() + range.begin, range.count};
    }
    std::span<const double> reals(Range range) const { return {reals_.data() + range.begin, range.count}; }
    std::span<const std::int64_t> node_outputs(const Node& node) const { return integers(node.outputs); }

    // Every tensor that a node reads, in argument order; lists are flattened, absent ones skipped.
    template <class Visit>
    void for_each_input(const Node& node, Visit&& visit) const {
        for (const Argument& argument : arguments(node)) {
            if (argument.kind == ArgKind::tensor) visit(static_cast<TensorIndex>(argument.value));
            if (argument.kind != ArgKind::tensor_list) continue;
            for (const std::int64_t t : integers(argument.range)) {
                if (t != kNoTensor) visit(static_cast<TensorIndex>(t));
            }
        }
    }

    // The same graph without what was observed of lifetimes, as an export has it.
    std::shared_ptr<const Graph> without_lifetimes() const;
    // The table of expressions with some or all sizes replaced by values. A size that depends on data and is
    // not given is replaced by its default.
    std::vector<Expr> bind(const Sizes& sizes) const;
    // What bind puts in the place of each name: the given values, and defaults of sizes that depend on data.
    Replacements replacements(const Sizes& sizes) const;
    // A value for every size: those given, and defaults for the others. An expression where the default of a
    // size that depends on data needs a size without a value. Throws as check_sizes does.
    Replacements size_values(const Sizes& given) const;
    // Throws InputError for a name the graph does not have or a value outside its range.
    void check_sizes(const Sizes& sizes) const;
    // Throws InputError where the captured forward would have gone another way. Guards over sizes
    // that are not given are not checked. A size of 1 may count as 2: torch guards against broadcasting at
    // every turn, and the work of a forward does not change with it. So does a size of 0, except of a truth
    // value. Also throws if a length of a tensor is below zero.
    void check_guards(const Sizes& sizes) const;
    // The first node of the backward pass, which follows the forward; the number of nodes without one.
    NodeIndex first_backward() const;
    // Whether the graph is of a training step.
    bool trains() const { return first_backward() < static_cast<NodeIndex>(nodes_.size()); }
    // Empty until the room that keeps notes sets them. Changes under fork_safe_mutex().
    std::unique_ptr<GraphNotes>& notes() const { return notes_.notes; }
    // Whether neither of the two throws.
    bool holds_at(const Sizes& sizes) const;

  private:
    friend class GraphBuilder;
    friend class GraphRewriter;
    // Called once, when the graph is complete.
    void validate();
    void find_open_lengths();
    // What is wrong with sizes, if anything is.
    std::optional<std::string> wrong_size(const Sizes& sizes) const;
    std::optional<std::string> wrong_length(const Sizes& known) const;
    std::optional<std::string> broken_guard(const Sizes& sizes) const;
    void check_held_until() const;
    std::optional<std::int64_t> limit(const NamedSize& size, const Replacements& known) const;
    void check_defined(TensorIndex t, const IndexedVector<TensorIndex, bool>& defined,
                       const Node* node) const;

    std::string model_;
    std::map<std::string, NamedSize, std::less<>> sizes_;
    std::vector<std::string> size_names_;
    IndexedVector<TensorIndex, Tensor> tensors_;
    IndexedVector<NodeIndex, Node> nodes_;
    std::vector<OpName> ops_;
    std::vector<Argument> arguments_;
    std::vector<Dim> dims_;
    std::vector<std::int64_t> integers_;
    std::vector<double> reals_;
    IndexedVector<Dim, Expr> expressions_;
    std::vector<Guard> guards_;
    std::vector<Expr> open_lengths_;  // follows from the tensors
    std::vector<std::string> names_;
    TextIds name_ids_;
    std::vector<TensorIndex> inputs_;
    std::vector<TensorIndex> outputs_;
    IndexedVector<TensorIndex, NodeIndex> held_until_;
    mutable NotesSlot notes_;
};

// The only way to make a Graph. Not thread-safe; build() may be called once.
class GraphBuilder {
  public:
    explicit GraphBuilder(std::string model = "");

    Expr add_size(const std::string& name, NamedSize size);
    void add_guard(Guard guard);
    TensorIndex add_tensor(DType dtype, std::span<const Expr> shape,
                           std::optional<std::span<const Expr>> strides, Role role, std::string_view name,
                           std::optional<std::int64_t> logical_numel = std::nullopt,
                           std::optional<std::int64_t> storage_elements = std::nullopt);

    // One node: begin, any number of arguments, end.
    void begin_node(std::string_view op, std::string_view module, std::string_view source,
                    Phase phase = Phase::forward);
    void argument(std::string_view name, const ArgumentValue& value);
    void argument_none(std::string_view name);
    void argument_tensor(std::string_view name, TensorIndex tensor);
    void argument_integer(std::string_view name, const Expr& value);
    void argument_boolean(std::string_view name, bool value);
    void argument_real(std::string_view name, double value);
    void argument_text(std::string_view name, std::string_view value);
    void argument_tensors(std::string_view name, std::span<const TensorIndex> tensors);
    void argument_integers(std::string_view name, std::span<const Expr> values);
    void argument_reals(std::string_view name, std::span<const double> values);
    NodeIndex end_node(std::span<const TensorIndex> outputs);

    // `held_until` is empty, or has an entry for each tensor (see Graph::held_until).
    std::shared_ptr<const Graph> build(std::span<const TensorIndex> inputs,
                                       std::span<const TensorIndex> outputs,
                                       std::vector<NodeIndex> held_until = {});

    const Graph& graph() const { return *graph_; }

  private:
    friend class GraphRewriter;
    explicit GraphBuilder(const Graph& start);  // goes on from a copy
    void require_open() const;
    std::uint32_t intern(std::string_view name);
    // The same for a path of modules, whose length is limited; `what` names it in messages.
    std::uint32_t intern_path(std::string_view path, const char* what);
    std::uint32_t intern_op(std::string_view op);
    Dim dim_of(const Expr& value);
    Argument& push(std::string_view name, ArgKind kind);
    Range push_dims(std::span<const Expr> values);
    Range push_strides_of(std::span<const Expr> shape);
    void set_integers(Argument& argument, std::span<const Expr> values);
    void check_role(const std::string& name, const NamedSize& size) const;
    void check_operands(const Node& node, std::size_t number) const;

    std::shared_ptr<Graph> graph_;
    TextIds op_ids_;
    std::unordered_map<std::string, Dim> expression_ids_;
    std::size_t indexed_expressions_ = 0;  // of the table, that are in expression_ids_
    Node node_{};
};

}  // namespace infercost

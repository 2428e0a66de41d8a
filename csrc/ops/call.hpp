// A node as input of a rule: its arguments by name, its shapes with bound sizes, its dtypes in a precision.
#pragma once

#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/errors.hpp"
#include "core/graph.hpp"
#include "ops/list.hpp"
#include "ops/precision.hpp"
#include "ops/work.hpp"

namespace infercost {

// The storage of every tensor: views and in-place results share the storage of their operand.
class Storage {
  public:
    explicit Storage(const Graph& graph) : root_(graph.tensors().size()) {
        for (std::size_t i = 0; i < root_.size(); ++i) root_[i] = static_cast<TensorIndex>(i);
    }
    TensorIndex root(TensorIndex t) const { return root_[t]; }
    void alias(TensorIndex view, TensorIndex base) { root_[view] = root(base); }

  private:
    List<TensorIndex> root_;
};

struct OpRule;
// The row of each distinct op of a graph, or nullptr.
std::vector<const OpRule*> rules_of(const Graph& graph);

// State of one pass over a graph, shared by all nodes.
struct Pass {
    const Graph& graph;
    Sizes sizes;
    IndexedVector<Dim, Expr> expressions;  // the graph's expressions, with bound sizes
    Precision precision;
    Storage storage;
    std::vector<const OpRule*> rules;  // by op

    Pass(const Graph& g, const Sizes& s, Precision p)
        : graph(g), sizes(s), expressions(g.bind(s)), precision(p), storage(g), rules(rules_of(g)) {}
    Expr expr(Dim dim) const { return dim >= 0 ? Expr(dim) : expressions[-dim - 1]; }
};

// all / part: the elements that lie beside each of `part`. Lengths of 0 are legal, and nothing lies beside
// nothing.
inline Expr ratio(const Expr& all, const Expr& part) {
    return part == Expr(0) ? Expr(0) : all / part;
}

// An error that names its node.
struct NodeError : InputError {
    using InputError::InputError;
};
struct NodeOverflowError : OverflowError {
    using OverflowError::OverflowError;
};

class Call {
  public:
    Call(const Pass& pass, const Node& node) : pass_(pass), node_(node) {}

    const Graph& graph() const { return pass_.graph; }
    const Precision& precision() const { return pass_.precision; }
    const Node& node() const { return node_; }
    const OpName& op() const { return graph().ops()[node_.op]; }
    const OpRule* rule() const { return pass_.rules[static_cast<std::size_t>(node_.op)]; }

    // Arguments by schema name. An absent argument and None are equivalent: both mean the schema's default.
    const Argument* find(std::string_view name) const;
    TensorIndex tensor(std::string_view name) const;  // kNoTensor if absent
    TensorIndex require_tensor(
        std::string_view name) const;  // throws if absent, naming the op and the argument
    Expr integer(std::string_view name, std::int64_t otherwise) const;
    bool flag(std::string_view name, bool otherwise) const;
    std::string_view text(std::string_view name) const;
    bool has(std::string_view name) const { return find(name) != nullptr; }
    List<Expr> integers(std::string_view name) const;  // a single integer is a list of one
    List<TensorIndex> tensors(std::string_view name) const;
    // True for "relu_" and "__iand__", false for "__and__".
    bool in_place() const {
        const std::string_view name = op().name;
        return name.ends_with("__") ? name.find(".__i") != std::string_view::npos : name.ends_with('_');
    }

    // Operands in argument order, and results. Views are views of the first operand.
    TensorIndex first_operand() const;
    template <class Visit>
    void for_each_input(Visit&& visit) const {
        graph().for_each_input(node_, visit);
    }
    std::size_t output_count() const { return node_.outputs.count; }
    TensorIndex output(std::size_t i = 0) const;

    int rank(TensorIndex t) const { return static_cast<int>(at(t).shape.count); }
    Expr dim(TensorIndex t, int axis) const;  // axis may be negative
    List<Expr> shape(TensorIndex t) const { return bound(at(t).shape); }
    List<Expr> strides(TensorIndex t) const { return bound(at(t).strides); }
    Expr numel(TensorIndex t) const;
    // Elements in memory: an expanded dimension (stride 0) counts as one element.
    Expr distinct(TensorIndex t) const;
    DType stored_dtype(TensorIndex t) const;  // the captured dtype, converted by the precision
    Expr bytes(TensorIndex t) const { return bytes(t, distinct(t)); }
    Expr bytes(TensorIndex t, const Expr& elements) const;
    Expr storage_bytes(TensorIndex t) const;  // bytes that are freed with the storage
    // Bytes of a parameter in this precision: matrices at operand width, vectors at storage width.
    Expr weight_bytes(TensorIndex t) const;
    TensorIndex root(TensorIndex t) const { return pass_.storage.root(t); }
    Traffic traffic(TensorIndex t) const;  // by the role of its storage, and its dtype
    bool is_contiguous(TensorIndex t) const;
    bool same_shape(TensorIndex a, TensorIndex b) const;

    void read(Work& work, TensorIndex t) const { read(work, t, distinct(t)); }
    void read(Work& work, TensorIndex t, const Expr& elements) const;
    // Read an operand of a contraction, at the width of the precision.
    void read_operand(Work& work, TensorIndex t) const { read_operand(work, t, distinct(t)); }
    void read_operand(Work& work, TensorIndex t, const Expr& elements) const;
    DType operand_dtype(TensorIndex t) const { return pass_.precision.operand_of(at(t).dtype); }
    DType engine_dtype(TensorIndex t) const { return pass_.precision.engine_of(at(t).dtype); }
    void write(Work& work, TensorIndex t) const { write(work, t, distinct(t)); }
    void write(Work& work, TensorIndex t, const Expr& elements) const;

    // Throws NodeError: "node 3 (aten.linear.default in 'head') <what>".
    [[noreturn]] void fail(const std::string& what) const;
    // Throws NodeError for a quantity that is a number below zero.
    void require_nonnegative(const Expr& quantity) const {
        if (!quantity.is_constant() || quantity.constant() >= 0) return;
        fail("asks for a negative quantity (" + quantity.text() +
             "); expected arguments that give zero or more");
    }
    // Runs a rule, or what else reads a node; its errors of input and overflow name the node.
    template <class Run>
    decltype(auto) within(Run&& run) const {
        try {
            return run();
        } catch (const NodeError&) {
            throw;
        } catch (const NodeOverflowError&) {
            throw;
        } catch (const OverflowError& error) {
            throw NodeOverflowError(text() + ": " + error.what());
        } catch (const std::invalid_argument& error) {
            fail(std::string("cannot be read: ") + error.what());
        } catch (const std::out_of_range&) {  // of a standard container
            fail("has arguments or operands that its operator does not take");
        }
    }

  private:
    std::string text() const;
    const Tensor& at(TensorIndex t) const {
        if (t < 0) fail("has no tensor where its operator needs one; expected an operand instead of null");
        return graph().tensors()[t];
    }
    List<Expr> bound(Range range) const;

    const Pass& pass_;
    const Node& node_;
};

}  // namespace infercost

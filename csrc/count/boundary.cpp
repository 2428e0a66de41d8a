#include "count/boundary.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include "count/count.hpp"

namespace infercost {
namespace {

constexpr int kSequenceRank = 2;  // dimensions of ids: batch, sequence
constexpr int kKeyRank = 3;       // minimum dimensions of keys and values: batch, position, element

// Tracks the contents of tensors through views and copies, in one pass in node order.
class Followed {
  public:
    explicit Followed(const Graph& graph)
        : origin_(graph.tensors().size()), kept_(graph.tensors().size(), false) {
        for (std::size_t i = 0; i < origin_.size(); ++i) origin_[i] = static_cast<TensorIndex>(i);
    }

    // The tensor that first held the contents.
    TensorIndex origin(const Pass& pass, TensorIndex t) const { return origin_[at(pass.storage.root(t))]; }
    // Whether an attention reads it as keys or values.
    bool kept(const Pass& pass, TensorIndex t) const { return kept_[at(origin(pass, t))]; }

    void visit(const Call& call, const Work& work, const Pass& pass) {
        if (work.kind == WorkKind::copy) {
            std::set<TensorIndex> from;
            call.for_each_input([&](TensorIndex t) { from.insert(origin(pass, t)); });
            if (from.size() != 1) return;
            for (const std::int64_t t : pass.graph.node_outputs(call.node())) {
                origin_[at(pass.storage.root(static_cast<TensorIndex>(t)))] = *from.begin();
            }
        } else if (work.kind == WorkKind::attention || work.kind == WorkKind::gemm) {
            std::vector<TensorIndex> operands;
            call.for_each_input([&](TensorIndex t) { operands.push_back(t); });
            // Queries and scores precede keys and values: of a product, only the last operand.
            const std::size_t first = work.kind == WorkKind::attention ? 1 : operands.size() - 1;
            for (std::size_t i = std::max<std::size_t>(1, first); i < operands.size(); ++i) {
                kept_[at(origin(pass, operands[i]))] = true;
            }
        }
    }

  private:
    static std::size_t at(TensorIndex t) { return static_cast<std::size_t>(t); }
    std::vector<TensorIndex> origin_;  // origin of the contents of a storage, at the index of its root
    std::vector<bool> kept_;
};

// Finds the inputs that index the largest embedding table.
class Lookups {
  public:
    void visit(const Call& call, const Followed& followed, const Pass& pass) {
        const TensorIndex ids = followed.origin(pass, call.require_tensor("indices"));
        const Tensor& tensor = pass.graph.tensors()[static_cast<std::size_t>(ids)];
        if (tensor.role != Role::input || call.rank(ids) < kSequenceRank) return;
        const Expr rows = call.dim(call.require_tensor("weight"), 0);
        if (!rows.is_constant() || rows.constant() < rows_) return;
        if (rows.constant() > rows_) ids_.clear();
        rows_ = rows.constant();
        ids_.insert(ids);
    }
    const std::set<TensorIndex>& ids() const { return ids_; }

  private:
    std::int64_t rows_ = 0;
    std::set<TensorIndex> ids_;
};

bool hands_over(Role role) {
    return role == Role::activation || role == Role::constant;
}

}  // namespace

Boundary boundary_of(const std::shared_ptr<const Graph>& graph, const Precision& precision) {
    Boundary boundary;
    Analyzer analyzer(graph, {}, precision);
    const Pass& pass = analyzer.pass();
    Followed followed(*graph);
    Lookups lookups;
    Work work;
    Expr cached_bytes;  // written into caches in place
    for (NodeIndex i = 0; i < static_cast<NodeIndex>(graph->nodes().size()); ++i) {
        analyzer.analyze(i, work);
        cached_bytes += work.written[static_cast<std::size_t>(Traffic::kv_cache)];
        const Call call(pass, graph->nodes()[static_cast<std::size_t>(i)]);
        followed.visit(call, work, pass);
        if (call.op().name == "aten.embedding") lookups.visit(call, followed, pass);
    }

    const Node none{};
    const Call captured(pass, none);
    CountRow stored;
    for (std::size_t t = 0; t < graph->tensors().size(); ++t) {
        stored.add_stored(captured, static_cast<TensorIndex>(t));
    }
    boundary.weight_bytes = stored.parameter_bytes + stored.buffer_bytes;

    // Sizes stay open: a size that depends on data may be given later.
    Pass open(*graph, {}, precision);
    open.expressions.assign(graph->expressions().begin(), graph->expressions().end());
    const Call any(open, none);
    for (const TensorIndex t : graph->inputs()) {
        if (graph->tensors()[static_cast<std::size_t>(t)].role != Role::input) continue;
        ++boundary.input_tensors;
        boundary.input_bytes += any.bytes(t, any.numel(t));
    }
    const auto role_of = [&](TensorIndex t) { return graph->tensors()[static_cast<std::size_t>(t)].role; };
    const std::set<TensorIndex> results(graph->outputs().begin(), graph->outputs().end());
    const auto is_cache = [&](TensorIndex t) {
        return role_of(t) == Role::kv_cache && any.rank(t) >= kKeyRank;
    };
    std::set<TensorIndex> returned;  // keys and values, each storage once
    for (const TensorIndex t : results) {
        const TensorIndex root = pass.storage.root(t);
        if (is_cache(root)) returned.insert(root);
        if (!hands_over(role_of(root))) continue;
        if (any.rank(t) >= kKeyRank && followed.kept(pass, t)) {
            returned.insert(t);
            continue;
        }
        ++boundary.output_tensors;
        boundary.output_bytes += any.bytes(t, any.numel(t));
    }
    std::set<TensorIndex> given;
    for (const TensorIndex t : graph->inputs()) {
        if (is_cache(t)) given.insert(t);
    }
    const auto bytes_of = [&](const std::set<TensorIndex>& tensors) {
        Expr bytes;
        for (const TensorIndex t : tensors) bytes += any.bytes(t, any.numel(t));
        return bytes;
    };
    if (!returned.empty() || !given.empty()) {
        boundary.kv_cache_bytes = bytes_of(returned.empty() ? given : returned);
        boundary.kv_cache_growth_bytes = cached_bytes;
        if (!returned.empty()) boundary.kv_cache_growth_bytes += bytes_of(returned) - bytes_of(given);
    }
    for (const TensorIndex t : lookups.ids()) {
        boundary.tokens = boundary.tokens.value_or(Expr(0)) + any.numel(t);
    }
    return boundary;
}

}  // namespace infercost

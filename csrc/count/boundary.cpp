#include "count/boundary.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "count/count.hpp"
#include "count/memory.hpp"
#include "lowering/workspace.hpp"

namespace infercost {
namespace {

constexpr int kSequenceRank = 2;  // dimensions of ids: batch, sequence
constexpr int kStateRank = 2;     // minimum dimensions of a cache: batch, element
constexpr int kKeyRank = 3;       // minimum dimensions of keys and values: batch, position, element
constexpr int kHeadsRank = 4;     // dimensions of keys with heads: batch, head, position, element

constexpr EnumArray<CacheKind, std::string_view, 5> kCacheKinds = {"full", "sliding", "latent", "cross",
                                                                   "state"};

// Prefix of the names of caches among inputs and results.
constexpr std::string_view kCacheName = "past_key_value";

// Ops that change the format of a cache and not its contents.
bool is_conversion(std::string_view op) {
    return op == "aten._to_copy" || op == "pyinfercost.quantize_rows" ||
           op.starts_with("quantized_decomposed.dequantize");
}

// Tracks the contents of tensors through views and copies, in one pass in node order.
class Followed {
  public:
    explicit Followed(const Graph& graph)
        : origin_(graph.tensors().size()),
          kept_(graph.tensors().size(), false),
          cache_(graph.tensors().size(), kNoTensor) {
        for (std::size_t i = 0; i < origin_.size(); ++i) {
            origin_[i] = static_cast<TensorIndex>(i);
            if (graph.tensors()[i].role == Role::kv_cache) cache_[i] = origin_[i];
        }
    }

    // The tensor that first held the contents.
    TensorIndex origin(const Pass& pass, TensorIndex t) const { return origin_[pass.storage.root(t)]; }
    // Whether an attention reads it, or the cache that it continues, as keys or values.
    bool kept(const Pass& pass, TensorIndex t) const {
        const TensorIndex given = cache(pass, t);
        return kept_[origin(pass, t)] || (given != kNoTensor && kept_[given]);
    }
    // The given cache whose contents it holds, alone or with others; kNoTensor if there is none.
    TensorIndex cache(const Pass& pass, TensorIndex t) const { return cache_[pass.storage.root(t)]; }

    void visit(const Call& call, const Work& work, const Pass& pass) {
        if (work.kind == WorkKind::copy || is_conversion(call.op().name)) {
            std::set<TensorIndex> from;
            std::set<TensorIndex> caches;
            call.for_each_input([&](TensorIndex t) {
                from.insert(origin(pass, t));
                if (const TensorIndex given = cache(pass, t); given != kNoTensor) caches.insert(given);
            });
            for (const std::int64_t t : pass.graph.node_outputs(call.node())) {
                const TensorIndex root = pass.storage.root(static_cast<TensorIndex>(t));
                if (from.size() == 1) origin_[root] = *from.begin();
                // What is copied into a part of another tensor does not continue the cache.
                const bool whole = caches.size() == 1 && !call.in_place();
                if (whole && cache_[root] == kNoTensor) cache_[root] = *caches.begin();
            }
        } else if (work.kind == WorkKind::attention || work.kind == WorkKind::gemm) {
            std::vector<TensorIndex> operands;
            call.for_each_input([&](TensorIndex t) { operands.push_back(t); });
            // Queries and scores precede keys and values: of a product, only the last operand.
            const std::size_t first = work.kind == WorkKind::attention ? 1 : operands.size() - 1;
            for (std::size_t i = std::max<std::size_t>(1, first); i < operands.size(); ++i) {
                kept_[origin(pass, operands[i])] = true;
                if (const TensorIndex given = cache(pass, operands[i]); given != kNoTensor) {
                    kept_[given] = true;
                }
            }
        }
    }

  private:
    IndexedVector<TensorIndex, TensorIndex>
        origin_;  // origin of the contents of a storage, at the index of its root
    IndexedVector<TensorIndex, bool> kept_;
    IndexedVector<TensorIndex, TensorIndex> cache_;  // at the index of a root
};

// Finds the inputs that index the largest embedding table.
class Lookups {
  public:
    void visit(const Call& call, const Followed& followed, const Pass& pass) {
        const TensorIndex ids = followed.origin(pass, call.require_tensor("indices"));
        const Tensor& tensor = pass.graph.tensors()[ids];
        if (tensor.role != Role::input || call.rank(ids) < kSequenceRank) return;
        const Expr rows = call.dim(call.require_tensor("weight"), 0);
        if (!rows.is_constant() || rows.constant() < rows_) return;
        if (rows.constant() > rows_) ids_.clear();
        rows_ = rows.constant();
        ids_.insert(ids);
    }
    const std::set<TensorIndex>& ids() const { return ids_; }
    std::int64_t rows() const { return rows_; }

  private:
    std::int64_t rows_ = 0;
    std::set<TensorIndex> ids_;
};

bool hands_over(Role role) {
    return role == Role::activation || role == Role::constant;
}

// Finds the caches that a forward leaves, and pairs them with those that it was given.
class Caches {
  public:
    Caches(const Call& any, const Pass& pass, const Followed& followed, const std::set<TensorIndex>& ids,
           const IndexedVector<TensorIndex, bool>& written)
        : any_(any), pass_(pass), graph_(pass.graph), followed_(followed), written_(written) {
        for (const TensorIndex t : ids) lengths_.push_back(any.dim(t, 1));
        for (const TensorIndex t : graph_.inputs()) {
            note_window(t);
            if (role_of(t) == Role::kv_cache && holds_elements(t)) given_.push_back(t);
        }
        std::set<TensorIndex> seen;
        for (const TensorIndex t : graph_.outputs()) {
            note_window(t);
            const TensorIndex root = pass_.storage.root(t);
            const bool stays = role_of(root) == Role::kv_cache;
            if (!stays && !is_new(t)) continue;
            const TensorIndex held = stays ? root : t;
            if (holds_elements(held) && seen.insert(held).second) returned_.push_back(held);
        }
    }

    bool reads() const { return !given_.empty(); }
    bool is_returned(TensorIndex t) const {
        return std::find(returned_.begin(), returned_.end(), t) != returned_.end();
    }

    std::vector<Cache> all() const {
        std::vector<Cache> found;
        if (returned_.empty()) {
            for (const TensorIndex t : given_) found.push_back(cache_of(t, t));
            return found;
        }
        const std::vector<TensorIndex> before = pairs();
        for (std::size_t i = 0; i < returned_.size(); ++i) {
            found.push_back(cache_of(returned_[i], before[i]));
        }
        return found;
    }

  private:
    const Tensor& tensor(TensorIndex t) const { return graph_.tensors()[t]; }
    Role role_of(TensorIndex t) const { return tensor(t).role; }
    std::string_view name(TensorIndex t) const { return graph_.name(tensor(t).name); }

    // Counters and indices of a cache object are none of its contents.
    bool holds_elements(TensorIndex t) const {
        const DType dtype = tensor(t).dtype;
        return any_.rank(t) >= kStateRank && dtype != DType::int64 && dtype != DType::int32 &&
               dtype != DType::boolean;
    }
    // A result that the forward made: one that its source names as a cache, that holds the contents of a
    // given one, or that an attention reads as keys or values.
    bool is_new(TensorIndex t) const {
        if (!hands_over(role_of(pass_.storage.root(t)))) return false;
        if (name(t).starts_with(kCacheName)) return true;
        return any_.rank(t) >= kKeyRank &&
               (followed_.cache(pass_, t) != kNoTensor || followed_.kept(pass_, t));
    }
    // Layers whose cache object has a window, by the beginning of the names of their tensors.
    void note_window(TensorIndex t) {
        const std::string_view text = name(t);
        if (const std::size_t end = text.find("_sliding"); end != std::string_view::npos) {
            windows_.insert(std::string(text.substr(0, end)));
        }
    }
    bool has_window(std::string_view text) const {
        const std::size_t end = text.rfind('_');
        return end != std::string_view::npos && windows_.contains(std::string(text.substr(0, end)));
    }

    // The given cache of each returned one: the one whose contents it holds, else the next one in order.
    std::vector<TensorIndex> pairs() const {
        std::vector<TensorIndex> before(returned_.size(), kNoTensor);
        std::set<TensorIndex> taken;
        for (std::size_t i = 0; i < returned_.size(); ++i) {
            const TensorIndex given = followed_.cache(pass_, returned_[i]);
            if (given != kNoTensor && taken.insert(given).second) before[i] = given;
        }
        std::vector<TensorIndex> left;
        std::copy_if(given_.begin(), given_.end(), std::back_inserter(left),
                     [&](TensorIndex t) { return !taken.contains(t); });
        if (std::count(before.begin(), before.end(), kNoTensor) != std::ssize(left)) return before;
        auto next = left.begin();
        for (TensorIndex& given : before) {
            if (given == kNoTensor) given = *next++;
        }
        return before;
    }

    // The axis of tokens: the one that differs from the given cache, the one as long as the ids, or the one
    // before the elements.
    int position_axis(TensorIndex held, TensorIndex given) const {
        const int rank = any_.rank(held);
        const int usual = std::max(rank - 2, 0);
        if (given != kNoTensor) {
            if (any_.rank(given) != rank) return usual;
            for (int axis = rank - 1; axis > 0; --axis) {
                if (!(any_.dim(held, axis) == any_.dim(given, axis))) return axis;
            }
            return usual;
        }
        if (is_length(any_.dim(held, usual))) return usual;
        for (int axis = rank - 1; axis > 0; --axis) {
            if (is_length(any_.dim(held, axis))) return axis;
        }
        return usual;
    }
    bool is_length(const Expr& dim) const {
        return std::find(lengths_.begin(), lengths_.end(), dim) != lengths_.end();
    }

    Cache cache_of(TensorIndex held, TensorIndex given) const {
        Cache cache;
        const int axis = position_axis(held, given);
        cache.name = name(held).empty() && given != kNoTensor ? name(given) : name(held);
        cache.tensor = held;
        cache.bytes = any_.bytes(held, any_.numel(held));
        cache.positions = any_.dim(held, axis);
        bool longer = true;  // than the given one
        if (given == kNoTensor) {
            cache.grows = lengths_.empty() || is_length(cache.positions) || is_whole(cache);
        } else {
            longer = !(cache.bytes == any_.bytes(given, any_.numel(given)));
            cache.grows = longer || written_[given];
        }
        cache.kind = kind_of(cache, held, given, longer);
        const bool of_tokens = cache.kind != CacheKind::state;
        cache.grows = cache.grows && of_tokens && cache.kind != CacheKind::cross;
        if (!of_tokens) cache.positions = Expr();
        cache.added = added(cache);
        Expr of_sequence(1);
        Expr of_token(of_tokens ? 1 : 0);
        for (int each = 1; each < any_.rank(held); ++each) {
            of_sequence *= any_.dim(held, each);
            if (each != axis) of_token *= any_.dim(held, each);
        }
        cache.sequence_bytes = any_.bytes(held, of_sequence);
        cache.token_bytes = any_.bytes(held, of_token);
        return cache;
    }

    // What a window holds is compared with what it holds of one token less: a window that is not yet full has
    // no graph of its own.
    Expr added(const Cache& cache) const {
        if (cache.kind != CacheKind::sliding || !cache.grows) return cache.grows ? 1 : 0;
        Replacements shorter;
        for (const SizeRole role : {SizeRole::context, SizeRole::sequence}) {
            const std::optional<std::string> size = graph_.size_of_role(role);
            if (size) shorter.emplace(*size, Expr::size(*size) - 1);
        }
        return cache.positions.is_constant() ? 1 : cache.positions - cache.positions.substitute(shorter);
    }

    // Whether a named cache without a window holds at least the tokens of the ids: those of images come on
    // top.
    bool is_whole(const Cache& cache) const {
        if (cache.name.empty() || has_window(cache.name)) return false;
        return std::any_of(lengths_.begin(), lengths_.end(),
                           [&](const Expr& length) { return (cache.positions - length).is_nonnegative(); });
    }

    CacheKind kind_of(const Cache& cache, TensorIndex held, TensorIndex given, bool longer) const {
        const std::string_view text = cache.name;
        const auto has = [&](std::string_view part) { return text.find(part) != std::string_view::npos; };
        if (has("state") || has("linear") || any_.rank(held) < kKeyRank) return CacheKind::state;
        if (has("cross")) return CacheKind::cross;
        const bool attended = followed_.kept(pass_, held);
        const bool of_tokens = attended || text.ends_with("keys") || text.ends_with("values");
        // What is rewritten as a whole and attended to by nothing is a state.
        if (!of_tokens && !(cache.grows && longer)) return CacheKind::state;
        if (!cache.grows) {
            return held == given && !returned_.empty() ? CacheKind::cross : CacheKind::sliding;
        }
        const bool one_head = any_.rank(held) < kHeadsRank || any_.dim(held, 1) == Expr(1);
        if (!attended && one_head) return CacheKind::latent;
        return has_window(text) ? CacheKind::sliding : CacheKind::full;
    }

    const Call& any_;  // with open sizes
    const Pass& pass_;
    const Graph& graph_;
    const Followed& followed_;
    const IndexedVector<TensorIndex, bool>& written_;  // in place, at the index of a given cache
    std::vector<Expr> lengths_;                        // of the token ids
    std::vector<TensorIndex> given_;
    std::vector<TensorIndex> returned_;
    std::set<std::string> windows_;
};

// Marks the caches that a node writes in place: those among its results, or else among its operands.
void mark_written(const Call& call, const Work& work, const Pass& pass,
                  IndexedVector<TensorIndex, bool>& written) {
    if (work.written[Traffic::kv_cache] == Expr()) return;
    bool found = false;
    const auto consider = [&](TensorIndex t) {
        const TensorIndex root = pass.storage.root(t);
        if (pass.graph.tensors()[root].role != Role::kv_cache) return;
        written[root] = found = true;
    };
    for (const std::int64_t t : pass.graph.node_outputs(call.node())) consider(static_cast<TensorIndex>(t));
    if (!found) call.for_each_input(consider);
}

// What `Boundary::step_bytes` needs of the nodes of a graph, in their order.
class EngineStep {
  public:
    explicit EngineStep(const Graph& graph) : graph_(graph) {
        for (const auto& op : graph.ops()) launched_ = launched_ || op.name == kCacheWrite;
    }

    void visit(const Analyzer& analyzer, NodeIndex node, const Work& work) {
        if (!launched_) return;
        const Call call = analyzer.call(node);
        const std::string& op = call.op().name;
        workspace_.push_back(workspace_bytes(analyzer, node));
        if (op == kCacheWrite) {  // into pages of the cache
            for (const std::int64_t t : graph_.node_outputs(call.node())) apart_.push_back(t);
        }
        if (op == "engine.sample") logits_ = product_;
        if (work.kind == WorkKind::gemm) product_ = node;
    }

    Expr bytes(const Pass& pass) const {
        if (!launched_) return {0};
        std::set<TensorIndex> roots;
        for (const std::int64_t t : apart_) roots.insert(pass.storage.root(static_cast<TensorIndex>(t)));
        for (const TensorIndex t : graph_.outputs()) roots.insert(pass.storage.root(t));
        const auto all = static_cast<NodeIndex>(graph_.nodes().size());
        return peak_before(pass, logits_ == kNoNode ? all : logits_, workspace_, roots);
    }

  private:
    static constexpr NodeIndex kNoNode = -1;
    static constexpr std::string_view kCacheWrite = "engine.cache_write";
    const Graph& graph_;
    bool launched_ = false;  // by an engine
    std::vector<Expr> workspace_;
    std::vector<std::int64_t> apart_;
    NodeIndex product_ = kNoNode;
    NodeIndex logits_ = kNoNode;
};

}  // namespace

std::string_view name_of(CacheKind kind) {
    return kCacheKinds[kind];
}

Boundary boundary_of(const std::shared_ptr<const Graph>& graph, const Precision& precision) {
    Boundary boundary;
    Analyzer analyzer(graph, {}, precision);
    const Pass& pass = analyzer.pass();
    Followed followed(*graph);
    Lookups lookups;
    EngineStep step(*graph);
    bool trains = false;
    std::set<TensorIndex> gradients;  // results of the backward
    IndexedVector<TensorIndex, bool> written(graph->tensors().size(), false);
    for (NodeIndex i = 0; i < static_cast<NodeIndex>(graph->nodes().size()); ++i) {
        const Work& work = analyzer.analyze(i);
        const Call call(pass, graph->nodes()[i]);
        const bool backward = call.node().phase == Phase::backward;
        trains = trains || backward;
        if (backward) {
            for (const std::int64_t t : graph->node_outputs(call.node())) {
                gradients.insert(static_cast<TensorIndex>(t));
            }
        }
        mark_written(call, work, pass, written);
        followed.visit(call, work, pass);
        step.visit(analyzer, i, work);
        if (traits_of(call).relation == Relation::embedding) lookups.visit(call, followed, pass);
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
        if (graph->tensors()[t].role != Role::input) continue;
        ++boundary.input_tensors;
        boundary.input_bytes += any.bytes(t, any.numel(t));
    }
    const Caches caches(any, pass, followed, lookups.ids(), written);
    const std::set<TensorIndex> results(graph->outputs().begin(), graph->outputs().end());
    for (const TensorIndex t : results) {
        const Role role = graph->tensors()[pass.storage.root(t)].role;
        if (!hands_over(role) || caches.is_returned(t) || gradients.contains(t)) continue;
        ++boundary.output_tensors;
        boundary.output_bytes += any.bytes(t, any.numel(t));
    }
    if (!trains) boundary.caches = caches.all();  // a training step generates nothing
    boundary.reads_cache = caches.reads();
    boundary.step_bytes = step.bytes(pass);
    for (Cache& cache : boundary.caches) {
        cache.dtype = precision.storage_of(graph->tensors()[cache.tensor].dtype);
        boundary.kv_cache_bytes = boundary.kv_cache_bytes.value_or(Expr()) + cache.bytes;
    }
    boundary.vocabulary = lookups.rows();
    for (const TensorIndex t : lookups.ids()) {
        boundary.tokens = boundary.tokens.value_or(Expr(0)) + any.numel(t);
    }
    return boundary;
}

}  // namespace infercost

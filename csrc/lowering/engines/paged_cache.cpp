#include <map>

#include "core/graph_rewriter.hpp"
#include "lowering/engines/passes.hpp"
#include "lowering/flow.hpp"

namespace infercost {
namespace {

class CachePass {
  public:
    CachePass(const GraphPtr& graph, const EngineTraits& traits)
        : flow_(graph), rewriter_(*graph), traits_(traits) {}

    GraphPtr run() {
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (flow_.op(i) == "aten.cat") find(i);
            if (counts_tokens(i)) rewriter_.remove(i);
        }
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (flow_.kind(i) == WorkKind::attention) write_before(i);
        }
        // Caches that no attention reads directly: of an indexer, or of latents that are expanded.
        for (const auto& [cat, appended] : appended_) {
            if (!written_.contains(cat)) write({cat}, cat);
        }
        return rewriter_.build().graph;
    }

  private:
    // A concatenation of a cache with what a step appends to it.
    struct Appended {
        TensorIndex cache = kNoTensor;  // kNoTensor: it was empty before
        std::vector<TensorIndex> values;
        TensorIndex result = kNoTensor;
    };

    bool is_empty(TensorIndex t) const {
        for (const Expr& length : flow_.shape(t)) {
            if (length == Expr(0)) return true;
        }
        return false;
    }

    // An engine keeps on the host how many tokens a cache has seen.
    bool counts_tokens(NodeIndex i) const {
        const Call call = flow_.call(i);
        if (!call.in_place() || !flow_.uses(i).empty()) return false;
        const TensorIndex counter = call.output();
        return flow_.shape(counter).empty() && !is_floating(flow_.tensor(counter).dtype);
    }

    void find(NodeIndex cat) {
        const std::span<const Operand> operands = flow_.operands(cat);
        if (operands.size() < 2) return;
        Appended found;
        const Operand& first = operands.front();
        const bool given = first.producer == kNoNode && flow_.tensor(first.tensor).role == Role::kv_cache &&
                           !is_empty(first.tensor);
        if (!given && !is_empty(first.tensor)) return;
        // Positions are appended: the last axis, the features, stays.
        const std::vector<Expr> after = flow_.shape(flow_.call(cat).output());
        const std::vector<Expr> added = flow_.shape(operands.back().tensor);
        if (after.size() < 3 || added.size() != after.size() || !(added.back() == after.back())) return;
        if (given) found.cache = first.tensor;
        for (const Operand& operand : operands.subspan(1)) found.values.push_back(written(operand));
        found.result = flow_.call(cat).output();
        appended_.emplace(cat, found);
        of_result_.emplace(found.result, cat);
    }

    // What the kernel that writes the cache reads: the wide values, if it converts them.
    TensorIndex written(const Operand& value) {
        const NodeIndex maker = value.producer;
        if (!traits_.narrows_on_write || maker == kNoNode || flow_.op(maker) != kQuantizeRows ||
            flow_.uses(maker).size() != 1 || flow_.is_output(value.tensor)) {
            return value.tensor;
        }
        const TensorIndex wide = flow_.operands(maker).front().tensor;
        rewriter_.remove(maker);
        return wide;
    }

    void write_before(NodeIndex attention) {
        std::vector<NodeIndex> cats;
        for (const Operand& operand : flow_.operands(attention)) {
            const auto found = of_result_.find(operand.tensor);
            if (found != of_result_.end() && !written_.contains(found->second)) cats.push_back(found->second);
        }
        if (traits_.writes_together && !cats.empty()) return write(cats, cats.back());
        for (const NodeIndex cat : cats) write({cat}, cat);
    }

    // The kernel that quantizes a cache that was empty before, or its window, if the one that writes the
    // cache converts.
    NodeIndex narrowed(NodeIndex cat, const Appended& appended) const {
        NodeIndex found = kNoNode;
        if (!traits_.narrows_on_write || appended.values.size() != 1) return found;
        flow_.for_each_reader(cat, [&](NodeIndex reader) {
            if (flow_.op(reader) == kQuantizeRows) found = reader;
        });
        return found;
    }

    // An engine's own dtype of keys and values; narrower formats stay.
    void store(TensorIndex t) {
        const DType dtype = flow_.tensor(t).dtype;
        if (traits_.stores_half && is_floating(dtype) && bits_of(dtype) >= 16) {
            rewriter_.set_dtype(t, DType::float16);
        }
    }

    void write(const std::vector<NodeIndex>& cats, NodeIndex after) {
        std::vector<TensorIndex> values;
        std::vector<TensorIndex> caches;
        std::vector<TensorIndex> results;
        for (const NodeIndex cat : cats) {
            const Appended& appended = appended_.at(cat);
            values.insert(values.end(), appended.values.begin(), appended.values.end());
            written_.emplace(cat, true);
            store(appended.cache == kNoTensor ? appended.result : appended.cache);
            if (appended.cache == kNoTensor) {
                const NodeIndex quantizer = narrowed(cat, appended);
                if (quantizer == kNoNode) {
                    results.push_back(appended.result);
                } else {
                    for (const std::int64_t output :
                         flow_.graph().node_outputs(flow_.graph().nodes()[quantizer])) {
                        results.push_back(static_cast<TensorIndex>(output));
                    }
                    rewriter_.redirect(appended.result, appended.values.front());
                    rewriter_.remove(quantizer);
                }
            } else {
                // The pages of the cache hold the new position, too.
                rewriter_.set_shape(appended.cache, flow_.shape(appended.result), std::nullopt);
                rewriter_.redirect(appended.result, appended.cache);
                caches.push_back(appended.cache);
            }
            rewriter_.remove(cat);
        }
        const NamedArgument arguments[] = {
            {"values", values},
            {"caches", caches},
        };
        rewriter_.insert_after(after, op_of(Pattern::cache_write), arguments, results);
    }

    Flow flow_;
    GraphRewriter rewriter_;
    EngineTraits traits_;
    std::map<NodeIndex, Appended> appended_;
    std::map<TensorIndex, NodeIndex> of_result_;
    std::map<NodeIndex, bool> written_;
};

}  // namespace

GraphPtr page_cache(const GraphPtr& graph, const EngineTraits& traits) {
    return CachePass(graph, traits).run();
}

}  // namespace infercost

#include <optional>
#include <set>
#include <string>

#include "core/graph_rewriter.hpp"
#include "lowering/engines/passes.hpp"
#include "lowering/flow.hpp"

namespace infercost {
namespace {

// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1): keys and values are a product of
// cached latents with one weight. A decode step that computes them for the whole context multiplies that
// weight with every position; multiplied into the queries and the results instead, it is read once.
class LatentPass {
  public:
    explicit LatentPass(const GraphPtr& graph) : flow_(graph), rewriter_(*graph) {}

    GraphPtr run() {
        bool changed = false;
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (flow_.kind(i) == WorkKind::attention && flow_.call(i).has("query")) changed |= absorb(i);
        }
        if (!changed) return nullptr;
        drop_unread_activations(flow_, rewriter_);
        return rewriter_.build().graph;
    }

  private:
    // What keys or values are made of.
    struct Origin {
        std::set<NodeIndex> products;
        std::set<NodeIndex> caches;  // concatenations of a cache with new positions
    };

    bool appends_to_cache(NodeIndex node) const {
        if (flow_.op(node) != "aten.cat" || flow_.operands(node).empty()) return false;
        const Operand& first = flow_.operands(node).front();
        return first.producer == kNoNode && flow_.tensor(first.tensor).role == Role::kv_cache;
    }

    void trace(NodeIndex node, Origin& origin, std::set<NodeIndex>& seen) const {
        if (node == kNoNode || !seen.insert(node).second) return;
        if (appends_to_cache(node)) {
            origin.caches.insert(node);
            return;
        }
        if (flow_.weight_of(node) != kNoTensor) {
            origin.products.insert(node);
            return;
        }
        if (flow_.is_anchor(node) && !flow_.quantizes(node)) return;
        for (const Operand& operand : flow_.operands(node)) trace(operand.producer, origin, seen);
    }
    Origin origin_of(TensorIndex t, NodeIndex reader) const {
        Origin origin;
        std::set<NodeIndex> seen;
        for (const Operand& operand : flow_.operands(reader)) {
            if (operand.tensor == t) trace(operand.producer, origin, seen);
        }
        return origin;
    }

    bool absorb(NodeIndex attention) {
        const Call call = flow_.call(attention);
        const TensorIndex query = call.require_tensor("query");
        const Origin value = origin_of(call.require_tensor("value"), attention);
        if (value.products.size() != 1 || !value.caches.empty()) return false;
        const NodeIndex expansion = *value.products.begin();
        const Operand& input = flow_.operands(expansion).front();
        Origin latents;
        std::set<NodeIndex> seen;
        trace(input.producer, latents, seen);
        if (latents.caches.size() != 1) return false;
        const Origin key = origin_of(call.require_tensor("key"), attention);
        if (!key.products.contains(expansion)) return false;

        const TensorIndex weight = flow_.weight_of(expansion);
        const std::vector<Expr> of_weight = flow_.shape(weight);
        const std::vector<Expr> of_query = flow_.shape(query);
        const std::vector<Expr> of_result = flow_.shape(call.output());
        if (of_weight.size() != 2 || of_query.size() != 4 || of_result.size() != 4) return false;
        const Expr& heads = of_query[1];
        const Expr rows = of_query[0] * of_query[2];
        const Expr& rank = of_weight[1];
        const Expr& value_width = of_result[3];
        const Expr key_width = ratio(of_weight[0], heads) - value_width;  // without its rotated part
        const Expr rotated = of_query[3] - key_width;

        const DType dtype = flow_.tensor(query).dtype;
        // Engines keep a copy of a quantized weight in the dtype of queries, for products by head.
        TensorIndex factors = weight;
        DType of_weights = flow_.tensor(weight).dtype;
        if (bits_of(of_weights) <= 8) {
            of_weights = dtype;
            const std::string name = flow_.graph().name(flow_.tensor(weight).name);
            factors =
                rewriter_.add_tensor(dtype, of_weight, std::nullopt, Role::parameter, name + ".absorbed", 0);
        }
        const auto made = [&](DType type, std::vector<Expr> shape) {
            return rewriter_.add_tensor(type, shape, std::nullopt, Role::activation, "");
        };
        const TensorIndex plain = made(dtype, {heads, rows, key_width});
        const TensorIndex turned = made(dtype, {of_query[0], heads, of_query[2], rotated});
        before(attention, "engine.parts.default",
               {
                   {"self", query}
        },
               {plain, turned});
        const TensorIndex up_keys = made(of_weights, {heads, key_width, rank});
        const TensorIndex up_values = made(of_weights, {heads, rank, value_width});
        before(attention, "engine.parts.default",
               {
                   {"self", factors}
        },
               {up_keys, up_values});

        const TensorIndex absorbed = made(dtype, {heads, rows, rank});
        before(attention, "aten.bmm.default",
               {
                   {"self", plain  },
                   {"mat2", up_keys}
        },
               {absorbed});
        const TensorIndex wide = made(dtype, {of_query[0], heads, of_query[2], rank + rotated});
        before(attention, "aten.cat.default",
               {
                   {"tensors", std::vector<TensorIndex>{absorbed, turned}},
                   {"dim",     Expr(-1)                                  }
        },
               {wide});

        std::vector<TensorIndex> caches = {flow_.call(*latents.caches.begin()).output()};
        for (const NodeIndex cat : key.caches) caches.push_back(flow_.call(cat).output());
        const TensorIndex mixed = made(dtype, {heads, rows, rank});
        before(attention, "engine.latent_attention.default",
               {
                   {"query",       wide  },
                   {"latents",     caches},
                   {"value_width", rank  }
        },
               {mixed});
        const TensorIndex values = made(dtype, {heads, rows, value_width});
        before(attention, "aten.bmm.default",
               {
                   {"self", mixed    },
                   {"mat2", up_values}
        },
               {values});
        rewriter_.replace(attention, "engine.parts.default",
                          std::vector<NamedArgument>{
                              {"self", values}
        });
        return true;
    }

    void before(NodeIndex node, std::string_view op, const std::vector<NamedArgument>& arguments,
                const std::vector<TensorIndex>& outputs) {
        rewriter_.insert_before(node, op, arguments, outputs);
    }

    Flow flow_;
    GraphRewriter rewriter_;
};

}  // namespace

GraphPtr absorb_latents(const GraphPtr& graph) {
    const GraphPtr absorbed = LatentPass(graph).run();
    return absorbed ? absorbed : graph;
}

}  // namespace infercost

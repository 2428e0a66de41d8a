#include "lowering/parallel/token_shares.hpp"

#include <algorithm>
#include <string>

#include "core/errors.hpp"
#include "lowering/parallel/regions.hpp"

namespace infercost {
namespace {

class Sharer {
  public:
    Sharer(Relations& relations, const Layout& layout, const PartialSums& sums)
        : relations_(relations), layout_(layout), sums_(sums) {}

    TokenShares run() {
        if (layout_.attention_data == 1 && !layout_.sequence) return {};
        if (layout_.attention_data > 1 && layout_.sequence) {
            throw InputError(
                "attention_data and sequence both share tokens, in different parts of a model; expected one "
                "of them");
        }
        if (layout_.sequence) {
            between_products();
        } else {
            in_products(regions_of(relations_, sums_));
        }
        return std::move(shares_);
    }

  private:
    const Flow& flow() const { return relations_.flow(); }
    const Graph& graph() const { return flow().graph(); }

    std::string size_of(SizeRole role, const std::string& what) const {
        const std::optional<std::string> name = graph().size_of_role(role);
        if (name) return *name;
        throw InputError(what + ", and this graph has no size '" + std::string(name_of(role)) +
                         "'; expected a graph that was captured with it as a named size");
    }

    void gather(const Region& region, const Operand& entry) {
        if (entry.producer == kNoNode) return;  // an input is on all ranks
        // Tokens that the backward reads again are gathered once.
        auto known = std::find_if(shares_.gathered.begin(), shares_.gathered.end(),
                                  [&](const Gathered& each) { return each.tensor == entry.tensor; });
        if (known == shares_.gathered.end())
            known = shares_.gathered.insert(known, Gathered{entry.tensor, entry.producer, {}});
        Gathered& found = *known;
        for (const NodeIndex node : region.nodes) {
            const auto operands = flow().operands(node);
            const bool reads = std::any_of(operands.begin(), operands.end(), [&](const Operand& operand) {
                return operand.tensor == entry.tensor;
            });
            const bool listed =
                std::find(found.readers.begin(), found.readers.end(), node) != found.readers.end();
            if (reads && !listed) found.readers.push_back(node);
        }
    }

    void share(NodeIndex node) {
        shares_.nodes.insert(node);
        const auto operands = flow().operands(node);
        for (const std::int64_t t : graph().node_outputs(graph().nodes()[node])) {
            const auto output = static_cast<TensorIndex>(t);
            // A node may return its operand, as a conversion to the same dtype does: its maker decides.
            const bool returned = std::any_of(operands.begin(), operands.end(), [&](const Operand& operand) {
                return operand.tensor == output;
            });
            if (!returned && flow().tensor(output).role == Role::activation) shares_.tensors.insert(output);
        }
    }

    // Products other than those of attention read the tokens of all ranks.
    void in_products(const std::vector<Region>& regions) {
        const std::string batch =
            size_of(SizeRole::batch,
                    "attention_data=" + std::to_string(layout_.attention_data) + " shares the batch");
        shares_.devices = layout_.attention_data;
        shares_.replaced.emplace(batch, Expr::size(batch) * layout_.attention_data);
        for (const Region& region : regions) {
            if (region.entries.empty()) continue;  // embeddings
            if (region.attends) continue;
            if (has_attention(region)) {
                throw InputError("attention and other products of '" + flow().module(region.last) +
                                 "' have one sum, and cannot have different tokens; expected "
                                 "attention_data=1");
            }
            for (const NodeIndex node : region.nodes) share(node);
            for (const Operand& entry : region.entries) gather(region, entry);
            for (const Joined& joined : sums_.joins) {
                if (joined.after == region.last) shares_.scattered.insert(joined.tensor);
            }
        }
    }
    bool has_attention(const Region& region) const {
        return std::any_of(region.nodes.begin(), region.nodes.end(),
                           [&](NodeIndex node) { return flow().kind(node) == WorkKind::attention; });
    }

    // Nodes between products are on a share of the tokens: of a prompt, or of the sequences of a decode step.
    void between_products() {
        const bool prompt = graph().size_of_role(SizeRole::sequence).has_value();
        const std::string size =
            size_of(prompt ? SizeRole::sequence : SizeRole::batch, "sequence=1 shares the tokens");
        shares_.devices = layout_.tensor;
        shares_.replaced.emplace(size, Expr::ceil_div(Expr::size(size), layout_.tensor));
        std::set<NodeIndex> inside;
        for (const Joined& joined : sums_.joins) joined_.insert(joined.tensor);
        for (NodeIndex i = 0; i < flow().count(); ++i) {
            if (relations_.is_head(i)) before_logits(i, inside);
        }
        for (const Region& region : regions_of(relations_, sums_, inside)) {
            inside.insert(region.nodes.begin(), region.nodes.end());
            for (const Operand& entry : region.entries) gather(region, entry);
        }
        for (NodeIndex i = 0; i < flow().count(); ++i) {
            if (adds_rows(i)) read_all_tokens(i, inside);
        }
        for (const Joined& joined : sums_.joins) {
            if (joined.parts == Parts::sum && has_tokens(joined.tensor))
                shares_.scattered.insert(joined.tensor);
        }
        for (NodeIndex i = 0; i < flow().count(); ++i) {
            if (flow().is_live(i) && !inside.contains(i)) share(i);
        }
        for (const TensorIndex t : graph().outputs()) {
            if (!shares_.tensors.contains(t)) continue;
            const bool sum = relations_.is_backward(flow().maker(t)) && !has_tokens(t);
            (sum ? shares_.summed : shares_.returned).push_back(t);
        }
    }
    // Whether the length of a tensor changes with the number of tokens of a rank.
    bool has_tokens(TensorIndex t) const {
        const std::vector<Expr> shape = flow().shape(t);
        return std::any_of(shape.begin(), shape.end(), [&](const Expr& length) {
            return !(length.substitute(shares_.replaced) == length);
        });
    }

    // Whether a node makes the gradient of a table of embeddings whose rows are divided.
    bool adds_rows(NodeIndex node) const {
        if (flow().traits(node).relation != Relation::embedding_backward) return false;
        const AxisList& axes = relations_.known(flow().call(node).output());
        return !axes.empty() && relations_.axes().is_split(axes.front());
    }
    void read_all_tokens(NodeIndex node, std::set<NodeIndex>& inside) {
        Region region{.nodes = {node}, .entries = {}, .last = node};
        gather(region, flow().operands(node).front());
        inside.insert(node);
        // What is made of it has no tokens.
        for (NodeIndex i = node + 1; i < flow().count(); ++i) {
            const auto operands = flow().operands(i);
            if (std::any_of(operands.begin(), operands.end(), [&](const Operand& each) {
                    return each.producer != kNoNode && each.producer >= node &&
                           inside.contains(each.producer);
                }))
                inside.insert(i);
        }
    }

    // Logits are of any token: all of them are gathered before the last one is chosen.
    void before_logits(NodeIndex head, std::set<NodeIndex>& inside) {
        Region region{.nodes = {head}, .entries = {}, .last = head};
        Operand operand = flow().operands(head).front();
        while (operand.producer != kNoNode && flow().is_free(operand.producer)) {
            region.nodes.push_back(operand.producer);
            operand = flow().operands(operand.producer).front();
        }
        std::vector<NodeIndex> after;  // what follows the logits
        for (NodeIndex i = head + 1; i < flow().count(); ++i) {
            const auto operands = flow().operands(i);
            const bool follows = std::any_of(operands.begin(), operands.end(), [&](const Operand& each) {
                return !joined_.contains(each.tensor) &&
                       (each.producer == head ||
                        std::find(after.begin(), after.end(), each.producer) != after.end());
            });
            if (follows) after.push_back(i);
        }
        gather(region, operand);
        inside.insert(region.nodes.begin(), region.nodes.end());
        inside.insert(after.begin(), after.end());
    }

    Relations& relations_;
    const Layout& layout_;
    const PartialSums& sums_;
    std::set<TensorIndex> joined_;
    TokenShares shares_;
};

}  // namespace

TokenShares token_shares(Relations& relations, const Layout& layout, const PartialSums& sums) {
    return Sharer(relations, layout, sums).run();
}

}  // namespace infercost

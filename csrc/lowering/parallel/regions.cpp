#include "lowering/parallel/regions.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

namespace infercost {
namespace {

class Finder {
  public:
    Finder(Relations& relations, const PartialSums& sums) : relations_(relations), sums_(sums) {
        for (const Summed& each : relations.products()) {
            const bool rows = relations.axes().is_split(each.inner);
            if (rows) {
                const std::vector<AxisId> leaves = relations.axes().leaves(each.inner);
                heads_[each.node] = std::any_of(leaves.begin(), leaves.end(), [&](AxisId leaf) {
                    return relations.axes().info(leaf).heads;
                });
            } else if (relations.axes().is_split(each.outer)) {
                columns_.insert(each.node);
            }
        }
        for (const Joined& joined : sums.joins) joined_.insert(joined.tensor);
    }

    Region between(const Joined& joined) {
        Region region{.nodes = {}, .entries = {}, .last = joined.after};
        std::set<NodeIndex> seen;
        find_entries(joined.after, region, seen);
        const std::set<TensorIndex> entries(region.entries.begin(), region.entries.end());
        std::set<NodeIndex> inside;
        collect(joined.after, joined.tensor, entries, inside);
        add_results(joined.tensor, inside);
        add_memory(inside);
        region.nodes.assign(inside.begin(), inside.end());
        for (const NodeIndex node : region.nodes) {
            const auto found = heads_.find(node);
            region.attends = region.attends || (found != heads_.end() && found->second);
        }
        return region;
    }

  private:
    const Flow& flow() const { return relations_.flow(); }

    bool is_split(TensorIndex t) const {
        const AxisList& axes = relations_.known(t);
        return std::any_of(axes.begin(), axes.end(),
                           [&](AxisId axis) { return relations_.axes().is_split(axis); });
    }

    // From a sum back to the products whose columns are divided, and to what they read.
    void find_entries(NodeIndex node, Region& region, std::set<NodeIndex>& seen) const {
        if (node == kNoNode || !seen.insert(node).second) return;
        if (columns_.contains(node)) {
            const TensorIndex entry = tokens_before(flow().operands(node).front());
            if (std::find(region.entries.begin(), region.entries.end(), entry) == region.entries.end()) {
                region.entries.push_back(entry);
            }
            return;
        }
        for (const Operand& operand : flow().operands(node)) {
            const bool partial = sums_.partial[static_cast<std::size_t>(operand.tensor)];
            if (relations_.is_live(operand.tensor) && (partial || is_split(operand.tensor))) {
                find_entries(operand.producer, region, seen);
            }
        }
    }

    // Through views, narrow formats, and copies of tokens for their experts.
    TensorIndex tokens_before(Operand operand) const {
        while (operand.producer != kNoNode) {
            const NodeIndex made = operand.producer;
            const std::string_view op = flow().op(made);
            const bool passes = flow().is_free(made) || op == "pyinfercost.quantize_rows" ||
                                op == "aten.clone" || op == "aten.contiguous" || op == "aten._to_copy" ||
                                op == "aten.reshape" || op == "aten.to" ||
                                makes_expert_rows(relations_, made);
            if (!passes || flow().operands(made).empty()) break;
            operand = flow().operands(made).front();
        }
        return operand.tensor;
    }

    void collect(NodeIndex node, TensorIndex sum, const std::set<TensorIndex>& entries,
                 std::set<NodeIndex>& inside) const {
        if (!inside.insert(node).second) return;
        for (const Operand& operand : flow().operands(node)) {
            if (entries.contains(operand.tensor) || !relations_.is_live(operand.tensor)) continue;
            if (operand.producer == kNoNode && !is_floating(flow().tensor(operand.tensor).dtype)) continue;
            const Role role = flow().tensor(operand.tensor).role;
            const bool elsewhere = operand.producer == kNoNode
                                       ? role != Role::kv_cache
                                       : operand.tensor != sum && joined_.contains(operand.tensor);
            if (elsewhere) {
                throw std::invalid_argument(
                    "the products of '" + flow().module(node) +
                    "' read tokens that are not theirs alone, which cannot be gathered for "
                    "them; expected attention_data=1 and sequence=0");
            }
            if (operand.producer != kNoNode) collect(operand.producer, sum, entries, inside);
        }
    }

    // What is made of values of a region and is not in its sum: caches that are returned, logits of a router.
    void add_results(TensorIndex sum, std::set<NodeIndex>& inside) const {
        for (NodeIndex i = 0; i < flow().count(); ++i) {
            if (inside.contains(i) || !flow().is_live(i)) continue;
            const auto operands = flow().operands(i);
            if (std::any_of(operands.begin(), operands.end(), [&](const Operand& operand) {
                    return operand.tensor != sum && operand.producer != kNoNode &&
                           inside.contains(operand.producer);
                })) {
                inside.insert(i);
            }
        }
    }

    // Memory that only nodes of a region fill.
    void add_memory(std::set<NodeIndex>& inside) const {
        for (NodeIndex i = flow().count() - 1; i >= 0; --i) {
            if (inside.contains(i) || flow().is_live(i) || flow().uses(i).empty()) continue;
            const auto uses = flow().uses(i);
            if (std::all_of(uses.begin(), uses.end(),
                            [&](const Use& use) { return inside.contains(use.consumer); })) {
                inside.insert(i);
            }
        }
    }

    Relations& relations_;
    const PartialSums& sums_;
    std::set<NodeIndex> columns_;
    std::map<NodeIndex, bool> heads_;  // products whose rows are divided: whether into heads
    std::set<TensorIndex> joined_;
};

}  // namespace

std::vector<Region> regions_of(Relations& relations, const PartialSums& sums) {
    Finder finder(relations, sums);
    std::vector<Region> regions;
    for (const Joined& joined : sums.joins) {
        if (joined.parts == Parts::sum) regions.push_back(finder.between(joined));
    }
    return regions;
}

}  // namespace infercost

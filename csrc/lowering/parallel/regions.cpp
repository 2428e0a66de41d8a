#include "lowering/parallel/regions.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "core/errors.hpp"

namespace infercost {
namespace {

class RegionFinder {
  public:
    RegionFinder(Relations& relations, const PartialSums& sums) : relations_(relations), sums_(sums) {
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
        std::set<NodeIndex> divided;
        find_entries(joined.after, region, divided);
        add_whole(joined.tensor, divided, region);
        std::set<TensorIndex> entries;
        for (const Operand& entry : region.entries) entries.insert(entry.tensor);
        std::set<NodeIndex> inside;
        collect(joined.after, joined.tensor, entries, inside);
        add_results(inside);
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

    static bool has_entry(const Region& region, TensorIndex t) {
        return std::any_of(region.entries.begin(), region.entries.end(),
                           [&](const Operand& entry) { return entry.tensor == t; });
    }
    static void add_entry(Region& region, const Operand& entry) {
        if (!has_entry(region, entry.tensor)) region.entries.push_back(entry);
    }
    bool is_divided(TensorIndex t) const { return sums_.partial[t] || is_split(t); }

    // From a sum back to the products whose columns are divided, or to the rows of divided experts, and to
    // what they read.
    void find_entries(NodeIndex node, Region& region, std::set<NodeIndex>& divided) const {
        if (node == kNoNode || !divided.insert(node).second) return;
        if (columns_.contains(node)) return add_entry(region, tokens_before(activation_of(node)));
        if (makes_expert_rows(relations_, node)) {
            return add_entry(region, tokens_before(flow().operands(node).front()));
        }
        for (const Operand& operand : flow().operands(node)) {
            if (relations_.is_live(operand.tensor) && is_divided(operand.tensor)) {
                find_entries(operand.producer, region, divided);
            }
        }
    }
    // What a product multiplies a weight with; its bias may be the first operand.
    const Operand& activation_of(NodeIndex product) const {
        const auto operands = flow().operands(product);
        const auto found = std::find_if(operands.begin(), operands.end(), [&](const Operand& operand) {
            return relations_.is_live(operand.tensor) && is_floating(flow().tensor(operand.tensor).dtype);
        });
        return found == operands.end() ? operands.front() : *found;
    }

    // Values that all ranks have and divided ones are computed with, such as a key that all heads share:
    // those that do not follow from the tokens before the products are read as these tokens are.
    void add_whole(TensorIndex sum, const std::set<NodeIndex>& divided, Region& region) const {
        for (const NodeIndex node : divided) {
            if (columns_.contains(node) || makes_expert_rows(relations_, node)) continue;
            for (const Operand& operand : flow().operands(node)) {
                if (operand.producer == kNoNode || is_divided(operand.tensor)) continue;
                std::set<NodeIndex> seen;
                if (reads_elsewhere(operand, sum, region, seen)) add_entry(region, tokens_before(operand));
            }
        }
    }
    bool reads_elsewhere(const Operand& operand, TensorIndex sum, const Region& region,
                         std::set<NodeIndex>& seen) const {
        if (has_entry(region, operand.tensor) || !relations_.is_live(operand.tensor)) return false;
        if (is_elsewhere(operand, sum)) return true;
        if (operand.producer == kNoNode || !seen.insert(operand.producer).second) return false;
        const auto operands = flow().operands(operand.producer);
        return std::any_of(operands.begin(), operands.end(),
                           [&](const Operand& each) { return reads_elsewhere(each, sum, region, seen); });
    }
    // Another sum, or an input of the model.
    bool is_elsewhere(const Operand& operand, TensorIndex sum) const {
        if (operand.producer != kNoNode) return operand.tensor != sum && joined_.contains(operand.tensor);
        const Tensor& tensor = flow().tensor(operand.tensor);
        return is_floating(tensor.dtype) && tensor.role != Role::kv_cache;
    }

    // Through views, narrow formats, and copies of tokens for their experts.
    Operand tokens_before(Operand operand) const {
        while (operand.producer != kNoNode) {
            const NodeIndex made = operand.producer;
            const std::string_view op = flow().op(made);
            const bool passes = is_view(made) || op == kQuantizeRows || op == "aten.clone" ||
                                op == "aten.contiguous" || op == "aten._to_copy" || op == "aten.reshape" ||
                                op == "aten.to" || makes_expert_rows(relations_, made);
            const Operand* before = op == "aten.cat" ? appended_to_cache(made)
                                    : passes && !flow().operands(made).empty()
                                        ? &flow().operands(made).front()
                                        : nullptr;
            if (!before) break;
            operand = *before;
        }
        return operand;
    }
    // A view of one tensor; others read another tensor for its shape or dtype.
    bool is_view(NodeIndex node) const {
        const auto operands = flow().operands(node);
        return flow().is_free(node) &&
               std::count_if(operands.begin(), operands.end(),
                             [&](const Operand& each) { return relations_.is_live(each.tensor); }) == 1;
    }
    // What is appended to a cache, which may be empty; nullptr for another concatenation.
    const Operand* appended_to_cache(NodeIndex node) const {
        const Operand* found = nullptr;
        for (const Operand& operand : flow().operands(node)) {
            if (flow().tensor(operand.tensor).role == Role::kv_cache) continue;
            if (flow().numel(operand.tensor) == Expr(0)) continue;
            if (found) return nullptr;
            found = &operand;
        }
        return found;
    }

    void collect(NodeIndex node, TensorIndex sum, const std::set<TensorIndex>& entries,
                 std::set<NodeIndex>& inside) const {
        if (!inside.insert(node).second) return;
        for (const Operand& operand : flow().operands(node)) {
            if (entries.contains(operand.tensor) || !relations_.is_live(operand.tensor)) continue;
            if (operand.producer == kNoNode && !is_floating(flow().tensor(operand.tensor).dtype)) continue;
            if (is_elsewhere(operand, sum)) {
                throw InputError("the products of '" + flow().module(node) +
                                 "' read tokens that are not theirs alone, which cannot be gathered for "
                                 "them; expected attention_data=1 and sequence=0");
            }
            if (operand.producer != kNoNode) collect(operand.producer, sum, entries, inside);
        }
    }

    // What is made of values of a region and is not in its sum: caches that are returned, logits of a router.
    void add_results(std::set<NodeIndex>& inside) const {
        for (NodeIndex i = 0; i < flow().count(); ++i) {
            if (inside.contains(i) || !flow().is_live(i)) continue;
            const auto operands = flow().operands(i);
            if (std::any_of(operands.begin(), operands.end(), [&](const Operand& operand) {
                    return !joined_.contains(operand.tensor) && operand.producer != kNoNode &&
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

std::vector<Region> regions_of(Relations& relations, const PartialSums& sums,
                               const std::set<NodeIndex>& done) {
    RegionFinder finder(relations, sums);
    std::vector<Region> regions;
    for (const Joined& joined : sums.joins) {
        if (joined.parts == Parts::sum && !done.contains(joined.after))
            regions.push_back(finder.between(joined));
    }
    return regions;
}

}  // namespace infercost

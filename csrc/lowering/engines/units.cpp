#include "lowering/engines/units.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <string>

namespace infercost {
namespace {

constexpr std::string_view kLayouts[] = {"aten.reshape", "aten.contiguous", "aten.clone",
                                         "aten.to",      "aten._to_copy",   "aten.flatten",
                                         "aten.type_as", "aten.repeat",     "aten.repeat_interleave"};
constexpr std::string_view kEmpty[] = {"aten.empty",         "aten.new_empty",         "aten.empty_like",
                                       "aten.empty_strided", "aten.new_empty_strided", "aten.zeros",
                                       "aten.new_zeros",     "aten.zeros_like"};

constexpr int kMostBetween = 5;  // nodes between a statistic and what it scales

bool moves_elements(const Flow& flow, NodeIndex node) {
    return flow.kind(node) == WorkKind::pointwise || is_layout(flow, node);
}

// A sum of two activations.
bool is_sum(const Flow& flow, NodeIndex node) {
    if (!flow.op(node).starts_with("aten.add")) return false;
    int live = 0;
    for (const Operand& operand : flow.operands(node)) {
        live += operand.producer == kNoNode ? flow.tensor(operand.tensor).role == Role::input
                                            : flow.is_live(operand.producer);
    }
    return live == 2;
}

bool is_of_experts(const Flow& flow, NodeIndex node) {
    return flow.op(node) == "aten._grouped_mm" || flow.op(node).starts_with("pyinfercost.grouped");
}

// Visits the consumers of a node that are no views, through views and into what reads its narrow format.
template <class Visit>
void for_each_reader_of_values(const Flow& flow, NodeIndex node, Visit&& visit) {
    flow.for_each_reader(node, [&](NodeIndex reader) {
        if (flow.op(reader) != kQuantizeRows) return visit(reader);
        flow.for_each_reader(reader, visit);
    });
}

// Whether a row of the engine covers the nodes.
bool classify(const Flow& flow, FusedUnit& unit) {
    bool top = false;
    bool moves = true;
    bool fusible = true;
    for (const NodeIndex node : unit.nodes) {
        const WorkKind kind = flow.kind(node);
        top = top || is_top(flow, node);
        moves = moves && is_layout(flow, node);
        fusible = fusible && kind != WorkKind::sort && kind != WorkKind::scan && kind != WorkKind::scatter &&
                  kind != WorkKind::pooling;
    }
    unit.layout = moves;
    if (moves) return true;
    bool to_experts = false;
    bool to_attention = false;
    bool to_product = false;
    bool from_experts = false;
    bool from_product = false;
    for (const NodeIndex node : unit.nodes) {
        for_each_reader_of_values(flow, node, [&](NodeIndex reader) {
            to_experts = to_experts || is_of_experts(flow, reader);
            to_attention = to_attention || flow.kind(reader) == WorkKind::attention ||
                           flow.op(reader) == op_name(Pattern::cache_write);
            to_product = to_product || flow.weight_of(reader) != kNoTensor;
        });
        for (const Operand& operand : flow.operands(node)) {
            const NodeIndex made = through_views(flow, operand.producer);
            if (made == kNoNode) continue;
            from_experts = from_experts || is_of_experts(flow, made);
            from_product = from_product || flow.weight_of(made) != kNoTensor;
        }
    }
    if (top && to_experts) {
        unit.pattern = Pattern::route;
        return true;
    }
    if (from_experts && !to_experts) {
        unit.pattern = Pattern::combine;
        return true;
    }
    if (!fusible) return false;
    const bool computes = std::any_of(unit.nodes.begin(), unit.nodes.end(), [&](NodeIndex node) {
        return !(flow.pointwise_flops(node) == Expr(0));
    });
    if (!computes) return true;  // copies
    if (to_attention) {
        unit.pattern = Pattern::rotary;
    } else if (from_product && to_product) {
        unit.pattern = Pattern::activation;
    }
    return true;
}

// Whether the units of a region can run one after another.
bool is_ordered(const Flow& flow, const std::vector<FusedUnit>& units) {
    std::map<NodeIndex, std::size_t> of;
    for (std::size_t u = 0; u < units.size(); ++u) {
        for (const NodeIndex node : units[u].nodes) of.emplace(node, u);
    }
    std::vector<std::set<std::size_t>> after(units.size());
    std::vector<int> waits(units.size(), 0);
    for (const auto& [node, unit] : of) {
        const std::size_t from = unit;
        flow.for_each_reader(node, [&](NodeIndex reader) {
            const auto found = of.find(reader);
            if (found == of.end() || found->second == from) return;
            if (after[from].insert(found->second).second) ++waits[found->second];
        });
    }
    std::vector<std::size_t> open;
    for (std::size_t u = 0; u < units.size(); ++u) {
        if (waits[u] == 0) open.push_back(u);
    }
    std::size_t done = 0;
    while (!open.empty()) {
        const std::size_t unit = open.back();
        open.pop_back();
        ++done;
        for (const std::size_t next : after[unit]) {
            if (--waits[next] == 0) open.push_back(next);
        }
    }
    return done == units.size();
}

// A write into a cache has no readers in a decode step: the attention that reads the cache.
NodeIndex attention_of_write(const Flow& flow, NodeIndex write) {
    const Call call = flow.call(write);
    List<TensorIndex> caches = call.tensors("caches");
    for (const std::int64_t t : flow.graph().node_outputs(flow.graph().nodes()[write])) {
        caches.push_back(static_cast<TensorIndex>(t));
    }
    for (NodeIndex i = write + 1; i < flow.count(); ++i) {
        if (flow.kind(i) != WorkKind::attention) continue;
        for (const Operand& operand : flow.operands(i)) {
            for (std::size_t c = 0; c < caches.size(); ++c) {
                if (operand.tensor == caches[c]) return i;
            }
        }
    }
    return kNoNode;
}

// The attention that reads queries or keys of a unit, past the write into the cache.
NodeIndex attention_after(const Flow& flow, const FusedUnit& unit) {
    NodeIndex found = kNoNode;
    for (const NodeIndex node : unit.nodes) {
        for_each_reader_of_values(flow, node, [&](NodeIndex reader) {
            if (flow.kind(reader) == WorkKind::attention) found = std::max(found, reader);
            if (flow.op(reader) == op_name(Pattern::cache_write)) {
                found = std::max(found, attention_of_write(flow, reader));
            }
        });
    }
    return found;
}

class Finder {
  public:
    Finder(const Flow& flow, const EngineRows& rows)
        : flow_(flow),
          adds_in_norms_(std::any_of(rows.rows.begin(), rows.rows.end(),
                                     [](const KernelRow& row) { return row.pattern == Pattern::add_norm; })),
          rotates_together_(rows.traits.rotates_together),
          narrows_results_(rows.traits.narrows_results),
          serves_(rows.compiler == nullptr),
          region_(flow.count()),
          stage_(flow.count()),
          unit_of_(flow.count(), -1) {}

    Units run() {
        set_stages();
        connect();
        for (const Nodes& region : regions()) split(region);
        if (rotates_together_) merge_rotations();
        return {std::move(units_), std::move(unit_of_)};
    }

  private:
    // ---- regions ----
    // What only later work between products reads, such as the activation of a gate, runs with it.
    void set_stages() {
        for (NodeIndex i = flow_.count(); i-- > 0;) {
            stage_[i] = flow_.stage(i);
            if (!serves_ || !flow_.is_glue(i) || flow_.is_result(i)) continue;
            int least = -1;
            bool between = true;
            flow_.for_each_reader(i, [&](NodeIndex reader) {
                between = between && flow_.is_glue(reader);
                if (between) least = least < 0 ? stage_[reader] : std::min(least, stage_[reader]);
            });
            if (between) stage_[i] = std::max(stage_[i], least);
        }
    }

    NodeIndex root(NodeIndex node) {
        while (region_[node] != node) node = region_[node] = region_[region_[node]];
        return node;
    }

    void connect() {
        std::iota(region_.begin(), region_.end(), 0);
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!flow_.is_glue(i)) continue;
            flow_.for_each_reader(i, [&](NodeIndex reader) {
                if (flow_.is_glue(reader) && stage_[reader] == stage_[i]) region_[root(reader)] = root(i);
            });
        }
    }

    std::vector<Nodes> regions() {
        std::map<NodeIndex, Nodes> found;
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (flow_.is_glue(i)) found[root(i)].push_back(i);
        }
        std::vector<Nodes> result;
        for (auto& [first, nodes] : found) result.push_back(std::move(nodes));
        return result;
    }

    // ---- units of a region ----
    void split(const Nodes& region) {
        std::map<NodeIndex, int> owner;  // number of a norm
        IndexedVector<int, FusedUnit> norms;
        std::map<std::string, int> of_module;
        for (const NodeIndex node : region) {
            if (!is_statistic(flow_, node) || of_module.contains(flow_.module(node))) continue;
            of_module.emplace(flow_.module(node), static_cast<int>(norms.size()));
            norms.push_back({.nodes = {}, .pattern = Pattern::norm});
        }
        for (const NodeIndex node : region) {
            if (const auto found = of_module.find(flow_.module(node)); found != of_module.end()) {
                owner.emplace(node, found->second);
            }
        }
        const std::set<NodeIndex> inside(region.begin(), region.end());
        // Sums and scales that only a norm reads, and the residual stream, belong to its kernel.
        for (auto it = region.rbegin(); it != region.rend(); ++it) {
            if (owner.contains(*it) || !moves_elements(flow_, *it) || (!adds_in_norms_ && is_sum(flow_, *it)))
                continue;
            int norm = -1;
            bool other = false;
            flow_.for_each_reader(*it, [&](NodeIndex reader) {
                if (!inside.contains(reader)) return;
                const auto found = owner.find(reader);
                if (found == owner.end()) {
                    other = true;
                } else if (norm < 0) {
                    norm = found->second;
                }
            });
            if (norm >= 0 && !other) {
                owner.emplace(*it, norm);
                if (is_sum(flow_, *it)) norms[norm].pattern = Pattern::add_norm;
            }
        }
        // A residual that is added after a norm.
        for (const NodeIndex node : region) {
            if (!adds_in_norms_ || owner.contains(node) || !is_sum(flow_, node)) continue;
            for (const Operand& operand : flow_.operands(node)) {
                const auto found = owner.find(through_views(flow_, operand.producer));
                if (found == owner.end()) continue;
                norms[found->second].pattern = Pattern::add_norm;
                owner.emplace(node, found->second);
                break;
            }
        }
        for (const NodeIndex node : region) {
            if (!narrows_results_ || flow_.op(node) != "aten.quantize_per_tensor") continue;
            const auto found = owner.find(through_views(flow_, flow_.operands(node).front().producer));
            if (found != owner.end()) owner.emplace(node, found->second);
        }
        for (const auto& [node, norm] : owner) norms[norm].nodes.push_back(node);
        std::vector<FusedUnit> units;
        for (FusedUnit& norm : norms) {
            std::sort(norm.nodes.begin(), norm.nodes.end());
            units.push_back(std::move(norm));
        }
        rest(region, owner, units);
        if (!is_ordered(flow_, units)) return;  // stays as captured
        for (FusedUnit& unit : units) {
            for (const NodeIndex node : unit.nodes) unit_of_[node] = static_cast<int>(units_.size());
            units_.push_back(std::move(unit));
        }
    }

    // Connected nodes that no norm owns.
    void rest(const Nodes& region, const std::map<NodeIndex, int>& owner, std::vector<FusedUnit>& units) {
        std::map<NodeIndex, std::set<NodeIndex>> near;
        const std::set<NodeIndex> inside(region.begin(), region.end());
        for (const NodeIndex node : region) {
            if (owner.contains(node)) continue;
            near[node];
            flow_.for_each_reader(node, [&](NodeIndex reader) {
                if (!inside.contains(reader) || owner.contains(reader)) return;
                near[node].insert(reader);
                near[reader].insert(node);
            });
        }
        std::set<NodeIndex> seen;
        for (const auto& [start, edges] : near) {
            if (seen.contains(start)) continue;
            Nodes part;
            Nodes open = {start};
            seen.insert(start);
            while (!open.empty()) {
                const NodeIndex node = open.back();
                open.pop_back();
                part.push_back(node);
                for (const NodeIndex next : near[node]) {
                    if (seen.insert(next).second) open.push_back(next);
                }
            }
            std::sort(part.begin(), part.end());
            FusedUnit unit{.nodes = part};
            if (classify(flow_, unit)) units.push_back(std::move(unit));
        }
    }

    // Queries and keys of one attention are rotated by one kernel.
    void merge_rotations() {
        std::map<NodeIndex, std::size_t> of_attention;
        for (std::size_t u = 0; u < units_.size(); ++u) {
            if (units_[u].pattern != Pattern::rotary || units_[u].layout) continue;
            const NodeIndex attention = attention_after(flow_, units_[u]);
            if (attention == kNoNode) continue;
            const auto [first, fresh] = of_attention.emplace(attention, u);
            if (fresh) continue;
            FusedUnit& target = units_[first->second];
            if (stage_[target.nodes.front()] != stage_[units_[u].nodes.front()]) continue;
            for (const NodeIndex node : units_[u].nodes) {
                unit_of_[node] = static_cast<int>(first->second);
                target.nodes.push_back(node);
            }
            std::sort(target.nodes.begin(), target.nodes.end());
            units_[u].nodes.clear();
        }
    }

    const Flow& flow_;
    bool adds_in_norms_;
    bool rotates_together_;
    bool narrows_results_;
    bool serves_;  // language models
    IndexedVector<NodeIndex, NodeIndex> region_;
    IndexedVector<NodeIndex, int> stage_;
    IndexedVector<NodeIndex, int> unit_of_;
    IndexedVector<int, FusedUnit> units_;
};

// Whether elements are computed from a value, through some nodes: a pooling ends in the value.
bool scales(const Flow& flow, NodeIndex node, const Expr& elements, int depth) {
    if (depth == 0) return false;
    bool found = false;
    flow.for_each_reader(node, [&](NodeIndex reader) {
        if (found || !flow.is_glue(reader) || flow.call(reader).output_count() == 0) return;
        found =
            flow.numel(flow.call(reader).output()) == elements || scales(flow, reader, elements, depth - 1);
    });
    return found;
}

}  // namespace

bool is_statistic(const Flow& flow, NodeIndex node) {
    if (flow.kind(node) == WorkKind::normalization) return true;
    const OpTraits& traits = flow.traits(node);
    const bool sums = traits.relation == Relation::statistic && traits.partial_sum == PartialSum::sums;
    if (!sums || flow.operands(node).empty()) return false;
    return scales(flow, node, flow.numel(flow.operands(node).front().tensor), kMostBetween);
}

bool is_top(const Flow& flow, NodeIndex node) {
    return flow.op(node) == "aten.topk";
}

bool makes_buffer(const Flow& flow, NodeIndex node) {
    return is_one_of(flow.op(node), kEmpty);
}

bool is_layout(const Flow& flow, NodeIndex node) {
    return flow.kind(node) == WorkKind::copy && is_one_of(flow.op(node), kLayouts);
}

NodeIndex through_views(const Flow& flow, NodeIndex node) {
    while (node != kNoNode && flow.is_free(node) && !makes_buffer(flow, node) &&
           !flow.operands(node).empty()) {
        node = flow.operands(node).front().producer;
    }
    return node;
}

Units find_units(const Flow& flow, const EngineRows& rows) {
    return Finder(flow, rows).run();
}

}  // namespace infercost

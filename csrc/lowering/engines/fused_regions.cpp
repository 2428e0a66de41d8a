// What lies between products becomes an engine's fused kernels. Nodes of one stage that are connected form a
// region; norms, routers and rotations in it are kernels of their own, and what is left is one kernel.
#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>

#include "core/graph_rewriter.hpp"
#include "lowering/engines/flow.hpp"
#include "lowering/engines/passes.hpp"

namespace infercost {
namespace {

constexpr std::string_view kLayouts[] = {
    "aten.reshape", "aten.contiguous", "aten.clone",  "aten.to",          "aten._to_copy",
    "aten.flatten", "aten.type_as",    "aten.repeat", "aten.repeat_interleave"};
constexpr std::string_view kParts[] = {"aten.split", "aten.split_with_sizes", "aten.chunk", "aten.slice",
                                       "aten.select", "aten.narrow",           "aten.unbind", "engine.parts"};

constexpr std::string_view kEmpty[] = {"aten.empty", "aten.new_empty", "aten.empty_like", "aten.empty_strided",
                                       "aten.new_empty_strided", "aten.zeros", "aten.new_zeros", "aten.zeros_like"};

template <std::size_t N>
bool is_one_of(std::string_view op, const std::string_view (&names)[N]) {
    return std::find(std::begin(names), std::end(names), op) != std::end(names);
}

using Nodes = std::vector<NodeIndex>;

struct Unit {
    Nodes nodes;
    Pattern pattern = Pattern::pointwise;
    bool layout = false;  // moves nothing: an engine's kernels write where the next one reads
};

class Regions {
  public:
    Regions(const GraphPtr& graph, const EngineRows& rows)
        : flow_(graph), rewriter_(*graph), region_(graph->nodes().size()), unit_of_(graph->nodes().size(), -1) {
        for (const KernelRow& row : rows.rows) row_of_[static_cast<std::size_t>(row.pattern)] = &row;
    }

    EngineGraph run() {
        connect();
        for (const Nodes& region : regions()) split(region);
        merge_rotations();
        for (std::size_t u = 0; u < units_.size(); ++u) emit(u);
        name_writes();
        fix_static();
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            for (const std::int64_t t : flow_.graph().node_outputs(flow_.graph().nodes()[at(i)])) {
                if (flow_.tensor(static_cast<TensorIndex>(t)).role == Role::activation) {
                    rewriter_.drop_if_unread(static_cast<TensorIndex>(t));
                }
            }
        }
        rewriter_.sort_nodes();
        EngineGraph result;
        result.graph = rewriter_.build().graph;
        const Flow flow(result.graph);
        for (NodeIndex i = 0; i < flow.count(); ++i) {
            if (flow.is_glue(i) || (flow.is_anchor(i) && is_left(flow, i))) result.as_captured.push_back(i);
        }
        return result;
    }

  private:
    static std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

    // Anchors that are no kernels of an engine: library routines and unknown operators.
    static bool is_left(const Flow& flow, NodeIndex node) {
        const WorkKind kind = flow.kind(node);
        return kind == WorkKind::library || kind == WorkKind::unknown || kind == WorkKind::convolution;
    }

    // ---- regions ----
    NodeIndex root(NodeIndex node) {
        while (region_[at(node)] != node) node = region_[at(node)] = region_[at(region_[at(node)])];
        return node;
    }

    void connect() {
        std::iota(region_.begin(), region_.end(), 0);
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!flow_.is_glue(i)) continue;
            flow_.for_each_reader(i, [&](NodeIndex reader) {
                if (flow_.is_glue(reader) && flow_.stage(reader) == flow_.stage(i)) region_[at(root(reader))] = root(i);
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

    bool is_statistic(NodeIndex node) const {
        const std::string_view op = flow_.op(node);
        return flow_.kind(node) == WorkKind::normalization || op == "aten.mean" || op == "aten.var" ||
               op == "aten.var_mean" || op == "aten.linalg_vector_norm" || op == "aten.norm";
    }
    bool is_top(NodeIndex node) const { return flow_.op(node) == "aten.topk"; }

    // ---- units of a region ----
    void split(const Nodes& region) {
        std::map<NodeIndex, int> owner;  // number of a norm
        std::vector<Unit> norms;
        std::map<std::string, int> of_module;
        for (const NodeIndex node : region) {
            if (!is_statistic(node) || of_module.contains(flow_.module(node))) continue;
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
            if (owner.contains(*it) || !is_elementwise(*it)) continue;
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
                if (is_sum(*it)) norms[at(norm)].pattern = Pattern::add_norm;
            }
        }
        // A residual that is added after a norm.
        for (const NodeIndex node : region) {
            if (owner.contains(node) || !is_sum(node)) continue;
            for (const Operand& operand : flow_.operands(node)) {
                const auto found = owner.find(through_views(operand.producer));
                if (found == owner.end()) continue;
                norms[at(found->second)].pattern = Pattern::add_norm;
                owner.emplace(node, found->second);
                break;
            }
        }
        for (const auto& [node, norm] : owner) norms[at(norm)].nodes.push_back(node);
        std::vector<Unit> units;
        for (Unit& norm : norms) {
            std::sort(norm.nodes.begin(), norm.nodes.end());
            units.push_back(std::move(norm));
        }
        rest(region, owner, units);
        if (!is_ordered(units)) return;  // stays as captured
        for (Unit& unit : units) {
            for (const NodeIndex node : unit.nodes) unit_of_[at(node)] = static_cast<int>(units_.size());
            units_.push_back(std::move(unit));
        }
    }

    NodeIndex through_views(NodeIndex node) const {
        while (node != kNoNode && flow_.is_free(node) && !makes_buffer(node) && !flow_.operands(node).empty()) {
            node = flow_.operands(node).front().producer;
        }
        return node;
    }

    bool is_elementwise(NodeIndex node) const {
        const WorkKind kind = flow_.kind(node);
        return kind == WorkKind::pointwise || (kind == WorkKind::copy && is_one_of(flow_.op(node), kLayouts));
    }

    // A sum of two activations.
    bool is_sum(NodeIndex node) const {
        if (!flow_.op(node).starts_with("aten.add")) return false;
        int live = 0;
        for (const Operand& operand : flow_.operands(node)) {
            live += operand.producer != kNoNode && flow_.is_live(operand.producer);
        }
        return live == 2;
    }

    // Connected nodes that no norm owns.
    void rest(const Nodes& region, const std::map<NodeIndex, int>& owner, std::vector<Unit>& units) {
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
            Unit unit{.nodes = part};
            if (classify(unit)) units.push_back(std::move(unit));
        }
    }

    // Whether a row of the engine covers the nodes.
    bool classify(Unit& unit) const {
        bool top = false;
        bool moves = true;
        bool fusible = true;
        for (const NodeIndex node : unit.nodes) {
            const WorkKind kind = flow_.kind(node);
            top = top || is_top(node);
            moves = moves && kind == WorkKind::copy && is_one_of(flow_.op(node), kLayouts);
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
            flow_.for_each_reader(node, [&](NodeIndex reader) {
                to_experts = to_experts || is_of_experts(reader);
                to_attention = to_attention || flow_.kind(reader) == WorkKind::attention ||
                               flow_.op(reader) == op_name(Pattern::cache_write);
                to_product = to_product || flow_.weight_of(reader) != kNoTensor;
            });
            for (const Operand& operand : flow_.operands(node)) {
                const NodeIndex made = through_views(operand.producer);
                if (made == kNoNode) continue;
                from_experts = from_experts || is_of_experts(made);
                from_product = from_product || flow_.weight_of(made) != kNoTensor;
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
        if (to_attention) {
            unit.pattern = Pattern::rotary;
        } else if (from_product && to_product) {
            unit.pattern = Pattern::activation;
        }
        return true;
    }

    bool is_of_experts(NodeIndex node) const {
        return flow_.op(node) == "aten._grouped_mm" || flow_.op(node).starts_with("pyinfercost.grouped");
    }

    // Whether the units of a region can run one after another.
    bool is_ordered(const std::vector<Unit>& units) const {
        std::map<NodeIndex, std::size_t> of;
        for (std::size_t u = 0; u < units.size(); ++u) {
            for (const NodeIndex node : units[u].nodes) of.emplace(node, u);
        }
        std::vector<std::set<std::size_t>> after(units.size());
        std::vector<int> waits(units.size(), 0);
        for (const auto& [node, unit] : of) {
            const std::size_t from = unit;
            flow_.for_each_reader(node, [&](NodeIndex reader) {
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

    // Queries and keys of one attention are rotated by one kernel.
    void merge_rotations() {
        std::map<NodeIndex, std::size_t> of_attention;
        for (std::size_t u = 0; u < units_.size(); ++u) {
            if (units_[u].pattern != Pattern::rotary || units_[u].layout) continue;
            const NodeIndex attention = attention_after(units_[u]);
            if (attention == kNoNode) continue;
            const auto [first, fresh] = of_attention.emplace(attention, u);
            if (fresh) continue;
            Unit& target = units_[first->second];
            if (flow_.stage(target.nodes.front()) != flow_.stage(units_[u].nodes.front())) continue;
            for (const NodeIndex node : units_[u].nodes) {
                unit_of_[at(node)] = static_cast<int>(first->second);
                target.nodes.push_back(node);
            }
            std::sort(target.nodes.begin(), target.nodes.end());
            units_[u].nodes.clear();
        }
    }

    // The attention that reads queries or keys of a unit, past the write into the cache.
    NodeIndex attention_after(const Unit& unit) const {
        NodeIndex found = kNoNode;
        for (const NodeIndex node : unit.nodes) {
            flow_.for_each_reader(node, [&](NodeIndex reader) {
                if (flow_.kind(reader) == WorkKind::attention) found = std::max(found, reader);
                if (flow_.op(reader) == op_name(Pattern::cache_write)) {
                    found = std::max(found, attention_of_write(reader));
                }
            });
        }
        return found;
    }

    // A write into a cache has no readers in a decode step: the attention that reads the cache.
    NodeIndex attention_of_write(NodeIndex write) const {
        const Call call = flow_.call(write);
        List<TensorIndex> caches = call.tensors("caches");
        for (const std::int64_t t : flow_.graph().node_outputs(flow_.graph().nodes()[at(write)])) {
            caches.push_back(static_cast<TensorIndex>(t));
        }
        for (NodeIndex i = write + 1; i < flow_.count(); ++i) {
            if (flow_.kind(i) != WorkKind::attention) continue;
            for (const Operand& operand : flow_.operands(i)) {
                for (std::size_t c = 0; c < caches.size(); ++c) {
                    if (operand.tensor == caches[c]) return i;
                }
            }
        }
        return kNoNode;
    }

    // ---- kernels ----
    static std::string_view op_name(Pattern pattern) {
        std::string_view full = op_of(pattern);
        return full.substr(0, full.rfind('.'));
    }

    struct Source {
        TensorIndex whole;  // result of the kernel that made it, or an input of the graph
        TensorIndex part;   // the first part of it on the way, or the whole
    };

    // Where a value comes from, through views.
    Source source_of(const Operand& operand) const {
        Source source{operand.tensor, operand.tensor};
        NodeIndex made = operand.producer;
        bool is_part = false;
        while (made != kNoNode && flow_.is_free(made) && !makes_buffer(made) && !flow_.operands(made).empty()) {
            const Operand& from = flow_.operands(made).front();
            if (is_one_of(flow_.op(made), kParts)) {
                source.part = source.whole;
                is_part = true;
            }
            source.whole = from.tensor;
            if (!is_part) source.part = from.tensor;
            made = from.producer;
        }
        return source;
    }

    // What nodes that only move data make a result from.
    TensorIndex source_of_layout(TensorIndex result, std::size_t unit) const {
        const Operand* operand = &flow_.operands(flow_.maker(result)).front();
        for (NodeIndex made = through_views(operand->producer);
             made != kNoNode && unit_of_[at(made)] == static_cast<int>(unit);
             made = through_views(operand->producer)) {
            operand = &flow_.operands(made).front();
        }
        return source_of(*operand).part;
    }

    void add_inputs(const Nodes& nodes, std::size_t unit, std::vector<TensorIndex>& inputs) {
        std::map<TensorIndex, std::set<TensorIndex>> parts;  // of each whole
        std::vector<TensorIndex> order;
        for (const NodeIndex node : nodes) {
            for (const Operand& operand : flow_.operands(node)) {
                const NodeIndex made = through_views(operand.producer);
                if (made != kNoNode && unit_of_[at(made)] == static_cast<int>(unit)) continue;
                const Source source = source_of(operand);
                if (is_empty_buffer(source.whole)) continue;
                if (!parts.contains(source.whole)) order.push_back(source.whole);
                parts[source.whole].insert(source.part);
            }
        }
        for (const TensorIndex whole : order) {
            const std::set<TensorIndex>& read = parts[whole];
            if (read.contains(whole)) {
                inputs.push_back(known(whole));
                continue;
            }
            Expr sum = 0;
            for (const TensorIndex part : read) sum += flow_.numel(part);
            if (sum == flow_.numel(whole)) {
                inputs.push_back(known(whole));
            } else {
                for (const TensorIndex part : read) inputs.push_back(known(part));
            }
        }
    }

    // Memory without contents, which the nodes of a unit fill.
    bool is_empty_buffer(TensorIndex t) const {
        const NodeIndex first = flow_.first_maker(t);
        return first != kNoNode && makes_buffer(first);
    }
    bool makes_buffer(NodeIndex node) const { return is_one_of(flow_.op(node), kEmpty); }

    // A table in the place of a value that is known before the forward.
    TensorIndex known(TensorIndex t) {
        const NodeIndex made = flow_.maker(t);
        if (made == kNoNode || flow_.is_live(made)) return t;
        const auto found = tables_.find(t);
        if (found != tables_.end()) return found->second;
        const TensorIndex table =
            rewriter_.add_tensor(flow_.tensor(t).dtype, flow_.shape(t), std::nullopt, Role::constant, "");
        tables_.emplace(t, table);
        return table;
    }

    bool is_read_outside(NodeIndex node, std::size_t unit) const {
        bool outside = false;
        for (const Use& use : flow_.uses(node)) outside = outside || is_view_read_outside(use, unit);
        for (const std::int64_t t : flow_.graph().node_outputs(flow_.graph().nodes()[at(node)])) {
            outside = outside || flow_.is_output(static_cast<TensorIndex>(t));
        }
        return outside;
    }
    bool is_view_read_outside(const Use& use, std::size_t unit) const {
        if (flow_.is_free(use.consumer)) return is_read_outside(use.consumer, unit);
        return unit_of_[at(use.consumer)] != static_cast<int>(unit);
    }

    void emit(std::size_t number) {
        const Unit& unit = units_[number];
        if (unit.nodes.empty()) return;
        std::vector<TensorIndex> inputs;
        add_inputs(unit.nodes, number, inputs);
        std::vector<TensorIndex> outputs;
        Expr flops = 0;
        for (const NodeIndex node : unit.nodes) {
            flops += flow_.pointwise_flops(node);
            for (const Use& use : flow_.uses(node)) {
                if (is_view_read_outside(use, number)) add_output(use.tensor, outputs);
            }
            for (const std::int64_t output : flow_.graph().node_outputs(flow_.graph().nodes()[at(node)])) {
                const auto t = static_cast<TensorIndex>(output);
                if (flow_.is_output(t) && flow_.maker(t) == node) add_output(t, outputs);
            }
        }
        for (const NodeIndex node : unit.nodes) rewriter_.remove(node);
        if (outputs.empty()) return;
        // A result that was computed in place has the tensor of its operand. What another kernel made, or what
        // is given to the graph, is read as well.
        for (const TensorIndex t : outputs) {
            const NodeIndex first = flow_.first_maker(t);
            const bool own = first != kNoNode && unit_of_[at(first)] == static_cast<int>(number);
            const bool buffer = first != kNoNode && !flow_.is_glue(first) && !flow_.is_anchor(first);
            std::erase(inputs, t);
            if (!own && !buffer) inputs.push_back(t);
        }
        const NodeIndex place = place_of(unit);
        if (unit.layout) {
            for (const TensorIndex output : outputs) {
                const NamedArgument view[] = {
                    {"self", source_of_layout(output, number)}
                };
                rewriter_.insert_after(place, "engine.parts.default", view, {&output, 1});
            }
            return;
        }
        if (unit.pattern == Pattern::rotary && flops == Expr(0)) {
            return insert(Pattern::pointwise, place, inputs, outputs, flops);
        }
        if (unit.pattern == Pattern::route) return emit_router(unit, place, inputs, outputs, flops);
        insert(unit.pattern, place, inputs, outputs, flops);
    }

    // A buffer that nodes of a unit fill part by part has another maker.
    void add_output(TensorIndex t, std::vector<TensorIndex>& outputs) {
        if (std::find(outputs.begin(), outputs.end(), t) != outputs.end()) return;
        outputs.push_back(t);
        const NodeIndex first = flow_.first_maker(t);
        if (first != kNoNode && !flow_.is_glue(first) && !flow_.is_anchor(first)) rewriter_.remove(first);
    }

    // The module of a norm or of an activation names the kernel.
    NodeIndex place_of(const Unit& unit) const {
        for (const NodeIndex node : unit.nodes) {
            if (is_statistic(node)) return node;
        }
        return unit.nodes.back();
    }

    void insert(Pattern pattern, NodeIndex place, const std::vector<TensorIndex>& inputs,
                const std::vector<TensorIndex>& outputs, const Expr& flops) {
        const KernelRow* row = row_of_[static_cast<std::size_t>(pattern)];
        const NamedArgument arguments[] = {
            {"kernel", std::string(row->kernel)},
            {"inputs", inputs},
            {"flops", flops},
            {"accesses", Expr(row->accesses)},
        };
        rewriter_.insert_after(place, op_of(pattern), arguments, outputs);
    }

    // Logits -> the experts of each token; then tokens by expert. The gathered tokens are read where they lie.
    void emit_router(const Unit& unit, NodeIndex place, const std::vector<TensorIndex>& inputs,
                     const std::vector<TensorIndex>& outputs, const Expr& flops) {
        std::vector<TensorIndex> small;
        std::vector<TensorIndex> logits;
        TensorIndex chosen = kNoTensor;
        for (const NodeIndex node : unit.nodes) {
            if (is_top(node)) chosen = flow_.call(node).output(1);
        }
        for (const TensorIndex output : outputs) {
            const NodeIndex made = flow_.maker(output);
            if (is_floating(flow_.tensor(output).dtype) && flow_.kind(made) == WorkKind::gather &&
                flow_.shape(output).size() == 2) {
                const TensorIndex tokens = source_of(flow_.operands(made).front()).part;
                const NamedArgument view[] = {
                    {"self", tokens}
                };
                rewriter_.insert_after(place, "engine.parts.default", view, {&output, 1});
                gathered_.insert(tokens);
            } else {
                small.push_back(output);
            }
        }
        for (const TensorIndex t : inputs) {
            if (!gathered_.contains(t)) logits.push_back(t);
        }
        const TensorIndex experts =
            rewriter_.add_tensor(DType::int32, flow_.shape(chosen), std::nullopt, Role::activation, "");
        insert(Pattern::route, place, logits, {experts}, flops);
        insert(Pattern::align, place, {experts}, small, 0);
    }

    // The kernel that writes into the cache has the engine's name; an engine without such a kernel writes as
    // it rotates.
    void name_writes() {
        const KernelRow* row = row_of_[static_cast<std::size_t>(Pattern::cache_write)];
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (flow_.op(i) != op_name(Pattern::cache_write)) continue;
            rewriter_.set_argument(i, {"kernel", std::string(row ? row->kernel : "attention")});
            rewriter_.set_argument(i, {"accesses", Expr(row ? row->accesses : 2)});
        }
    }

    // Nodes that stay read tables instead of what was computed from positions.
    void fix_static() {
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!flow_.is_live(i) || unit_of_[at(i)] >= 0) continue;
            GraphRewriter::Replaced replaced;
            for (const Operand& operand : flow_.operands(i)) {
                if (operand.producer == kNoNode || flow_.is_live(operand.producer)) continue;
                const Source source = source_of(operand);
                const Tensor& root = flow_.tensor(source.whole);
                if (root.role == Role::parameter || root.role == Role::buffer) continue;  // a transposed weight
                replaced.emplace_back(operand.tensor, known(operand.tensor));
            }
            rewriter_.replace_operands(i, replaced);
        }
    }

    Flow flow_;
    GraphRewriter rewriter_;
    std::array<const KernelRow*, kPatternCount> row_of_{};
    std::vector<NodeIndex> region_;
    std::vector<int> unit_of_;
    std::vector<Unit> units_;
    std::map<TensorIndex, TensorIndex> tables_;
    std::set<TensorIndex> gathered_;
};

}  // namespace

EngineGraph fuse_between(const GraphPtr& graph, const EngineRows& rows) {
    return Regions(graph, rows).run();
}

}  // namespace infercost

// What lies between products becomes an engine's fused kernels.
#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "core/graph_rewriter.hpp"
#include "lowering/engines/passes.hpp"
#include "lowering/engines/recurrences.hpp"
#include "lowering/engines/units.hpp"

namespace infercost {
namespace {

constexpr std::string_view kParts[] = {"aten.split",  "aten.split_with_sizes", "aten.chunk",  "aten.slice",
                                       "aten.select", "aten.narrow",           "aten.unbind", "engine.parts"};

using UnitOf = IndexedVector<NodeIndex, int>;

struct Source {
    TensorIndex whole;  // result of the kernel that made it, or an input of the graph
    TensorIndex part;   // the first part of it on the way, or the whole
};

// Nodes that no row of the engine covers. Compilers of whole models have kernels for convolutions and for
// every operator of their exchange format.
bool is_left(const Flow& flow, const EngineRows& rows, NodeIndex node) {
    const WorkKind kind = flow.kind(node);
    const bool strange = kind == WorkKind::library || kind == WorkKind::unknown;
    if (rows.compiler) return flow.is_live(node) && (strange || kind == WorkKind::scan);
    return flow.is_glue(node) || (flow.is_anchor(node) && (strange || kind == WorkKind::convolution));
}

// Where a value comes from, through views.
Source source_of(const Flow& flow, const Operand& operand) {
    Source source{operand.tensor, operand.tensor};
    NodeIndex made = operand.producer;
    bool is_part = false;
    while (made != kNoNode && flow.is_free(made) && !makes_buffer(flow, made) &&
           !flow.operands(made).empty()) {
        const Operand& from = flow.operands(made).front();
        if (is_one_of(flow.op(made), kParts)) {
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
TensorIndex source_of_layout(const Flow& flow, const UnitOf& unit_of, TensorIndex result, std::size_t unit) {
    const Operand* operand = &flow.operands(flow.maker(result)).front();
    for (NodeIndex made = through_views(flow, operand->producer);
         made != kNoNode && unit_of[made] == static_cast<int>(unit);
         made = through_views(flow, operand->producer)) {
        operand = &flow.operands(made).front();
    }
    return source_of(flow, *operand).part;
}

// A buffer that nodes of a unit fill part by part: its maker computes nothing, and they are the first to
// write it.
bool is_filled_by(const Flow& flow, const UnitOf& unit_of, TensorIndex t, std::size_t unit) {
    const NodeIndex first = flow.first_maker(t);
    const NodeIndex writer = flow.first_writer(t);
    return first != kNoNode && !flow.is_live(first) && writer != kNoNode &&
           unit_of[writer] == static_cast<int>(unit);
}

// Views of a value are followed.
bool is_read_outside(const Flow& flow, const UnitOf& unit_of, const Use& use, std::size_t unit) {
    if (flow.is_free(use.consumer)) {
        for (const Use& next : flow.uses(use.consumer)) {
            if (is_read_outside(flow, unit_of, next, unit)) return true;
        }
        return flow.is_result(use.consumer);
    }
    // A buffer of the same shape that the unit fills.
    if (makes_buffer(flow, use.consumer) &&
        is_filled_by(flow, unit_of, flow.call(use.consumer).output(), unit))
        return false;
    return unit_of[use.consumer] != static_cast<int>(unit);
}

void add_output(TensorIndex t, std::vector<TensorIndex>& outputs) {
    if (std::find(outputs.begin(), outputs.end(), t) == outputs.end()) outputs.push_back(t);
}

bool is_read_only_by(const Flow& flow, const UnitOf& unit_of, TensorIndex t, NodeIndex maker,
                     NodeIndex reader) {
    bool only = !flow.is_output(t) && flow.maker(t) == maker;
    flow.for_each_reader(maker, [&](NodeIndex other) {
        only = only && (other == reader || unit_of[other] == unit_of[maker]);
    });
    return only;
}

// The module of a norm or of an activation names the kernel.
NodeIndex place_of(const Flow& flow, const FusedUnit& unit) {
    for (const NodeIndex node : unit.nodes) {
        if (is_statistic(flow, node)) return node;
    }
    return unit.nodes.back();
}

bool writes(const Flow& flow, NodeIndex node, TensorIndex t) {
    const auto results = flow.graph().node_outputs(flow.graph().nodes()[node]);
    return std::find(results.begin(), results.end(), t) != results.end();
}

// A compiler has kernels for reductions, and an engine that joins nothing runs elementwise operators one by
// one.
void leave_single_ops(const Flow& flow, const CompilerRow& compiler, Units& units) {
    for (FusedUnit& unit : units.units) {
        const bool plain = unit.pattern == Pattern::pointwise || unit.pattern == Pattern::rotary;
        const bool single = !compiler.joins_pointwise && plain && !unit.layout;
        const bool mean = unit.nodes.size() == 1 && flow.op(unit.nodes.front()) == "aten.mean";
        if (!single && !mean) continue;
        for (const NodeIndex node : unit.nodes) units.of_node[node] = -1;
        unit.nodes.clear();
    }
}

// The units of a graph, recurrences last.
Units units_of(Flow& flow, const EngineRows& rows) {
    // Compilers of whole models run loops over tokens as they were captured.
    Units recurrences;
    if (!rows.compiler) recurrences = find_recurrences(flow);
    if (!recurrences.units.empty()) flow.set_anchors(recurrences.of_node);
    Units units = find_units(flow, rows);
    const int first = static_cast<int>(units.units.size());
    for (std::size_t i = 0; i < recurrences.of_node.size(); ++i) {
        if (recurrences.of_node[i] >= 0) units.of_node[i] = first + recurrences.of_node[i];
    }
    std::move(recurrences.units.begin(), recurrences.units.end(), std::back_inserter(units.units));
    if (rows.compiler) leave_single_ops(flow, *rows.compiler, units);
    return units;
}

class Writer {
  public:
    Writer(const GraphPtr& graph, const EngineRows& rows) : flow_(graph), rewriter_(*graph), rows_(rows) {
        for (const KernelRow& row : rows.rows) row_of_[row.pattern] = &row;
        Units units = units_of(flow_, rows);
        units_ = std::move(units.units);
        unit_of_ = std::move(units.of_node);
    }

    EngineGraph run() {
        join_writes();
        for (std::size_t u = 0; u < units_.size(); ++u) emit(u);
        name_writes();
        fix_static();
        drop_unread_activations(flow_, rewriter_);
        rewriter_.sort_nodes();
        EngineGraph result;
        result.graph = rewriter_.build().graph;
        const Flow flow(result.graph);
        for (NodeIndex i = 0; i < flow.count(); ++i) {
            if (is_left(flow, rows_, i)) result.as_captured.push_back(i);
        }
        return result;
    }

  private:
    void add_inputs(const Nodes& nodes, std::size_t unit, std::vector<TensorIndex>& inputs) {
        using Whole = std::pair<TensorIndex, bool>;  // and whether its value is known before the forward
        std::map<Whole, std::set<TensorIndex>> parts;
        std::vector<Whole> order;
        for (const NodeIndex node : nodes) {
            for (const Operand& operand : flow_.operands(node)) {
                const NodeIndex made = through_views(flow_, operand.producer);
                if (made != kNoNode && unit_of_[made] == static_cast<int>(unit)) continue;
                // Memory without contents, which the nodes fill. What others have written into it is read.
                if (made != kNoNode && makes_buffer(flow_, made)) continue;
                const Source source = source_of(flow_, operand);
                const Whole whole{source.whole, made != kNoNode && !flow_.is_live(made)};
                if (!parts.contains(whole)) order.push_back(whole);
                parts[whole].insert(source.part);
            }
        }
        for (const Whole& whole : order) {
            const auto [t, known] = whole;
            const std::set<TensorIndex>& read = parts[whole];
            Expr sum = 0;
            for (const TensorIndex part : read) sum += flow_.numel(part);
            const bool all = read.contains(t) || sum == flow_.numel(t);
            for (const TensorIndex part : all ? std::set<TensorIndex>{t} : read) {
                inputs.push_back(known ? table_of(part) : part);
            }
        }
    }

    // A table in the place of a value that is known before the forward.
    TensorIndex table_of(TensorIndex t) {
        const auto found = tables_.find(t);
        if (found != tables_.end()) return found->second;
        const TensorIndex table =
            rewriter_.add_tensor(flow_.tensor(t).dtype, flow_.shape(t), std::nullopt, Role::constant, "");
        tables_.emplace(t, table);
        return table;
    }

    void emit(std::size_t number) {
        const FusedUnit& unit = units_[number];
        if (unit.nodes.empty()) return;
        std::vector<TensorIndex> inputs;
        add_inputs(unit.nodes, number, inputs);
        std::vector<TensorIndex> outputs;
        Expr flops = 0;
        Expr contraction_flops = 0;
        for (const NodeIndex node : unit.nodes) {
            flops += flow_.pointwise_flops(node);
            contraction_flops += flow_.contraction_flops(node);
            for (const Use& use : flow_.uses(node)) {
                if (is_read_outside(flow_, unit_of_, use, number)) add_output(use.tensor, outputs);
            }
        }
        // A node may write a part of a result in place.
        for (const TensorIndex t : flow_.graph().outputs()) {
            const NodeIndex made = flow_.maker(t);
            if (made != kNoNode && unit_of_[made] == static_cast<int>(number)) add_output(t, outputs);
        }
        for (const NodeIndex node : unit.nodes) rewriter_.remove(node);
        if (outputs.empty()) return;
        // A result that was computed in place has the tensor of its operand. What another kernel made, or
        // what is given to the graph, is read as well.
        for (const TensorIndex t : outputs) {
            const NodeIndex first = flow_.first_maker(t);
            const bool own = first != kNoNode && unit_of_[first] == static_cast<int>(number);
            const bool fills = is_filled_by(flow_, unit_of_, t, number);
            if (fills && !own) rewriter_.remove(first);
            std::erase(inputs, t);
            if (!own && !fills) inputs.push_back(t);
        }
        const NodeIndex place = place_of(flow_, unit);
        if (unit.layout) {
            for (const TensorIndex output : outputs) {
                const NamedArgument view[] = {
                    {"self", source_of_layout(flow_, unit_of_, output, number)}
                };
                rewriter_.insert_after(place, "engine.parts.default", view, {&output, 1});
            }
            return;
        }
        if (unit.pattern == Pattern::route) return emit_router(unit, place, inputs, outputs, flops);
        std::vector<NamedArgument> more;
        if (!(contraction_flops == Expr(0))) more.push_back({"contraction_flops", contraction_flops});
        if (const auto found = write_of_.find(number); found != write_of_.end()) {
            take_write(number, found->second, inputs, outputs, more);
        }
        insert(unit.pattern, place, inputs, outputs, flops, more);
    }

    // An engine without a kernel that writes into the cache writes as it rotates.
    void join_writes() {
        if (row_of_[Pattern::cache_write]) return;
        for (std::size_t u = 0; u < units_.size(); ++u) {
            if (units_[u].pattern != Pattern::rotary || units_[u].layout) continue;
            for (const NodeIndex node : units_[u].nodes) {
                flow_.for_each_reader(node, [&](NodeIndex reader) {
                    if (flow_.op(reader) == op_name(Pattern::cache_write)) write_of_.emplace(u, reader);
                });
            }
        }
    }

    // The operands and results of the write that a unit takes in.
    void take_write(std::size_t unit, NodeIndex write, std::vector<TensorIndex>& inputs,
                    std::vector<TensorIndex>& outputs, std::vector<NamedArgument>& more) {
        Expr written = 0;
        for (const Operand& operand : flow_.operands(write)) {
            if (flow_.tensor(operand.tensor).role == Role::kv_cache) continue;
            written += flow_.numel(operand.tensor);
            const NodeIndex made = through_views(flow_, operand.producer);
            if (made == kNoNode || unit_of_[made] != static_cast<int>(unit)) {
                inputs.push_back(source_of(flow_, operand).part);
                continue;
            }
            std::erase_if(outputs,
                          [&](TensorIndex t) { return is_read_only_by(flow_, unit_of_, t, made, write); });
        }
        const List<TensorIndex> caches = flow_.call(write).tensors("caches");
        std::vector<TensorIndex> given;
        for (std::size_t i = 0; i < caches.size(); ++i) given.push_back(caches[i]);
        for (const std::int64_t t : flow_.graph().node_outputs(flow_.graph().nodes()[write])) {
            outputs.push_back(static_cast<TensorIndex>(t));
        }
        if (!given.empty()) {
            more.push_back({"caches", given});
            more.push_back({"written", written});
        }
        rewriter_.remove(write);
        taken_.insert(write);
    }

    void insert(Pattern pattern, NodeIndex place, const std::vector<TensorIndex>& inputs,
                const std::vector<TensorIndex>& outputs, const Expr& flops,
                const std::vector<NamedArgument>& more = {}) {
        const KernelRow* row = row_of_[pattern];
        std::vector<NamedArgument> arguments = {
            {"kernel",   std::string(row->kernel)},
            {"inputs",   inputs                  },
            {"flops",    flops                   },
            {"accesses", Expr(row->accesses)     },
            {"vector",   Expr(row->vector)       },
        };
        arguments.insert(arguments.end(), more.begin(), more.end());
        rewriter_.insert_after(place, op_of(pattern), arguments, outputs);
    }

    // Logits -> the experts of each token; then tokens by expert. The gathered tokens are read where they
    // lie.
    void emit_router(const FusedUnit& unit, NodeIndex place, const std::vector<TensorIndex>& inputs,
                     const std::vector<TensorIndex>& outputs, const Expr& flops) {
        std::vector<TensorIndex> small;
        std::vector<TensorIndex> logits;
        TensorIndex chosen = kNoTensor;
        for (const NodeIndex node : unit.nodes) {
            if (is_top(flow_, node)) chosen = flow_.call(node).output(1);
        }
        for (const TensorIndex output : outputs) {
            const NodeIndex made = flow_.maker(output);
            if (is_floating(flow_.tensor(output).dtype) && flow_.kind(made) == WorkKind::gather &&
                flow_.shape(output).size() == 2) {
                const TensorIndex tokens = source_of(flow_, flow_.operands(made).front()).part;
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
        const KernelRow* row = row_of_[Pattern::cache_write];
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (flow_.op(i) != op_name(Pattern::cache_write) || taken_.contains(i)) continue;
            rewriter_.set_argument(i, {"kernel", std::string(row ? row->kernel : "attention")});
            rewriter_.set_argument(i, {"accesses", Expr(row ? row->accesses : 2)});
        }
    }

    // Nodes that stay read tables instead of what was computed from positions.
    void fix_static() {
        for (NodeIndex i = 0; i < flow_.count(); ++i) {
            if (!flow_.is_live(i) || unit_of_[i] >= 0) continue;
            GraphRewriter::Replaced replaced;
            for (const Operand& operand : flow_.operands(i)) {
                if (operand.producer == kNoNode || flow_.is_live(operand.producer)) continue;
                if (writes(flow_, i, operand.tensor)) continue;  // a buffer that it fills
                const Source source = source_of(flow_, operand);
                const Tensor& root = flow_.tensor(source.whole);
                if (root.role == Role::parameter || root.role == Role::buffer)
                    continue;  // a transposed weight
                replaced.emplace_back(operand.tensor, table_of(operand.tensor));
            }
            rewriter_.replace_operands(i, replaced);
        }
    }

    Flow flow_;
    GraphRewriter rewriter_;
    const EngineRows& rows_;
    EnumArray<Pattern, const KernelRow*> row_of_{};
    std::vector<FusedUnit> units_;
    UnitOf unit_of_;
    std::map<TensorIndex, TensorIndex> tables_;
    std::set<TensorIndex> gathered_;
    std::map<std::size_t, NodeIndex> write_of_;  // of a unit
    std::set<NodeIndex> taken_;                  // writes that are part of another kernel
};

}  // namespace

EngineGraph fuse_between(const GraphPtr& graph, const EngineRows& rows) {
    return Writer(graph, rows).run();
}

}  // namespace infercost

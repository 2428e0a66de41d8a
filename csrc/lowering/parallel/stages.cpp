#include "lowering/parallel/stages.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/errors.hpp"
#include "core/graph_rewriter.hpp"
#include "lowering/parallel/node_arguments.hpp"
#include "ops/collective.hpp"

namespace infercost {
namespace {

constexpr std::string_view kSample = "engine.sample";
constexpr std::size_t kMostAddends = 3;  // residual, attention and feed-forward part of one layer
constexpr const char* kStepArguments[] = {"engine", "sequences", "tokens"};

// The path of a module up to its last part that is a number; empty without one.
std::string_view block_of(std::string_view path) {
    std::size_t end = 0;
    for (std::size_t begin = 0; begin < path.size();) {
        const std::size_t stop = std::min(path.find('.', begin), path.size());
        const std::string_view part = path.substr(begin, stop - begin);
        const bool digits = !part.empty() && std::all_of(part.begin(), part.end(),
                                                         [](char c) { return c >= '0' && c <= '9'; });
        if (digits) end = stop;
        begin = stop + 1;
    }
    return path.substr(0, end);
}

// A value between nodes, as one of them wrote it.
struct Value {
    TensorIndex tensor;
    NodeIndex made;
    std::vector<NodeIndex> readers;

    NodeIndex last() const { return readers.back(); }
    NodeIndex next(NodeIndex node) const { return *std::lower_bound(readers.begin(), readers.end(), node); }
};

class PlaceFinder {
  public:
    explicit PlaceFinder(const std::shared_ptr<const Graph>& graph) : flow_(graph), depends_(flow_) {
        std::map<std::pair<NodeIndex, TensorIndex>, std::size_t> numbers;
        while (end_ < flow_.count() && graph->nodes()[end_].phase == Phase::forward) ++end_;
        for (NodeIndex i = 0; i < end_; ++i) {
            if (!depends_.computes(i)) continue;
            for (const Operand& operand : flow_.operands(i)) {
                const Operand source = depends_.source(operand);
                if (source.producer == kNoNode || !depends_.on_input(source.producer)) continue;
                const auto [found, is_new] =
                    numbers.try_emplace({source.producer, source.tensor}, values_.size());
                if (is_new) values_.push_back({source.tensor, source.producer, {}});
                values_[found->second].readers.push_back(i);
            }
        }
        std::sort(values_.begin(), values_.end(),
                  [](const Value& a, const Value& b) { return a.made < b.made; });
    }

    std::vector<CutPlace> run(std::int64_t stages) {
        std::vector<CutPlace> all;
        std::vector<CutPlace> between_blocks;
        std::set<std::size_t> open;
        std::size_t next = 0;
        NodeIndex before = kNoNode;
        for (NodeIndex i = 0; i < end_; ++i) {
            if (!depends_.computes(i)) continue;
            while (next < values_.size() && values_[next].made < i) open.insert(next++);
            std::erase_if(open, [&](std::size_t v) { return values_[v].last() < i; });
            if (std::optional<CutPlace> place = place_at(i, open)) {
                if (block_of(flow_.module(before)) != block_of(flow_.module(i)))
                    between_blocks.push_back(*place);
                all.push_back(*std::move(place));
            }
            before = i;
        }
        const auto suffices = [&](const std::vector<CutPlace>& places) {
            return static_cast<std::int64_t>(places.size()) >= stages - 1;
        };
        if (suffices(between_blocks)) return between_blocks;
        if (suffices(all)) return all;
        throw InputError("pipeline=" + std::to_string(stages) + " needs " + std::to_string(stages - 1) +
                         " places where one activation passes from layer to layer, and this model has " +
                         std::to_string(all.size()) + why_few() + "; expected pipeline to be at most " +
                         std::to_string(all.size() + 1));
    }

  private:
    std::optional<CutPlace> place_at(NodeIndex node, const std::set<std::size_t>& open) const {
        if (open.empty() || open.size() > kMostAddends) return std::nullopt;
        CutPlace place{node, {}};
        for (const std::size_t v : open) place.crossing.push_back(values_[v].tensor);
        const Value& first = values_[*open.begin()];
        const bool added = std::all_of(open.begin(), open.end(), [&](std::size_t v) {
            const Value& value = values_[v];
            return value.next(node) == value.last() && value.last() == first.last() &&
                   flow_.op(value.last()).starts_with("engine.") &&
                   flow_.numel(value.tensor) == flow_.numel(first.tensor);
        });
        if (open.size() > 1 && !added) return std::nullopt;
        return place;
    }

    // The value that passes most nodes beside another one.
    std::string why_few() const {
        const Value* longest = nullptr;
        for (const Value& value : values_) {
            if (!longest || value.last() - value.made > longest->last() - longest->made) longest = &value;
        }
        if (!longest || longest->last() - longest->made < 2) return "";
        return " (a result of '" + flow_.module(longest->made) + "' is read as late as in '" +
               flow_.module(longest->last()) + "')";
    }

    Flow flow_;
    Dependence depends_;
    NodeIndex end_ = 0;  // of the forward
    std::vector<Value> values_;
};

// ---- the graph of all stages ----

// What a serving engine's steps depend on; its last stage alone has the kernel that says it.
std::vector<NamedArgument> step_arguments(const Graph& graph) {
    std::vector<NamedArgument> found;
    for (const Node& node : graph.nodes()) {
        if (graph.ops()[node.op].name != kSample) continue;
        for (NamedArgument& argument : arguments_of(graph, node)) {
            const bool wanted = std::any_of(std::begin(kStepArguments), std::end(kStepArguments),
                                            [&](const char* name) { return argument.name == name; });
            if (wanted) found.push_back(std::move(argument));
        }
    }
    return found;
}

class Sender {
  public:
    Sender(const std::shared_ptr<const Graph>& graph, const Sends& sends)
        : graph_(*graph), sends_(sends), step_(step_arguments(graph_)), rewriter_(*graph) {
        const Flow flow(graph);
        const Dependence depends(flow);
        for (NodeIndex i = 0; i < flow.count(); ++i) {
            last_.push_back(depends.computes(i) || last_.empty() ? i : last_.back());
        }
    }

    Rewritten run(std::span<const CutPlace> cuts) {
        for (std::size_t i = 0; i < cuts.size(); ++i) {
            const NodeIndex end = last_before(cuts[i]);
            for (const TensorIndex t : cuts[i].crossing) send(t, end, sends_.nodes[i]);
        }
        return rewriter_.build();
    }

    // The last node of a stage; views of what it sends belong to the next one.
    NodeIndex last_before(const CutPlace& cut) const { return last_[cut.before - 1]; }

  private:
    std::vector<Expr> shape_of(TensorIndex t) const {
        std::vector<Expr> shape;
        for (const Dim dim : graph_.dims(graph_.tensors()[t].shape)) {
            shape.push_back(graph_.expr(dim));
        }
        return shape;
    }
    TensorIndex made(TensorIndex t, const std::vector<Expr>& shape) {
        const DType dtype = graph_.tensors()[t].dtype;
        return rewriter_.add_tensor(dtype, shape, std::nullopt, Role::activation, "");
    }

    void send(TensorIndex t, NodeIndex end, std::int64_t nodes) {
        std::vector<Expr> shape = shape_of(t);
        const std::int64_t slices = sends_.slices;
        const bool cut = slices > 1 && !shape.empty() && shape.back().is_constant() &&
                         shape.back().constant() % slices == 0;
        TensorIndex sent = t;
        if (cut) {
            shape.back() = shape.back().constant() / slices;
            sent = made(t, shape);
            rewriter_.insert_after(end, "aten.slice.Tensor", first_of(t, -1, shape.back()), {&sent, 1});
        }
        std::vector<NamedArgument> arguments = {
            {"input",   sent       },
            {"devices", Expr(2)    },
            {"nodes",   Expr(nodes)},
        };
        arguments.insert(arguments.end(), step_.begin(), step_.end());
        const TensorIndex received = made(t, shape);
        rewriter_.insert_after(end, kSend, arguments, {&received, 1});
        if (!cut) return;
        const TensorIndex whole = made(t, shape_of(t));
        const NamedArgument gather[] = {
            {"input",   received    },
            {"devices", Expr(slices)},
            {"nodes",   Expr(1)     },
        };
        rewriter_.insert_after(end, kAllGather, gather, {&whole, 1});
    }

    const Graph& graph_;
    const Sends& sends_;
    std::vector<NamedArgument> step_;
    GraphRewriter rewriter_;
    IndexedVector<NodeIndex, NodeIndex> last_;  // for each node the last one up to it that computes
};

// The stages of modules, and of the blocks that they are in.
class ModuleStages {
  public:
    void add(std::string_view module, std::size_t stage) {
        stage_of_.try_emplace(std::string(module), stage);
        if (const std::string_view block = block_of(module); !block.empty()) {
            stage_of_.try_emplace(std::string(block), stage);
        }
    }
    std::optional<std::size_t> find(std::string_view module) const {
        auto place = stage_of_.find(module);
        if (place == stage_of_.end() && !block_of(module).empty()) place = stage_of_.find(block_of(module));
        return place == stage_of_.end() ? std::optional<std::size_t>() : place->second;
    }

  private:
    std::map<std::string, std::size_t, std::less<>> stage_of_;
};

}  // namespace

// Weights and caches that no kernel reads, such as norms that a compiler made part of products: they lie in
// the stage of their module, or else in the last one.
std::vector<std::vector<TensorIndex>> unread_by_stage(const Graph& graph,
                                                      const std::vector<NodeIndex>& bounds) {
    IndexedVector<TensorIndex, bool> read(graph.tensors().size(), false);
    ModuleStages modules;
    for (std::size_t stage = 0; stage + 1 < bounds.size(); ++stage) {
        for (NodeIndex i = bounds[stage]; i < bounds[stage + 1]; ++i) {
            const Node& node = graph.nodes()[i];
            graph.for_each_input(node, [&](TensorIndex t) { read[t] = true; });
            modules.add(graph.name(node.module), stage);
        }
    }
    std::vector<std::vector<TensorIndex>> found(bounds.size() - 1);
    for (std::size_t t = 0; t < read.size(); ++t) {
        const Tensor& tensor = graph.tensors()[t];
        if (read[t] || tensor.role == Role::activation || tensor.role == Role::input) continue;
        const std::string_view name = graph.name(tensor.name);
        const std::size_t stage = modules.find(name.substr(0, name.rfind('.'))).value_or(found.size() - 1);
        found[stage].push_back(static_cast<TensorIndex>(t));
    }
    return found;
}

std::vector<CutPlace> cut_places(const std::shared_ptr<const Graph>& graph, std::int64_t stages) {
    return PlaceFinder(graph).run(stages);
}

std::vector<std::size_t> balanced_cuts(std::span<const double> until_s, std::span<const double> sent_s,
                                       std::int64_t stages) {
    const std::size_t places = sent_s.size();
    const auto count = static_cast<std::size_t>(std::max<std::int64_t>(stages, 1));
    if (until_s.size() != places + 1 || places + 1 < count) {
        throw InputError("balanced_cuts got " + std::to_string(until_s.size()) + " times of nodes and " +
                         std::to_string(places) + " of sends for " + std::to_string(count) +
                         " stages; expected one time more, and a place for each cut");
    }
    constexpr double kNever = std::numeric_limits<double>::infinity();
    // slowest[k][j]: the slowest of k + 1 stages that end at place j.
    std::vector<std::vector<double>> slowest(count, std::vector<double>(places + 1, kNever));
    std::vector<std::vector<std::size_t>> from(count, std::vector<std::size_t>(places + 1, 0));
    const auto sent = [&](std::size_t j) { return j < places ? sent_s[j] : 0.0; };
    for (std::size_t j = 0; j <= places; ++j) slowest[0][j] = until_s[j] + sent(j);
    for (std::size_t k = 1; k < count; ++k) {
        for (std::size_t j = k; j <= places; ++j) {
            for (std::size_t i = k - 1; i < j; ++i) {
                const double own = until_s[j] - until_s[i] + sent(j);
                const double all = std::max(slowest[k - 1][i], own);
                // Of equal ones the last: later stages, which also sample, get fewer layers.
                if (all <= slowest[k][j]) {
                    slowest[k][j] = all;
                    from[k][j] = i;
                }
            }
        }
    }
    std::vector<std::size_t> cuts(count - 1);
    std::size_t end = places;
    for (std::size_t k = count - 1; k > 0; --k) end = cuts[k - 1] = from[k][end];
    return cuts;
}

std::vector<std::size_t> stages_of_tensors(const Graph& graph, std::span<const TensorIndex> tensors,
                                           std::span<const std::shared_ptr<const Graph>> stages) {
    ModuleStages modules;
    for (std::size_t stage = 0; stage < stages.size(); ++stage) {
        for (const Node& node : stages[stage]->nodes()) modules.add(stages[stage]->name(node.module), stage);
    }
    std::map<TensorIndex, std::size_t> found;
    const std::set<TensorIndex> wanted(tensors.begin(), tensors.end());
    for (const Node& node : graph.nodes()) {
        const std::optional<std::size_t> stage = modules.find(graph.name(node.module));
        if (!stage) continue;
        const auto note = [&](TensorIndex t) {
            if (wanted.contains(t)) found.try_emplace(t, *stage);
        };
        graph.for_each_input(node, note);
        for (const std::int64_t t : graph.node_outputs(node)) note(static_cast<TensorIndex>(t));
    }
    std::vector<std::size_t> of;
    for (const TensorIndex t : tensors) of.push_back(found.contains(t) ? found.at(t) : 0);
    return of;
}

Pipeline pipeline_of(const std::shared_ptr<const Graph>& graph, std::span<const CutPlace> cuts,
                     const Sends& sends) {
    if (sends.nodes.size() != cuts.size() || sends.slices < 1) {
        throw InputError("a pipeline got " + std::to_string(sends.nodes.size()) + " sends for " +
                         std::to_string(cuts.size()) + " cuts; expected one for each");
    }
    for (std::size_t i = 0; i < cuts.size(); ++i) {
        const NodeIndex least = i == 0 ? 1 : cuts[i - 1].before + 1;
        if (cuts[i].before < least || cuts[i].before >= static_cast<NodeIndex>(graph->nodes().size())) {
            throw InputError("a pipeline is cut before node " + std::to_string(cuts[i].before) +
                             "; expected nodes of the graph in ascending order");
        }
    }
    Sender sender(graph, sends);
    const Rewritten sending = sender.run(cuts);
    Pipeline made{.graph = sending.graph, .stages = {}, .place_of = sending.place_of};
    std::vector<NodeIndex> bounds = {0};
    for (const CutPlace& cut : cuts) {
        bounds.push_back(sending.place_of[sender.last_before(cut) + 1]);
    }
    bounds.push_back(static_cast<NodeIndex>(sending.graph->nodes().size()));
    const Flow flow(made.graph);
    const Dependence depends(flow);
    const std::vector<std::vector<TensorIndex>> unread = unread_by_stage(*made.graph, bounds);
    for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
        const NodeRange range[] = {
            {bounds[i], bounds[i + 1]}
        };
        made.stages.push_back(stage_of(flow, depends, range, unread[i]));
    }
    return made;
}

}  // namespace infercost

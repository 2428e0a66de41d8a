#include <algorithm>
#include <array>
#include <utility>

#include "core/errors.hpp"
#include "lowering/conservation.hpp"
#include "lowering/parallel/layout.hpp"
#include "lowering/parallel/partial_sums.hpp"
#include "lowering/parallel/rank_writer.hpp"
#include "lowering/parallel/relations.hpp"
#include "lowering/parallel/splits.hpp"
#include "lowering/parallel/token_splits.hpp"

namespace infercost {
namespace {

constexpr std::array<std::string_view, 5> kRoutings = {"unstated", "balanced", "random", "power", "measured"};
constexpr std::int64_t kMostExponent = 10;
constexpr std::int64_t kMostLoad = 1'000'000'000'000'000;

void require(bool fits, const std::string& what) {
    if (!fits) throw InputError(what);
}

std::string text(std::int64_t value) {
    return std::to_string(value);
}

// Graphs of kernels cannot be divided, since their operands are whole.
void require_captured(const Graph& graph, const Layout& layout) {
    const bool others = layout.expert > 1 || layout.attention_data > 1 || layout.context > 1;
    for (const Node& node : graph.nodes()) {
        const std::string& op = graph.ops()[node.op].name;
        require(node.phase == Phase::forward || !others,
                "this graph is of a training step, which tensor=, sequence=, pipeline=, data= and zero= "
                "divide; expected "
                "expert=1, context=1 and attention_data=1, or a graph captured without training");
        require(!op.starts_with("engine."),
                "this graph has kernels of an engine already; expected the captured graph, divided before "
                "the engine "
                "makes its kernels");
        require(!op.starts_with("collective."),
                "this graph is of one rank already; expected the captured graph");
    }
}

}  // namespace

std::string_view name_of(Routing routing) {
    return kRoutings[static_cast<std::size_t>(routing)];
}

Routing parse_expert_routing(std::string_view name) {
    const auto found = std::ranges::find(kRoutings, name);
    if (found != kRoutings.end()) return static_cast<Routing>(found - kRoutings.begin());
    throw InputError("routing is '" + std::string(name) +
                     "'; expected unstated, balanced, random, power or measured");
}

Layout rank_layout(const Layout& layout) {
    Layout one = layout;
    one.pipeline = 1;
    if (layout.expert > layout.tensor) return layout.nodes == 1 ? one : layout;
    const std::int64_t in_node = layout.devices() / layout.nodes;
    const std::int64_t group = layout.tensor * layout.context;
    if (in_node < group && group % in_node != 0) return layout;
    one.data = 1;
    one.nodes = in_node >= group ? 1 : group / in_node;
    return one;
}

std::int64_t Layout::nodes_of(std::int64_t ranks) const {
    const std::int64_t in_node = std::max<std::int64_t>(1, devices() / nodes);
    return std::max<std::int64_t>(1, (ranks + in_node - 1) / in_node);
}

bool Layout::sends_between_nodes(std::int64_t stage, std::int64_t machines) const {
    const std::int64_t of_stage = tensor * context;
    const std::int64_t in_node = (devices() + machines - 1) / machines;
    for (std::int64_t copy = 0; copy < data; ++copy) {
        const std::int64_t first = copy * of_stage * pipeline + stage * of_stage;
        if (first / in_node != (first + of_stage) / in_node) return true;
    }
    return false;
}

void Layout::check() const {
    for (const auto& [name, value] :
         {std::pair("tensor", tensor), std::pair("pipeline", pipeline), std::pair("expert", expert),
          std::pair("data", data), std::pair("context", context), std::pair("attention_data", attention_data),
          std::pair("nodes", nodes)}) {
        require(value >= 1,
                std::string(name) + "=" + text(value) + " is no number of parts; expected at least 1");
    }
    require(devices() % nodes == 0, text(devices()) + " devices cannot lie in nodes=" + text(nodes) +
                                        " machines of equal size; expected a divisor of the devices");
    require(tensor % attention_data == 0, "attention_data=" + text(attention_data) +
                                              " does not divide tensor=" + text(tensor) +
                                              "; expected a divisor of it");
    require(exponent >= 0 && exponent <= kMostExponent,
            "the exponent of expert_load is not from 0 to " + text(kMostExponent));
    double all = 0;
    for (const double load : loads) {
        require(load >= 0 && load <= kMostLoad, "a load of an expert is not from 0 to " + text(kMostLoad));
        all += load;
    }
    require(routing != Routing::measured || all > 0,
            "loads of experts are missing or add up to 0; expected a number above 0");
    require(!ulysses || context > 1, "ulysses=1 is of ranks that share tokens; expected context above 1");
    const bool inside = tensor % expert == 0;
    require(inside || expert == tensor * data,
            "expert=" + text(expert) + " neither divides tensor=" + text(tensor) +
                " nor is tensor x data = " + text(tensor * data) +
                "; expected one of these, so that all ranks have as many experts");
}

RankGraph parallel_graph(const std::shared_ptr<const Graph>& graph, const Layout& layout) {
    layout.check();
    require_captured(*graph, layout);
    Relations relations(graph);
    require(!layout.loads_differ() || !loads_by_rows(relations, layout).empty(),
            "expert_load is of experts whose tokens are sorted, and this model has none; expected "
            "expert_load=balanced");
    split_axes(relations, layout);
    split_tokens(relations, layout);
    const PartialSums sums = partial_sums(relations, layout);
    RankGraph made = write_rank(graph, relations, layout, sums, token_shares(relations, layout, sums));
    made.kept_share =
        kept_by_ranks(graph, made.graph, layout.devices() / layout.pipeline,
                      layout.attention_data * (layout.expert > layout.tensor ? layout.data : 1));
    return made;
}

std::vector<std::int64_t> expert_counts(const std::shared_ptr<const Graph>& graph) {
    const Relations relations(graph);
    const Axes& axes = relations.axes();
    std::vector<std::int64_t> found;
    for (const Experts& each : relations.experts()) {
        const std::vector<AxisId> leaves = axes.leaves(each.experts);
        const bool heads =
            std::any_of(leaves.begin(), leaves.end(), [&](AxisId leaf) { return axes.info(leaf).heads; });
        if (!heads) found.push_back(axes.length(each.experts));
    }
    return found;
}

}  // namespace infercost

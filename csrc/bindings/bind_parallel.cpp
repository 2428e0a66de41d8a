#include <pybind11/stl.h>

#include <memory>
#include <utility>
#include <vector>

#include "bindings/fields.hpp"
#include "lowering/conservation.hpp"
#include "lowering/parallel/layout.hpp"

namespace infercost {

namespace {

using GraphPtr = std::shared_ptr<const Graph>;

void register_layout(py::module_& m) {
    static constexpr Field kLayout[] = {
        optional_setting<&Layout::tensor>("tensor"),
        optional_setting<&Layout::pipeline>("pipeline"),
        optional_setting<&Layout::expert>("expert"),
        optional_setting<&Layout::data>("data"),
        optional_setting<&Layout::sequence>("sequence"),
        optional_setting<&Layout::context>("context"),
        optional_setting<&Layout::ulysses>("ulysses"),
        optional_setting<&Layout::attention_data>("attention_data"),
        optional_setting<&Layout::nodes>("nodes"),
        optional_named_setting<parse_expert_routing, &Layout::routing>("routing"),
        optional_setting<&Layout::exponent>("exponent"),
        optional_setting<&Layout::loads>("loads"),
    };
    py::class_<Layout> layout(m, "Layout", "A layout, as graphs of ranks are made for it.");
    def_init<Layout>(layout, "Layout", kLayout, [](Layout&& made) { return std::move(made); });
    layout
        .def("of_rank", &rank_layout,
             "What the graph of one rank depends on, with the layers of all stages of a pipeline.")
        .def("__eq__", [](const Layout& one, const Layout& other) { return one == other; })
        .def("__hash__", [](const Layout& of) {
            return py::hash(py::make_tuple(of.tensor, of.pipeline, of.expert, of.data, of.context,
                                           of.attention_data, of.nodes, of.ulysses, of.sequence));
        });
}

}  // namespace

void register_parallel(py::module_& m) {
    register_layout(m);
    m.def(
        "kept_share",
        [](const GraphPtr& before, const GraphPtr& now) {
            const CoreCall core;
            return kept_share(before, now);
        },
        py::arg("before"), py::arg("now"), "Contraction FLOPs of a rewritten graph over those before.");
    m.def(
        "kept_by_ranks",
        [](const GraphPtr& before, const GraphPtr& rank, std::int64_t ranks) {
            const CoreCall core;
            return kept_by_ranks(before, rank, ranks);
        },
        py::arg("before"), py::arg("rank"), py::arg("ranks"),
        "1 if each product has its equal part in the graph of a rank, or more; else the share of the first "
        "one.");
    m.def(
        "kept_by_stages",
        [](const GraphPtr& before, const std::vector<std::shared_ptr<Graph>>& stages) {
            const std::vector<GraphPtr> given(stages.begin(), stages.end());
            const CoreCall core;
            return kept_by_stages(before, given);
        },
        py::arg("before"), py::arg("stages"),
        "Contraction FLOPs of all stages over those of the graph that was cut.");
    m.def(
        "expert_counts",
        [](const std::shared_ptr<const Graph>& graph) {
            const CoreCall core;
            return expert_counts(graph);
        },
        py::arg("graph"), "Returns the numbers of experts of the products whose rows are sorted by expert.");
}

}  // namespace infercost

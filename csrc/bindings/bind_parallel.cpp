#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "lowering/parallel/layout.hpp"

namespace infercost {

void register_parallel(py::module_& m) {
    m.def(
        "parallel_graph",
        [](const std::shared_ptr<const Graph>& graph, std::int64_t tensor, std::int64_t pipeline,
           std::int64_t expert, std::int64_t data, bool sequence, std::int64_t context,
           std::int64_t attention_data, std::int64_t nodes) {
            const Layout layout{.tensor = tensor,
                                .pipeline = pipeline,
                                .expert = expert,
                                .data = data,
                                .context = context,
                                .attention_data = attention_data,
                                .nodes = nodes,
                                .sequence = sequence};
            RankGraph made;
            {
                const CoreCall core;
                made = parallel_graph(graph, layout);
            }
            py::list shares;
            for (const Share& share : made.shares) {
                shares.append(py::make_tuple(share.name, share.elements, share.of));
            }
            return py::make_tuple(std::const_pointer_cast<Graph>(made.graph), shares);
        },
        py::arg("graph"), py::kw_only(), py::arg("tensor") = 1, py::arg("pipeline") = 1,
        py::arg("expert") = 1, py::arg("data") = 1, py::arg("sequence") = false, py::arg("context") = 1,
        py::arg("attention_data") = 1, py::arg("nodes") = 1,
        "Returns the graph of one rank of a layout, and of each weight or buffer its name, the elements of "
        "the "
        "rank and those of the whole.");
    m.def(
        "expert_counts",
        [](const std::shared_ptr<const Graph>& graph) {
            const CoreCall core;
            return expert_counts(graph);
        },
        py::arg("graph"), "Returns the numbers of experts of the products whose rows are sorted by expert.");
}

}  // namespace infercost

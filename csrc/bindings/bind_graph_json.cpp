// Graphs as JSON text and as the dicts and lists of it. The core reads and writes the text.
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "core/graph_json.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

// Holds Python's cycle collector while a large document is made: its objects have no cycles yet, and it would
// walk all of them again and again as they grow in number.
class CollectorPause {
  public:
    CollectorPause() : was_enabled_(PyGC_Disable() != 0) {}
    ~CollectorPause() {
        if (was_enabled_) PyGC_Enable();
    }
    CollectorPause(const CollectorPause&) = delete;
    CollectorPause& operator=(const CollectorPause&) = delete;

  private:
    bool was_enabled_;
};

std::string to_json(const Graph& graph) {
    const CoreCall core;
    return graph_to_json(graph);
}

GraphPtr from_json(std::string_view text) {
    const CoreCall core;
    return graph_from_json(text);
}

GraphPtr from_str(const py::object& text) {
    if (py::isinstance<py::bytes>(text)) return from_json(text.cast<std::string_view>());
    return from_json(to_text(text, "graph JSON"));
}

bool is_equal(const Graph& a, const Graph& b) {
    const CoreCall core;
    return a == b;
}

py::object to_dict(const Graph& graph) {
    const std::string text = to_json(graph);
    const CollectorPause pause;
    return py::module_::import("json").attr("loads")(text);
}

GraphPtr from_dict(const py::dict& data) {
    const py::object dumps = py::module_::import("json").attr("dumps");
    py::object text;
    try {
        text = dumps(data, py::arg("separators") = py::make_tuple(",", ":"));
    } catch (py::error_already_set& error) {
        if (!error.matches(PyExc_Exception)) throw;  // Ctrl-C
        throw std::invalid_argument("graph JSON: the document is not one of JSON (" +
                                    py::str(error.value()).cast<std::string>() +
                                    "); expected dicts with str keys, lists, numbers, texts, None");
    }
    return from_json(text.cast<std::string>());
}

}  // namespace

void register_graph_json(py::class_<Graph, py::smart_holder>& graph) {
    graph.def("to_dict", &to_dict, "The document of to_json() as dicts and lists.")
        .def_static("from_dict", &from_dict, py::arg("data"), "The graph of a document of to_dict().")
        .def("to_json", &to_json, "The graph as JSON text, with schema_version.")
        .def_static("from_json", &from_str, py::arg("text"), "The graph of a text of to_json().")
        .def(
            "__eq__",
            [](const Graph& a, const py::object& other) -> py::object {
                if (!py::isinstance<Graph>(other)) {
                    return py::reinterpret_borrow<py::object>(Py_NotImplemented);
                }
                return py::bool_(is_equal(a, other.cast<const Graph&>()));
            },
            py::arg("other"))
        .def("__hash__",
             [](const Graph& g) { return std::hash<std::string>{}(g.model()) ^ g.nodes().size(); })
        .def(py::pickle(&to_json, [](const std::string& text) { return from_json(text); }));
}

}  // namespace infercost

#include "bindings/bindings.hpp"
#include "interface/session.hpp"

namespace infercost {

void register_interface(py::module_& m) {
    py::class_<Session>(
        m, "Session",
        "Requests and answers of the core as JSON: what the WebAssembly module has, in this process.")
        .def(py::init<>())
        .def(
            "answer",
            [](Session& session, const py::object& request, const py::object& document) {
                return session.answer(to_text(request, "request"), to_text(document, "document"));
            },
            py::arg("request"), py::arg("document") = "",
            "The answer to one request; `document` is the text that a request to load reads.");
}

}  // namespace infercost

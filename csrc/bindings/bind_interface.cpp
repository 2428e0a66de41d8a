#include "bindings/bindings.hpp"
#include "interface/session.hpp"
#include "sources/decoder.hpp"

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
    m.def(
        "decoder_graph",
        [](const py::object& document) {
            return build_decoder(decoder_config_from_json(to_text(document, "document")));
        },
        py::arg("document"),
        "The graph of a decoder of language, from the document of a request to load one.");
}

}  // namespace infercost

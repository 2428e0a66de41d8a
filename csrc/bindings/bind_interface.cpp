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
                const std::string text = to_text(request, "request");
                if (py::isinstance<py::bytes>(document)) {
                    return session.answer(text,
                                          std::string_view(py::reinterpret_borrow<py::bytes>(document)));
                }
                return session.answer(text, to_text(document, "document"));
            },
            py::arg("request"), py::arg("document") = "",
            "The answer to one request; `document` is the text, or of a GGUF file the bytes, that a request "
            "to "
            "load reads.");
    m.def(
        "decoder_graph",
        [](const py::object& document) {
            return build_decoder(decoder_config_from_json(to_text(document, "document")));
        },
        py::arg("document"),
        "The graph of a decoder of language, from the document of a request to load one.");
}

}  // namespace infercost

#include <pybind11/stl.h>

#include "bindings/fields.hpp"
#include "sources/decoder.hpp"

namespace infercost {
namespace {

py::object to_object_of(const GgufScalar& scalar) {
    return std::visit([](const auto& value) { return py::cast(value); }, scalar);
}

py::object to_object_of(const GgufSetting& setting) {
    if (const auto* const list = std::get_if<std::vector<GgufScalar>>(&setting)) {
        py::tuple values(list->size());
        for (std::size_t i = 0; i < list->size(); ++i) values[i] = to_object_of((*list)[i]);
        return values;
    }
    return std::visit([](const auto& value) -> py::object { return py::cast(value); }, setting);
}

GgufHeader read_header(const py::buffer& content, const std::string& name) {
    const py::buffer_info bytes = content.request();
    const auto size = static_cast<std::size_t>(bytes.size * bytes.itemsize);
    return read_gguf_header({static_cast<const char*>(bytes.ptr), size}, size, name);
}

}  // namespace

void register_gguf(py::module_& m) {
    static constexpr Field kType[] = {
        field<&GgmlType::number>("number"),
        field<&GgmlType::name>("name"),
        field<&GgmlType::weights>("weights"),
        field<&GgmlType::bytes>("nbytes"),
        field<&GgmlType::dtype>("dtype"),
        field<&GgmlType::format>("format"),
        field<&GgmlType::values>("values"),
        field<&GgmlType::group>("group"),
        field<&GgmlType::block_bytes>("block_bytes"),
        field<&GgmlType::bits>("bits"),
    };
    def_fields(py::class_<GgmlType>(m, "GgmlType", "A type of tensors in GGUF files."), kType);
    m.def(
        "ggml_types", [] { return std::vector<GgmlType>(kGgmlTypes.begin(), kGgmlTypes.end()); },
        "The types of tensors in GGUF files.");
    py::class_<GgufSkipped>(m, "GgufSkipped",
                            "A setting that is not kept: its length in elements or characters.")
        .def(py::init<std::uint64_t>(), py::arg("length"))
        .def_readonly("length", &GgufSkipped::length)
        .def(
            "__eq__", [](const GgufSkipped& one, const GgufSkipped& other) { return one == other; },
            py::is_operator())
        .def("__hash__", [](const GgufSkipped& skipped) { return py::hash(py::int_(skipped.length)); })
        .def("__repr__", [](const GgufSkipped& skipped) { return shown(GgufSetting(skipped)); });
    static constexpr Field kTensor[] = {
        field<&GgufTensor::name>("name"),
        field<[](const GgufTensor& tensor) { return py::tuple(py::cast(tensor.shape)); }>("shape"),
        field<[](const GgufTensor& tensor) { return *tensor.type; }>("type"),
        field<&GgufTensor::offset>("offset"),
        field<&GgufTensor::elements>("elements"),
        field<&GgufTensor::bytes>("nbytes"),
    };
    def_fields(py::class_<GgufTensor>(m, "GgufTensor", "A tensor of a GGUF file."), kTensor);
    py::class_<GgufHeader>(m, "GgufHeader", "The header of a GGUF file.")
        .def(py::init(&read_header), py::arg("content"), py::kw_only(), py::arg("name"))
        .def_readonly("version", &GgufHeader::version)
        .def_readonly("tensors", &GgufHeader::tensors)
        .def_property_readonly("settings", [](const GgufHeader& header) {
            py::dict settings;
            for (const auto& [key, value] : header.settings) settings[py::str(key)] = to_object_of(value);
            return settings;
        });
    py::class_<GgufModel, std::shared_ptr<GgufModel>>(m, "GgufModel", "A model of GGUF files.")
        .def(py::init<std::string>(), py::arg("spec"))
        .def("add", &GgufModel::add, py::arg("header"), py::kw_only(), py::arg("file"))
        .def_property_readonly("spec", &GgufModel::spec)
        .def_property_readonly("architecture", &GgufModel::architecture)
        .def_property_readonly("parts", &GgufModel::parts)
        .def_property_readonly("tensors", &GgufModel::tensors)
        .def(
            "graph",
            [](const std::shared_ptr<GgufModel>& model, std::string_view phase) {
                return build_decoder(decoder_config_of_gguf(model, phase));
            },
            py::arg("phase"), "The graph of its decoder, as far as the core builds it.")
        .def("config_json", &GgufModel::config_json,
             "The config of `transformers`, with `model_type`, as JSON.")
        .def(
            "stored",
            [](const GgufModel& model, const std::string& parameter) -> py::object {
                const std::optional<GgufStored> found = model.stored(parameter);
                if (!found) return py::none();
                py::list tensors;
                for (const GgufTensor* const tensor : found->tensors) tensors.append(py::cast(*tensor));
                return py::make_tuple(tensors, found->type->number, found->mixed);
            },
            py::arg("parameter"),
            "The tensors of a parameter, the number of its type, and whether its blocks have several types.");
}

}  // namespace infercost

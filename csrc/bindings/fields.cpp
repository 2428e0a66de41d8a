#include "bindings/fields.hpp"

#include <pybind11/numpy.h>

#include <algorithm>

namespace infercost {
namespace {

std::string names_of(Fields fields) {
    std::string names;
    for (const Field& field : fields) names += (names.empty() ? "" : ", ") + std::string(field.name);
    return names;
}

}  // namespace

void refuse_field(const char* name, py::handle value, const std::string& expected) {
    throw InputTypeError("'" + std::string(name) + "' is a " +
                         py::str(py::type::handle_of(value).attr("__name__")).cast<std::string>() +
                         "; expected " + expected);
}

std::vector<double> numbers_from(const char* name, py::handle value) {
    const auto values = py::array_t<double, py::array::c_style | py::array::forcecast>::ensure(value);
    if (!values) {
        PyErr_Clear();
        refuse_field(name, value, "numbers");
    }
    return {values.data(), values.data() + values.size()};
}

void def_properties(py::handle cls, Fields fields, OwnerOfSelf owner) {
    const py::handle property(reinterpret_cast<PyObject*>(&PyProperty_Type));
    for (const Field& field : fields) {
        const auto read = field.read;
        const py::cpp_function get([owner, read](py::handle self) { return read(owner(self)); },
                                   py::is_method(cls));
        cls.attr(field.name) = property(get);
    }
}

void write_fields(void* owner, const char* cls, Fields fields, const py::kwargs& given) {
    std::size_t written = 0;
    for (const Field& field : fields) {
        const py::handle value = PyDict_GetItemString(given.ptr(), field.name);
        if (value) {
            field.write(owner, field.name, value);
            ++written;
        } else if (!field.read) {
            throw InputTypeError(std::string(cls) + " needs '" + field.name + "'; expected " +
                                 names_of(fields));
        }
    }
    if (written == given.size()) return;
    for (const auto& [key, value] : given) {
        const auto name = key.cast<std::string>();
        if (std::none_of(fields.begin(), fields.end(), [&](const Field& f) { return f.name == name; })) {
            throw InputTypeError(std::string(cls) + " has no '" + name + "'; expected " + names_of(fields));
        }
    }
}

std::string signature_of(const void* defaults, Fields fields, const char* before) {
    std::string text = "__init__(self, " + std::string(before) + "*";
    for (const Field& field : fields) {
        text += ", " + std::string(field.name);
        if (field.read) text += "=" + py::repr(field.read(defaults)).cast<std::string>();
    }
    return text + ") -> None";
}

}  // namespace infercost

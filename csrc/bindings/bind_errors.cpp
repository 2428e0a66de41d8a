// Errors as Python sees them, and Ctrl-C.
#include "bindings/bindings.hpp"

namespace infercost {
namespace {

// The package's errors, and Python's exceptions that they also are. Made once for a process.
struct Errors {
    PyObject* base = nullptr;
    PyObject* input = nullptr;
    PyObject* input_type = nullptr;
    PyObject* input_index = nullptr;
    PyObject* overflow = nullptr;
};
Errors errors;

PyObject* make_error(py::module_& m, const char* name, const char* meaning, PyObject* builtin) {
    const py::tuple bases = builtin ? py::tuple(py::make_tuple(py::handle(errors.base), py::handle(builtin)))
                                    : py::tuple(py::make_tuple(py::handle(PyExc_Exception)));
    const std::string full = std::string("pyinfercost._core.") + name;
    const auto made = py::reinterpret_steal<py::object>(
        PyErr_NewExceptionWithDoc(full.c_str(), meaning, bases.ptr(), nullptr));
    if (!made) throw py::error_already_set();
    m.add_object(name, made);
    return made.inc_ref().ptr();  // for as long as translators may run
}

// A handler that raises has set Python's exception.
bool signals_raise() {
    const py::gil_scoped_acquire acquire;
    return PyErr_CheckSignals() != 0;
}

// Python runs handlers of signals in its main thread alone: other threads need not ask.
bool is_main_thread() {
    const py::module_ threading = py::module_::import("threading");
    return threading.attr("main_thread")().attr("ident").cast<unsigned long>() == PyThread_get_thread_ident();
}

}  // namespace

std::string to_text(py::handle value, const char* what) {
    if (!PyUnicode_Check(value.ptr())) {
        throw InputTypeError(std::string(what) + " is a " +
                             py::str(py::type::handle_of(value).attr("__name__")).cast<std::string>() +
                             "; expected a str");
    }
    Py_ssize_t length = 0;
    const char* text = PyUnicode_AsUTF8AndSize(value.ptr(), &length);
    if (!text) {
        PyErr_Clear();
        throw std::invalid_argument(std::string(what) +
                                    " has half of a surrogate pair; expected text that UTF-8 can hold");
    }
    return {text, static_cast<std::size_t>(length)};
}

CoreCall::CoreCall() : interrupts_(is_main_thread() ? &signals_raise : nullptr) {}

void register_errors(py::module_& m) {
    errors.base = make_error(m, "Error", "Base of all errors that pyinfercost raises.", nullptr);
    errors.input = make_error(m, "InputError", "A value, file or entry that is not valid.", PyExc_ValueError);
    errors.input_type = make_error(m, "InputTypeError", "A value of the wrong type.", PyExc_TypeError);
    errors.input_index =
        make_error(m, "InputIndexError", "An index beyond the last entry.", PyExc_IndexError);
    errors.overflow =
        make_error(m, "CountOverflowError", "A total that does not fit 64 bits.", PyExc_OverflowError);
    // The last translator that is registered is asked first.
    py::register_exception_translator([](std::exception_ptr error) {
        try {
            if (error) std::rethrow_exception(error);
        } catch (const OverflowError& e) {
            py::set_error(errors.overflow, e.what());
        } catch (const InputTypeError& e) {
            py::set_error(errors.input_type, e.what());
        } catch (const InputIndexError& e) {
            py::set_error(errors.input_index, e.what());
        } catch (const std::invalid_argument& e) {
            py::set_error(errors.input, e.what());
        } catch (const Interrupted&) {
            // signals_raise() has set the exception of the signal's handler.
        }
    });
}

}  // namespace infercost

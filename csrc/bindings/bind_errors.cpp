// Errors as Python sees them, and Ctrl-C.
#include <atomic>
#include <limits>

#include "bindings/bindings.hpp"
#include "lowering/parallel/layout.hpp"

namespace infercost {
namespace {

// The package's errors, and Python's exceptions that they also are. Made once for a process.
struct Errors {
    PyObject* base = nullptr;
    PyObject* input = nullptr;
    PyObject* input_type = nullptr;
    PyObject* input_index = nullptr;
    PyObject* overflow = nullptr;
    PyObject* state = nullptr;
    PyObject* layout = nullptr;
};
Errors errors;

PyObject* add_error(py::module_& m, const char* name, const char* meaning, const py::tuple& bases) {
    const std::string full = std::string("pyinfercost._core.") + name;
    const auto made = py::reinterpret_steal<py::object>(
        PyErr_NewExceptionWithDoc(full.c_str(), meaning, bases.ptr(), nullptr));
    if (!made) throw py::error_already_set();
    m.add_object(name, made);
    return made.inc_ref().ptr();  // for as long as translators may run
}

PyObject* make_error(py::module_& m, const char* name, const char* meaning, PyObject* builtin) {
    const py::tuple bases = builtin ? py::tuple(py::make_tuple(py::handle(errors.base), py::handle(builtin)))
                                    : py::tuple(py::make_tuple(py::handle(PyExc_Exception)));
    return add_error(m, name, meaning, bases);
}

// A handler that raises has set Python's exception.
bool signals_raise() {
    const py::gil_scoped_acquire acquire;
    return PyErr_CheckSignals() != 0;
}

// Ends the calculations of threads that Ctrl-C does not reach.
class StopFlag {
  public:
    void set() { is_set_ = true; }
    bool is_set() const { return is_set_; }

  private:
    std::atomic<bool> is_set_ = false;
};

thread_local std::shared_ptr<const StopFlag> watched;

bool watched_is_set() {
    return watched->is_set();
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

std::int64_t to_number(py::handle value, const char* what) {
    const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    if (!number) {
        PyErr_Clear();
        throw InputTypeError(std::string(what) + " is a " +
                             py::str(py::type::handle_of(value).attr("__name__")).cast<std::string>() +
                             "; expected a whole number");
    }
    int overflows = 0;
    const long long found = PyLong_AsLongLongAndOverflow(number.ptr(), &overflows);
    if (overflows != 0) throw InputIndexError(std::string(what) + " does not fit 64 bits");
    return found;
}

std::int32_t to_entry(py::handle value, const char* what) {
    const std::int64_t number = to_number(value, what);
    if (number < 0 || number > std::numeric_limits<std::int32_t>::max()) {
        throw InputIndexError(std::string(what) + " is " + std::to_string(number) +
                              "; expected the number of an entry of the graph");
    }
    return static_cast<std::int32_t>(number);
}

CoreCall::CoreCall() : interrupts_(is_main_thread() ? &signals_raise : watched ? &watched_is_set : nullptr) {}

void register_errors(py::module_& m) {
    errors.base = make_error(m, "Error", "Base of all errors that pyinfercost raises.", nullptr);
    errors.input = make_error(m, "InputError", "A value, file or entry that is not valid.", PyExc_ValueError);
    errors.input_type = make_error(m, "InputTypeError", "A value of the wrong type.", PyExc_TypeError);
    errors.input_index =
        make_error(m, "InputIndexError", "An index beyond the last entry.", PyExc_IndexError);
    errors.overflow =
        make_error(m, "CountOverflowError", "A total that does not fit 64 bits.", PyExc_OverflowError);
    errors.state = make_error(m, "StateError",
                              "A call that the state of an object, a process or a device does not allow.",
                              PyExc_RuntimeError);
    py::class_<StopFlag, std::shared_ptr<StopFlag>>(
        m, "StopFlag", "Ends calculations in other threads: those that watch it raise KeyboardInterrupt.")
        .def(py::init<>())
        .def("set", &StopFlag::set, "Ends the calculations of all threads that watch this flag.")
        .def(
            "watch", [](const std::shared_ptr<StopFlag>& flag) { watched = flag; },
            "Lets this flag end the calculations of the current thread, from now on.");
    m.def(
        "raise_if_stopped",
        [] {
            if (watched && watched->is_set()) throw Interrupted();
        },
        "Raises KeyboardInterrupt if the flag that the current thread watches is set.");
    const py::tuple input = py::make_tuple(py::handle(errors.input));
    errors.layout =
        add_error(m, "LayoutError", "A layout whose numbers do not fit each other, or the model.", input);
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
        } catch (const LayoutError& e) {
            py::set_error(errors.layout, e.what());
        } catch (const std::invalid_argument& e) {
            py::set_error(errors.input, e.what());
        } catch (const std::out_of_range& e) {
            py::set_error(errors.input_index, e.what());
        } catch (const std::logic_error& e) {  // all but the two above
            py::set_error(errors.state, e.what());
        } catch (const Interrupted&) {
            // signals_raise() has set the exception of the signal's handler; a StopFlag has none.
            if (!PyErr_Occurred()) PyErr_SetNone(PyExc_KeyboardInterrupt);
        }
    });
}

}  // namespace infercost

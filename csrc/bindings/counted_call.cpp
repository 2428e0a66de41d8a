// A callable that counts the calls of a function: what takes its place in a live model.
//
// It is written with the C interface of Python alone. A forward of some milliseconds evicts everything else
// from caches and translation buffers, so the cost of a counted call is the number of memory pages that it
// touches: a wrapper in Python takes 3 us in a loop, and 75 us after such a forward.
#include <pybind11/pybind11.h>
#include <structmember.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <tuple>
#include <utility>

#include "bindings/bindings.hpp"
#include "monitor/meter.hpp"

namespace infercost {
namespace {

constexpr std::size_t kPlainTypes = 8;  // types of results that were found to be no generators or awaitables

// What a call serves, without a function of the caller's own.
enum class Counted { items, tokens, custom };

struct CountedCall {
    PyObject_HEAD vectorcallfunc call;
    PyObject* function;
    Meter* meter;
    PyObject* tensor_type;  // torch.Tensor; null without torch
    lenfunc tensor_length;
    Counted counted;
    bool may_be_cuda;
    std::array<PyTypeObject*, kPlainTypes> plain_types;
    // (args, kwargs) -> result: of a module, a call whose first argument is no tensor of the host's memory;
    // null of functions, whose calls are all counted here.
    PyObject* other;
    PyObject* count;       // (args, kwargs, result) -> Served
    PyObject* outcome_of;  // (type of an exception) -> int
    PyObject* is_lazy;     // (result) -> bool
    PyObject* continued;   // (start_ns, args, kwargs, result) -> what is returned for a lazy result
    PyObject* failed;      // (what, exception)
    PyObject* clock;       // () -> ns; null for the monotonic clock
    PyObject* owner;       // keeps the meter alive
};

PyObject* g_is_meta = nullptr;
PyObject* g_is_cuda = nullptr;
PyObject* g_shape = nullptr;
PyTypeObject* g_type = nullptr;

std::int64_t now_ns(const CountedCall& self) {
    if (self.clock == nullptr) {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(
                   std::chrono::steady_clock::now().time_since_epoch())
            .count();
    }
    PyObject* found = PyObject_CallNoArgs(self.clock);
    const long long value = found == nullptr ? -1 : PyLong_AsLongLong(found);
    Py_XDECREF(found);
    return value;
}

// Positional arguments as a tuple, and keywords as a dict.
std::pair<PyObject*, PyObject*> packed(PyObject* const* args, Py_ssize_t number, PyObject* names) {
    PyObject* positional = PyTuple_New(number);
    PyObject* keywords = PyDict_New();
    if (positional == nullptr || keywords == nullptr) {
        Py_XDECREF(positional);
        Py_XDECREF(keywords);
        return {nullptr, nullptr};
    }
    for (Py_ssize_t place = 0; place < number; ++place) {
        Py_INCREF(args[place]);
        PyTuple_SET_ITEM(positional, place, args[place]);
    }
    const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
    for (Py_ssize_t place = 0; place < named; ++place) {
        if (PyDict_SetItem(keywords, PyTuple_GET_ITEM(names, place), args[number + place]) != 0) {
            Py_DECREF(positional);
            Py_DECREF(keywords);
            return {nullptr, nullptr};
        }
    }
    return {positional, keywords};
}

// Calls a function of packed arguments, with an optional first and last one.
PyObject* call_packed(PyObject* function, PyObject* first, PyObject* const* args, Py_ssize_t number,
                      PyObject* names, PyObject* last) {
    const auto [positional, keywords] = packed(args, number, names);
    if (positional == nullptr) return nullptr;
    PyObject* result = nullptr;
    if (first != nullptr) {
        result = PyObject_CallFunctionObjArgs(function, first, positional, keywords, last, nullptr);
    } else {
        result = PyObject_CallFunctionObjArgs(function, positional, keywords, last, nullptr);
    }
    Py_DECREF(positional);
    Py_DECREF(keywords);
    return result;
}

// Whether an attribute of a tensor is true; an error counts as true, so that the careful path decides.
bool is_true(PyObject* tensor, PyObject* name) {
    PyObject* value = PyObject_GetAttr(tensor, name);
    if (value == nullptr) PyErr_Clear();
    const bool found = value != Py_False;
    Py_XDECREF(value);
    return found;
}

// Whether the first argument is a tensor of this process's memory, whose forward ends when it returns.
bool is_counted_here(const CountedCall& self, PyObject* first) {
    if (self.other == nullptr) return true;
    if (first == nullptr || reinterpret_cast<PyObject*>(Py_TYPE(first)) != self.tensor_type) return false;
    return !is_true(first, g_is_meta) && !(self.may_be_cuda && is_true(first, g_is_cuda));
}

void report(const CountedCall& self, const char* what) {
    PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PyObject* said = PyUnicode_FromString(what);
    if (said != nullptr && value != nullptr) {
        PyObject* nothing = PyObject_CallFunctionObjArgs(self.failed, said, value, nullptr);
        Py_XDECREF(nothing);
    }
    Py_XDECREF(said);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    PyErr_Clear();
}

// The first dimension of the first argument, and tokens of its second; -1 if only Python can say.
std::pair<std::int64_t, std::int64_t> quickly_counted(const CountedCall& self, PyObject* first) {
    constexpr std::pair<std::int64_t, std::int64_t> unknown = {-1, 0};
    if (first == nullptr || self.counted == Counted::custom) return unknown;
    const bool is_tensor = reinterpret_cast<PyObject*>(Py_TYPE(first)) == self.tensor_type;
    if (self.counted == Counted::items) {
        Py_ssize_t length = -1;
        if (is_tensor && self.tensor_length != nullptr) {
            length = self.tensor_length(first);
        } else if (PyList_CheckExact(first)) {
            length = PyList_GET_SIZE(first);
        }
        if (length < 0) PyErr_Clear();
        return {length, 0};
    }
    if (!is_tensor) return unknown;
    PyObject* shape = PyObject_GetAttr(first, g_shape);
    std::pair<std::int64_t, std::int64_t> found = unknown;
    if (shape != nullptr && PyTuple_Check(shape) && PyTuple_GET_SIZE(shape) > 1) {
        const long long items = PyLong_AsLongLong(PyTuple_GET_ITEM(shape, 0));
        const long long tokens = PyLong_AsLongLong(PyTuple_GET_ITEM(shape, 1));
        if (items >= 0 && tokens >= 0) found = {items, items * tokens};
    }
    Py_XDECREF(shape);
    PyErr_Clear();
    return found;
}

// Sizes of a request from a Served: items, tokens of the prompt, generated and cached ones. False with an
// exception set.
bool sizes_from(PyObject* served, LiveRequest& request) {
    PyObject* sequence = PySequence_Fast(served, "count returned something else than a Served");
    bool good = sequence != nullptr;
    if (good && PySequence_Fast_GET_SIZE(sequence) != 4) {
        PyErr_SetString(PyExc_TypeError, "count returned something else than a Served of four numbers");
        good = false;
    }
    const std::array<std::int64_t*, 4> places = {&request.items, &request.prompt_tokens,
                                                 &request.output_tokens, &request.cached_tokens};
    for (std::size_t place = 0; good && place < places.size(); ++place) {
        PyObject* number = PyNumber_Index(PySequence_Fast_GET_ITEM(sequence, static_cast<Py_ssize_t>(place)));
        const long long value = number == nullptr ? -1 : PyLong_AsLongLong(number);
        Py_XDECREF(number);
        if (PyErr_Occurred() == nullptr && (value < 0 || value > kMostOfARequest)) {
            PyErr_Format(PyExc_ValueError, "a request has %lld items or tokens; expected 0 to 10^10", value);
        }
        good = PyErr_Occurred() == nullptr;
        if (good) *places[place] = value;
    }
    if (!good) {
        request.items = request.prompt_tokens = request.output_tokens = request.cached_tokens = 0;
    }
    Py_XDECREF(sequence);
    return good;
}

// Whether a result goes on after the call: a generator, a coroutine or another awaitable.
bool goes_on(CountedCall& self, PyObject* result) {
    PyTypeObject* type = Py_TYPE(result);
    for (PyTypeObject* plain : self.plain_types) {
        if (plain == type) return false;
        if (plain == nullptr) break;
    }
    PyObject* answer = PyObject_CallOneArg(self.is_lazy, result);
    if (answer == nullptr) PyErr_Clear();
    const bool is_lazy = answer == Py_True;
    Py_XDECREF(answer);
    if (!is_lazy && (type->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0) {
        // Types that are never freed may be remembered by their address alone; torch.Tensor is one that is
        // remembered from the start.
        for (PyTypeObject*& plain : self.plain_types) {
            if (plain == nullptr) {
                plain = type;
                break;
            }
        }
    }
    return is_lazy;
}

void end_failed(const CountedCall& self, LiveRequest& request) {
    PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
    PyErr_Fetch(&type, &value, &trace);
    request.end_ns = now_ns(self);
    request.outcome = RequestOutcome::error;
    PyObject* outcome = PyObject_CallOneArg(self.outcome_of, type);
    if (outcome != nullptr && PyLong_AsLong(outcome) == static_cast<long>(RequestOutcome::cancelled)) {
        request.outcome = RequestOutcome::cancelled;
    }
    Py_XDECREF(outcome);
    PyErr_Clear();
    self.meter->end(request);
    PyErr_Restore(type, value, trace);
}

PyObject* counted_call(PyObject* object, PyObject* const* args, std::size_t flagged, PyObject* names) {
    CountedCall& self = *reinterpret_cast<CountedCall*>(object);
    const Py_ssize_t number = PyVectorcall_NARGS(flagged);
    const bool has_first = number > 0 || (names != nullptr && PyTuple_GET_SIZE(names) > 0);
    PyObject* first = has_first ? args[0] : nullptr;
    if (!is_counted_here(self, first)) return call_packed(self.other, nullptr, args, number, names, nullptr);

    LiveRequest request;
    request.arrival_ns = request.start_ns = now_ns(self);
    self.meter->begin(request.start_ns, false);
    PyObject* result = PyObject_Vectorcall(self.function, args, static_cast<std::size_t>(number), names);
    if (result == nullptr) {
        end_failed(self, request);
        return nullptr;
    }
    if (goes_on(self, result)) {
        PyObject* start = PyLong_FromLongLong(request.start_ns);
        PyObject* later =
            start == nullptr ? nullptr : call_packed(self.continued, start, args, number, names, result);
        Py_XDECREF(start);
        if (later != nullptr) {
            Py_DECREF(result);
            return later;
        }
        report(self, "a call that goes on");  // its result is returned as it is
    }
    request.end_ns = now_ns(self);
    std::tie(request.items, request.prompt_tokens) = quickly_counted(self, first);
    bool good = true;
    if (request.items < 0) {
        request.items = 0;
        PyObject* served = call_packed(self.count, nullptr, args, number, names, result);
        good = served != nullptr && sizes_from(served, request);
        Py_XDECREF(served);
    }
    self.meter->end(request);
    if (!good) report(self, "the size of a call");
    return result;
}

int traverse(PyObject* object, visitproc visit, void* arg) {
    auto* self = reinterpret_cast<CountedCall*>(object);
    Py_VISIT(Py_TYPE(object));
    for (PyObject* each : {self->function, self->tensor_type, self->other, self->count, self->outcome_of,
                           self->is_lazy, self->continued, self->failed, self->clock, self->owner}) {
        Py_VISIT(each);
    }
    return 0;
}

int clear(PyObject* object) {
    auto* self = reinterpret_cast<CountedCall*>(object);
    for (PyObject** each :
         {&self->function, &self->tensor_type, &self->other, &self->count, &self->outcome_of, &self->is_lazy,
          &self->continued, &self->failed, &self->clock, &self->owner}) {
        Py_CLEAR(*each);
    }
    return 0;
}

void destroy(PyObject* object) {
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

// Names, texts and signatures are those of the function.
PyObject* attribute(PyObject* object, PyObject* name) {
    PyObject* function = reinterpret_cast<CountedCall*>(object)->function;
    if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "__wrapped__") == 0) {
        Py_INCREF(function);
        return function;
    }
    for (const char* taken : {"__name__", "__qualname__", "__module__", "__doc__"}) {
        if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, taken) == 0) {
            return PyObject_GetAttr(function, name);
        }
    }
    PyObject* found = PyObject_GenericGetAttr(object, name);
    if (found != nullptr || PyErr_ExceptionMatches(PyExc_AttributeError) == 0) return found;
    PyErr_Clear();
    return PyObject_GetAttr(function, name);
}

// A counted function in a class is a method.
PyObject* bound(PyObject* object, PyObject* instance, PyObject* /*type*/) {
    if (instance == nullptr || instance == Py_None) {
        Py_INCREF(object);
        return object;
    }
    return PyMethod_New(object, instance);
}

PyObject* described(PyObject* object) {
    return PyUnicode_FromFormat("<counted %R>", reinterpret_cast<CountedCall*>(object)->function);
}

PyObject* itself(PyObject* object, PyObject* /*memo*/) {
    Py_INCREF(object);
    return object;
}

PyMethodDef kMethods[] = {
    {"__copy__",     itself,  METH_NOARGS, "Returns itself, as a copy of a function does."},
    {"__deepcopy__", itself,  METH_O,      "Returns itself, as a copy of a function does."},
    {nullptr,        nullptr, 0,           nullptr                                        },
};

PyMemberDef kMembers[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(CountedCall, call), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_dealloc,   reinterpret_cast<void*>(destroy)          },
    {Py_tp_traverse,  reinterpret_cast<void*>(traverse)         },
    {Py_tp_clear,     reinterpret_cast<void*>(clear)            },
    {Py_tp_call,      reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_getattro,  reinterpret_cast<void*>(attribute)        },
    {Py_tp_descr_get, reinterpret_cast<void*>(bound)            },
    {Py_tp_repr,      reinterpret_cast<void*>(described)        },
    {Py_tp_methods,   kMethods                                  },
    {Py_tp_members,   kMembers                                  },
    {0,               nullptr                                   },
};

PyType_Spec kSpec = {"pyinfercost._core.CountedCall", sizeof(CountedCall), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, kSlots};

PyObject* kept(const py::object& value) {
    return value.is_none() ? nullptr : value.inc_ref().ptr();
}

py::object make_counted_call(const py::object& function, const py::object& meter, const std::string& counted,
                             const py::dict& hooks, const py::object& tensor_type,
                             const py::object& tensor_base, bool may_be_cuda, const py::object& clock) {
    auto* self = reinterpret_cast<CountedCall*>(g_type->tp_alloc(g_type, 0));
    if (self == nullptr) throw py::error_already_set();
    auto made = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(self));
    self->call = counted_call;
    self->function = kept(function);
    self->meter = meter.cast<Meter*>();
    self->owner = kept(meter);
    self->tensor_type = kept(tensor_type);
    if (PyType_Check(tensor_base.ptr())) {
        const auto* methods = reinterpret_cast<PyTypeObject*>(tensor_base.ptr())->tp_as_mapping;
        self->tensor_length = methods == nullptr ? nullptr : methods->mp_length;
    }
    self->counted = counted == "items"    ? Counted::items
                    : counted == "tokens" ? Counted::tokens
                                          : Counted::custom;
    self->may_be_cuda = may_be_cuda;
    if (self->tensor_type != nullptr) {
        self->plain_types[0] = reinterpret_cast<PyTypeObject*>(self->tensor_type);
    }
    self->other = kept(hooks["other"]);
    self->count = kept(hooks["count"]);
    self->outcome_of = kept(hooks["outcome_of"]);
    self->is_lazy = kept(hooks["is_lazy"]);
    self->continued = kept(hooks["continued"]);
    self->failed = kept(hooks["failed"]);
    self->clock = kept(clock);
    return made;
}

}  // namespace

void register_counted_call(py::module_& m) {
    g_is_meta = PyUnicode_InternFromString("is_meta");
    g_is_cuda = PyUnicode_InternFromString("is_cuda");
    g_shape = PyUnicode_InternFromString("shape");
    g_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&kSpec));
    if (g_type == nullptr) throw py::error_already_set();
    m.def("counted_call", &make_counted_call, py::arg("function"), py::arg("meter"), py::kw_only(),
          py::arg("counted"), py::arg("hooks"), py::arg("tensor_type"), py::arg("tensor_base"),
          py::arg("may_be_cuda"), py::arg("clock"),
          "Returns a callable that counts the calls of a function.");
}

}  // namespace infercost

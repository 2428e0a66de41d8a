// Members of structs for Python, from one table a struct: properties and keyword arguments. A
// row costs a function or two, where a property of pybind11's own costs the templates of a whole function
// object.
#pragma once

#include <pybind11/stl.h>

#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "core/described.hpp"

namespace infercost {

// Properties have `read`, keyword arguments `write`, and those with the struct's own default both.
struct Field {
    const char* name;
    py::object (*read)(const void* owner);
    // Throws InputTypeError for a value of another type.
    void (*write)(void* owner, const char* name, py::handle value);
};
using Fields = std::span<const Field>;

// A value as Python has it: of numbers, texts, expressions and named enumerators their own types, else an
// object of the class that is bound.
template <class T>
py::object to_object(T&& value) {
    using Value = std::remove_cvref_t<T>;
    if constexpr (std::is_base_of_v<py::object, Value>) {
        return value;
    } else if constexpr (std::is_same_v<Value, bool>) {
        return py::bool_(value);
    } else if constexpr (std::is_floating_point_v<Value>) {
        return py::float_(value);
    } else if constexpr (std::is_integral_v<Value>) {
        return py::int_(value);
    } else if constexpr (std::is_convertible_v<T, std::string_view> || std::is_same_v<Value, Expr> ||
                         std::is_same_v<Value, std::vector<Expr>>) {
        return to_python(value);
    } else if constexpr (std::is_enum_v<Value>) {
        return to_python(std::string_view(name_of(value)));
    } else {
        return py::cast(std::forward<T>(value));
    }
}

// "KnativeAutoscaler: 'target' is a str; expected ..."
[[noreturn]] void refuse_field(const char* name, py::handle value, const std::string& expected);

template <class T>
std::string expected_of() {
    if constexpr (std::is_same_v<T, bool>) {
        return "a bool";
    } else if constexpr (std::is_integral_v<T>) {
        return "a whole number from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
               std::to_string(std::numeric_limits<T>::max());
    } else if constexpr (std::is_floating_point_v<T>) {
        return "a number";
    } else {
        return py::type_id<T>();
    }
}

// Any array or sequence, in row-major order.
std::vector<double> numbers_from(const char* name, py::handle value);

// Values are converted (an int to a float) as arguments of functions are.
template <class T>
T from_object(const char* name, py::handle value) {
    if constexpr (std::is_same_v<T, std::vector<double>>) {
        return numbers_from(name, value);
    } else {
        py::detail::make_caster<T> caster;
        if (!caster.load(value, true)) refuse_field(name, value, expected_of<T>());
        return py::detail::cast_op<T&&>(std::move(caster));
    }
}

namespace field_detail {

template <class T>
struct OwnerOf;
template <class S, class T>
struct OwnerOf<T S::*> {
    using type = S;
    using value = T;
};
template <class L, class R, class S>
struct OwnerOf<R (L::*)(const S&) const> {
    using type = S;
};
template <class R, class S>
struct OwnerOf<R (*)(const S&)> {
    using type = S;
};

template <auto Get>
constexpr auto owner_of() {
    if constexpr (std::is_member_pointer_v<decltype(Get)> || std::is_pointer_v<decltype(Get)>) {
        return std::type_identity<typename OwnerOf<decltype(Get)>::type>();
    } else {
        return std::type_identity<typename OwnerOf<decltype(&decltype(Get)::operator())>::type>();
    }
}

template <auto Get>
py::object read(const void* owner) {
    using Owner = typename decltype(owner_of<Get>())::type;
    return to_object(std::invoke(Get, *static_cast<const Owner*>(owner)));
}

template <class T>
T& member(T& of) {
    return of;
}
template <class S, class T, class... Path>
auto& member(S& of, T S::* first, Path... path) {
    return member(of.*first, path...);
}

template <auto First, auto... Path>
auto& member_of(void* owner) {
    return member(*static_cast<typename OwnerOf<decltype(First)>::type*>(owner), First, Path...);
}

template <auto... Path>
py::object read_member(const void* owner) {
    return to_object(std::as_const(member_of<Path...>(const_cast<void*>(owner))));  // read alone
}

template <auto... Path>
void write(void* owner, const char* name, py::handle value) {
    auto& written = member_of<Path...>(owner);
    written = from_object<std::remove_reference_t<decltype(written)>>(name, value);
}

}  // namespace field_detail

// A property. `Get`: a member, a method without arguments, or a function of the struct.
template <auto Get>
constexpr Field field(const char* name) {
    return {name, field_detail::read<Get>, nullptr};
}
// A keyword argument. `Path`: a member, and members of members.
template <auto... Path>
constexpr Field setting(const char* name) {
    return {name, nullptr, field_detail::write<Path...>};
}
// A keyword argument that may be left out; the struct has its default.
template <auto... Path>
constexpr Field optional_setting(const char* name) {
    return {name, field_detail::read_member<Path...>, field_detail::write<Path...>};
}
// Enumerators, which Python names.
template <auto Parse, auto... Path>
constexpr Field named_setting(const char* name) {
    return {name, nullptr, [](void* owner, const char* what, py::handle value) {
                field_detail::member_of<Path...>(owner) = Parse(to_text(value, what));
            }};
}
template <auto Parse, auto... Path>
constexpr Field optional_named_setting(const char* name) {
    return {name, field_detail::read_member<Path...>, named_setting<Parse, Path...>(name).write};
}

// What `describe` lists: a dictionary, with dictionaries of what is described in turn.
template <Described T>
py::dict members_of(const T& of);

template <class T>
py::object member_value(const T& value) {
    if constexpr (Described<T>) {
        return members_of(value);
    } else {
        return to_object(value);
    }
}
template <class T>
py::object member_value(const std::optional<T>& value) {
    return value ? member_value(*value) : py::none();
}
template <class T>
py::object member_value(const ByName<T>& values) {
    py::dict made;
    for (const auto& [name, value] : values) made[to_python(name)] = member_value(value);
    return made;
}

template <Described T>
py::dict members_of(const T& of) {
    py::dict made;
    describe(of,
             [&](std::string_view name, const auto& value) { made[to_python(name)] = member_value(value); });
    return made;
}

using OwnerOfSelf = const void* (*)(py::handle self);
void def_properties(py::handle cls, Fields fields, OwnerOfSelf owner);

// Read-only properties.
template <class S, class... Options>
py::class_<S, Options...> def_fields(py::class_<S, Options...> cls, Fields fields) {
    def_properties(cls, fields, [](py::handle self) -> const void* { return &py::cast<const S&>(self); });
    return cls;
}

// Throws InputTypeError for a name that is unknown or missing, and for a value of another type.
void write_fields(void* owner, const char* cls, Fields fields, const py::kwargs& given);

// "__init__(self, *, target, tick_s=2.0) -> None", with the defaults that `defaults` has; `before` are
// arguments by position.
std::string signature_of(const void* defaults, Fields fields, const char* before = "");

// A constructor that takes the fields by keyword; `make` makes the bound object of the struct with their
// values.
template <class S, class Make, class Bound, class... Options>
void def_init(py::class_<Bound, Options...>& cls, const char* name, Fields fields, Make make) {
    py::options options;
    options.disable_function_signatures();
    const S defaults{};
    cls.def(py::init([name, fields, make](const py::kwargs& given) {
                S made{};
                write_fields(&made, name, fields, given);
                return make(std::move(made));
            }),
            signature_of(&defaults, fields).c_str());
}

// A struct that Python only makes, from its fields.
template <class S>
void def_settings(py::module_& m, const char* name, const char* doc, Fields fields) {
    py::class_<S> cls(m, name, doc);
    def_init<S>(cls, name, fields, [](S&& made) { return std::move(made); });
}

}  // namespace infercost

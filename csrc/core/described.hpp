// Structs whose members have names: `describe(value, visit)` calls `visit(name, member)` for each of them.
// Documents and objects of Python are made from this list, so that a name stands once.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace infercost {

// Values by name, in order.
template <class T>
using ByName = std::vector<std::pair<std::string_view, T>>;

struct AnyMember {
    template <class T>
    void operator()(std::string_view, const T&) const {}
};

template <class T>
concept Described = requires(const T& value) { describe(value, AnyMember()); };

}  // namespace infercost

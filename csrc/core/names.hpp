// Names: of enumerators, and of modules.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "core/errors.hpp"

namespace infercost {

// The enumerator whose index in `names` is that of `name`. Throws InputError with all names;
// `what` is the noun in its message.
template <class Enum, std::size_t N>
Enum parse_name(const std::array<std::string_view, N>& names, std::string_view name, const char* what) {
    std::string known;
    for (std::size_t i = 0; i < N; ++i) {
        if (names[i] == name) return static_cast<Enum>(i);
        known += (known.empty() ? "" : ", ") + std::string(names[i]);
    }
    throw InputError("unknown " + std::string(what) + " '" + std::string(name) + "'; expected one of " +
                     known);
}

// The path of the module around one; empty for the outermost, and of the whole model.
inline std::string_view parent_of(std::string_view module) {
    const std::size_t dot = module.rfind('.');
    return module.substr(0, dot == std::string_view::npos ? 0 : dot);
}

}  // namespace infercost

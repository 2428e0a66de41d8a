// Settings of an algorithm, each declared once: a member with its default, and a row with its name, range and
// sentence. Checks, and the classes, texts and pages of Python follow from the rows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace infercost {

using CountsByTime = std::vector<std::pair<double, std::int64_t>>;
// monostate: none.
using SettingValue = std::variant<std::monostate, bool, std::int64_t, double, std::string, CountsByTime>;

// A number of a message, with six digits at most.
std::string number_text(double value);

// Valid values of numbers, and their unit in words.
struct SettingRange {
    double low = 0;
    double high = 0;
    const char* unit = "";
};

// A setting of a struct, which is derived from `Base`.
template <class Base>
struct Setting {
    const char* name;
    const char* type;  // "flag", "whole", "number", "word" or "counts by time"
    bool optional;
    SettingRange range;
    std::span<const std::string_view> words;
    const char* text;
    SettingValue (*read)(const Base& owner);
    // The value is one that `checked` has returned.
    void (*write)(Base& owner, const SettingValue& value);
};

// Returns a value with the type of its setting. Throws InputError if it has another one or is out
// of range: "target of kpa is 0; expected a number from ...".
template <class Base>
SettingValue checked(const Setting<Base>& setting, std::string_view owner, const SettingValue& value);

namespace settings_detail {

template <class T>
struct Unwrapped {
    using type = T;
    static constexpr bool optional = false;
};
template <class T>
struct Unwrapped<std::optional<T>> {
    using type = T;
    static constexpr bool optional = true;
};

template <class Pointer>
struct MemberParts;
template <class S, class T>
struct MemberParts<T S::*> {
    using Owner = S;
    using Member = T;
    using Value = Unwrapped<T>::type;
    static constexpr bool optional = Unwrapped<T>::optional;
};

template <class T>
constexpr const char* type_of() {
    if constexpr (std::is_same_v<T, bool>) return "flag";
    if constexpr (std::is_integral_v<T>) return "whole";
    if constexpr (std::is_floating_point_v<T>) return "number";
    if constexpr (std::is_enum_v<T>) return "word";
    return "counts by time";
}

inline constexpr std::array<std::string_view, 0> kNoWords{};

SettingValue checked(const char* name, const char* type, bool optional, const SettingRange& range,
                     std::span<const std::string_view> words, std::string_view owner,
                     const SettingValue& value);

}  // namespace settings_detail

template <class Base>
SettingValue checked(const Setting<Base>& s, std::string_view owner, const SettingValue& value) {
    return settings_detail::checked(s.name, s.type, s.optional, s.range, s.words, owner, value);
}

// `Path`: the member. `Words`: names of the enumerators of a member that is an enumeration, in their order.
template <class Base, auto Path, const auto& Words = settings_detail::kNoWords>
constexpr Setting<Base> setting_of(const char* name, SettingRange range, const char* text) {
    using MemberParts = settings_detail::MemberParts<decltype(Path)>;
    using Owner = MemberParts::Owner;
    using Value = MemberParts::Value;
    return {name,
            settings_detail::type_of<Value>(),
            MemberParts::optional,
            range,
            Words,
            text,
            [](const Base& base) -> SettingValue {
                const auto& member = static_cast<const Owner&>(base).*Path;
                if constexpr (MemberParts::optional) {
                    return member ? SettingValue(*member) : SettingValue();
                } else if constexpr (std::is_enum_v<Value>) {
                    return std::string(Words[static_cast<std::size_t>(member)]);
                } else {
                    return member;
                }
            },
            [](Base& base, const SettingValue& value) {
                auto& member = static_cast<Owner&>(base).*Path;
                if constexpr (std::is_enum_v<Value>) {
                    const auto& word = std::get<std::string>(value);
                    std::size_t place = 0;
                    while (Words[place] != word) ++place;
                    member = static_cast<Value>(place);
                } else if (const auto* found = std::get_if<Value>(&value)) {
                    member = *found;
                } else if constexpr (MemberParts::optional) {
                    member.reset();
                }
            }};
}

}  // namespace infercost

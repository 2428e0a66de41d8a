// Fields of requests, read into members of settings, and numbers of answers that may be unknown.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/described.hpp"
#include "core/expr.hpp"
#include "core/json.hpp"

namespace infercost {

// Lists of numbers. Whole numbers that T cannot hold are refused.
template <class T>
std::vector<T> list_in(const JsonEntry& entry, const JsonPlace& place) {
    std::vector<T> values;
    entry.for_each_item(place, "a list of numbers", [&](const JsonEntry& item) {
        if constexpr (std::is_floating_point_v<T>) {
            values.push_back(item.number(place));
        } else {
            const std::int64_t value = item.integer(place);
            if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max()) {
                item.fail(place, " has " + std::to_string(value) + ", which is out of range");
            }
            values.push_back(static_cast<T>(value));
        }
    });
    return values;
}

// One key of an object that is read into settings of a type.
template <class Settings>
struct JsonField {
    std::string_view name;
    void (*read)(Settings& settings, const JsonEntry& entry, const JsonPlace& place);
};

template <class Value>
void read_value(Value& value, const JsonEntry& entry, const JsonPlace& place) {
    if constexpr (std::is_same_v<Value, bool>) {
        value = entry.boolean(place);
    } else if constexpr (std::is_same_v<Value, double>) {
        value = entry.number(place);
    } else if constexpr (std::is_same_v<Value, std::vector<double>>) {
        value = list_in<double>(entry, place);
    } else if constexpr (std::is_same_v<Value, std::vector<std::int64_t>>) {
        value = list_in<std::int64_t>(entry, place);
    } else if constexpr (std::is_same_v<Value, std::vector<std::int32_t>>) {
        value = list_in<std::int32_t>(entry, place);
    } else {
        static_assert(std::is_same_v<Value, std::int64_t>);
        value = entry.integer(place);
    }
}

// A JsonField::read of one member.
template <auto Member, class Settings>
void read_member(Settings& settings, const JsonEntry& entry, const JsonPlace& place) {
    read_value(settings.*Member, entry, place);
}

// Keys that are absent leave their settings as they are. Throws std::invalid_argument for an unknown key.
template <class Settings, class Fields>
void read_fields(Settings& settings, const JsonEntry& entry, std::string_view name, const Fields& fields) {
    if (!entry) return;
    const JsonPlace whole(name);
    entry.for_each_member(whole, [&](std::string_view key, const JsonEntry& value) {
        for (const JsonField<Settings>& field : fields) {
            if (field.name == key) return field.read(settings, value, JsonPlace(name, key));
        }
        std::string known;
        for (const JsonField<Settings>& field : fields) {
            known += (known.empty() ? "" : ", ") + std::string(field.name);
        }
        entry.fail(whole, " has an unknown key '" + std::string(key) + "'; expected keys among " + known);
    });
}

// Values of named sizes: {"batch": 8}.
inline Sizes sizes_in(const JsonEntry& entry) {
    Sizes sizes;
    if (!entry) return sizes;
    entry.for_each_member(JsonPlace("sizes"), [&](std::string_view name, const JsonEntry& value) {
        sizes.emplace(name, value.integer(JsonPlace("size", name)));
    });
    return sizes;
}

// null for a number that is unknown or without bound.
inline JsonWriter& write_number(JsonWriter& out, double value) {
    return std::isfinite(value) ? out.number(value) : out.null();
}

inline void write_numbers(JsonWriter& out, std::string_view key, const std::vector<double>& values) {
    out.key(key).begin_list();
    for (const double value : values) write_number(out, value);
    out.end_list();
}

template <class T>
void write_integers(JsonWriter& out, std::string_view key, const std::vector<T>& values) {
    out.key(key).begin_list();
    for (const T value : values) out.integer(value);
    out.end_list();
}

// A whole number, or the text of an expression in sizes without a value.
inline JsonWriter& write_quantity(JsonWriter& out, const Expr& quantity) {
    return quantity.is_constant() ? out.integer(quantity.constant()) : out.text(quantity.text());
}

// Writes what `describe` calls it with as members of an object.
class WriteMembers {
  public:
    explicit WriteMembers(JsonWriter& out) : out_(out) {}

    template <class T>
    void operator()(std::string_view name, const T& value) const {
        out_.key(name);
        write(value);
    }

  private:
    void write(bool value) const { out_.boolean(value); }
    void write(double value) const { write_number(out_, value); }
    void write(std::int64_t value) const { out_.integer(value); }
    void write(std::string_view text) const { out_.text(text); }
    template <class T>
    void write(const std::optional<T>& value) const {
        if (value) {
            write(*value);
        } else {
            out_.null();
        }
    }
    template <class T>
    void write(const std::vector<T>& values) const {
        out_.begin_list();
        for (const T& value : values) write(value);
        out_.end_list();
    }
    template <class T>
    void write(const ByName<T>& values) const {
        out_.begin_object();
        for (const auto& [name, value] : values) (*this)(name, value);
        out_.end_object();
    }
    template <Described T>
    void write(const T& value) const {
        out_.begin_object();
        describe(value, *this);
        out_.end_object();
    }

    JsonWriter& out_;
};

}  // namespace infercost

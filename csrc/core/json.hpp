// JSON text, read and written. A document is parsed into flat arrays; typed reads of its entries throw errors
// that name the entry, its value and what was expected.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/checked_int.hpp"
#include "core/errors.hpp"

namespace infercost {

// The place of an entry in a document: "node 3 argument 'self'". It refers to its parts and builds its text
// only for an error message.
class JsonPlace {
  public:
    explicit JsonPlace(std::string_view word, const JsonPlace* outer = nullptr)
        : outer_(outer), word_(word) {}
    JsonPlace(std::string_view word, std::size_t index) : word_(word), index_(index), kind_(Kind::indexed) {}
    JsonPlace(std::string_view word, std::string_view name, const JsonPlace* outer = nullptr)
        : outer_(outer), word_(word), name_(name), kind_(Kind::named) {}

    std::string text() const;

  private:
    enum class Kind : std::uint8_t { plain, indexed, named };
    const JsonPlace* outer_ = nullptr;
    std::string_view word_;
    std::string_view name_;
    std::size_t index_ = 0;
    Kind kind_ = Kind::plain;
};

struct JsonKey {
    std::string_view name;
    bool required = true;
};

class JsonDocument;

// `integer` is one of 64 bits; `number` any other.
enum class JsonType : std::uint8_t { null, boolean, integer, number, text, list, object };

// One value of a document, or no value where an optional key is absent. Valid as long as the document.
class JsonEntry {
  public:
    JsonEntry() = default;

    explicit operator bool() const { return document_ != nullptr; }
    JsonType type() const;
    const std::string& document_name() const;
    bool is_null() const;
    bool is_text() const;

    // Each throws InputError for a value of another type. `expected` completes the message.
    std::string_view text(const JsonPlace& place) const;
    bool boolean(const JsonPlace& place) const;
    // Throws OverflowError for an integer that does not fit 64 bits.
    std::int64_t integer(const JsonPlace& place, const char* expected = "an integer") const;
    double number(const JsonPlace& place) const;

    std::size_t size() const;  // of a list or an object
    template <class Visit>
    void for_each_item(const JsonPlace& place, const char* expected, Visit&& visit) const;
    // visit(key, value). Throws InputError for a repeated key.
    template <class Visit>
    void for_each_member(const JsonPlace& place, Visit&& visit) const;
    // The two items of a list.
    std::pair<JsonEntry, JsonEntry> pair(const JsonPlace& place, const char* expected) const;
    // The values of an object's keys, in the order of `keys`. Throws InputError for a key that is
    // missing, unknown or repeated.
    template <std::size_t N>
    std::array<JsonEntry, N> members(const JsonPlace& place, const std::array<JsonKey, N>& keys) const {
        std::array<JsonEntry, N> found;
        find_members(place, keys.data(), N, found.data());
        return found;
    }

    // Throws InputError: "<document>: <place> <what>".
    [[noreturn]] void fail(const JsonPlace& place, const std::string& what) const;
    [[noreturn]] void unexpected(const JsonPlace& place, const char* expected) const;
    // Runs a function of the core and adds the place to its errors.
    template <class Run>
    decltype(auto) within(const JsonPlace& place, Run&& run) const {
        try {
            return run();
        } catch (const std::invalid_argument& error) {
            fail(place, std::string(": ") + error.what());
        }
    }

  private:
    friend class JsonDocument;
    JsonEntry(const JsonDocument* document, std::size_t index) : document_(document), index_(index) {}
    void require_list(const JsonPlace& place, const char* expected) const;
    void require_object(const JsonPlace& place) const;
    void require_distinct_keys(const JsonPlace& place) const;
    [[noreturn]] void repeated(const JsonPlace& place, std::string_view key) const;
    template <class Visit>
    void walk_members(const JsonPlace& place, Visit&& visit) const;
    void find_members(const JsonPlace& place, const JsonKey* keys, std::size_t count, JsonEntry* found) const;
    std::string described() const;
    JsonEntry first() const { return {document_, index_ + 1}; }
    JsonEntry next() const;  // behind this value and all that is in it

    const JsonDocument* document_ = nullptr;
    std::size_t index_ = 0;
};

class JsonDocument {
  public:
    // `name` begins every message: "graph JSON". Throws InputError for text that is not JSON.
    JsonDocument(std::string_view text, std::string name);
    JsonDocument(const JsonDocument&) = delete;
    JsonDocument& operator=(const JsonDocument&) = delete;

    JsonEntry root() const { return {this, 0}; }

  private:
    friend class JsonEntry;
    friend class JsonReader;
    enum class Kind : std::uint8_t { null, boolean, integer, large_integer, real, text, list, object };
    // Values lie in the order of the text, so that those in a list or an object follow it; each key is a text
    // before its value.
    struct Value {
        Kind kind = Kind::null;
        std::uint32_t count = 0;  // of items, members, or characters
        union {
            std::int64_t integer = 0;
            double real;
            std::uint64_t begin;  // of a text, in characters_
            std::uint64_t end;    // of a list or an object: the index behind its last value
        };
    };
    std::string_view characters(const Value& value) const {
        return std::string_view(characters_).substr(static_cast<std::size_t>(value.begin), value.count);
    }

    std::string name_;
    std::vector<Value> values_;
    std::string characters_;
};

template <class Visit>
void JsonEntry::for_each_item(const JsonPlace& place, const char* expected, Visit&& visit) const {
    require_list(place, expected);
    JsonEntry item = first();
    for (std::size_t left = size(); left > 0; --left) {
        visit(item);
        item = item.next();
    }
}

template <class Visit>
void JsonEntry::for_each_member(const JsonPlace& place, Visit&& visit) const {
    require_distinct_keys(place);
    walk_members(place, visit);
}

template <class Visit>
void JsonEntry::walk_members(const JsonPlace& place, Visit&& visit) const {
    require_object(place);
    JsonEntry key = first();
    for (std::size_t left = size(); left > 0; --left) {
        const JsonEntry value = key.next();
        visit(key.text(place), value);
        key = value.next();
    }
}

// Writes compact JSON in ASCII. Values and keys are given in order; commas and colons are put between them.
class JsonWriter {
  public:
    JsonWriter& begin_object() { return open('{'); }
    JsonWriter& end_object() { return close('}'); }
    JsonWriter& begin_list() { return open('['); }
    JsonWriter& end_list() { return close(']'); }
    JsonWriter& key(std::string_view name);
    JsonWriter& quoted_key(std::string_view json);
    JsonWriter& null() { return raw("null"); }
    JsonWriter& boolean(bool value) { return raw(value ? "true" : "false"); }
    JsonWriter& integer(std::int64_t value);
    // Throws InputError for a number that is not finite: JSON has none.
    JsonWriter& number(double value);
    JsonWriter& text(std::string_view value);
    // Text that is JSON already.
    JsonWriter& raw(std::string_view json);

    std::string take() { return std::move(out_); }

    // Throws InputError for text that is not UTF-8.
    static std::string quoted(std::string_view text);

  private:
    JsonWriter& open(char bracket);
    JsonWriter& close(char bracket);
    void append_quoted(std::string_view text);

    std::string out_;
    bool comma_ = false;  // before the next value
};

// The number that a text is in JSON, if it is one.
std::optional<double> json_number(std::string_view text);

// The shortest decimal number that reads back as the same double, in Python's layout ("0.1", "3.0", "1e-05");
// "inf", "-inf" and "nan" where it is no number.
std::string shortest_text(double value);

}  // namespace infercost

#include "core/json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/errors.hpp"

namespace infercost {
namespace {

// A text as an error message shows it: longer ones are cut, between two characters of UTF-8.
std::string shortened(std::string_view text) {
    constexpr std::size_t kShown = 40;
    if (text.size() <= kShown) return std::string(text);
    std::size_t end = kShown;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    return std::string(text.substr(0, end)) + "...";
}

}  // namespace

std::string JsonPlace::text() const {
    std::string text = outer_ ? outer_->text() + " " : std::string();
    text += word_;
    if (kind_ == Kind::indexed) text += " " + std::to_string(index_);
    if (kind_ == Kind::named) text += " '" + std::string(name_) + "'";
    return text;
}

// A message of the parser, which may quote half of a character: bytes that are not ASCII are shown as "?".
std::string in_ascii(std::string message) {
    for (char& c : message) {
        if (static_cast<unsigned char>(c) >= 0x80U) c = '?';
    }
    return message;
}

// Receives the parser's events.
class JsonReader {
  public:
    explicit JsonReader(JsonDocument& document) : document_(document) {}

    // The names of these functions are the parser's.
    bool null() { return add(value_of(JsonDocument::Kind::null)); }
    bool boolean(bool value) {
        JsonDocument::Value entry = value_of(JsonDocument::Kind::boolean);
        entry.integer = value ? 1 : 0;
        return add(entry);
    }
    bool number_integer(std::int64_t value) {
        JsonDocument::Value entry = value_of(JsonDocument::Kind::integer);
        entry.integer = value;
        return add(entry);
    }
    bool number_unsigned(std::uint64_t value) {
        if (value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            return number_integer(static_cast<std::int64_t>(value));
        }
        return add_text(JsonDocument::Kind::large_integer, std::to_string(value));
    }
    // Integers beyond 64 bits arrive here as well: only their text tells them from fractions.
    bool number_float(double value, const std::string& token) {
        if (token.find_first_of(".eE") == std::string::npos) {
            return add_text(JsonDocument::Kind::large_integer, token);
        }
        JsonDocument::Value entry = value_of(JsonDocument::Kind::real);
        entry.real = value;
        return add(entry);
    }
    bool string(std::string& value) { return add_text(JsonDocument::Kind::text, value); }
    bool key(std::string& value) { return add_text(JsonDocument::Kind::text, value, /*is_key=*/true); }
    bool binary(nlohmann::json::binary_t&) { return false; }  // not in text
    bool start_object(std::size_t) { return open(JsonDocument::Kind::object); }
    bool start_array(std::size_t) { return open(JsonDocument::Kind::list); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& error) {
        const std::string message = error.what();  // "[json.exception.parse_error.101] parse error at ..."
        const std::size_t tag = message.find("] ");
        throw InputError(document_.name_ + ": not valid JSON: " +
                         in_ascii(message.substr(tag == std::string::npos ? 0 : tag + 2)));
    }

  private:
    static JsonDocument::Value value_of(JsonDocument::Kind kind) {
        JsonDocument::Value value;
        value.kind = kind;
        return value;
    }
    bool add(const JsonDocument::Value& value, bool is_key = false) {
        if (!is_key && !open_.empty()) ++document_.values_[open_.back()].count;
        document_.values_.push_back(value);
        return true;
    }
    bool add_text(JsonDocument::Kind kind, std::string_view text, bool is_key = false) {
        JsonDocument::Value entry = value_of(kind);
        entry.count = static_cast<std::uint32_t>(text.size());
        entry.begin = document_.characters_.size();
        document_.characters_ += text;
        return add(entry, is_key);
    }
    bool open(JsonDocument::Kind kind) {
        add(value_of(kind));
        open_.push_back(document_.values_.size() - 1);
        return true;
    }
    bool close() {
        document_.values_[open_.back()].end = document_.values_.size();
        open_.pop_back();
        return true;
    }

    JsonDocument& document_;
    std::vector<std::size_t> open_;
};

JsonDocument::JsonDocument(std::string_view text, std::string name) : name_(std::move(name)) {
    JsonReader reader(*this);
    nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &reader);
}

// ---- reading ----

JsonType JsonEntry::type() const {
    switch (document_->values_[index_].kind) {
        case JsonDocument::Kind::null:
            return JsonType::null;
        case JsonDocument::Kind::boolean:
            return JsonType::boolean;
        case JsonDocument::Kind::integer:
            return JsonType::integer;
        case JsonDocument::Kind::large_integer:
        case JsonDocument::Kind::real:
            return JsonType::number;
        case JsonDocument::Kind::text:
            return JsonType::text;
        case JsonDocument::Kind::list:
            return JsonType::list;
        case JsonDocument::Kind::object:
            return JsonType::object;
    }
    return JsonType::null;
}

const std::string& JsonEntry::document_name() const {
    return document_->name_;
}

bool JsonEntry::is_null() const {
    return type() == JsonType::null;
}

bool JsonEntry::is_text() const {
    return type() == JsonType::text;
}

std::string_view JsonEntry::text(const JsonPlace& place) const {
    if (!is_text()) unexpected(place, "a string");
    return document_->characters(document_->values_[index_]);
}

bool JsonEntry::boolean(const JsonPlace& place) const {
    const JsonDocument::Value& value = document_->values_[index_];
    if (value.kind != JsonDocument::Kind::boolean) unexpected(place, "true or false");
    return value.integer != 0;
}

std::int64_t JsonEntry::integer(const JsonPlace& place, const char* expected) const {
    const JsonDocument::Value& value = document_->values_[index_];
    if (value.kind == JsonDocument::Kind::large_integer) {
        throw OverflowError(document_->name_ + ": " + place.text() + " is " + described() +
                            ", which does not fit 64 bits; expected " + expected + " from -2^63 to 2^63 - 1");
    }
    if (value.kind != JsonDocument::Kind::integer) unexpected(place, expected);
    return value.integer;
}

double JsonEntry::number(const JsonPlace& place) const {
    const JsonDocument::Value& value = document_->values_[index_];
    switch (value.kind) {
        case JsonDocument::Kind::integer:
            return static_cast<double>(value.integer);
        case JsonDocument::Kind::real:
            return value.real;
        case JsonDocument::Kind::large_integer:
            return *json_number(document_->characters(value));
        default:
            unexpected(place, "a number");
    }
}

std::pair<JsonEntry, JsonEntry> JsonEntry::pair(const JsonPlace& place, const char* expected) const {
    require_list(place, expected);
    if (size() != 2) {
        fail(place, " has " + std::to_string(size()) + " entries; expected " + std::string(expected));
    }
    return {first(), first().next()};
}

std::size_t JsonEntry::size() const {
    return document_->values_[index_].count;
}

JsonEntry JsonEntry::next() const {
    const JsonDocument::Value& value = document_->values_[index_];
    const bool nests = value.kind == JsonDocument::Kind::list || value.kind == JsonDocument::Kind::object;
    return {document_, nests ? static_cast<std::size_t>(value.end) : index_ + 1};
}

void JsonEntry::require_list(const JsonPlace& place, const char* expected) const {
    if (document_->values_[index_].kind != JsonDocument::Kind::list) unexpected(place, expected);
}

void JsonEntry::require_object(const JsonPlace& place) const {
    if (document_->values_[index_].kind != JsonDocument::Kind::object) unexpected(place, "an object");
}

void JsonEntry::require_distinct_keys(const JsonPlace& place) const {
    std::vector<std::string_view> keys;
    walk_members(place, [&](std::string_view key, JsonEntry) { keys.push_back(key); });
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) repeated(place, *twice);
}

void JsonEntry::repeated(const JsonPlace& place, std::string_view key) const {
    fail(place, " has '" + std::string(key) + "' twice; expected each key once");
}

void JsonEntry::find_members(const JsonPlace& place, const JsonKey* keys, std::size_t count,
                             JsonEntry* found) const {
    walk_members(place, [&](std::string_view name, JsonEntry value) {
        for (std::size_t i = 0; i < count; ++i) {
            if (keys[i].name != name) continue;
            if (found[i]) repeated(place, name);
            found[i] = value;
            return;
        }
        std::string known;
        for (std::size_t i = 0; i < count; ++i) known += (i ? ", " : "") + std::string(keys[i].name);
        fail(place, " has an unknown key '" + std::string(name) + "'; expected keys among " + known);
    });
    for (std::size_t i = 0; i < count; ++i) {
        if (keys[i].required && !found[i]) fail(place, " has no '" + std::string(keys[i].name) + "'");
    }
}

std::string JsonEntry::described() const {
    const JsonDocument::Value& value = document_->values_[index_];
    switch (value.kind) {
        case JsonDocument::Kind::null:
            return "null";
        case JsonDocument::Kind::boolean:
            return value.integer != 0 ? "true" : "false";
        case JsonDocument::Kind::integer:
            return std::to_string(value.integer);
        case JsonDocument::Kind::large_integer:
            return shortened(document_->characters(value));
        case JsonDocument::Kind::real:
            return shortest_text(value.real);
        case JsonDocument::Kind::text:
            return "the string '" + shortened(document_->characters(value)) + "'";
        case JsonDocument::Kind::list:
            return "a list";
        case JsonDocument::Kind::object:
            return "an object";
    }
    return {};
}

void JsonEntry::fail(const JsonPlace& place, const std::string& what) const {
    throw InputError(document_->name_ + ": " + place.text() + what);
}

void JsonEntry::unexpected(const JsonPlace& place, const char* expected) const {
    fail(place, " is " + described() + "; expected " + expected);
}

// ---- writing ----

namespace {

bool is_plain(std::string_view text) {
    const auto plain = [](char c) { return c >= ' ' && c < '\x7f' && c != '"' && c != '\\'; };
    return std::all_of(text.begin(), text.end(), plain);
}

using Digits = std::array<char, 34>;

// A finite number, written into `digits`.
std::string_view shortest(double value, Digits& digits) {
    const double size = std::abs(value);
    const bool fixed = size == 0 || (size >= 1e-4 && size < 1e16);
    char* const begin = digits.data();
    char* end = std::to_chars(begin, begin + digits.size() - 2, value,
                              fixed ? std::chars_format::fixed : std::chars_format::scientific)
                    .ptr;
    if (fixed && std::find(begin, end, '.') == end) {
        *end++ = '.';
        *end++ = '0';
    }
    return {begin, static_cast<std::size_t>(end - begin)};
}

}  // namespace

JsonWriter& JsonWriter::open(char bracket) {
    if (comma_) out_ += ',';
    out_ += bracket;
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
    out_ += bracket;
    comma_ = true;
    return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
    if (comma_) out_ += ',';
    out_ += json;
    comma_ = true;
    return *this;
}

JsonWriter& JsonWriter::quoted_key(std::string_view json) {
    raw(json);
    out_ += ':';
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
    text(name);
    out_ += ':';
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::text(std::string_view value) {
    if (comma_) out_ += ',';
    append_quoted(value);
    comma_ = true;
    return *this;
}

void JsonWriter::append_quoted(std::string_view text) {
    if (!is_plain(text)) {
        out_ += quoted(text);
        return;
    }
    out_ += '"';
    out_ += text;
    out_ += '"';
}

JsonWriter& JsonWriter::integer(std::int64_t value) {
    std::array<char, 24> digits{};
    const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    return raw({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

JsonWriter& JsonWriter::number(double value) {
    if (!std::isfinite(value)) {
        throw InputError("a number is " + shortest_text(value) + "; JSON has only finite numbers");
    }
    Digits digits;
    return raw(shortest(value, digits));
}

std::string JsonWriter::quoted(std::string_view text) {
    if (is_plain(text)) return '"' + std::string(text) + '"';
    try {
        return nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/true);
    } catch (const nlohmann::json::type_error&) {
        throw InputError("a text is not valid UTF-8; JSON holds nothing else");
    }
}

std::optional<double> json_number(std::string_view text) {
    const nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

std::string shortest_text(double value) {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
    Digits digits;
    return std::string(shortest(value, digits));
}

}  // namespace infercost

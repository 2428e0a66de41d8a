#include "core/settings.hpp"

#include <algorithm>
#include <charconv>

#include "core/errors.hpp"

namespace infercost {

std::string number_text(double value) {
    std::array<char, 32> text{};
    const auto end =
        std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, 6);
    return {text.data(), end.ptr};
}

namespace settings_detail {
namespace {

struct Shown {
    std::string operator()(std::monostate) const { return "none"; }
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(std::int64_t value) const { return std::to_string(value); }
    std::string operator()(double value) const { return number_text(value); }
    std::string operator()(const std::string& value) const { return "'" + value + "'"; }
    std::string operator()(const CountsByTime& values) const {
        return std::to_string(values.size()) + " counts by time";
    }
};

std::string joined(std::span<const std::string_view> words) {
    std::string found;
    for (const std::string_view each : words) (found += found.empty() ? "" : ", ") += each;
    return found;
}

std::string whole_numbers(const SettingRange& range) {
    const auto text = [](double bound) { return std::to_string(static_cast<std::int64_t>(bound)); };
    return "a whole number from " + text(range.low) + " to " + text(range.high);
}

bool is_ascending(const CountsByTime& values, const SettingRange& range) {
    double before = -1;
    for (const auto& [time, count] : values) {
        if (!(time > before) || static_cast<double>(count) < range.low ||
            static_cast<double>(count) > range.high) {
            return false;
        }
        before = time;
    }
    return !values.empty();
}

}  // namespace

SettingValue checked(const char* name, const char* type, bool optional, const SettingRange& range,
                     std::span<const std::string_view> words, std::string_view owner,
                     const SettingValue& value) {
    const std::string_view wanted = type;
    const auto in = [&](double number) { return number >= range.low && number <= range.high; };
    const auto* whole = std::get_if<std::int64_t>(&value);
    const auto* number = std::get_if<double>(&value);
    const auto* word = std::get_if<std::string>(&value);
    const auto* counts = std::get_if<CountsByTime>(&value);
    std::string expected;
    if (optional && std::holds_alternative<std::monostate>(value)) return value;
    if (wanted == "flag") {
        if (std::holds_alternative<bool>(value)) return value;
        expected = "true or false";
    } else if (wanted == "whole") {
        if (whole != nullptr && in(static_cast<double>(*whole))) return value;
        expected = whole_numbers(range);
    } else if (wanted == "number") {
        if (whole != nullptr && in(static_cast<double>(*whole))) return static_cast<double>(*whole);
        if (number != nullptr && in(*number)) return value;
        expected = "a number from " + number_text(range.low) + " to " + number_text(range.high);
    } else if (wanted == "word") {
        if (word != nullptr && std::ranges::find(words, *word) != words.end()) return value;
        expected = "one of " + joined(words);
    } else {
        if (counts != nullptr && is_ascending(*counts, range)) return value;
        expected = "times that ascend from 0 on, at least one, each with " + whole_numbers(range);
    }
    throw InputError(std::string(name) + " of " + std::string(owner) + " is " + std::visit(Shown(), value) +
                     "; expected " + expected + (*range.unit != 0 ? " " : "") + range.unit);
}

}  // namespace settings_detail
}  // namespace infercost

#include "sources/gguf_header.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <set>

#include "core/errors.hpp"
#include "core/json.hpp"

namespace infercost {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::uint32_t kMostDimensions = 4;
constexpr std::uint64_t kLongestKey = 65'535;
constexpr std::uint64_t kLongestName = 255;
constexpr std::uint64_t kLongestText = 1 << 20;  // that is kept; templates of chats may be longer
constexpr std::uint64_t kLongestArray = 4096;    // whose numbers are kept: some have one per layer
constexpr std::uint64_t kMostSettings = 100'000;
constexpr std::uint64_t kMostTensors = 200'000;
// Texts and arrays in all arrays of a file, which are read one by one; vocabularies have up to 300,000.
constexpr std::uint64_t kMostElements = 4'000'000;
constexpr int kDeepestArray = 4;
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMostAlignment = 1 << 20;
constexpr std::uint64_t kMostTensorElements = std::uint64_t{1} << 48;
constexpr std::uint64_t kLeastSetting = 8 + 4 + 1;  // bytes of a key's length, a type and the shortest value
constexpr std::uint64_t kLeastElement = 8;          // bytes of the length of a text
constexpr std::uint64_t kLeastTensor =
    8 + 4 + 4 + 8;  // bytes of a name's length, a rank, a type and an offset

enum class Kind : std::uint32_t {
    u8,
    i8,
    u16,
    i16,
    u32,
    i32,
    f32,
    boolean,
    text,
    array,
    u64,
    i64,
    f64,
    count
};
constexpr auto kText = static_cast<std::uint32_t>(Kind::text);
constexpr auto kArray = static_cast<std::uint32_t>(Kind::array);
// Bytes of a number; 0 for kinds that are none.
constexpr std::array<std::uint64_t, static_cast<std::size_t>(Kind::count)> kWidths = {1, 1, 2, 2, 4, 4, 4,
                                                                                      1, 0, 0, 8, 8, 8};

bool is_number(std::uint32_t kind) {
    return kind < kWidths.size() && kWidths[kind] > 0;
}

std::string brief_text(std::string_view text) {
    constexpr std::size_t kShown = 60;
    if (text.size() <= kShown) return std::string(text);
    std::size_t end = kShown;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    return std::string(text.substr(0, end)) + "...";
}

std::string quoted_text(std::string_view text) {
    return "'" + brief_text(text) + "'";
}

bool is_utf8(std::string_view text) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    for (std::size_t at = 0; at < text.size();) {
        const unsigned char lead = byte(at);
        const std::size_t more = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
        if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || text.size() - at <= more) return false;
        for (std::size_t i = 1; i <= more; ++i) {
            if ((byte(at + i) & 0xC0U) != 0x80U) return false;
        }
        // Longer than needed, half of a surrogate pair, or above the last character.
        if ((lead == 0xE0 && byte(at + 1) < 0xA0) || (lead == 0xED && byte(at + 1) > 0x9F) ||
            (lead == 0xF0 && byte(at + 1) < 0x90) || (lead == 0xF4 && byte(at + 1) > 0x8F)) {
            return false;
        }
        at += more + 1;
    }
    return true;
}

// The product of dimensions; none above kMostTensorElements.
std::optional<std::int64_t> product(const std::vector<std::uint64_t>& lengths) {
    std::uint64_t elements = 1;
    for (const std::uint64_t length : lengths) {
        if (length > kMostTensorElements) return std::nullopt;
    }
    if (std::find(lengths.begin(), lengths.end(), 0U) != lengths.end()) return 0;
    for (const std::uint64_t length : lengths) {
        if (elements > kMostTensorElements / length) return std::nullopt;
        elements *= length;
    }
    return static_cast<std::int64_t>(elements);
}

// The file of a header, for checks and messages.
struct GgufSource {
    std::string name;
    std::uint64_t size = 0;

    [[noreturn]] void fail(const std::string& what) const {
        throw InputError(name + " " + what + ". Expected a file written by llama.cpp or by the gguf library");
    }
};

std::uint64_t alignment_of(const GgufSource& file, const GgufSetting& setting) {
    std::uint64_t found = 0;
    if (const auto* const whole = std::get_if<std::uint64_t>(&setting)) found = *whole;
    if (const auto* const whole = std::get_if<std::int64_t>(&setting); whole && *whole > 0) {
        found = static_cast<std::uint64_t>(*whole);
    }
    if (found >= 1 && found <= kMostAlignment) return found;
    file.fail("has general.alignment " + shown(setting) + ", expected a number of bytes up to 2^20");
}

// Requires that tensors follow one another from the end of the header to the end of the file.
void check_places(const GgufSource& file, const std::vector<GgufTensor>& tensors, std::uint64_t end_of_header,
                  std::uint64_t alignment) {
    std::vector<const GgufTensor*> ordered;
    std::set<std::string_view> names;
    for (const GgufTensor& tensor : tensors) {
        if (!names.insert(tensor.name).second)
            file.fail("has the tensor " + quoted_text(tensor.name) + " twice");
        ordered.push_back(&tensor);
    }
    std::sort(ordered.begin(), ordered.end(), [](const GgufTensor* one, const GgufTensor* other) {
        return std::pair(one->offset, one->bytes()) < std::pair(other->offset, other->bytes());
    });
    const std::uint64_t begin = (end_of_header + alignment - 1) / alignment * alignment;
    std::uint64_t end = 0;
    const GgufTensor* last = nullptr;
    for (const GgufTensor* const tensor : ordered) {
        const std::string where = "tensor " + quoted_text(tensor->name);
        if (tensor->offset % alignment != 0) {
            file.fail("has " + where + " at " + with_commas(tensor->offset) + ", not aligned to " +
                      std::to_string(alignment));
        }
        if (tensor->offset < end) {
            file.fail("has " + where + " at " + with_commas(tensor->offset) + ", within tensor " +
                      quoted_text(last->name));
        }
        last = tensor;
        const auto bytes = static_cast<std::uint64_t>(tensor->bytes());
        end = tensor->offset + bytes;
        if (end < bytes || begin > file.size || end > file.size - begin) {
            file.fail("should hold " + where + " of " + with_commas(bytes) + " bytes at " +
                      with_commas(tensor->offset) + ", but has " + with_commas(file.size) +
                      " bytes; it is truncated: download it again");
        }
    }
}

class GgufReader {
  public:
    GgufReader(std::string_view begin, std::uint64_t size, std::string_view name)
        : bytes_(begin), file_{std::string(name), size}, size_(size) {}

    GgufHeader header() {
        GgufHeader made;
        std::uint64_t tensors = 0;
        std::uint64_t settings = 0;
        start(made.version, tensors, settings);
        std::set<std::string, std::less<>> keys;
        std::uint64_t alignment = kDefaultAlignment;
        for (std::uint64_t i = 0; i < settings; ++i) {
            std::string key = short_text(kLongestKey, "a key");
            if (!keys.insert(key).second) fail("has the setting " + quoted_text(key) + " twice");
            GgufSetting setting = value(static_cast<std::uint32_t>(number(Kind::u32)), key);
            if (key == "general.alignment") alignment = alignment_of(file_, setting);
            made.settings.emplace_back(std::move(key), std::move(setting));
        }
        for (std::uint64_t i = 0; i < tensors; ++i) made.tensors.push_back(tensor());
        check_places(file_, made.tensors, at_, alignment);
        return made;
    }

  private:
    [[noreturn]] void fail(const std::string& what) const { file_.fail(what); }

    void start(std::uint32_t& version, std::uint64_t& tensors, std::uint64_t& settings) {
        if (size_ == 0) throw InputError(file_.name + " is empty; expected a GGUF file");
        const std::uint64_t first = std::min<std::uint64_t>(size_, kMagic.size());
        if (bytes_.size() < first) throw MoreBytesNeeded{first};
        if (bytes_.substr(0, kMagic.size()) != kMagic) {
            throw InputError(file_.name + " does not start with GGUF; it is truncated or of another format");
        }
        at_ = kMagic.size();
        version = static_cast<std::uint32_t>(number(Kind::u32));
        if (version > 0xFFFF) {
            big_endian_ = true;
            at_ = kMagic.size();
            version = static_cast<std::uint32_t>(number(Kind::u32));
        }
        if (version != 2 && version != 3) {
            throw InputError(
                file_.name + " has version " + std::to_string(version) +
                " of GGUF, expected 2 or 3; convert the model again with a llama.cpp of 2024 or later");
        }
        tensors = count("tensors", kMostTensors, kLeastTensor);
        settings = count("settings", kMostSettings, kLeastSetting);
    }

    std::uint64_t count(const std::string& what, std::uint64_t most, std::uint64_t least) {
        const std::uint64_t found = number(Kind::u64);
        const std::uint64_t limit = std::min(most, size_ / least);
        if (found <= limit) return found;
        at_ -= 8;
        big_endian_ = !big_endian_;
        if (number(Kind::u64) <= limit) {
            const std::string other = big_endian_ ? "big" : "little";
            fail("has a " + std::string(big_endian_ ? "little" : "big") + "-endian version and a " + other +
                 "-endian number of " + what + ", expected one order");
        }
        fail("states " + with_commas(found) + " " + what + ", which its " + with_commas(size_) +
             " bytes do not hold");
    }

    // ---- values ----

    // The place of the next bytes, which are gone past.
    std::uint64_t take(std::uint64_t bytes) {
        if (bytes > size_ - at_) {
            fail("ends within its header: " + with_commas(bytes) + " bytes at " + with_commas(at_) +
                 " are expected, of " + with_commas(size_));
        }
        const std::uint64_t begin = at_;
        at_ += bytes;
        return begin;
    }
    std::string_view taken(std::uint64_t bytes) {
        const std::uint64_t begin = take(bytes);
        if (at_ > bytes_.size()) throw MoreBytesNeeded{at_};
        return bytes_.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(bytes));
    }

    // The bits of a number.
    std::uint64_t number(Kind kind) {
        const std::string_view bytes = taken(kWidths[static_cast<std::size_t>(kind)]);
        std::uint64_t found = 0;
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            const std::size_t place = big_endian_ ? i : bytes.size() - 1 - i;
            found = found << 8U | static_cast<unsigned char>(bytes[place]);
        }
        return found;
    }
    GgufScalar scalar(Kind kind) {
        const std::uint64_t bits = number(kind);
        switch (kind) {
            case Kind::i8:
                return std::int64_t{static_cast<std::int8_t>(bits)};
            case Kind::i16:
                return std::int64_t{static_cast<std::int16_t>(bits)};
            case Kind::i32:
                return std::int64_t{static_cast<std::int32_t>(bits)};
            case Kind::i64:
                return static_cast<std::int64_t>(bits);
            case Kind::f32:
                return double{std::bit_cast<float>(static_cast<std::uint32_t>(bits))};
            case Kind::f64:
                return std::bit_cast<double>(bits);
            case Kind::boolean:
                return bits != 0;
            default:
                return bits;
        }
    }

    std::string short_text(std::uint64_t most, const std::string& what) {
        const std::uint64_t length = number(Kind::u64);
        if (length > most) {
            fail("has " + what + " of " + with_commas(length) + " bytes, expected at most " +
                 with_commas(most));
        }
        const std::string_view found = taken(length);
        if (!is_utf8(found)) fail("has " + what + " that is not UTF-8");
        return std::string(found);
    }

    GgufSetting value(std::uint32_t kind, const std::string& key, int depth = 0) {
        if (is_number(kind)) {
            return std::visit([](auto&& found) { return GgufSetting(found); },
                              scalar(static_cast<Kind>(kind)));
        }
        if (kind == kText) return kept_text(key);
        if (kind != kArray) {
            fail("has type " + std::to_string(kind) + " for the setting " + quoted_text(key) +
                 ", expected 0 to 12");
        }
        if (depth >= kDeepestArray) {
            fail("nests the arrays of the setting " + quoted_text(key) + " more than " +
                 std::to_string(kDeepestArray) + " deep");
        }
        const auto inner = static_cast<std::uint32_t>(number(Kind::u32));
        const std::uint64_t length = number(Kind::u64);
        if (is_number(inner)) return numbers(static_cast<Kind>(inner), length);
        if (length > (size_ - at_) / kLeastElement || length > kMostElements - elements_) {
            fail("states " + with_commas(length) + " elements for the setting " + quoted_text(key) +
                 "; expected those in the file, at most " + with_commas(kMostElements) + " in all");
        }
        elements_ += length;
        if (inner == kText) {
            skip_texts(length);
        } else {
            for (std::uint64_t i = 0; i < length; ++i) value(inner, key, depth + 1);
        }
        return GgufSkipped{length};
    }

    GgufSetting numbers(Kind kind, std::uint64_t length) {
        if (length > kLongestArray) {
            // More than there is: the product must not overflow.
            take(length > size_ ? size_ - at_ + 1 : kWidths[static_cast<std::size_t>(kind)] * length);
            return GgufSkipped{length};
        }
        std::vector<GgufScalar> found;
        for (std::uint64_t i = 0; i < length; ++i) found.push_back(scalar(kind));
        return found;
    }

    void skip_texts(std::uint64_t count) {
        const std::uint64_t begin = at_;
        for (std::uint64_t i = 0; i < count; ++i) {
            const bool has_length = size_ - at_ >= kLeastElement;
            const std::uint64_t length = has_length ? number(Kind::u64) : 0;
            if (!has_length || length > size_ - at_) {
                fail("ends within the " + with_commas(count) + " texts at byte " + with_commas(begin));
            }
            at_ += length;
        }
    }

    GgufSetting kept_text(const std::string& key) {
        const std::uint64_t length = number(Kind::u64);
        if (length > kLongestText) {
            take(length);
            return GgufSkipped{length};
        }
        at_ -= 8;
        return short_text(kLongestText, "a text for " + quoted_text(key));
    }

    // ---- tensors ----

    GgufTensor tensor() {
        GgufTensor made;
        made.name = short_text(kLongestName, "a tensor's name");
        const std::string of_tensor = " for tensor " + quoted_text(made.name);
        const auto rank = static_cast<std::uint32_t>(number(Kind::u32));
        if (rank > kMostDimensions) {
            fail("has " + std::to_string(rank) + " dimensions" + of_tensor + ", expected at most " +
                 std::to_string(kMostDimensions));
        }
        std::vector<std::uint64_t> inward;
        for (std::uint32_t i = 0; i < rank; ++i) inward.push_back(number(Kind::u64));
        const std::optional<std::int64_t> elements = product(inward);
        if (!elements) fail("has dimensions" + of_tensor + " above 2^48 elements");
        made.elements = *elements;
        made.shape.assign(inward.rbegin(), inward.rend());
        const auto type = static_cast<std::uint32_t>(number(Kind::u32));
        made.offset = number(Kind::u64);
        made.type = find_ggml_type(type);
        if (!made.type) refuse_type(type, of_tensor);
        const std::string name(made.type->name);
        if (rank == 0 && made.type->weights > 1) {
            fail("has one number of type " + name + of_tensor + ", which has blocks");
        }
        if (rank > 0 && inward.front() % static_cast<std::uint64_t>(made.type->weights) != 0) {
            fail("has rows of " + std::to_string(inward.front()) + of_tensor + "; " + name +
                 " has blocks of " + std::to_string(made.type->weights) + " weights");
        }
        return made;
    }

    [[noreturn]] void refuse_type(std::uint32_t type, const std::string& of_tensor) const {
        std::string known;
        for (const GgmlType& each : kGgmlTypes) known += (known.empty() ? "" : ", ") + std::string(each.name);
        fail("has type " + std::to_string(type) + of_tensor + "; known types are " + known);
    }

    std::string_view bytes_;
    GgufSource file_;
    std::uint64_t size_;
    std::uint64_t at_ = 0;
    std::uint64_t elements_ = 0;
    bool big_endian_ = false;
};

}  // namespace

GgufHeader read_gguf_header(std::string_view begin, std::uint64_t size, std::string_view name) {
    return GgufReader(begin.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(begin.size(), size))),
                      size, name)
        .header();
}

std::string with_commas(std::uint64_t number) {
    std::string digits = std::to_string(number);
    for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
    return digits;
}

std::string shown(const GgufSetting& value) {
    struct Words {
        std::string operator()(bool flag) const { return flag ? "true" : "false"; }
        std::string operator()(std::int64_t number) const { return std::to_string(number); }
        std::string operator()(std::uint64_t number) const { return std::to_string(number); }
        std::string operator()(double number) const { return shortest_text(number); }
        std::string operator()(const std::string& text) const { return quoted_text(text); }
        std::string operator()(const std::vector<GgufScalar>& list) const {
            return "a list of " + with_commas(list.size()) + " values";
        }
        std::string operator()(const GgufSkipped& skipped) const {
            return "a text or an array of " + with_commas(skipped.length) + " elements";
        }
    };
    return std::visit(Words{}, value);
}

}  // namespace infercost

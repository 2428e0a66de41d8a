// The header of a GGUF file: settings by key, and the tensors.
//
// The format (ggml/docs/gguf.md): a magic number, the version, the numbers of tensors and of settings; the
// settings, each a key, a type and a value; the tensors, each a name, its dimensions from the innermost, a
// type and an offset; padding to the alignment; the data. All numbers are little-endian, or in version 3
// big-endian on machines that are.
//
// A header is data from outside. All numbers are checked against the size of the file before anything of that
// length is read, so that a damaged one ends in an error and not in a large allocation. Long arrays, such as
// the tokens of a vocabulary, are skipped, and only their lengths are kept.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "sources/gguf_types.hpp"

namespace infercost {

// A value that is not kept: its length in elements or characters.
struct GgufSkipped {
    std::uint64_t length = 0;
    bool operator==(const GgufSkipped&) const = default;
};
using GgufScalar = std::variant<bool, std::int64_t, std::uint64_t, double, std::string>;
using GgufSetting = std::variant<bool, std::int64_t, std::uint64_t, double, std::string,
                                 std::vector<GgufScalar>, GgufSkipped>;
using GgufSettings = std::vector<std::pair<std::string, GgufSetting>>;

struct GgufTensor {
    std::string name;
    std::vector<std::int64_t> shape;  // the outermost dimension first, as in torch
    const GgmlType* type = nullptr;
    std::uint64_t offset = 0;   // of its first byte after the start of the data
    std::int64_t elements = 0;  // at most 2^48

    std::int64_t bytes() const { return elements / type->weights * type->bytes; }
};

struct GgufHeader {
    std::uint32_t version = 0;
    GgufSettings settings;            // in the order of the file
    std::vector<GgufTensor> tensors;  // in the order of the file
};

// Thrown where a header goes on after the bytes that were passed of a file.
struct MoreBytesNeeded {
    std::uint64_t end = 0;  // of the bytes that are needed at least
};

// The header of a file of `size` bytes, of which `begin` are the first; the data of tensors is not read.
// `name` is the file, for messages. Throws InputError for a file that is damaged or of another format, and
// MoreBytesNeeded.
GgufHeader read_gguf_header(std::string_view begin, std::uint64_t size, std::string_view name);

// A value for messages, shortened.
std::string shown(const GgufSetting& value);
// A number for messages: 1,234,567.
std::string with_commas(std::uint64_t number);

}  // namespace infercost

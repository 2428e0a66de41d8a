#include "sources/gguf_model.hpp"

#include <algorithm>

#include "core/errors.hpp"

namespace infercost {
namespace {

// Bits of an element that a weight takes, without metadata.
double element_bits(const GgmlType& type) {
    return static_cast<double>(bits_of(type.dtype)) / static_cast<double>(type.values);
}

}  // namespace

void GgufModel::add(const GgufHeader& header, const std::string& file) {
    if (settings_.empty()) settings_.insert(header.settings.begin(), header.settings.end());
    for (const GgufTensor& tensor : header.tensors) {
        if (!places_.emplace(tensor.name, tensors_.size()).second) {
            throw InputError(spec_ + ": " + file + " has the tensor " + shown(GgufSetting(tensor.name)) +
                             " of an earlier file");
        }
        tensors_.push_back(tensor);
    }
}

const GgufSetting* GgufModel::setting(std::string_view key) const {
    const auto found = settings_.find(key);
    return found == settings_.end() ? nullptr : &found->second;
}

std::string GgufModel::text(std::string_view key) const {
    const GgufSetting* const found = setting(key);
    const auto* const text = found ? std::get_if<std::string>(found) : nullptr;
    return text ? *text : std::string();
}

std::int64_t GgufModel::parts() const {
    constexpr std::int64_t kMostFiles = 1'000;
    const GgufSetting* const found = setting("split.count");
    if (!found) return 1;
    std::int64_t count = -1;
    if (const auto* const number = std::get_if<std::uint64_t>(found); number && *number <= kMostFiles) {
        count = static_cast<std::int64_t>(*number);
    }
    if (const auto* const number = std::get_if<std::int64_t>(found)) count = *number;
    if (count >= 0 && count <= kMostFiles) return count;
    throw InputError(spec_ + ": split.count is " + shown(*found) + "; expected up to 1,000 files");
}

const GgufSetting* GgufModel::of_architecture(std::string_view key) const {
    return setting(architecture() + "." + std::string(key));
}

std::int64_t GgufModel::whole(const GgufScalar& value, std::string_view key, std::int64_t least,
                              std::int64_t most) const {
    std::int64_t found = -1;
    if (const auto* const number = std::get_if<std::int64_t>(&value)) found = *number;
    if (const auto* const number = std::get_if<std::uint64_t>(&value)) {
        found = static_cast<std::int64_t>(std::min(*number, std::uint64_t{1} << 62U));
    }
    if (found >= least && found <= most) return found;
    const GgufSetting given = std::visit([](const auto& each) { return GgufSetting(each); }, value);
    throw InputError(architecture() + "." + std::string(key) + " of " + spec_ + " is " + shown(given) +
                     "; expected a whole number from " + std::to_string(least) + " to " +
                     std::to_string(most));
}

std::int64_t GgufModel::count(std::string_view key, std::optional<std::int64_t> otherwise, std::int64_t least,
                              std::int64_t most) const {
    const GgufSetting* const value = of_architecture(key);
    if (!value) {
        if (otherwise) return *otherwise;
        throw InputError(spec_ + " has no setting " + architecture() + "." + std::string(key) +
                         "; expected a complete GGUF file");
    }
    return std::visit(
        [&](const auto& found) -> std::int64_t {
            if constexpr (std::is_constructible_v<GgufScalar, decltype(found)>) {
                return whole(GgufScalar(found), key, least, most);
            } else {
                throw InputError(architecture() + "." + std::string(key) + " of " + spec_ + " is " +
                                 shown(*value) + "; expected a whole number from " + std::to_string(least) +
                                 " to " + std::to_string(most));
            }
        },
        *value);
}

std::vector<std::int64_t> GgufModel::counts(std::string_view key, std::int64_t layers,
                                            std::optional<std::int64_t> otherwise) const {
    const GgufSetting* const value = of_architecture(key);
    const auto* const list = value ? std::get_if<std::vector<GgufScalar>>(value) : nullptr;
    if (!list) return std::vector<std::int64_t>(static_cast<std::size_t>(layers), count(key, otherwise));
    if (static_cast<std::int64_t>(list->size()) != layers) {
        throw InputError(spec_ + ": " + architecture() + "." + std::string(key) + " has " +
                         std::to_string(list->size()) + " values for " + std::to_string(layers) + " layers");
    }
    std::vector<std::int64_t> found;
    for (const GgufScalar& each : *list) found.push_back(whole(each, key, 1, std::int64_t{1} << 31));
    return found;
}

double GgufModel::number(std::string_view key, double otherwise) const {
    const GgufSetting* const value = of_architecture(key);
    if (!value) return otherwise;
    if (const auto* const real = std::get_if<double>(value)) return *real;
    if (const auto* const number = std::get_if<std::int64_t>(value)) return static_cast<double>(*number);
    if (const auto* const number = std::get_if<std::uint64_t>(value)) return static_cast<double>(*number);
    throw InputError(spec_ + ": " + architecture() + "." + std::string(key) + " is " + shown(*value) +
                     "; expected a number");
}

std::int64_t GgufModel::length(const std::string& tensor, int dimension) const {
    const auto found = places_.find(tensor);
    if (found == places_.end()) {
        throw InputError(spec_ + " has no tensor " + tensor + "; expected a complete " + architecture());
    }
    const std::vector<std::int64_t>& shape = tensors_[found->second].shape;
    const auto at =
        static_cast<std::size_t>(dimension < 0 ? static_cast<int>(shape.size()) + dimension : dimension);
    if (at < shape.size()) return shape[at];
    throw InputError(spec_ + ": tensor " + tensor + " has " + std::to_string(shape.size()) +
                     " dimensions; expected more");
}

DType GgufModel::activations() const {
    std::int64_t of_float16 = 0;
    std::int64_t of_bfloat16 = 0;
    DType first = DType::float16;  // of two with equally many bytes
    for (const GgufTensor& tensor : tensors_) {
        if (tensor.shape.size() < 2 || !tensor.type->format.empty()) continue;
        if (of_float16 + of_bfloat16 == 0 && tensor.type->dtype == DType::bfloat16) first = DType::bfloat16;
        if (tensor.type->dtype == DType::float16) of_float16 += tensor.bytes();
        if (tensor.type->dtype == DType::bfloat16) of_bfloat16 += tensor.bytes();
    }
    if (of_float16 == of_bfloat16) return of_float16 == 0 ? DType::float16 : first;
    return of_float16 > of_bfloat16 ? DType::float16 : DType::bfloat16;
}

std::optional<GgufStored> GgufModel::stored(std::string_view parameter) const {
    for (const std::vector<std::string>& names : gguf_names(parameter, architecture(), tensors_)) {
        const bool has_all =
            !names.empty() && std::all_of(names.begin(), names.end(),
                                          [&](const std::string& name) { return has_tensor(name); });
        if (!has_all) continue;
        GgufStored found;
        bool several = false;
        for (const std::string& name : names) {
            const GgufTensor& tensor = tensors_[places_.find(name)->second];
            found.tensors.push_back(&tensor);
            found.elements += tensor.elements;
            found.bytes += tensor.bytes();
            const GgmlType* const type = tensor.type;
            several = several || (found.type && type != found.tensors.front()->type);
            const bool blocks = found.type && !found.type->format.empty();
            const bool narrower = type->format.empty()
                                      ? !blocks && found.type && type->bytes > found.type->bytes
                                      : !blocks || element_bits(*type) < element_bits(*found.type);
            if (!found.type || narrower) found.type = type;
        }
        found.mixed = several && !found.type->format.empty();
        return found;
    }
    return std::nullopt;
}

}  // namespace infercost

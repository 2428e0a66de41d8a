// A model of one GGUF file or several: its hyperparameters as a config of `transformers`, and the storage of
// its weights.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "sources/gguf_header.hpp"

namespace infercost {

// Limits of the counts of a model.
inline constexpr std::int64_t kMostLayers = 1'000;
inline constexpr std::int64_t kMostExperts = 100'000;

// The tensors that a parameter is stored in: the library stacks experts, and joins their gates with their up
// projections.
struct GgufStored {
    std::vector<const GgufTensor*> tensors;
    const GgmlType* type = nullptr;  // of all, or the one with the narrowest elements
    std::int64_t elements = 0;
    std::int64_t bytes = 0;
    bool mixed = false;  // whether blocks have several types
};

class GgufModel {
  public:
    // `spec` is the name of the model in messages.
    explicit GgufModel(std::string spec) : spec_(std::move(spec)) {}
    // Adds a file: settings are those of the first. Throws InputError for a tensor of an earlier file.
    void add(const GgufHeader& header, const std::string& file);

    const std::string& spec() const { return spec_; }
    const std::vector<GgufTensor>& tensors() const { return tensors_; }
    const GgufSetting* setting(std::string_view key) const;
    std::string text(std::string_view key) const;  // empty if there is none
    std::string architecture() const { return text("general.architecture"); }
    // Files that the model is split into, as the first states.
    std::int64_t parts() const;
    bool has_tensor(std::string_view name) const { return places_.contains(name); }

    // Settings of the architecture, by keys without its name. Each throws InputError for a value of another
    // type or out of range, and for one that is missing without a default.
    bool has(std::string_view key) const { return of_architecture(key) != nullptr; }
    std::int64_t count(std::string_view key, std::optional<std::int64_t> otherwise = std::nullopt,
                       std::int64_t least = 1, std::int64_t most = std::int64_t{1} << 31) const;
    // A whole number or one per layer, as one per layer.
    std::vector<std::int64_t> counts(std::string_view key, std::int64_t layers,
                                     std::optional<std::int64_t> otherwise = std::nullopt) const;
    double number(std::string_view key, double otherwise) const;
    // A dimension of a tensor, from the outermost, or below zero from behind the innermost. Throws InputError
    // if there is none.
    std::int64_t length(const std::string& tensor, int dimension) const;

    // The config of `transformers`, with `model_type`, as JSON. Throws InputError for an unknown
    // architecture, and for sizes that a config cannot express, such as widths that differ by layer.
    std::string config_json() const;
    // Dtype of activations: the 16-bit float of most bytes of matrices, or float16 without any. llama.cpp
    // computes between products in float32, on any device; its memory between kernels is not modeled apart
    // from its cache.
    DType activations() const;
    // The storage of a parameter of a model of `transformers`; none if the file lacks one of its tensors.
    std::optional<GgufStored> stored(std::string_view parameter) const;

  private:
    const GgufSetting* of_architecture(std::string_view key) const;
    std::int64_t whole(const GgufScalar& value, std::string_view key, std::int64_t least,
                       std::int64_t most) const;

    std::string spec_;
    std::map<std::string, GgufSetting, std::less<>> settings_;
    std::vector<GgufTensor> tensors_;
    std::map<std::string, std::size_t, std::less<>> places_;  // in tensors_
};

// Names of the tensors of a parameter, in alternatives.
using GgufNames = std::vector<std::vector<std::string>>;
GgufNames gguf_names(std::string_view parameter, std::string_view architecture,
                     const std::vector<GgufTensor>& tensors);

}  // namespace infercost

#include "core/structure.hpp"

#include <array>
#include <bit>
#include <cstdio>
#include <optional>
#include <vector>

namespace infercost {
namespace {

constexpr std::uint64_t kFnvOffset = 0xcbf29ce484222325ULL;
constexpr std::uint64_t kFnvPrime = 0x100000001b3ULL;
constexpr std::array<std::uint64_t, 2> kOdd = {0x9e3779b97f4a7c15ULL, 0xc2b2ae3d27d4eb4fULL};

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_separator(char c) {
    return c == '.' || c == '_';
}

// FNV-1a. Of numbers between dots and underscores, or at the end, only that they are there.
std::uint64_t hash_without_numbers(std::string_view text) {
    std::uint64_t hash = kFnvOffset;
    const auto add = [&hash](char c) { hash = (hash ^ static_cast<unsigned char>(c)) * kFnvPrime; };
    for (std::size_t i = 0; i < text.size();) {
        std::size_t end = i;
        while (end < text.size() && is_digit(text[end])) ++end;
        const bool number =
            end > i && i > 0 && is_separator(text[i - 1]) && (end == text.size() || is_separator(text[end]));
        if (number) {
            add('#');
            i = end;
        } else {
            add(text[i++]);
        }
    }
    return hash;
}

class Digest {
  public:
    explicit Digest(const Graph& graph) : graph_(graph) {}

    std::string run() {
        for (const std::string& name : graph_.size_names()) add_size(name);
        for (const Tensor& tensor : graph_.tensors()) add_tensor(tensor);
        for (const Node& node : graph_.nodes()) add_node(node);
        for (const std::span<const std::int32_t> list :
             {graph_.inputs(), graph_.outputs(), std::span(graph_.held_until())}) {
            add(list.size());
            for (const std::int32_t value : list) add(value);
        }
        for (const Guard& guard : graph_.guards()) add(hash_without_numbers(guard.text()));
        std::array<char, 33> text{};
        std::snprintf(text.data(), text.size(), "%016llx%016llx", static_cast<unsigned long long>(state_[0]),
                      static_cast<unsigned long long>(state_[1]));
        return text.data();
    }

  private:
    template <class Value>
    void add(Value value) {
        for (std::size_t i = 0; i < state_.size(); ++i) {
            state_[i] = (std::rotl(state_[i], 29) ^ static_cast<std::uint64_t>(value)) * kOdd[i];
            state_[i] ^= state_[i] >> 31;
        }
    }
    void add_name(std::uint32_t id) {
        if (id >= names_.size()) names_.resize(id + 1);
        if (!names_[id]) names_[id] = hash_without_numbers(graph_.name(id));
        add(*names_[id]);
    }
    void add_dim(Dim dim) {
        if (dim >= 0) return add(dim);
        const auto at = static_cast<std::size_t>(-dim - 1);
        if (at >= expressions_.size()) expressions_.resize(at + 1);
        if (!expressions_[at]) expressions_[at] = ~hash_without_numbers(graph_.expr(dim).text());
        add(*expressions_[at]);
    }
    void add_dims(std::span<const Dim> dims) {
        add(dims.size());
        for (const Dim dim : dims) add_dim(dim);
    }
    void add_size(const std::string& name) {
        const NamedSize& size = graph_.sizes().find(name)->second;
        add(hash_without_numbers(name));
        add(hash_without_numbers(size.default_value.text()));
        add(size.minimum);
        add(size.maximum ? hash_without_numbers(size.maximum->text()) : 0);
        add(static_cast<int>(size.role));
    }
    void add_tensor(const Tensor& tensor) {
        add(static_cast<int>(tensor.dtype));
        add(static_cast<int>(tensor.role));
        add_name(tensor.name);
        add_dims(graph_.dims(tensor.shape));
        add_dims(graph_.dims(tensor.strides));
        add(tensor.logical_numel);
        add(tensor.storage_elements);
    }
    void add_node(const Node& node) {
        if (ops_.empty()) {
            for (const OpName& op : graph_.ops()) ops_.push_back(hash_without_numbers(op.full));
        }
        add(ops_[node.op]);
        add_name(node.module);
        add(static_cast<int>(node.phase));
        add(node.arguments.count);
        for (const Argument& argument : graph_.arguments(node)) add_argument(argument);
        add(node.outputs.count);
        for (const std::int64_t t : graph_.node_outputs(node)) add(t);
    }
    void add_argument(const Argument& argument) {
        add_name(argument.name);
        add(static_cast<int>(argument.kind));
        switch (argument.kind) {
            case ArgKind::none:
                break;
            case ArgKind::tensor:
            case ArgKind::integer:
            case ArgKind::boolean:
                add(argument.value);
                break;
            case ArgKind::expression:
                add_dim(argument.value);
                break;
            case ArgKind::text:
                add_name(static_cast<std::uint32_t>(argument.value));
                break;
            case ArgKind::real:
                add(std::bit_cast<std::uint64_t>(argument.real));
                break;
            case ArgKind::tensor_list:
            case ArgKind::integer_list:
                add(argument.range.count);
                for (const std::int64_t value : graph_.integers(argument.range)) add(value);
                break;
            case ArgKind::expression_list:
                add_dims(graph_.integers(argument.range));
                break;
            case ArgKind::real_list:
                add(argument.range.count);
                for (const double value : graph_.reals(argument.range)) {
                    add(std::bit_cast<std::uint64_t>(value));
                }
                break;
        }
    }

    const Graph& graph_;
    std::array<std::uint64_t, 2> state_ = {kFnvOffset, kFnvPrime};
    std::vector<std::optional<std::uint64_t>> names_;        // by id
    std::vector<std::optional<std::uint64_t>> expressions_;  // by their place in the table
    std::vector<std::uint64_t> ops_;
};

}  // namespace

std::string structure_of(const Graph& graph) {
    return Digest(graph).run();
}

}  // namespace infercost

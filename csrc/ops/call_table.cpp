#include "ops/call_table.hpp"

#include <algorithm>
#include <bit>

namespace infercost {
namespace {

constexpr std::size_t kMostTensors = 48;    // of a call; they are compared with each other
constexpr std::size_t kMostKeys = 1 << 16;  // a few hundred bytes each
constexpr std::size_t kFirstSlots = 256;

std::uint64_t hash_of(const std::vector<std::int64_t>& values) {
    constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15ULL;
    std::uint64_t hash = values.size();
    for (const std::int64_t value : values) {
        hash = (std::rotl(hash, 23) ^ static_cast<std::uint64_t>(value)) * kOdd;
    }
    return hash ^ (hash >> 32);
}

}  // namespace

std::optional<std::size_t> CallTable::number_of(const Call& call) {
    if (!write(call)) return std::nullopt;
    return calls_.number_of(made_);
}

std::optional<std::size_t> CallTable::Keys::number_of(const std::vector<std::int64_t>& made) {
    if (2 * keys_.size() >= slots_.size()) grow();
    const std::uint64_t hash = hash_of(made);
    std::size_t slot = hash & (slots_.size() - 1);
    for (; slots_[slot] != 0; slot = (slot + 1) & (slots_.size() - 1)) {
        const std::size_t number = slots_[slot] - 1;
        const Key& key = keys_[number];
        if (key.hash != hash || key.count != made.size()) continue;
        const auto begin = values_.begin() + static_cast<std::ptrdiff_t>(key.begin);
        if (std::equal(made.begin(), made.end(), begin)) return number;
    }
    if (keys_.size() >= kMostKeys) return std::nullopt;
    keys_.push_back({hash, values_.size(), made.size()});
    values_.insert(values_.end(), made.begin(), made.end());
    slots_[slot] = static_cast<std::uint32_t>(keys_.size());
    return keys_.size() - 1;
}

bool CallTable::write_tensor(TensorIndex t) {
    const auto found = std::find(tensors_.begin(), tensors_.end(), t);
    made_.push_back(found - tensors_.begin());
    if (found != tensors_.end()) return true;
    tensors_.push_back(t);
    return tensors_.size() <= kMostTensors;
}

// Most tensors occur in several calls.
bool CallTable::write_form(const Graph& graph, TensorIndex t) {
    constexpr std::int64_t kNotAsked = -1;
    if (form_of_.empty()) form_of_.assign(graph.tensors().size(), kNotAsked);
    if (form_of_[t] == kNotAsked) {
        const Tensor& tensor = graph.tensors()[t];
        form_ = {static_cast<std::int64_t>(tensor.dtype),
                 static_cast<std::int64_t>(tensor.role),
                 tensor.logical_numel,
                 tensor.storage_elements,
                 tensor.shape.count,
                 tensor.strides.count};
        for (const Range range : {tensor.shape, tensor.strides}) {
            for (const Dim d : graph.dims(range)) form_.push_back(d);
        }
        const std::optional<std::size_t> number = forms_.number_of(form_);
        if (!number) return false;
        form_of_[t] = static_cast<std::int64_t>(*number);
    }
    made_.push_back(form_of_[t]);
    return true;
}

bool CallTable::write(const Call& call) {
    const Graph& graph = call.graph();
    made_.clear();
    tensors_.clear();
    made_.push_back(call.node().op);
    for (const Argument& argument : graph.arguments(call.node())) {
        made_.push_back(argument.name);
        made_.push_back(static_cast<std::int64_t>(argument.kind));
        switch (argument.kind) {
            case ArgKind::none:
                break;
            case ArgKind::tensor:
                if (!write_tensor(static_cast<TensorIndex>(argument.value))) return false;
                break;
            case ArgKind::integer:
            case ArgKind::expression:
            case ArgKind::boolean:
            case ArgKind::text:
                made_.push_back(argument.value);
                break;
            case ArgKind::real:
                made_.push_back(std::bit_cast<std::int64_t>(argument.real));
                break;
            case ArgKind::tensor_list:
                made_.push_back(argument.range.count);
                for (const std::int64_t t : graph.integers(argument.range)) {
                    if (!write_tensor(static_cast<TensorIndex>(t))) return false;
                }
                break;
            case ArgKind::integer_list:
            case ArgKind::expression_list:
                made_.push_back(argument.range.count);
                for (const std::int64_t value : graph.integers(argument.range)) made_.push_back(value);
                break;
            case ArgKind::real_list:
                made_.push_back(argument.range.count);
                for (const double value : graph.reals(argument.range)) {
                    made_.push_back(std::bit_cast<std::int64_t>(value));
                }
                break;
        }
    }
    made_.push_back(static_cast<std::int64_t>(call.output_count()));
    for (const std::int64_t t : graph.node_outputs(call.node())) {
        if (!write_tensor(static_cast<TensorIndex>(t))) return false;
    }
    for (const TensorIndex t : tensors_) {
        if (t == kNoTensor) {  // an absent one of a list
            made_.push_back(kNoTensor);
            continue;
        }
        if (!write_form(graph, t)) return false;
        const Tensor& root = graph.tensors()[call.root(t)];
        made_.push_back(static_cast<std::int64_t>(root.role));
    }
    return true;
}

void CallTable::Keys::grow() {
    slots_.assign(std::max(kFirstSlots, 2 * slots_.size()), 0);
    for (std::size_t i = 0; i < keys_.size(); ++i) {
        std::size_t slot = keys_[i].hash & (slots_.size() - 1);
        while (slots_[slot] != 0) slot = (slot + 1) & (slots_.size() - 1);
        slots_[slot] = static_cast<std::uint32_t>(i + 1);
    }
}

}  // namespace infercost

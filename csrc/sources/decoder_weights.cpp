#include "sources/decoder_weights.hpp"

#include <stdexcept>

namespace infercost {
namespace {

void append(NamedArguments& to, const NamedArguments& from) {
    to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

const DecoderWeights::Stored& DecoderWeights::stored(const std::string& name, const Shape& shape) {
    const auto known = known_.find(name);
    return known != known_.end() ? known->second : known_.emplace(name, store(name, shape)).first->second;
}

// The parameters that formats/stored_weights.py makes of a weight in a format.
DecoderWeights::Stored DecoderWeights::store(const std::string& name, const Shape& shape) {
    Stored made;
    const std::optional<StoredWeight> weight = config_.stored ? config_.stored(name) : std::nullopt;
    const WeightType* const type = weight ? &weight->type : nullptr;
    if (!weight && config_.stored) {
        throw std::invalid_argument("the weights have no " + name + "; expected those of a complete " +
                                    std::string(config_.family->name));
    }
    Expr elements = 1;
    for (const Expr& length : shape) elements *= length;
    const std::int64_t numel = elements.constant();
    if (weight && weight->elements >= 0 && weight->elements != numel) {
        throw std::invalid_argument("the weight " + name + " has " + std::to_string(weight->elements) +
                                    " elements; the config gives it " + std::to_string(numel));
    }
    if (!type || type->format.empty()) {
        made.value = operators_.tensor(type ? type->dtype : config_.dtype, shape, Role::parameter, name);
        made.tensors = {
            {"weight", made.value.index}
        };
        made.value.dtype = config_.dtype;
        return made;
    }
    const std::int64_t columns = shape.back().constant();
    if (shape.size() < 2 || columns % type->group != 0) {
        throw std::invalid_argument("the weight " + name + " has rows of " + std::to_string(columns) + "; " +
                                    type->format + " has blocks of " + std::to_string(type->group) +
                                    " weights in matrices");
    }
    made.narrow = true;
    Shape narrow = shape;
    narrow.back() = columns / type->values;
    made.value = operators_.tensor(type->dtype, narrow, Role::parameter, name + "." + type->format, numel);
    made.value.dtype = config_.dtype;
    made.tensors = {
        {"weight", made.value.index}
    };
    const std::int64_t blocks = columns / type->group;
    if (weight->bytes >= 0) {  // parts of several types: one row of bytes for each matrix
        const std::int64_t of_elements = checked_mul(numel / type->values, bits_of(type->dtype)) / 8;
        const std::int64_t beside = weight->bytes - of_elements;
        if (beside < 0) {
            throw std::invalid_argument("the weight " + name + " has " + std::to_string(weight->bytes) +
                                        " bytes; its elements alone take " + std::to_string(of_elements));
        }
        const bool stack = shape.size() > 2;
        const std::int64_t matrices = stack ? shape.front().constant() : 1;
        const Expr each = (beside + matrices - 1) / matrices;
        const GraphTensor block = operators_.tensor(DType::uint8, stack ? Shape{matrices, each} : Shape{each},
                                                    Role::parameter, name + ".block", 0);
        made.tensors.push_back({"weight_block", block.index});
    } else {
        if (type->scale) {
            Shape scales = shape;
            scales.back() = blocks;
            const GraphTensor scale =
                operators_.tensor(*type->scale, scales, Role::parameter, name + ".scale", 0);
            made.tensors.push_back({"weight_scale", scale.index});
        }
        if (type->block_bytes > 0) {
            Shape bytes = shape;
            bytes.back() = blocks * type->block_bytes;
            const GraphTensor block =
                operators_.tensor(DType::uint8, bytes, Role::parameter, name + ".block", 0);
            made.tensors.push_back({"weight_block", block.index});
        }
    }
    made.numbers.push_back({"group_size", Expr(type->group)});
    if (type->bits > 0) made.numbers.push_back({"weight_bits", Expr(type->bits)});
    return made;
}

GraphTensor DecoderWeights::plain(const std::string& name, const Shape& shape) {
    const Stored& weight = stored(name, shape);
    if (weight.narrow) {
        throw std::invalid_argument(
            "the weight " + name +
            " is stored in blocks; expected a plain float, as llama.cpp writes vectors");
    }
    return weight.value;
}

GraphTensor DecoderWeights::buffer(const std::string& name, DType dtype, const Shape& shape) {
    return operators_.tensor(dtype, shape, Role::buffer, name);
}

GraphTensor DecoderWeights::product(const Stored& weight, const GraphTensor& input, const Expr& outputs,
                                    const NamedArguments& bias) {
    Shape shape = input.shape;
    shape.back() = outputs;
    NamedArguments arguments = {
        {"input", input.index}
    };
    append(arguments, weight.tensors);
    append(arguments, bias);
    append(arguments, weight.numbers);
    return operators_.call(weight.narrow ? "pyinfercost.linear_weight_only.default" : "aten.linear.default",
                           arguments, config_.dtype, shape);
}

GraphTensor DecoderWeights::linear(std::string_view module, const GraphTensor& input, std::int64_t outputs,
                                   bool bias) {
    const Operators::Module scope(operators_, module);
    return linear_of_module(input, outputs, bias);
}

GraphTensor DecoderWeights::linear_of_module(const GraphTensor& input, std::int64_t outputs, bool bias) {
    const std::string& path = operators_.module();
    const Stored& weight = stored(path + ".weight", {outputs, input.shape.back()});
    NamedArguments added;
    if (bias) added.push_back({"bias", plain(path + ".bias", {outputs}).index});
    return product(weight, input, outputs, added);
}

GraphTensor DecoderWeights::tied_linear(std::string_view module, const GraphTensor& input,
                                        const std::string& weight) {
    const Operators::Module scope(operators_, module);
    const Stored& table = known_.at(weight);
    return product(table, input, config_.vocabulary, {});
}

GraphTensor DecoderWeights::embedding(const GraphTensor& indices, std::int64_t rows, std::int64_t columns,
                                      bool padded) {
    const Stored& table = stored(operators_.module() + ".weight", {rows, columns});
    NamedArguments arguments = table.tensors;
    arguments.push_back({"indices", indices.index});
    if (padded) arguments.push_back({"padding_idx", Expr(0)});
    append(arguments, table.numbers);
    Shape shape = indices.shape;
    shape.push_back(columns);
    return operators_.call("aten.embedding.default", arguments, config_.dtype, shape);
}

GraphTensor DecoderWeights::grouped(const std::string& name, const GraphTensor& input,
                                    const GraphTensor& offsets, std::int64_t experts, std::int64_t outputs) {
    const Stored& weight = stored(operators_.module() + "." + name, {experts, outputs, input.shape.back()});
    const Shape shape = {input.shape.front(), outputs};
    if (weight.narrow) {
        operators_.to(input, config_.dtype);
        NamedArguments arguments = {
            {"input", input.index}
        };
        append(arguments, weight.tensors);
        arguments.push_back({"offs", offsets.index});
        append(arguments, weight.numbers);
        return operators_.call("pyinfercost.grouped_weight_only.default", arguments, config_.dtype, shape);
    }
    const GraphTensor turned = operators_.transpose(weight.value, -2, -1);
    operators_.to(input, config_.dtype);
    return operators_.call("aten._grouped_mm.default",
                           {
                               {"self", input.index  },
                               {"mat2", turned.index },
                               {"offs", offsets.index}
    },
                           config_.dtype, shape);
}

}  // namespace infercost

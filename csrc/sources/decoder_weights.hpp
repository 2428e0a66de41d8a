// The weights of a decoder as they are stored, and the operators that read them.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "sources/decoder_config.hpp"
#include "sources/operators.hpp"

namespace infercost {

class DecoderWeights {
  public:
    DecoderWeights(const DecoderConfig& config, Operators& operators)
        : config_(config), operators_(operators) {}

    // The weight of an elementwise operator, which reads it in the dtype that it is stored in. The result
    // states the dtype of the model: operators do not convert.
    GraphTensor plain(const std::string& name, const Shape& shape);
    GraphTensor buffer(const std::string& name, DType dtype, const Shape& shape);

    // input @ weight.T, with the kernel for the type of the weight.
    GraphTensor linear(std::string_view module, const GraphTensor& input, std::int64_t outputs, bool bias);
    // The same with the weight of the current module.
    GraphTensor linear_of_module(const GraphTensor& input, std::int64_t outputs, bool bias = false);
    // The rows of a table of the current module.
    GraphTensor embedding(const GraphTensor& indices, std::int64_t rows, std::int64_t columns, bool padded);
    // The head reads the table of the embeddings.
    GraphTensor tied_linear(std::string_view module, const GraphTensor& input, const std::string& weight);
    // A product with a stack of matrices [experts, outputs, inputs] of the current module.
    GraphTensor grouped(const std::string& name, const GraphTensor& input, const GraphTensor& offsets,
                        std::int64_t experts, std::int64_t outputs);

  private:
    // A weight as arguments of an operator: `weight`, and what is stored beside it.
    struct Stored {
        NamedArguments tensors;
        NamedArguments numbers;  // of its type
        GraphTensor value;
        bool narrow = false;
    };
    const Stored& stored(const std::string& name, const Shape& shape);
    Stored store(const std::string& name, const Shape& shape);
    GraphTensor product(const Stored& weight, const GraphTensor& input, const Expr& outputs,
                        const NamedArguments& bias);

    const DecoderConfig& config_;
    Operators& operators_;
    std::map<std::string, Stored, std::less<>> known_;
};

}  // namespace infercost

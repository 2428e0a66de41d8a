// Operators of torch, added to a graph with the shapes, strides and lifetimes that a captured forward has.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph.hpp"

namespace infercost {

using Shape = std::vector<Expr>;
using NamedArguments = std::vector<NamedArgument>;

// A tensor, with what the operators that read it need.
struct GraphTensor {
    TensorIndex index = kNoTensor;
    DType dtype = DType::float32;
    Shape shape;
    Shape strides;  // in elements
};

Shape contiguous_strides(const Shape& shape);
// Arguments `self` and `other`.
NamedArguments self_and_other(const GraphTensor& self, const GraphTensor& other);

class Operators {
  public:
    explicit Operators(const std::string& model) : builder_(model) {}
    Operators(const Operators&) = delete;
    Operators& operator=(const Operators&) = delete;

    // The module of the operators that are added while it exists. Its name is added to that of the outer
    // module.
    class Module {
      public:
        Module(Operators& of, std::string_view name) : of_(of), outer_(of.module_) {
            of.module_ += (of.module_.empty() ? "" : ".") + std::string(name);
        }
        Module(const Module&) = delete;
        Module& operator=(const Module&) = delete;
        ~Module() { of_.module_ = outer_; }

      private:
        Operators& of_;
        std::string outer_;
    };

    // The variables of a function of Python: they hold tensors until it returns.
    class Frame {
      public:
        explicit Frame(Operators& of) : of_(of) {}
        Frame(const Frame&) = delete;
        Frame& operator=(const Frame&) = delete;
        ~Frame() {
            for (const TensorIndex t : held_) of_.use(t);
        }
        GraphTensor keep(const GraphTensor& value) {
            held_.push_back(value.index);
            return value;
        }

      private:
        Operators& of_;
        std::vector<TensorIndex> held_;
    };

    GraphBuilder& builder() { return builder_; }
    const std::string& module() const { return module_; }

    GraphTensor tensor(DType dtype, const Shape& shape, Role role, std::string_view name,
                       std::optional<std::int64_t> logical_numel = std::nullopt);

    // One node with one new tensor; contiguous if no strides are given.
    GraphTensor call(std::string_view op, const NamedArguments& arguments, DType dtype, const Shape& shape,
                     const Shape& strides = {}, std::string_view name = "");
    // One node whose results are given: those of an operator that changes or returns a tensor, or of several.
    void call_into(std::string_view op, const NamedArguments& arguments,
                   const std::vector<GraphTensor>& results);
    GraphTensor activation(DType dtype, const Shape& shape, const Shape& strides = {},
                           std::string_view name = "");

    // Elementwise operators, named as in torch.
    GraphTensor unary(std::string_view op, const GraphTensor& self, NamedArguments others = {});
    GraphTensor with_number(std::string_view op, const GraphTensor& self, ArgumentValue number);
    GraphTensor binary(std::string_view op, const GraphTensor& self, const GraphTensor& other);
    GraphTensor compare(std::string_view op, const GraphTensor& self, const GraphTensor& other);
    // The tensor itself if it has the dtype.
    GraphTensor to(const GraphTensor& self, DType dtype);

    GraphTensor view(std::string_view op, const GraphTensor& self, const Shape& written, const Shape& shape,
                     const Shape& strides = {});
    GraphTensor transpose(const GraphTensor& self, std::int64_t dim0, std::int64_t dim1);
    GraphTensor unsqueeze(const GraphTensor& self, std::int64_t dim);
    // Caches that a forward returns have a name.
    GraphTensor slice(const GraphTensor& self, std::int64_t dim, const Expr& start, const Expr& end,
                      const Expr& length, std::string_view name = "");
    GraphTensor concatenate(const GraphTensor& a, const GraphTensor& b, std::int64_t dim,
                            std::string_view name = "");
    GraphTensor arange(const Expr& end);

    std::shared_ptr<const Graph> build(const std::vector<GraphTensor>& inputs,
                                       const std::vector<GraphTensor>& outputs);

  private:
    void use(TensorIndex t);
    void use(const ArgumentValue& value);

    GraphBuilder builder_;
    std::string module_;
    NodeIndex nodes_ = 0;
    std::vector<NodeIndex> held_until_;
};

}  // namespace infercost

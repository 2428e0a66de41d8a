#include "sources/operators.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <variant>

namespace infercost {
namespace {

// Sizes at which strides are compared. Only their order matters: all are above one, and none is a multiple of
// another.
const Sizes& sizes_of_comparison() {
    static const Sizes sizes = {
        {"batch",    7   },
        {"context",  1013},
        {"sequence", 1009}
    };
    return sizes;
}

bool is_one(const Expr& length) {
    return length.is_constant() && length.constant() == 1;
}

std::size_t dim_of(const Shape& shape, std::int64_t dim) {
    return static_cast<std::size_t>(dim < 0 ? dim + static_cast<std::int64_t>(shape.size()) : dim);
}

// The result of an elementwise operator has the order of dimensions of its first operand that has its shape
// (TensorIterator::reorder_dimensions of torch), without its gaps.
Shape elementwise_strides(const Shape& shape, const GraphTensor& first) {
    if (first.strides == contiguous_strides(shape)) return first.strides;
    std::vector<std::int64_t> steps;
    for (const Expr& stride : first.strides) steps.push_back(stride.evaluate(sizes_of_comparison()));
    std::vector<std::size_t> inward(shape.size());
    std::iota(inward.rbegin(), inward.rend(), std::size_t{0});
    std::stable_sort(inward.begin(), inward.end(),
                     [&](std::size_t a, std::size_t b) { return steps[a] < steps[b]; });
    Shape strides(shape.size());
    Expr step = 1;
    for (const std::size_t dim : inward) {
        strides[dim] = step;
        step *= shape[dim];
    }
    return strides;
}

}  // namespace

Shape contiguous_strides(const Shape& shape) {
    Shape strides(shape.size());
    Expr step = 1;
    for (std::size_t dim = shape.size(); dim-- > 0;) {
        strides[dim] = step;
        step *= shape[dim];
    }
    return strides;
}

NamedArguments self_and_other(const GraphTensor& self, const GraphTensor& other) {
    return {
        {"self",  self.index },
        {"other", other.index}
    };
}

void Operators::use(TensorIndex t) {
    if (t != kNoTensor && nodes_ > 0) held_until_[static_cast<std::size_t>(t)] = nodes_ - 1;
}

void Operators::use(const ArgumentValue& value) {
    if (const auto* t = std::get_if<TensorIndex>(&value)) use(*t);
    if (const auto* list = std::get_if<std::vector<TensorIndex>>(&value)) {
        for (const TensorIndex t : *list) use(t);
    }
}

GraphTensor Operators::tensor(DType dtype, const Shape& shape, Role role, std::string_view name,
                              std::optional<std::int64_t> logical_numel) {
    GraphTensor made{kNoTensor, dtype, shape, contiguous_strides(shape)};
    made.index = builder_.add_tensor(dtype, shape, std::nullopt, role, name, logical_numel);
    held_until_.push_back(kNotObserved);
    return made;
}

GraphTensor Operators::activation(DType dtype, const Shape& shape, const Shape& strides,
                                  std::string_view name) {
    GraphTensor made{kNoTensor, dtype, shape, strides.empty() ? contiguous_strides(shape) : strides};
    made.index = builder_.add_tensor(dtype, made.shape, made.strides, Role::activation, name);
    held_until_.push_back(kNotObserved);
    return made;
}

void Operators::call_into(std::string_view op, const NamedArguments& arguments,
                          const std::vector<GraphTensor>& results) {
    builder_.begin_node(op, module_, "");
    for (const NamedArgument& argument : arguments) builder_.argument(argument.name, argument.value);
    std::vector<TensorIndex> made;
    for (const GraphTensor& result : results) made.push_back(result.index);
    builder_.end_node(made);
    ++nodes_;
    for (const NamedArgument& argument : arguments) use(argument.value);
    for (const TensorIndex t : made) use(t);
}

GraphTensor Operators::call(std::string_view op, const NamedArguments& arguments, DType dtype,
                            const Shape& shape, const Shape& strides, std::string_view name) {
    GraphTensor made = activation(dtype, shape, strides, name);
    call_into(op, arguments, {made});
    return made;
}

GraphTensor Operators::unary(std::string_view op, const GraphTensor& self, NamedArguments others) {
    others.insert(others.begin(), {"self", self.index});
    return call(op, others, self.dtype, self.shape, elementwise_strides(self.shape, self));
}

GraphTensor Operators::with_number(std::string_view op, const GraphTensor& self, ArgumentValue number) {
    return unary(op, self,
                 {
                     {"other", std::move(number)}
    });
}

GraphTensor Operators::binary(std::string_view op, const GraphTensor& self, const GraphTensor& other) {
    const std::size_t rank = std::max(self.shape.size(), other.shape.size());
    Shape shape(rank, Expr(1));
    for (const GraphTensor* each : {&self, &other}) {
        for (std::size_t i = 0; i < each->shape.size(); ++i) {
            Expr& length = shape[rank - each->shape.size() + i];
            if (is_one(length)) length = each->shape[i];
        }
    }
    const GraphTensor& first = self.shape == shape ? self : other;
    const Shape strides =
        first.shape == shape ? elementwise_strides(shape, first) : contiguous_strides(shape);
    // Of two floats the wider one; a tensor without dimensions is a number.
    const bool wider = bits_of(other.dtype) > bits_of(self.dtype) && !other.shape.empty();
    const DType dtype = self.shape.empty() || wider ? other.dtype : self.dtype;
    return call(op, self_and_other(self, other), dtype, shape, strides);
}

GraphTensor Operators::compare(std::string_view op, const GraphTensor& self, const GraphTensor& other) {
    Shape shape(self.shape);
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (is_one(shape[i])) shape[i] = other.shape[i];
    }
    return call(op, self_and_other(self, other), DType::boolean, shape);
}

GraphTensor Operators::to(const GraphTensor& self, DType dtype) {
    const NamedArguments arguments = {
        {"self",  self.index                 },
        {"dtype", std::string(name_of(dtype))}
    };
    if (self.dtype != dtype) {
        return call("aten.to.dtype", arguments, dtype, self.shape, elementwise_strides(self.shape, self));
    }
    call_into("aten.to.dtype", arguments, {self});
    return self;
}

GraphTensor Operators::view(std::string_view op, const GraphTensor& self, const Shape& written,
                            const Shape& shape, const Shape& strides) {
    const char* name = op.starts_with("aten.reshape") ? "shape" : "size";
    return call(op,
                {
                    {"self", self.index},
                    {name,   written   }
    },
                self.dtype, shape, strides);
}

GraphTensor Operators::transpose(const GraphTensor& self, std::int64_t dim0, std::int64_t dim1) {
    Shape shape = self.shape;
    Shape strides = self.strides;
    std::swap(shape[dim_of(shape, dim0)], shape[dim_of(shape, dim1)]);
    std::swap(strides[dim_of(shape, dim0)], strides[dim_of(shape, dim1)]);
    return call("aten.transpose.int",
                {
                    {"self", self.index},
                    {"dim0", Expr(dim0)},
                    {"dim1", Expr(dim1)}
    },
                self.dtype, shape, strides);
}

GraphTensor Operators::unsqueeze(const GraphTensor& self, std::int64_t dim) {
    Shape shape = self.shape;
    Shape strides = self.strides;
    const std::size_t at = dim < 0 ? shape.size() : static_cast<std::size_t>(dim);
    const Expr step = at < shape.size() ? shape[at] * strides[at] : Expr(1);
    shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(at), Expr(1));
    strides.insert(strides.begin() + static_cast<std::ptrdiff_t>(at), step);
    return call("aten.unsqueeze.default",
                {
                    {"self", self.index},
                    {"dim",  Expr(dim) }
    },
                self.dtype, shape, strides);
}

GraphTensor Operators::slice(const GraphTensor& self, std::int64_t dim, const Expr& start, const Expr& end,
                             const Expr& length, std::string_view name) {
    Shape shape = self.shape;
    shape[dim_of(shape, dim)] = length;
    return call("aten.slice.Tensor",
                {
                    {"self",  self.index},
                    {"dim",   Expr(dim) },
                    {"start", start     },
                    {"end",   end       }
    },
                self.dtype, shape, self.strides, name);
}

GraphTensor Operators::concatenate(const GraphTensor& a, const GraphTensor& b, std::int64_t dim,
                                   std::string_view name) {
    Shape shape = b.shape;
    if (a.shape.size() == shape.size()) {  // an empty tensor of one dimension adds nothing
        const std::size_t at = dim_of(shape, dim);
        shape[at] = a.shape[at] + b.shape[at];
    }
    return call("aten.cat.default",
                {
                    {"tensors", std::vector<TensorIndex>{a.index, b.index}},
                    {"dim",     Expr(dim)                                 }
    },
                b.dtype, shape, {}, name);
}

GraphTensor Operators::arange(const Expr& end) {
    return call("aten.arange.default",
                {
                    {"end",        end             },
                    {"device",     std::monostate{}},
                    {"pin_memory", false           }
    },
                DType::int64, {end});
}

std::shared_ptr<const Graph> Operators::build(const std::vector<GraphTensor>& inputs,
                                              const std::vector<GraphTensor>& outputs) {
    std::vector<TensorIndex> in;
    std::vector<TensorIndex> out;
    for (const GraphTensor& value : inputs) in.push_back(value.index);
    for (const GraphTensor& value : outputs) {
        out.push_back(value.index);
        use(value.index);
    }
    // Lifetimes are observed of what a forward makes and of the caches that it replaces.
    const std::span<const Tensor> tensors = builder_.graph().tensors();
    for (std::size_t t = 0; t < tensors.size(); ++t) {
        const Role role = tensors[t].role;
        if (role != Role::activation && role != Role::kv_cache) held_until_[t] = kNotObserved;
    }
    return builder_.build(in, out, std::move(held_until_));
}

}  // namespace infercost

#include "sources/decoder_forward.hpp"

#include <utility>

namespace infercost {
namespace {

constexpr double kLeastBfloat16 = -3.3895313892515355e+38;
constexpr double kLeastFloat32 = -3.4028234663852886e+38;
constexpr double kLeastFloat16 = -65504;

double least_of(DType dtype) {
    return dtype == DType::bfloat16  ? kLeastBfloat16
           : dtype == DType::float16 ? kLeastFloat16
                                     : kLeastFloat32;
}

GraphTensor unsqueezed(const DecoderForward& forward, GraphTensor value,
                       std::initializer_list<std::int64_t> dims) {
    for (const std::int64_t dim : dims) value = forward.on.unsqueeze(value, dim);
    return value;
}

NamedArguments as_truth(const GraphTensor& self) {
    return {
        {"self",   self.index      },
        {"dtype",  "bool"          },
        {"layout", std::monostate{}},
        {"device", std::monostate{}}
    };
}

GraphTensor positions_attended(const DecoderForward& forward, const GraphTensor& batches,
                               const GraphTensor& heads, const GraphTensor& of_queries,
                               const GraphTensor& of_keys, bool windowed) {
    Operators::Frame frame(forward.on);
    frame.keep(unsqueezed(forward, batches, {1, 2, 3}));
    frame.keep(unsqueezed(forward, heads, {0, 2, 3}));
    const GraphTensor query = frame.keep(unsqueezed(forward, of_queries, {0, 1, 3}));
    const GraphTensor key = frame.keep(unsqueezed(forward, of_keys, {0, 1, 2}));
    if (!windowed) return forward.on.compare("aten.le.Tensor", key, query);
    const GraphTensor all = forward.on.call(
        "aten.new_ones.default",
        {
            {"self",       query.index        },
            {"size",       std::vector<Expr>{}},
            {"dtype",      "bool"             },
            {"pin_memory", false              }
    },
        DType::boolean, {});
    const GraphTensor first = forward.on.with_number("aten.sub.Tensor", query, Expr(forward.config.window));
    const GraphTensor near = forward.on.compare("aten.gt.Tensor", key, first);
    forward.on.call_into("aten.to.dtype_layout", as_truth(near), {near});
    const GraphTensor within = frame.keep(
        forward.on.call("aten.__and__.Tensor", self_and_other(all, near), DType::boolean, near.shape));
    const GraphTensor before = forward.on.compare("aten.le.Tensor", key, query);
    const GraphTensor again =
        forward.on.call("aten.to.dtype_layout", as_truth(before), DType::boolean, before.shape);
    return forward.on.call("aten.__and__.Tensor", self_and_other(within, again), DType::boolean,
                           before.shape);
}

GraphTensor expanded_mask(const DecoderForward& forward, const Expr& kept, const Expr& keys, bool windowed) {
    Operators::Frame frame(forward.on);
    const GraphTensor batches = frame.keep(forward.on.arange(forward.batch));
    const GraphTensor heads = frame.keep(forward.on.arange(Expr(1)));
    const GraphTensor of_queries = frame.keep(forward.counted_from(forward.tokens, forward.past));
    const GraphTensor of_keys = frame.keep(forward.counted_from(keys, forward.past - kept));
    const GraphTensor attended = positions_attended(forward, batches, heads, of_queries, of_keys, windowed);
    const Shape shape = {forward.batch, Expr(1), forward.tokens, keys};
    Shape strides = contiguous_strides(shape);
    strides.front() = 0;
    return forward.on.view("aten.expand.default", attended, {forward.batch, Expr(-1), forward.tokens, keys},
                           shape, strides);
}

}  // namespace

GraphTensor DecoderForward::norm(std::string_view name, const GraphTensor& input, std::int64_t width) const {
    const Operators::Module scope(on, name);
    Operators::Frame frame(on);
    const bool plain = config.family->norm == DecoderFamily::Norm::plain;
    const GraphTensor wide = on.to(input, DType::float32);
    const GraphTensor squares = on.call("aten.pow.Tensor_Scalar",
                                        {
                                            {"self",     wide.index},
                                            {"exponent", Expr(2)   }
    },
                                        DType::float32, wide.shape, wide.strides);
    Shape of_rows = wide.shape;
    of_rows.back() = 1;
    const GraphTensor mean =
        on.call("aten.mean.dim",
                {
                    {"self",    squares.index              },
                    {"dim",     std::vector<Expr>{Expr(-1)}},
                    {"keepdim", true                       }
    },
                DType::float32, of_rows);
    if (plain) frame.keep(mean);
    const GraphTensor root =
        on.unary("aten.rsqrt.default", on.with_number("aten.add.Tensor", mean, config.norm_epsilon));
    const GraphTensor scaled = on.binary("aten.mul.Tensor", wide, root);
    const GraphTensor weight = weights.plain(on.module() + ".weight", {width});
    if (plain) {
        frame.keep(scaled);
        return on.binary("aten.mul.Tensor", weight, on.to(scaled, config.dtype));
    }
    const GraphTensor above = on.with_number("aten.add.Tensor", on.to(weight, DType::float32), 1.0);
    const GraphTensor output = on.binary("aten.mul.Tensor", scaled, above);
    return on.call("aten.type_as.default", self_and_other(output, input), config.dtype, output.shape,
                   output.strides);
}

GraphTensor decoder_mask(const DecoderForward& forward, bool windowed) {
    const Expr kept = forward.cached(windowed);
    const Expr keys = kept + forward.tokens;
    const GraphTensor expanded = expanded_mask(forward, kept, keys, windowed);
    if (!forward.config.family->eager_attention) return expanded;
    const GraphTensor zero = forward.on.call("aten.zeros.default",
                                             {
                                                 {"size",       std::vector<Expr>{}                       },
                                                 {"dtype",      std::string(name_of(forward.config.dtype))},
                                                 {"device",     std::monostate{}                          },
                                                 {"pin_memory", false                                     }
    },
                                             forward.config.dtype, {});
    return forward.on.call(
        "aten.where.ScalarOther",
        {
            {"condition", expanded.index                },
            {"self",      zero.index                    },
            {"other",     least_of(forward.config.dtype)}
    },
        forward.config.dtype, expanded.shape);
}

}  // namespace infercost

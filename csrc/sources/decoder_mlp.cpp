#include "sources/decoder_mlp.hpp"

#include <vector>

namespace infercost {

GraphTensor DecoderMlp::activated(const GraphTensor& gate) {
    const Operators::Module scope(on_, "act_fn");
    if (config_.activation == "silu") return on_.unary("aten.silu.default", gate);
    return on_.unary("aten.gelu.default", gate,
                     {
                         {"approximate", "tanh"}
    });
}

GraphTensor DecoderMlp::gated(const char* name, const GraphTensor& input, std::int64_t width, bool bias) {
    const Operators::Module scope(on_, name);
    Operators::Frame frame(on_);
    frame.keep(input);
    const GraphTensor gate = activated(weights_.linear("gate_proj", input, width, bias));
    const GraphTensor up = weights_.linear("up_proj", input, width, bias);
    return weights_.linear("down_proj", on_.binary("aten.mul.Tensor", gate, up), config_.hidden, bias);
}

// Experts of each token (integrations/moe.py and the routers of transformers).
GraphTensor DecoderMlp::experts(const GraphTensor& input) {
    const Operators::Module scope(on_, "mlp");
    Operators::Frame frame(on_);
    frame.keep(input);
    const Expr rows = input.shape[0] * input.shape[1];
    const Expr width = config_.hidden;
    const GraphTensor flat = on_.view("aten.view.default", input, {Expr(-1), width}, {rows, width});
    if (config_.family->experts != DecoderFamily::Experts::mixtral) frame.keep(flat);
    GraphTensor shared;
    if (config_.shared_width > 0) {
        shared = gated("shared_expert", flat, config_.shared_width, false);
    }
    const Routing routing = routed(flat);
    for (const GraphTensor* each : {&routing.logits, &routing.shares, &routing.chosen}) frame.keep(*each);
    GraphTensor out = chosen_experts(flat, routing);
    if (config_.shared_width > 0) {
        const GraphTensor gate =
            on_.unary("aten.sigmoid.default", weights_.linear("shared_expert_gate", flat, 1, false));
        const GraphTensor gated_output = frame.keep(on_.binary("aten.mul.Tensor", gate, shared));
        out = frame.keep(on_.binary("aten.add.Tensor", out, gated_output));
    }
    return on_.view("aten.reshape.default", out, input.shape, input.shape);
}

DecoderMlp::Routing DecoderMlp::routed(const GraphTensor& flat) {
    const Operators::Module scope(on_, "gate");
    Operators::Frame frame(on_);
    const Expr rows = flat.shape.front();
    const Shape all = {rows, config_.experts};
    const Shape few = {rows, config_.experts_per_token};
    const GraphTensor same = on_.view("aten.reshape.default", flat, {Expr(-1), config_.hidden}, flat.shape);
    frame.keep(same);
    // The weight is a parameter of the router itself, which has no linear layer.
    const GraphTensor logits = weights_.linear_of_module(same, config_.experts);
    const bool mixtral = config_.family->experts == DecoderFamily::Experts::mixtral;
    NamedArguments arguments = {
        {"self", mixtral ? on_.to(logits, DType::float32).index : logits.index},
        {"dim", Expr(-1)}
    };
    if (!mixtral) arguments.push_back({"dtype", "float32"});
    const GraphTensor scores = frame.keep(on_.call("aten.softmax.int", arguments, DType::float32, all));
    const GraphTensor shares = on_.activation(DType::float32, few);
    const GraphTensor chosen = on_.activation(DType::int64, few);
    on_.call_into("aten.topk.default",
                  {
                      {"self", scores.index                   },
                      {"k",    Expr(config_.experts_per_token)}
    },
                  {shares, chosen});
    if (config_.normalized_experts) {
        const GraphTensor sum =
            on_.call("aten.sum.dim_IntList",
                     {
                         {"self",    shares.index               },
                         {"dim",     std::vector<Expr>{Expr(-1)}},
                         {"keepdim", true                       }
        },
                     DType::float32, {rows, Expr(1)});
        on_.call_into("aten.div_.Tensor", self_and_other(shares, sum), {shares});
    }
    return {logits, mixtral ? shares : on_.to(shares, config_.dtype), chosen};
}

GraphTensor DecoderMlp::indexed(const GraphTensor& self, const GraphTensor& by, const Shape& shape) {
    return on_.call("aten.index.Tensor",
                    {
                        {"self",    self.index                        },
                        {"indices", std::vector<TensorIndex>{by.index}}
    },
                    self.dtype, shape);
}

GraphTensor DecoderMlp::chosen_experts(const GraphTensor& flat, const Routing& routing) {
    const Operators::Module scope(on_, "experts");
    Operators::Frame frame(on_);
    frame.keep(flat);
    const std::int64_t each = config_.experts_per_token;
    const Expr rows = flat.shape.front();
    const Expr pairs = rows * each;
    const Shape in_order = {pairs};
    const GraphTensor weights =
        frame.keep(on_.view("aten.reshape.default", routing.shares, {Expr(-1)}, in_order));
    const GraphTensor numbers =
        frame.keep(on_.view("aten.reshape.default", routing.chosen, {Expr(-1)}, in_order));
    const GraphTensor sorted = on_.activation(DType::int64, in_order);
    const GraphTensor order = on_.activation(DType::int64, in_order);
    on_.call_into("aten.sort.default",
                  {
                      {"self", numbers.index}
    },
                  {sorted, order});
    frame.keep(sorted);
    frame.keep(order);
    const GraphTensor tokens = on_.with_number("aten.floor_divide.default", order, Expr(each));
    const GraphTensor selected = frame.keep(indexed(flat, tokens, {pairs, config_.hidden}));
    const GraphTensor of_selected = frame.keep(indexed(weights, order, in_order));
    const GraphTensor short_numbers = frame.keep(on_.to(sorted, DType::int32));
    const GraphTensor counts = frame.keep(on_.call("aten.histc.default",
                                                   {
                                                       {"self", short_numbers.index      },
                                                       {"bins", Expr(config_.experts)    },
                                                       {"min",  Expr(0)                  },
                                                       {"max",  Expr(config_.experts - 1)}
    },
                                                   DType::int32, {Expr(config_.experts)}));
    const GraphTensor offsets =
        frame.keep(on_.call("aten.cumsum.default",
                            {
                                {"self",  counts.index},
                                {"dim",   Expr(0)     },
                                {"dtype", "int32"     }
    },
                            DType::int32, {Expr(config_.experts)}));
    const std::int64_t width = config_.expert_width;
    const GraphTensor both = weights_.grouped("gate_up_proj", selected, offsets, config_.experts, 2 * width);
    const GraphTensor gate = on_.activation(config_.dtype, {pairs, width}, {Expr(2 * width), Expr(1)});
    const GraphTensor up = on_.activation(config_.dtype, {pairs, width}, {Expr(2 * width), Expr(1)});
    on_.call_into("aten.chunk.default",
                  {
                      {"self",   both.index},
                      {"chunks", Expr(2)   },
                      {"dim",    Expr(-1)  }
    },
                  {gate, up});
    GraphTensor inner;
    {
        Operators::Frame of_gate(on_);
        of_gate.keep(both);
        of_gate.keep(gate);
        inner = on_.binary("aten.mul.Tensor", activated(gate), up);
    }
    const GraphTensor down =
        frame.keep(weights_.grouped("down_proj", inner, offsets, config_.experts, config_.hidden));
    const GraphTensor weighted = on_.binary("aten.mul.Tensor", down, on_.unsqueeze(of_selected, -1));
    const GraphTensor inverse = frame.keep(on_.call("aten.empty_like.default",
                                                    {
                                                        {"self",       order.index},
                                                        {"pin_memory", false      }
    },
                                                    DType::int64, in_order));
    const GraphTensor places = on_.arange(pairs);
    on_.call_into("aten.index_put_.default",
                  {
                      {"self",    inverse.index                        },
                      {"indices", std::vector<TensorIndex>{order.index}},
                      {"values",  places.index                         }
    },
                  {inverse});
    const GraphTensor sorted_back = frame.keep(indexed(weighted, inverse, weighted.shape));
    const Shape by_token = {rows, each, config_.hidden};
    const GraphTensor viewed = on_.view("aten.view.default", sorted_back, by_token, by_token);
    const GraphTensor sum =
        frame.keep(on_.call("aten.sum.dim_IntList",
                            {
                                {"self", viewed.index              },
                                {"dim",  std::vector<Expr>{Expr(1)}}
    },
                            viewed.dtype, {rows, config_.hidden}));
    return on_.to(sum, config_.dtype);
}

}  // namespace infercost

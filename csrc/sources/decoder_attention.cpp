#include "sources/decoder_attention.hpp"

#include <cmath>

namespace infercost {
namespace {

std::string cache_name(std::int64_t layer) {
    return "past_key_values_" + std::to_string(layer) + "_";
}

}  // namespace

DecoderCaches::DecoderCaches(const DecoderForward& forward)
    : forward_(forward), config_(forward.config), on_(forward.on) {
    if (!forward.decodes()) return;
    for (std::int64_t i = 0; i < config_.layers; ++i) {
        const std::string name = cache_name(i);
        const Shape shape = {forward_.batch, config_.kv_heads, forward_.cached(forward_.is_windowed(i)),
                             config_.head_width};
        for (const char* part : {"keys", "values"}) {
            inputs_.push_back(on_.tensor(config_.dtype, shape, Role::kv_cache, name + part));
        }
        if (forward_.is_windowed(i)) {
            inputs_.push_back(on_.tensor(DType::int64, {}, Role::kv_cache, name + "sliding_window_tensor"));
        }
    }
}

void DecoderCaches::add_counts() {
    for (std::int64_t i = 0; i < config_.layers; ++i) {
        if (!forward_.is_windowed(i)) continue;
        const GraphTensor zero = on_.tensor(DType::int64, {}, Role::constant, "");
        on_.call_into("aten.lift_fresh.default",
                      {
                          {"self", zero.index}
        },
                      {zero});
        counts_.push_back(on_.call("aten.detach_.default",
                                   {
                                       {"self", zero.index}
        },
                                   DType::int64, {}));
    }
}

std::pair<GraphTensor, GraphTensor> DecoderCaches::updated(std::int64_t layer, const GraphTensor& key,
                                                           const GraphTensor& value) {
    Operators::Frame frame(on_);
    frame.keep(key);
    frame.keep(value);
    const bool windowed = forward_.is_windowed(layer);
    GraphTensor old_keys;
    GraphTensor old_values;
    GraphTensor count;
    if (forward_.decodes()) {
        old_keys = inputs_[next_input_++];
        old_values = inputs_[next_input_++];
        if (windowed) count = inputs_[next_input_++];
    } else {
        old_keys = empty();
        old_values = empty();
        if (windowed) {
            count = on_.call("aten.to.dtype_layout",
                             {
                                 {"self",   counts_[next_count_++].index},
                                 {"dtype",  "int64"                     },
                                 {"layout", std::monostate{}            },
                                 {"device", std::monostate{}            }
            },
                             DType::int64, {}, {}, cache_name(layer) + "sliding_window_tensor");
        }
    }
    const std::string of_keys = cache_name(layer) + "keys";
    const std::string of_values = cache_name(layer) + "values";
    const GraphTensor keys = on_.concatenate(old_keys, key, -2, windowed ? "" : of_keys);
    const GraphTensor values = on_.concatenate(old_values, value, -2, windowed ? "" : of_values);
    outputs_.push_back(windowed ? of_window(keys, of_keys) : keys);
    outputs_.push_back(windowed ? of_window(values, of_values) : values);
    if (windowed) outputs_.push_back(count);
    return {keys, values};
}

GraphTensor DecoderCaches::empty() {
    const GraphTensor nothing = on_.tensor(config_.dtype, {Expr(0)}, Role::constant, "");
    return on_.call("aten.detach_.default",
                    {
                        {"self", nothing.index}
    },
                    config_.dtype, {Expr(0)});
}

GraphTensor DecoderCaches::of_window(const GraphTensor& all, const std::string& name) {
    const std::int64_t kept = config_.window - 1;
    return on_.slice(all, 2, Expr(-kept), Expr(kEndOfDim), Expr::minimum(all.shape[2], Expr(kept)), name);
}

GraphTensor DecoderAttention::projected(const char* name, const GraphTensor& hidden, std::int64_t heads) {
    const GraphTensor all = forward_.weights.linear(std::string(name) + "_proj", hidden,
                                                    heads * config_.head_width, config_.qkv_bias);
    const Expr width = config_.head_width;
    const GraphTensor split =
        on_.view("aten.view.default", all, {forward_.batch, forward_.tokens, Expr(-1), width},
                 {forward_.batch, forward_.tokens, heads, width});
    if (!config_.family->head_norms || *name == 'v') return on_.transpose(split, 1, 2);
    GraphTensor normed;
    {
        Operators::Frame call(on_);  // the argument of a call lives as long as this
        call.keep(split);
        normed = forward_.norm(std::string(name) + "_norm", split, config_.head_width);
    }
    return on_.transpose(normed, 1, 2);
}

GraphTensor DecoderAttention::rotated(const GraphTensor& x, const GraphTensor& cos, const GraphTensor& sin) {
    const std::int64_t half = config_.head_width / 2;
    const GraphTensor direct = on_.binary("aten.mul.Tensor", x, cos);
    const GraphTensor first = on_.slice(x, 3, Expr(0), Expr(half), half);
    const GraphTensor second = on_.slice(x, 3, Expr(half), Expr(kEndOfDim), half);
    GraphTensor turned;
    {
        Operators::Frame frame(on_);
        frame.keep(first);
        frame.keep(second);
        turned = on_.concatenate(on_.unary("aten.neg.default", second), first, -1);
    }
    return on_.binary("aten.add.Tensor", direct, on_.binary("aten.mul.Tensor", turned, sin));
}

GraphTensor DecoderAttention::output(std::int64_t layer, const GraphTensor& hidden,
                                     Operators::Frame& of_layer) {
    const Operators::Module scope(on_, "self_attn");
    Operators::Frame frame(on_);
    frame.keep(hidden);
    GraphTensor query = projected("q", hidden, config_.heads);
    GraphTensor key = projected("k", hidden, config_.kv_heads);
    const GraphTensor value = projected("v", hidden, config_.kv_heads);
    {
        Operators::Frame of_rotation(on_);
        of_rotation.keep(query);
        of_rotation.keep(key);
        const GraphTensor cos = of_rotation.keep(on_.unsqueeze(shared_.cos, 1));
        const GraphTensor sin = of_rotation.keep(on_.unsqueeze(shared_.sin, 1));
        query = rotated(query, cos, sin);
        key = rotated(key, cos, sin);
    }
    frame.keep(query);
    const auto [keys, values] = caches_.updated(layer, key, value);
    frame.keep(keys);
    frame.keep(values);
    const GraphTensor heads = config_.family->eager_attention ? eager(layer, query, keys, values, of_layer)
                                                              : fused(layer, query, keys, values);
    const Expr width = config_.heads * config_.head_width;
    const GraphTensor joined =
        on_.view("aten.reshape.default", heads, {forward_.batch, forward_.tokens, Expr(-1)},
                 {forward_.batch, forward_.tokens, width});
    return forward_.weights.linear("o_proj", joined, config_.hidden, config_.output_bias);
}

// A head of keys or values for each head of queries.
GraphTensor DecoderAttention::repeated(const GraphTensor& all) {
    if (config_.heads == config_.kv_heads) return all;
    const std::int64_t groups = config_.heads / config_.kv_heads;
    const Shape wide = {forward_.batch, config_.kv_heads, groups, all.shape[2], config_.head_width};
    const GraphTensor one = on_.unsqueeze(all, 2);
    Shape strides = one.strides;
    strides[2] = 0;
    const GraphTensor many = on_.view("aten.expand.default", one, wide, wide, strides);
    const Shape shape = {forward_.batch, config_.heads, all.shape[2], config_.head_width};
    return on_.view("aten.reshape.default", many, shape, shape);
}

GraphTensor DecoderAttention::fused(std::int64_t layer, const GraphTensor& query, const GraphTensor& keys,
                                    const GraphTensor& values) {
    Operators::Frame frame(on_);
    const bool masked = forward_.is_windowed(layer);
    const bool grouped = config_.heads != config_.kv_heads;
    const bool folded = masked && forward_.decodes() && grouped;  // queries of a group are those of one head
    GraphTensor q = query;
    GraphTensor k = keys;
    GraphTensor v = values;
    if (folded) {
        const Shape shape = {forward_.batch, config_.kv_heads, config_.heads / config_.kv_heads,
                             config_.head_width};
        q = frame.keep(on_.view("aten.reshape.default", query, shape, shape));
    } else if (masked) {
        k = frame.keep(repeated(keys));
        v = frame.keep(repeated(values));
    }
    NamedArguments arguments = {
        {"query", q.index},
        {"key",   k.index},
        {"value", v.index}
    };
    if (masked) {
        arguments.push_back({"attn_mask", shared_.window_mask.index});
    } else if (!forward_.decodes()) {
        arguments.push_back({"attn_mask", std::monostate{}});
        arguments.push_back({"dropout_p", 0.0});
        arguments.push_back({"is_causal", true});
    }
    arguments.push_back({"scale", 1 / std::sqrt(static_cast<double>(config_.head_width))});
    if (!masked && grouped) arguments.push_back({"enable_gqa", true});
    // The result has the layout of the queries before they were turned: [batch, tokens, heads, width].
    const Expr width = config_.head_width;
    const Expr row = config_.heads * config_.head_width;
    const Shape strides = {row * forward_.tokens, width, row, Expr(1)};
    const GraphTensor result =
        folded ? on_.call("aten.scaled_dot_product_attention.default", arguments, config_.dtype, q.shape)
               : on_.call("aten.scaled_dot_product_attention.default", arguments, config_.dtype, q.shape,
                          strides);
    const GraphTensor viewed =
        on_.view("aten.reshape.default", result, {forward_.batch, Expr(-1), forward_.tokens, width},
                 query.shape, strides);
    return on_.transpose(viewed, 1, 2);
}

GraphTensor DecoderAttention::eager(std::int64_t layer, const GraphTensor& query, const GraphTensor& all_keys,
                                    const GraphTensor& all_values, Operators::Frame& of_layer) {
    Operators::Frame frame(on_);
    const GraphTensor keys = frame.keep(repeated(all_keys));
    const GraphTensor values = frame.keep(repeated(all_values));
    const Shape shape = {forward_.batch, config_.heads, forward_.tokens, all_keys.shape[2]};
    GraphTensor scores = on_.call("aten.matmul.default", self_and_other(query, on_.transpose(keys, 2, 3)),
                                  config_.dtype, shape);
    scores = on_.with_number("aten.mul.Tensor", scores, 1 / std::sqrt(config_.query_scale));
    if (config_.attention_cap > 0) {
        scores = on_.with_number("aten.div.Tensor", scores, config_.attention_cap);
        scores = on_.unary("aten.tanh.default", scores);
        scores = on_.with_number("aten.mul.Tensor", scores, config_.attention_cap);
    }
    scores = on_.binary("aten.add.Tensor", scores,
                        forward_.is_windowed(layer) ? shared_.window_mask : shared_.full_mask);
    GraphTensor narrow;
    {
        Operators::Frame of_softmax(on_);
        of_softmax.keep(scores);
        const GraphTensor shares =
            on_.call("aten.softmax.int",
                     {
                         {"self",  scores.index},
                         {"dim",   Expr(-1)    },
                         {"dtype", "float32"   }
        },
                     DType::float32, shape);
        narrow = on_.to(shares, config_.dtype);
    }
    // Weights of attention are a result that the layer drops when it returns.
    const GraphTensor kept =
        of_layer.keep(on_.call("aten.dropout.default",
                               {
                                   {"input", narrow.index},
                                   {"p",     0.0         },
                                   {"train", false       }
    },
                               config_.dtype, shape));
    const GraphTensor sum =
        frame.keep(on_.call("aten.matmul.default", self_and_other(kept, values), config_.dtype, query.shape));
    GraphTensor turned = on_.transpose(sum, 1, 2);
    if (forward_.decodes()) return turned;  // one token: contiguous as it is
    return on_.call("aten.contiguous.default",
                    {
                        {"self", turned.index}
    },
                    config_.dtype, turned.shape);
}

}  // namespace infercost

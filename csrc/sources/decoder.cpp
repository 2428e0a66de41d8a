#include "sources/decoder.hpp"

#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "sources/decoder_mlp.hpp"
#include "sources/decoder_weights.hpp"
#include "sources/operators.hpp"

namespace infercost {
namespace {

constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();
constexpr double kLeastBfloat16 = -3.3895313892515355e+38;
constexpr double kLeastFloat32 = -3.4028234663852886e+38;
constexpr double kLeastFloat16 = -65504;

double least_of(DType dtype) {
    return dtype == DType::bfloat16  ? kLeastBfloat16
           : dtype == DType::float16 ? kLeastFloat16
                                     : kLeastFloat32;
}

class DecoderBuilder {
  public:
    explicit DecoderBuilder(const DecoderConfig& config)
        : config_(config),
          decodes_(config.phase == DecoderConfig::Phase::decode),
          on_(config.name),
          weights_(config, on_),
          mlp_(config, on_, weights_) {}

    std::shared_ptr<const Graph> run() {
        batch_ = size("batch", SizeRole::batch, 1);
        tokens_ = decodes_ ? Expr(1) : size("sequence", SizeRole::sequence, 2048);
        past_ = decodes_ ? size("context", SizeRole::context, 2048) : Expr(0);
        inputs_.push_back(on_.tensor(DType::int64, {batch_, tokens_}, Role::input, "input_ids"));
        if (decodes_) add_caches();
        GraphTensor result;
        {
            Operators::Frame frame(on_);
            const GraphTensor hidden = frame.keep(model());
            const GraphTensor last = frame.keep(on_.slice(hidden, 1, Expr(-1), Expr(kEnd), Expr(1)));
            result = config_.tied ? weights_.tied_linear("lm_head", last, "model.embed_tokens.weight")
                                  : weights_.linear("lm_head", last, config_.vocabulary, false);
            if (config_.result_cap > 0) {
                result = on_.with_number("aten.div.Tensor", result, config_.result_cap);
                result = on_.unary("aten.tanh.default", result);
                result = on_.with_number("aten.mul.Tensor", result, config_.result_cap);
            }
            // The cache of a layer is a part of the result.
            outputs_.insert(outputs_.begin(), result);
        }
        return on_.build(inputs_, outputs_);
    }

  private:
    Expr size(const std::string& name, SizeRole role, std::int64_t by_default) {
        NamedSize made;
        made.default_value = by_default;
        made.role = role;
        return on_.builder().add_size(name, made);
    }

    bool is_windowed(std::int64_t layer) const { return config_.windowed[static_cast<std::size_t>(layer)]; }

    // Tokens in the cache of a layer before the forward: a window keeps those that the next token attends to.
    Expr cached(bool windowed) const {
        return windowed && decodes_ && config_.window > 0 ? Expr::minimum(past_, Expr(config_.window - 1))
                                                          : past_;
    }

    static std::string cache_name(std::int64_t layer) {
        return "past_key_values_" + std::to_string(layer) + "_";
    }

    void add_caches() {
        for (std::int64_t i = 0; i < config_.layers; ++i) {
            const std::string name = cache_name(i);
            const Shape shape = {batch_, config_.kv_heads, cached(is_windowed(i)), config_.head_width};
            for (const char* part : {"keys", "values"}) {
                inputs_.push_back(on_.tensor(config_.dtype, shape, Role::kv_cache, name + part));
            }
            if (is_windowed(i)) {
                inputs_.push_back(
                    on_.tensor(DType::int64, {}, Role::kv_cache, name + "sliding_window_tensor"));
            }
        }
    }

    GraphTensor model() {
        const Operators::Module scope(on_, "model");
        Operators::Frame frame(on_);
        const GraphTensor embeddings = frame.keep(embed());
        GraphTensor hidden = embeddings;
        if (!decodes_) add_positions_of_windows();
        const GraphTensor positions = frame.keep(on_.unsqueeze(counted_from(tokens_, past_), 0));
        if (config_.family->eager_attention) full_mask_ = frame.keep(mask(false));
        if (config_.has_windows() || config_.family->idle_mask) window_mask_ = frame.keep(mask(true));
        std::tie(cos_, sin_) = rotations(positions);
        frame.keep(cos_);
        frame.keep(sin_);
        std::size_t input = 1;
        for (std::int64_t i = 0; i < config_.layers; ++i) hidden = layer(i, hidden, input);
        frame.keep(hidden);
        return norm("norm", hidden, config_.hidden);
    }

    GraphTensor embed() {
        const Operators::Module scope(on_, "embed_tokens");
        const bool gemma = config_.family->scaled_embeddings;
        const GraphTensor rows =
            weights_.embedding(inputs_.front(), config_.vocabulary, config_.hidden, gemma);
        if (!gemma) return rows;
        const GraphTensor scale = weights_.buffer("model.embed_tokens.embed_scale", config_.dtype, {});
        return on_.binary("aten.mul.Tensor", rows, on_.to(scale, config_.dtype));
    }

    GraphTensor counted_from(const Expr& count, const Expr& first) {
        return on_.with_number("aten.add.Tensor", on_.arange(count), first);
    }

    // Layers with a window count their tokens in a tensor.
    void add_positions_of_windows() {
        for (std::int64_t i = 0; i < config_.layers; ++i) {
            if (!is_windowed(i)) continue;
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

    GraphTensor unsqueezed(GraphTensor value, std::initializer_list<std::int64_t> dims) {
        for (const std::int64_t dim : dims) value = on_.unsqueeze(value, dim);
        return value;
    }

    // Which keys a query attends to, [batch, 1, queries, keys]: truth values, or what is added to scores.
    GraphTensor mask(bool windowed) {
        const Expr kept = cached(windowed);
        const Expr keys = kept + tokens_;
        const GraphTensor expanded = expanded_mask(kept, keys, windowed);
        if (!config_.family->eager_attention) return expanded;
        const GraphTensor zero = on_.call("aten.zeros.default",
                                          {
                                              {"size",       std::vector<Expr>{}                },
                                              {"dtype",      std::string(name_of(config_.dtype))},
                                              {"device",     std::monostate{}                   },
                                              {"pin_memory", false                              }
        },
                                          config_.dtype, {});
        return on_.call(
            "aten.where.ScalarOther",
            {
                {"condition", expanded.index         },
                {"self",      zero.index             },
                {"other",     least_of(config_.dtype)}
        },
            config_.dtype, expanded.shape);
    }

    GraphTensor expanded_mask(const Expr& kept, const Expr& keys, bool windowed) {
        Operators::Frame frame(on_);
        const GraphTensor batches = frame.keep(on_.arange(batch_));
        const GraphTensor heads = frame.keep(on_.arange(Expr(1)));
        const GraphTensor of_queries = frame.keep(counted_from(tokens_, past_));
        const GraphTensor of_keys = frame.keep(counted_from(keys, past_ - kept));
        const GraphTensor attended = positions_attended(batches, heads, of_queries, of_keys, windowed);
        const Shape shape = {batch_, Expr(1), tokens_, keys};
        Shape strides = contiguous_strides(shape);
        strides.front() = 0;
        return on_.view("aten.expand.default", attended, {batch_, Expr(-1), tokens_, keys}, shape, strides);
    }

    GraphTensor positions_attended(const GraphTensor& batches, const GraphTensor& heads,
                                   const GraphTensor& of_queries, const GraphTensor& of_keys, bool windowed) {
        Operators::Frame frame(on_);
        frame.keep(unsqueezed(batches, {1, 2, 3}));
        frame.keep(unsqueezed(heads, {0, 2, 3}));
        const GraphTensor query = frame.keep(unsqueezed(of_queries, {0, 1, 3}));
        const GraphTensor key = frame.keep(unsqueezed(of_keys, {0, 1, 2}));
        if (!windowed) return on_.compare("aten.le.Tensor", key, query);
        const GraphTensor all = on_.call("aten.new_ones.default",
                                         {
                                             {"self",       query.index        },
                                             {"size",       std::vector<Expr>{}},
                                             {"dtype",      "bool"             },
                                             {"pin_memory", false              }
        },
                                         DType::boolean, {});
        const GraphTensor first = on_.with_number("aten.sub.Tensor", query, Expr(config_.window));
        const GraphTensor near = on_.compare("aten.gt.Tensor", key, first);
        on_.call_into("aten.to.dtype_layout", as_truth(near), {near});
        const GraphTensor within = frame.keep(
            on_.call("aten.__and__.Tensor", self_and_other(all, near), DType::boolean, near.shape));
        const GraphTensor before = on_.compare("aten.le.Tensor", key, query);
        const GraphTensor again =
            on_.call("aten.to.dtype_layout", as_truth(before), DType::boolean, before.shape);
        return on_.call("aten.__and__.Tensor", self_and_other(within, again), DType::boolean, before.shape);
    }

    static NamedArguments as_truth(const GraphTensor& self) {
        return {
            {"self",   self.index      },
            {"dtype",  "bool"          },
            {"layout", std::monostate{}},
            {"device", std::monostate{}}
        };
    }

    std::pair<GraphTensor, GraphTensor> rotations(const GraphTensor& positions) {
        const Operators::Module scope(on_, "rotary_emb");
        Operators::Frame frame(on_);
        const std::int64_t half = config_.head_width / 2;
        const GraphTensor frequencies = weights_.buffer("model.rotary_emb.inv_freq", DType::float32, {half});
        weights_.buffer("model.rotary_emb.original_inv_freq", DType::float32, {half});
        const GraphTensor moved = on_.to(on_.unsqueeze(positions, 2), DType::float32);
        on_.call_into("aten.to.device",
                      {
                          {"self",   frequencies.index},
                          {"device", std::monostate{} },
                          {"dtype",  "float32"        }
        },
                      {frequencies});
        const GraphTensor angles = frame.keep(on_.binary("aten.mul.Tensor", moved, frequencies));
        const GraphTensor both = frame.keep(on_.concatenate(angles, angles, -1));
        const auto scaled = [&](const char* op) {
            return frame.keep(on_.with_number("aten.mul.Tensor", on_.unary(op, both), 1.0));
        };
        const GraphTensor cos = scaled("aten.cos.default");
        const GraphTensor sin = scaled("aten.sin.default");
        const GraphTensor first = on_.to(cos, config_.dtype);
        return {first, on_.to(sin, config_.dtype)};
    }

    // The root mean square over the last dimension.
    GraphTensor norm(std::string_view name, const GraphTensor& input, std::int64_t width) {
        const Operators::Module scope(on_, name);
        Operators::Frame frame(on_);
        const bool plain = config_.family->norm == DecoderFamily::Norm::plain;
        const GraphTensor wide = on_.to(input, DType::float32);
        const GraphTensor squares = on_.call("aten.pow.Tensor_Scalar",
                                             {
                                                 {"self",     wide.index},
                                                 {"exponent", Expr(2)   }
        },
                                             DType::float32, wide.shape, wide.strides);
        Shape of_rows = wide.shape;
        of_rows.back() = 1;
        const GraphTensor mean =
            on_.call("aten.mean.dim",
                     {
                         {"self",    squares.index              },
                         {"dim",     std::vector<Expr>{Expr(-1)}},
                         {"keepdim", true                       }
        },
                     DType::float32, of_rows);
        if (plain) frame.keep(mean);
        const GraphTensor root =
            on_.unary("aten.rsqrt.default", on_.with_number("aten.add.Tensor", mean, config_.norm_epsilon));
        const GraphTensor scaled = on_.binary("aten.mul.Tensor", wide, root);
        const GraphTensor weight = weights_.plain(on_.module() + ".weight", {width});
        if (plain) {
            frame.keep(scaled);
            return on_.binary("aten.mul.Tensor", weight, on_.to(scaled, config_.dtype));
        }
        const GraphTensor above = on_.with_number("aten.add.Tensor", on_.to(weight, DType::float32), 1.0);
        const GraphTensor output = on_.binary("aten.mul.Tensor", scaled, above);
        return on_.call("aten.type_as.default", self_and_other(output, input), config_.dtype, output.shape,
                        output.strides);
    }

    GraphTensor layer(std::int64_t number, const GraphTensor& before, std::size_t& input) {
        const Operators::Module scope(on_, "layers." + std::to_string(number));
        Operators::Frame frame(on_);
        of_layer_ = &frame;
        frame.keep(before);
        const bool around = config_.family->norms_around;
        GraphTensor attended = attention(number, norm("input_layernorm", before, config_.hidden), input);
        if (around) attended = norm("post_attention_layernorm", attended, config_.hidden);
        const GraphTensor middle = on_.binary("aten.add.Tensor", before, attended);
        GraphTensor out =
            norm(around ? "pre_feedforward_layernorm" : "post_attention_layernorm", middle, config_.hidden);
        out = config_.sparse[static_cast<std::size_t>(number)]
                  ? mlp_.experts(out)
                  : mlp_.gated("mlp", out, config_.feed_forward, config_.mlp_bias);
        if (around) out = norm("post_feedforward_layernorm", out, config_.hidden);
        return on_.binary("aten.add.Tensor", middle, out);
    }

    // ---- attention ----

    GraphTensor projected(const char* name, const GraphTensor& hidden, std::int64_t heads) {
        const GraphTensor all = weights_.linear(std::string(name) + "_proj", hidden,
                                                heads * config_.head_width, config_.qkv_bias);
        const Expr width = config_.head_width;
        const GraphTensor split = on_.view("aten.view.default", all, {batch_, tokens_, Expr(-1), width},
                                           {batch_, tokens_, heads, width});
        if (!config_.family->head_norms || *name == 'v') return on_.transpose(split, 1, 2);
        GraphTensor normed;
        {
            Operators::Frame call(on_);  // the argument of a call lives as long as this
            call.keep(split);
            normed = norm(std::string(name) + "_norm", split, config_.head_width);
        }
        return on_.transpose(normed, 1, 2);
    }

    GraphTensor rotated(const GraphTensor& x, const GraphTensor& cos, const GraphTensor& sin) {
        const std::int64_t half = config_.head_width / 2;
        const GraphTensor direct = on_.binary("aten.mul.Tensor", x, cos);
        const GraphTensor first = on_.slice(x, 3, Expr(0), Expr(half), half);
        const GraphTensor second = on_.slice(x, 3, Expr(half), Expr(kEnd), half);
        GraphTensor turned;
        {
            Operators::Frame frame(on_);
            frame.keep(first);
            frame.keep(second);
            turned = on_.concatenate(on_.unary("aten.neg.default", second), first, -1);
        }
        return on_.binary("aten.add.Tensor", direct, on_.binary("aten.mul.Tensor", turned, sin));
    }

    GraphTensor attention(std::int64_t number, const GraphTensor& hidden, std::size_t& input) {
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
            const GraphTensor cos = of_rotation.keep(on_.unsqueeze(cos_, 1));
            const GraphTensor sin = of_rotation.keep(on_.unsqueeze(sin_, 1));
            query = rotated(query, cos, sin);
            key = rotated(key, cos, sin);
        }
        frame.keep(query);
        const auto [keys, values] = updated(number, key, value, input);
        frame.keep(keys);
        frame.keep(values);
        const GraphTensor heads = config_.family->eager_attention ? eager(number, query, keys, values)
                                                                  : fused(number, query, keys, values);
        const Expr width = config_.heads * config_.head_width;
        const GraphTensor joined =
            on_.view("aten.reshape.default", heads, {batch_, tokens_, Expr(-1)}, {batch_, tokens_, width});
        return weights_.linear("o_proj", joined, config_.hidden, config_.output_bias);
    }

    // All keys and values of a layer: those in its cache, then the new ones.
    std::pair<GraphTensor, GraphTensor> updated(std::int64_t number, const GraphTensor& key,
                                                const GraphTensor& value, std::size_t& input) {
        Operators::Frame frame(on_);
        frame.keep(key);
        frame.keep(value);
        const bool windowed = is_windowed(number);
        GraphTensor old_keys;
        GraphTensor old_values;
        GraphTensor count;
        if (decodes_) {
            old_keys = inputs_[input++];
            old_values = inputs_[input++];
            if (windowed) count = inputs_[input++];
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
                                 DType::int64, {}, {}, cache_name(number) + "sliding_window_tensor");
            }
        }
        const std::string of_keys = cache_name(number) + "keys";
        const std::string of_values = cache_name(number) + "values";
        const GraphTensor keys = on_.concatenate(old_keys, key, -2, windowed ? "" : of_keys);
        const GraphTensor values = on_.concatenate(old_values, value, -2, windowed ? "" : of_values);
        outputs_.push_back(windowed ? of_window(keys, of_keys) : keys);
        outputs_.push_back(windowed ? of_window(values, of_values) : values);
        if (windowed) outputs_.push_back(count);
        return {keys, values};
    }

    GraphTensor empty() {
        const GraphTensor nothing = on_.tensor(config_.dtype, {Expr(0)}, Role::constant, "");
        return on_.call("aten.detach_.default",
                        {
                            {"self", nothing.index}
        },
                        config_.dtype, {Expr(0)});
    }

    GraphTensor of_window(const GraphTensor& all, const std::string& name) {
        const std::int64_t kept = config_.window - 1;
        return on_.slice(all, 2, Expr(-kept), Expr(kEnd), Expr::minimum(all.shape[2], Expr(kept)), name);
    }

    // A head of keys or values for each head of queries.
    GraphTensor repeated(const GraphTensor& all) {
        if (config_.heads == config_.kv_heads) return all;
        const std::int64_t groups = config_.heads / config_.kv_heads;
        const Shape wide = {batch_, config_.kv_heads, groups, all.shape[2], config_.head_width};
        const GraphTensor one = on_.unsqueeze(all, 2);
        Shape strides = one.strides;
        strides[2] = 0;
        const GraphTensor many = on_.view("aten.expand.default", one, wide, wide, strides);
        const Shape shape = {batch_, config_.heads, all.shape[2], config_.head_width};
        return on_.view("aten.reshape.default", many, shape, shape);
    }

    GraphTensor fused(std::int64_t number, const GraphTensor& query, const GraphTensor& keys,
                      const GraphTensor& values) {
        Operators::Frame frame(on_);
        const bool masked = is_windowed(number);
        const bool grouped = config_.heads != config_.kv_heads;
        const bool folded = masked && decodes_ && grouped;  // queries of a group are those of one head
        GraphTensor q = query;
        GraphTensor k = keys;
        GraphTensor v = values;
        if (folded) {
            const Shape shape = {batch_, config_.kv_heads, config_.heads / config_.kv_heads,
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
            arguments.push_back({"attn_mask", window_mask_.index});
        } else if (!decodes_) {
            arguments.push_back({"attn_mask", std::monostate{}});
            arguments.push_back({"dropout_p", 0.0});
            arguments.push_back({"is_causal", true});
        }
        arguments.push_back({"scale", 1 / std::sqrt(static_cast<double>(config_.head_width))});
        if (!masked && grouped) arguments.push_back({"enable_gqa", true});
        // The result has the layout of the queries before they were turned: [batch, tokens, heads, width].
        const Expr width = config_.head_width;
        const Expr row = config_.heads * config_.head_width;
        const Shape strides = {row * tokens_, width, row, Expr(1)};
        const GraphTensor result =
            folded ? on_.call("aten.scaled_dot_product_attention.default", arguments, config_.dtype, q.shape)
                   : on_.call("aten.scaled_dot_product_attention.default", arguments, config_.dtype, q.shape,
                              strides);
        const GraphTensor viewed = on_.view("aten.reshape.default", result,
                                            {batch_, Expr(-1), tokens_, width}, query.shape, strides);
        return on_.transpose(viewed, 1, 2);
    }

    GraphTensor eager(std::int64_t number, const GraphTensor& query, const GraphTensor& all_keys,
                      const GraphTensor& all_values) {
        Operators::Frame frame(on_);
        const GraphTensor keys = frame.keep(repeated(all_keys));
        const GraphTensor values = frame.keep(repeated(all_values));
        const Shape shape = {batch_, config_.heads, tokens_, all_keys.shape[2]};
        GraphTensor scores = on_.call("aten.matmul.default", self_and_other(query, on_.transpose(keys, 2, 3)),
                                      config_.dtype, shape);
        scores = on_.with_number("aten.mul.Tensor", scores, 1 / std::sqrt(config_.query_scale));
        if (config_.attention_cap > 0) {
            scores = on_.with_number("aten.div.Tensor", scores, config_.attention_cap);
            scores = on_.unary("aten.tanh.default", scores);
            scores = on_.with_number("aten.mul.Tensor", scores, config_.attention_cap);
        }
        scores = on_.binary("aten.add.Tensor", scores, is_windowed(number) ? window_mask_ : full_mask_);
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
            of_layer_->keep(on_.call("aten.dropout.default",
                                     {
                                         {"input", narrow.index},
                                         {"p",     0.0         },
                                         {"train", false       }
        },
                                     config_.dtype, shape));
        const GraphTensor sum = frame.keep(
            on_.call("aten.matmul.default", self_and_other(kept, values), config_.dtype, query.shape));
        const GraphTensor turned = on_.transpose(sum, 1, 2);
        if (decodes_) return turned;  // one token: contiguous as it is
        return on_.call("aten.contiguous.default",
                        {
                            {"self", turned.index}
        },
                        config_.dtype, turned.shape);
    }

    const DecoderConfig& config_;
    bool decodes_;
    Operators on_;
    DecoderWeights weights_;
    DecoderMlp mlp_;
    Expr batch_;
    Expr tokens_;  // of each sequence in this forward
    Expr past_;    // in the caches before it
    std::vector<GraphTensor> inputs_;
    std::vector<GraphTensor> outputs_;
    std::vector<GraphTensor> counts_;
    std::size_t next_count_ = 0;
    Operators::Frame* of_layer_ = nullptr;  // of the layer that is being built
    GraphTensor cos_;
    GraphTensor sin_;
    GraphTensor full_mask_;
    GraphTensor window_mask_;
};

}  // namespace

std::shared_ptr<const Graph> build_decoder(const DecoderConfig& config) {
    return DecoderBuilder(config).run();
}

}  // namespace infercost

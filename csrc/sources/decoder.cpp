#include "sources/decoder.hpp"

#include <tuple>
#include <utility>
#include <vector>

#include "sources/decoder_attention.hpp"
#include "sources/decoder_forward.hpp"
#include "sources/decoder_mlp.hpp"

namespace infercost {
namespace {

class DecoderBuilder {
  public:
    explicit DecoderBuilder(const DecoderConfig& config)
        : config_(config),
          on_(config.name),
          weights_(config, on_),
          mlp_(config, on_, weights_),
          forward_{config,
                   on_,
                   weights_,
                   size("batch", SizeRole::batch, 1),
                   config.decodes() ? Expr(1) : size("sequence", SizeRole::sequence, 2048),
                   config.decodes() ? size("context", SizeRole::context, 2048) : Expr(0)},
          ids_(on_.tensor(DType::int64, {forward_.batch, forward_.tokens}, Role::input, "input_ids")),
          caches_(forward_) {}

    std::shared_ptr<const Graph> run() {
        GraphTensor result;
        {
            Operators::Frame frame(on_);
            const GraphTensor hidden = frame.keep(model());
            const GraphTensor last = frame.keep(on_.slice(hidden, 1, Expr(-1), Expr(kEndOfDim), Expr(1)));
            result = config_.tied ? weights_.tied_linear("lm_head", last, "model.embed_tokens.weight")
                                  : weights_.linear("lm_head", last, config_.vocabulary, false);
            if (config_.result_cap > 0) {
                result = on_.with_number("aten.div.Tensor", result, config_.result_cap);
                result = on_.unary("aten.tanh.default", result);
                result = on_.with_number("aten.mul.Tensor", result, config_.result_cap);
            }
        }
        // The cache of a layer is a part of the result.
        std::vector<GraphTensor> inputs = caches_.inputs();
        inputs.insert(inputs.begin(), ids_);
        std::vector<GraphTensor> outputs = caches_.outputs();
        outputs.insert(outputs.begin(), result);
        return on_.build(inputs, outputs);
    }

  private:
    Expr size(const std::string& name, SizeRole role, std::int64_t by_default) {
        NamedSize made;
        made.default_value = by_default;
        made.role = role;
        return on_.builder().add_size(name, made);
    }

    GraphTensor model() {
        const Operators::Module scope(on_, "model");
        Operators::Frame frame(on_);
        const GraphTensor embeddings = frame.keep(embed());
        GraphTensor hidden = embeddings;
        if (!forward_.decodes()) caches_.add_counts();
        const GraphTensor positions =
            frame.keep(on_.unsqueeze(forward_.counted_from(forward_.tokens, forward_.past), 0));
        DecoderAttention::Shared shared;
        if (config_.family->eager_attention) shared.full_mask = frame.keep(decoder_mask(forward_, false));
        if (config_.has_windows() || config_.family->idle_mask) {
            shared.window_mask = frame.keep(decoder_mask(forward_, true));
        }
        std::tie(shared.cos, shared.sin) = rotations(positions);
        frame.keep(shared.cos);
        frame.keep(shared.sin);
        DecoderAttention attention(forward_, caches_, shared);
        for (std::int64_t i = 0; i < config_.layers; ++i) hidden = layer(i, hidden, attention);
        frame.keep(hidden);
        return forward_.norm("norm", hidden, config_.hidden);
    }

    GraphTensor embed() {
        const Operators::Module scope(on_, "embed_tokens");
        const bool gemma = config_.family->scaled_embeddings;
        const GraphTensor rows = weights_.embedding(ids_, config_.vocabulary, config_.hidden, gemma);
        if (!gemma) return rows;
        const GraphTensor scale = weights_.buffer("model.embed_tokens.embed_scale", config_.dtype, {});
        return on_.binary("aten.mul.Tensor", rows, on_.to(scale, config_.dtype));
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

    GraphTensor layer(std::int64_t number, const GraphTensor& before, DecoderAttention& attention) {
        const Operators::Module scope(on_, "layers." + std::to_string(number));
        Operators::Frame frame(on_);
        frame.keep(before);
        const bool around = config_.family->norms_around;
        GraphTensor attended =
            attention.output(number, forward_.norm("input_layernorm", before, config_.hidden), frame);
        if (around) attended = forward_.norm("post_attention_layernorm", attended, config_.hidden);
        const GraphTensor middle = on_.binary("aten.add.Tensor", before, attended);
        GraphTensor out = forward_.norm(around ? "pre_feedforward_layernorm" : "post_attention_layernorm",
                                        middle, config_.hidden);
        out = config_.sparse[static_cast<std::size_t>(number)]
                  ? mlp_.experts(out)
                  : mlp_.gated("mlp", out, config_.feed_forward, config_.mlp_bias);
        if (around) out = forward_.norm("post_feedforward_layernorm", out, config_.hidden);
        return on_.binary("aten.add.Tensor", middle, out);
    }

    const DecoderConfig& config_;
    Operators on_;
    DecoderWeights weights_;
    DecoderMlp mlp_;
    DecoderForward forward_;
    GraphTensor ids_;
    DecoderCaches caches_;
};

}  // namespace

std::shared_ptr<const Graph> build_decoder(const DecoderConfig& config) {
    return DecoderBuilder(config).run();
}

}  // namespace infercost

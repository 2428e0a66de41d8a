// Graphs of decoders of language from their hyperparameters: those that a capture of the model of
// `transformers` has, for programs without torch.
#pragma once

#include <memory>

#include "core/graph.hpp"
#include "sources/decoder_config.hpp"

namespace infercost {

// One forward: the prefill of `batch` prompts of `sequence` tokens, or a decode step of `batch` sequences
// with `context` tokens in their caches. Throws std::invalid_argument for weights whose type does not fit
// their rows.
std::shared_ptr<const Graph> build_decoder(const DecoderConfig& config);

}  // namespace infercost

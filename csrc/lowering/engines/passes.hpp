// The passes behind engine_graph(), in the order in which they run. Each takes a graph and returns another.
#pragma once

#include <memory>

#include "lowering/engines/kernel_rows.hpp"

namespace infercost {

using GraphPtr = std::shared_ptr<const Graph>;

class Flow;

// Lets build() remove each activation that nothing reads, and its node.
void drop_unread_activations(const Flow& flow, GraphRewriter& rewriter);

// Attention as one node that reads keys and values as they lie in the cache: products around a softmax become
// one, keys are not repeated for groups of queries, and masks that follow from positions are not read.
// Products around a softmax without a mask are of causal attention where `language` says so.
GraphPtr fold_attention(const GraphPtr& graph, bool language);

// Latent attention of one new token: queries are multiplied by the weights that would expand the latents, and
// attention reads the latents themselves.
GraphPtr absorb_latents(const GraphPtr& graph);

// New keys and values are written into the cache; nothing is concatenated.
GraphPtr page_cache(const GraphPtr& graph, const EngineTraits& traits);

// Attention writes the static fp8 that the product after it reads, if the engine's does.
GraphPtr narrow_attention(const GraphPtr& graph, const EngineTraits& traits);

// Products of one input in one module are one product.
GraphPtr merge_products(const GraphPtr& graph, Merges merges);

// The token that follows is chosen on the device, or logits are copied to the host; the host prepares the
// step.
GraphPtr sample_tokens(const GraphPtr& graph, const EngineRows& rows);

// Convolutions and products with the elementwise work that follows them are one kernel each.
GraphPtr fuse_epilogues(const GraphPtr& graph, const CompilerRow& row);

// Kernels write their part of a concatenation where it belongs; what cannot be written so is copied.
GraphPtr join_parts(const GraphPtr& graph);

// Convolutions and what follows them read and write channels last; the inputs of the model are copied.
GraphPtr put_channels_last(const GraphPtr& graph);

// All other work is in the engine's fused kernels.
EngineGraph fuse_between(const GraphPtr& graph, const EngineRows& rows);

}  // namespace infercost

// Context parallelism: ranks share the tokens of a prompt, or the positions of the caches in a decode step.
#pragma once

#include <cstdint>
#include <memory>

#include "core/graph_rewriter.hpp"

namespace infercost {

// The graph of one of `devices` ranks. In a prefill or an encoder each has a part of the tokens, and gathers
// keys and values before each attention; rows of causal attention are dealt out so that all ranks see as many
// keys; with `ulysses` it exchanges tokens for heads instead. In a decode step each has a part of the caches
// and attends to it, and the parts of the result are added up. `nodes` is the number of machines that these
// ranks span. Throws InputError where tokens meet otherwise than in attention, or where the graph
// has no size for them. With `only_shapes` the graph has the lengths of a rank without collectives, and is
// not checked: what a rank holds of caches.
Rewritten context_graph(const std::shared_ptr<const Graph>& graph, std::int64_t devices, std::int64_t nodes,
                        bool only_shapes = false, bool ulysses = false);

}  // namespace infercost

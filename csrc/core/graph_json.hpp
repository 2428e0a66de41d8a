// A graph as JSON text, and back. docs/cpp.md describes the document.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/graph.hpp"

namespace infercost {

inline constexpr int kGraphSchemaVersion = 1;

// Compact JSON in ASCII.
std::string graph_to_json(const Graph& graph);

// The graph of a text that graph_to_json() wrote. Throws InputError for a text that is not JSON,
// or that is not a valid graph, and OverflowError for an integer beyond 64 bits; the message names the entry.
std::shared_ptr<const Graph> graph_from_json(std::string_view text);

// Whether two graphs have the same document, regardless of the order of named sizes and of a node's
// arguments.
bool operator==(const Graph& a, const Graph& b);

}  // namespace infercost

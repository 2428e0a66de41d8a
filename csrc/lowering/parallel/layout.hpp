// Layouts: how a model lies on several devices. A new kind of parallelism is a field here and in Python
// (inputs/layout.py), its splits in splits.cpp and its collectives in rank_writer.cpp.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/errors.hpp"
#include "core/graph.hpp"

namespace infercost {

// A layout whose numbers do not fit each other, or the model.
struct LayoutError : InputError {
    using InputError::InputError;
};

// How tokens are shared by experts.
enum class Routing : std::uint8_t {
    unstated,  // as `balanced`; engines that serve have `served_experts`
    balanced,  // experts have equal numbers of tokens
    random,    // each token chooses at random
    power,     // the tokens of the i-th expert are as 1 / i to some power
    measured   // by given shares
};
std::string_view name_of(Routing routing);
Routing parse_expert_routing(std::string_view name);

inline constexpr std::int64_t kMostDevicesTried = 64;  // of a group, for messages that name what divides

struct Layout {
    std::int64_t tensor = 1;          // ranks that share each product
    std::int64_t pipeline = 1;        // stages of layers
    std::int64_t expert = 1;          // groups of experts
    std::int64_t data = 1;            // copies of the model, each with a share of the batch
    std::int64_t context = 1;         // shares of a prompt
    std::int64_t attention_data = 1;  // shares of the batch in attention, inside the ranks of `tensor`
    std::int64_t nodes = 1;           // machines that the devices are in
    bool ulysses = false;             // attention of `context` ranks exchanges tokens for heads
    bool sequence = false;            // norms and sums on a share of the tokens, between products
    Routing routing = Routing::unstated;
    double exponent = 1.0;      // of a power law
    std::vector<double> loads;  // measured tokens of each expert, in their order on the ranks

    // Whether experts have different numbers of tokens.
    bool loads_differ() const { return routing != Routing::unstated && routing != Routing::balanced; }
    std::int64_t of_attention() const { return tensor / attention_data; }
    // Ranks of `tensor` that have the same tokens outside of products.
    std::int64_t with_same_tokens() const { return sequence ? 1 : of_attention(); }
    std::int64_t devices() const { return tensor * pipeline * data * context; }
    // Devices that exchange data: those of one copy, or all.
    std::int64_t together() const { return expert > tensor ? devices() : tensor * pipeline * context; }
    // Machines that a group of neighboring ranks spans.
    std::int64_t nodes_of(std::int64_t ranks) const;
    // Whether a stage and the next one are in different ones of some machines, in any copy.
    bool sends_between_nodes(std::int64_t stage, std::int64_t machines) const;
    // Throws InputError for numbers that do not fit each other.
    void check() const;
    auto operator<=>(const Layout&) const = default;
};

// What the graph of one rank depends on, with the layers of all stages of a pipeline. Copies matter only if
// they share experts; of the machines, those that a group of neighboring ranks spans.
Layout rank_layout(const Layout& layout);

// What one rank keeps of a weight.
struct Share {
    std::string name;
    std::int64_t elements;
    std::int64_t of;  // elements of the whole weight
    std::string why;  // reason that each rank of a divided model has all of it; empty for one that is divided
};

struct RankGraph {
    std::shared_ptr<const Graph> graph;
    std::vector<Share> shares;  // of all weights and buffers that it reads
    double kept_share = 1.0;    // of the products, as kept_by_ranks() has it
};

// The graph of one rank: its parts of weights, activations and caches, and the collective operations that
// join them. Products whose columns are divided, and those after them whose rows are, follow from the
// operators between them. It has the layers of all pipeline stages, which pipeline_of() cuts apart. Throws
// InputError where a layout does not fit the model; the message has the layouts that do.
RankGraph parallel_graph(const std::shared_ptr<const Graph>& graph, const Layout& layout);

// Numbers of experts of the products whose rows are sorted by expert, in the order of the graph.
std::vector<std::int64_t> expert_counts(const std::shared_ptr<const Graph>& graph);

}  // namespace infercost

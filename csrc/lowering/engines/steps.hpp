// Steps of a serving engine: what its scheduler makes of a captured forward. A decode step is padded to the
// sizes that graphs were recorded for, and verifies drafts; a prompt is partly in the cache already, and is
// read in chunks. A new setting is a member of `StepSettings`, its effect in steps.cpp, and a setting of
// `EngineSettings` in Python (inputs/engine_settings.py).
#pragma once

#include <cstdint>
#include <vector>

#include "lowering/launch.hpp"
#include "ops/rule.hpp"

namespace infercost {

inline constexpr std::int64_t kThousandths = 1000;

// Versions in their order: 1.2 is 1002.
constexpr std::int64_t version_number(std::int64_t major, std::int64_t minor) {
    return major * 1000 + minor;
}

struct StepSettings {
    std::vector<std::int64_t> graph_sizes;  // in ascending order; empty: the engine's own
    bool hides_host = false;                // schedules the next step while the device works on this one
    std::int64_t draft_tokens = 0;          // of each sequence, verified in one decode step
    std::int64_t draft_layers = 1;          // of the head that drafts, each as long as the last of the model
    std::int64_t cached_thousandths = 0;    // share of a prompt that is in the cache before its prefill
    std::int64_t chunk_tokens = 0;          // most tokens of a step that reads prompts; 0: any number
    std::int64_t version = 0;               // of the engine, as `version_number`; 0: the newest

    bool operator==(const StepSettings&) const = default;
};

// Throws InputError for settings out of range.
void check_settings(const StepSettings& settings);

// What the time of a kernel depends on in a step that decodes some sequences and reads parts of prompts.
enum class StepPart : std::uint8_t {
    tokens,     // all tokens of the step: products, norms, routing, sums over ranks
    outputs,    // tokens that are sampled: the product for logits, and what follows it
    attention,  // queries, and the context of each sequence
    drafts,     // sequences that draft: all kernels of drafts but attention
};

// What determines how a step is launched.
struct StepTerms {
    std::vector<StepPart> parts;     // of each launch; empty for a graph of no serving engine
    Expr tokens = 0;                 // of a decode step
    std::int64_t largest_graph = 0;  // more tokens are launched kernel by kernel; 0: all are replayed
    std::int64_t launch_ns = 0;      // of the host, for each of these kernels; 0: as torch's
    bool hides_host = false;
};

// Changes the launches of an engine's graph into those of its steps; launches of other graphs stay.
StepTerms shape_steps(const Analyzer& analyzer, Execution execution, const StepSettings& settings,
                      std::vector<Launch>& launches);

}  // namespace infercost

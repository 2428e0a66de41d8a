#include "deploy/served_graphs.hpp"

#include <stdexcept>
#include <string>
#include <vector>

#include "lowering/engines/engine_scheduler.hpp"

namespace infercost {
namespace {

// Plans of a graph with the settings of its steps changed in some ways.
ServedPhase phase_of(DeployedGraph& deployed, const Launched& launched,
                     const std::vector<StepSettings>& steps) {
    ServedPhase phase{
        launched.graph, {},
         {launched.stages.begin(), launched.stages.end()}
    };
    if (launched.pipeline) {
        phase.kinds = launched.pipeline->kinds(steps);
        return phase;
    }
    StageKind& whole = phase.kinds.emplace_back();
    for (const StepSettings& own : steps) whole.plans.push_back(deployed.plans_with(own).get());
    return phase;
}

}  // namespace

ServedModel served_model(DeployedGraph& decode, DeployedGraph& prefill, const Hardware& machine,
                         const std::shared_ptr<const Hardware>& owner, const EngineLimits& limits) {
    if (!(decode.settings() == prefill.settings())) {
        throw std::invalid_argument(
            "the deployments of decode and prefill have different settings; deploy both graphs with the same "
            "precision, engine, execution, layout and step");
    }
    if (!scheduler_rules(decode.engine())) {
        throw std::invalid_argument("engine is '" + std::string(name_of(decode.engine())) +
                                    "', which forms no steps; pass a serving engine, such as vllm");
    }
    StepSettings step = decode.settings().step;
    step.cached_thousandths = 0;
    step.chunk_tokens = 0;
    std::vector<StepSettings> drafts = {step};
    if (step.draft_tokens > 0) drafts.emplace_back(step).draft_tokens = 0;
    std::vector<StepSettings> reads;
    for (const std::int64_t share : kCachedShares) reads.emplace_back(step).cached_thousandths = share;
    return {
        .decode = phase_of(decode, decode.on(machine, owner), drafts),
        .prefill = phase_of(prefill, prefill.on(machine, owner), reads),
        .place = {decode.engine(), &machine, decode.attention_ranks(), limits},
        .devices = decode.devices() / decode.copies(),
        .micro_batches = decode.settings().micro_batches,
        .settings = step,
        .expert_layers = prefill.expert_layers()
    };
}

}  // namespace infercost

// A captured graph as one device runs it: the graph of a rank, in the kernels of an engine, with its plans.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "count/boundary.hpp"
#include "lowering/engines/engine.hpp"
#include "lowering/parallel/layout.hpp"
#include "plan/family.hpp"

namespace infercost {

struct DeploymentSettings {
    std::string precision = "native";
    ServingEngine engine = ServingEngine::torch;
    Execution execution = Execution::eager;
    Layout layout;
    StepSettings step;
};

class DeployedGraph {
  public:
    // Throws std::invalid_argument if the layout does not fit the model, or the engine does not run it.
    DeployedGraph(const std::shared_ptr<const Graph>& captured, const DeploymentSettings& settings);

    const std::shared_ptr<const Graph>& graph() const { return graph_; }
    const Precision& precision() const { return precision_; }
    const std::vector<NodeIndex>& as_captured() const { return as_captured_; }
    const std::vector<Share>& shares() const { return shares_; }
    PlanFamily& plans() { return plans_; }
    ServingEngine engine() const { return engine_; }
    std::int64_t devices() const { return layout_.devices(); }
    // Shares of the batch: copies of the model, or of its attention.
    std::int64_t copies() const { return layout_.data * layout_.attention_data; }

    // Devices that share the heads of an attention, and the vocabulary.
    std::int64_t attention_ranks() const { return layout_.of_attention(); }

    // Weights and caches are those of this device, tokens those of the model.
    const Boundary& boundary() const { return boundary_; }
    // The caches after a forward. An engine writes them in place, with room for the next token; those of the
    // captured graph say what it holds.
    const std::vector<Cache>& caches() const { return caches_; }

    // Values of all sizes, and of those that a plan takes: one that depends on data and is not given stays
    // open.
    Sizes all_sizes(const Sizes& given) const;
    Sizes plan_sizes(const Sizes& given) const;
    // The largest share of the batch on one device.
    std::int64_t share_of(std::int64_t batch) const { return (batch + copies() - 1) / copies(); }
    // The name of the batch. Throws std::invalid_argument if a layout shares a batch without a name.
    const std::string& shared_size() const;

  private:
    ServingEngine engine_;
    Layout layout_;
    Precision precision_;
    std::vector<Share> shares_;
    std::vector<NodeIndex> as_captured_;
    std::shared_ptr<const Graph> graph_;
    PlanFamily plans_;
    Boundary boundary_;
    std::vector<Cache> caches_;
    std::string batch_;
};

}  // namespace infercost

// A captured graph as one device runs it: the graph of a rank, in the kernels of an engine, with its plans.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "count/boundary.hpp"
#include "deploy/deployed_pipeline.hpp"
#include "deploy/step_plans.hpp"
#include "lowering/engines/engine.hpp"
#include "lowering/parallel/layout.hpp"
#include "plan/family.hpp"
#include "serving/device_memory.hpp"

namespace infercost {

struct DeploymentSettings {
    std::string precision = "native";
    ServingEngine engine = ServingEngine::torch;
    Execution execution = Execution::eager;
    Layout layout;
    std::int64_t micro_batches = 0;  // of a batch with as many items; 0: one for each stage
    StepSettings step;

    bool operator==(const DeploymentSettings&) const = default;
};

// What the devices of a machine launch: of a pipeline all of its stages, one after another.
struct Launched {
    const std::shared_ptr<const Graph>& graph;
    const Boundary& boundary;
    std::span<const Holdings> stages;  // one without a pipeline
    DeployedPipeline* pipeline;        // null without one
};

// One point on a machine.
struct DeployedPoint {
    Launched launched;
    Sizes sizes;       // values of all sizes
    Sizes share;       // the same on the device with the largest share of the batch
    Sizes open_share;  // without sizes that depend on data and are not given
    Sizes point;       // what passes the kernels at once
    std::shared_ptr<const Plan> plan;
    PointEstimate total;  // of a training step in stages, whose schedule has other sums, zeros
};

// Thread-safe.
class DeployedGraph {
  public:
    // A graph, captured or launched; `overrides` are work by node of what a machine launches. Throws
    // std::invalid_argument if the layout does not fit the model, or the engine does not run it.
    DeployedGraph(const std::shared_ptr<const Graph>& captured, const DeploymentSettings& settings,
                  Overrides overrides = {});

    // The graph of a rank with the layers of all stages, captured or launched.
    const std::shared_ptr<const Graph>& graph() const { return graph_; }
    // A pipeline is balanced for the machine; its cuts are kept for a machine with an owner. Throws
    // std::invalid_argument where it cannot be cut.
    Launched on(const Hardware& machine, const std::shared_ptr<const Hardware>& owner = nullptr);
    // Throws as on(), and for sizes that the graph does not have.
    DeployedPoint at(const Sizes& given, const Hardware& machine,
                     const std::shared_ptr<const Hardware>& owner = nullptr);
    // Plans of what a machine launches, with the settings of the deployment.
    std::shared_ptr<PlanFamily> plans_of(const Launched& launched);
    // Columns at the points of a grid, whose sizes are those of the largest share of the batch.
    void evaluate(const Launched& launched, const std::vector<SizeAxis>& shares, const Hardware& machine,
                  std::size_t points, const Columns& out);
    // Sizes of what passes the kernels at once: a micro-batch of a pipeline.
    Sizes step_sizes(const Launched& launched, const Sizes& share) const;
    const Precision& precision() const { return precision_; }
    const std::vector<NodeIndex>& as_captured() const;
    const DeploymentSettings& settings() const { return settings_; }
    // Plans of the graph with some settings of steps; those of a pipeline are without overrides.
    std::shared_ptr<PlanFamily> plans_with(const StepSettings& step) { return plans_.with(step); }
    ServingEngine engine() const { return settings_.engine; }
    std::int64_t devices() const { return settings_.layout.devices(); }
    // Shares of the batch: copies of the model, or of its attention.
    std::int64_t copies() const { return settings_.layout.data * settings_.layout.attention_data; }
    // Layers with experts of the captured graph.
    std::int64_t expert_layers() const;

    // Devices that share the heads of an attention, and the vocabulary.
    std::int64_t attention_ranks() const { return settings_.layout.of_attention(); }

    // The caches after a forward. An engine writes them in place, with room for the next token; those of the
    // captured graph say what it holds.
    const std::vector<Cache>& caches() const { return boundary_->caches; }

    // Values of all sizes, and of those that a plan takes: one that depends on data and is not given stays
    // open.
    Sizes all_sizes(const Sizes& given) const;
    Sizes plan_sizes(const Sizes& given) const;
    // The largest share of the batch on one device.
    std::int64_t share_of(std::int64_t batch) const { return (batch + copies() - 1) / copies(); }
    // The name of the batch. Throws std::invalid_argument if a layout shares a batch without a name.
    const std::string& shared_size() const;

  private:
    DeployedPipeline& pipeline_on(const Hardware& machine, const std::shared_ptr<const Hardware>& owner);
    bool has_stages() const;

    std::shared_ptr<const Graph> captured_;
    DeploymentSettings settings_;
    Precision precision_;
    std::shared_ptr<const Graph> graph_;
    Overrides overrides_;
    StepPlans plans_;
    // By the graph of all stages; changes under fork_safe_mutex().
    std::map<const Graph*, std::unique_ptr<DeployedPipeline>> pipelines_;
    std::shared_ptr<const Boundary> boundary_;
    std::shared_ptr<const Holdings> holdings_;
    std::string batch_;
};

}  // namespace infercost

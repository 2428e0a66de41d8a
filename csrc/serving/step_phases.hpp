// Parts of the steps of a served model: one of its two graphs, decode or prefill, evaluated over all stages
// of a pipeline.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "evaluate/step_parts.hpp"
#include "plan/family.hpp"
#include "serving/device_memory.hpp"

namespace infercost {

inline constexpr std::size_t kStepParts = 4;  // of StepPart

// Thousandths of a prompt that are in the cache before the chunk that is timed: 0, 1, 7 and 61.5 times the
// chunk.
inline constexpr std::array<std::int64_t, 4> kCachedShares = {0, 500, 875, 984};

// Stages with equal costs.
struct StageKind {
    std::int64_t count = 1;
    // Plans of what a device launches. Of a decode step: with the settings of its steps, and, if those draft,
    // without drafts. Of a prefill: with each of kCachedShares of the prompt in the cache.
    std::vector<PlanFamily*> plans;
};

// One graph of a model on its devices.
struct ServedPhase {
    std::shared_ptr<const Graph> graph;  // what a device launches; of a pipeline, all stages
    std::vector<StageKind> kinds;
    std::vector<Holdings> stages;  // in order; one without a pipeline
};

struct PartColumns {
    std::vector<double> seconds;
    std::vector<double> spread;  // error band
    std::vector<double> joules;  // above static power
};

// Columns of StepColumns, by part: sums over the stages of one micro-batch.
struct PhaseColumns {
    std::array<PartColumns, kStepParts> parts;
    std::vector<double> attention_start_s;
    std::vector<double> wait_s;
    std::vector<double> host_s;
    std::vector<double> peak_memory_bytes;  // of the fullest stage
    std::vector<double> slowest_s;          // of the slowest stage, with its host

    PartColumns& of(StepPart part) { return parts[static_cast<std::size_t>(part)]; }
    const PartColumns& of(StepPart part) const { return parts[static_cast<std::size_t>(part)]; }
    std::size_t points() const { return wait_s.size(); }
    // Seconds of all kernels and of waiting for their launches, at one point.
    double device_s(std::size_t point) const;
    double band_s(std::size_t point, double wait_spread) const;
};

using SizeValues = std::vector<std::pair<std::string, std::vector<std::int64_t>>>;

class PhaseEvaluator {
  public:
    PhaseEvaluator(const ServedPhase& phase, const Hardware& machine);

    const Graph& graph() const { return *phase_->graph; }
    const ServedPhase& phase() const { return *phase_; }
    std::int64_t stages() const { return stages_; }
    // Throws std::invalid_argument if the graph has none.
    std::string size_of(SizeRole role) const;
    // Values of all sizes.
    Sizes all_sizes(const Sizes& given) const;

    // Evaluates the plans of one variant at points that have a value of each given size. Other sizes have
    // their defaults; those that depend on data stay open.
    PhaseColumns evaluate(std::size_t variant, SizeValues sizes) const;
    // The least value of a size from `low` on that the graph holds for with one sequence, where it holds for
    // `high`.
    std::int64_t least(const std::string& size, std::int64_t low, std::int64_t high) const;

  private:
    const ServedPhase* phase_;
    const Hardware* machine_;
    std::int64_t stages_ = 0;
};

}  // namespace infercost

#include "evaluate/evaluate.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <limits>
#include <mutex>
#include <stdexcept>

#include "core/errors.hpp"
#include "core/threads.hpp"
#include "evaluate/bound_plan.hpp"

namespace infercost {
namespace {

// Points per task of a thread, about a millisecond of work.
constexpr std::size_t kChunk = 32 * kBlock;

// The plans of a family on one machine, bound on first use.
class Plans {
  public:
    Plans(PlanFamily& family, const Hardware& hardware, std::span<const std::string> names)
        : family_(&family), hardware_(hardware), names_(names) {}
    Plans(std::shared_ptr<const Plan> plan, const Hardware& hardware, std::span<const std::string> names)
        : hardware_(hardware), names_(names) {
        bound_.emplace(Sizes{}, std::make_unique<BoundPlan>(std::move(plan), hardware, names));
    }

    // `bound` holds the sizes of a point that its plan binds; empty for a single plan.
    const BoundPlan& at(const Sizes& bound) {
        const std::scoped_lock lock(mutex_);
        std::unique_ptr<BoundPlan>& slot = bound_[bound];
        if (!slot) slot = std::make_unique<BoundPlan>(family_->plan_for(bound), hardware_, names_);
        return *slot;
    }

  private:
    PlanFamily* family_ = nullptr;
    const Hardware& hardware_;
    std::span<const std::string> names_;
    std::mutex mutex_;
    std::map<Sizes, std::unique_ptr<BoundPlan>> bound_;
};

// An axis with values that a plan binds.
struct BindingAxis {
    std::size_t axis;
    bool every_value;  // each value has its own plan; otherwise only the value 1 has
};

// Facts that all points of a grid share.
struct AxisFacts {
    std::vector<BindingAxis> binding;
    bool limits_vary = false;  // a maximum depends on other sizes
};

AxisFacts check_axes(const Graph& graph, std::span<const SizeAxis> axes, std::size_t points) {
    AxisFacts facts;
    for (std::size_t a = 0; a < axes.size(); ++a) {
        const SizeAxis& axis = axes[a];
        if (axis.repeat == 0 || (axis.values.empty() && points > 0)) {
            throw InputError("size '" + axis.name + "' has no values; pass at least one");
        }
        if (axis.values.empty()) continue;
        std::int64_t low = axis.values[0];
        std::int64_t high = axis.values[0];
        for (const std::int64_t value : axis.values) {
            low = std::min(low, value);
            high = std::max(high, value);
        }
        graph.check_sizes({
            {axis.name, low}
        });
        graph.check_sizes({
            {axis.name, high}
        });
        const bool of_data = graph.depends_on_data(axis.name);
        if (of_data || low == 1)
            facts.binding.push_back({a, of_data});  // 1 is the minimum of all other sizes
        const NamedSize& size = graph.sizes().find(axis.name)->second;
        facts.limits_vary = facts.limits_vary || (size.maximum && !size.maximum->is_constant());
    }
    return facts;
}

// Evaluates a contiguous part of a grid, block by block; each thread has one.
class Walker {
  public:
    Walker(Plans& plans, const Graph& graph, std::span<const SizeAxis> axes,
           std::span<const std::string> names, const AxisFacts& facts, const Columns& out, Isa isa)
        : plans_(plans),
          graph_(graph),
          axes_(axes),
          names_(names),
          facts_(facts),
          out_(out),
          isa_(isa),
          sizes_(axes.size() * kBlock),
          gathered_(axes.size() * kBlock) {}

    // Points `begin` .. `end` of the output, at offset `first` of the grid.
    void run(std::uint64_t first, std::size_t begin, std::size_t end) {
        for (std::size_t at = begin; at < end; at += kBlock) {
            const std::size_t points = std::min(kBlock, end - at);
            for (std::size_t a = 0; a < axes_.size(); ++a)
                fill(axes_[a], first + at, points, sizes_.data() + a * kBlock);
            check_interrupt();
            if (facts_.limits_vary) check_limits(points);
            block(at, points);
        }
    }

  private:
    static void fill(const SizeAxis& axis, std::uint64_t from, std::size_t points, double* out) {
        std::uint64_t position = from / axis.repeat % axis.values.size();
        std::uint64_t left = axis.repeat - from % axis.repeat;  // points with the same value that remain
        for (std::size_t i = 0; i < points;) {
            const auto run = static_cast<std::size_t>(std::min<std::uint64_t>(left, points - i));
            std::fill_n(out + i, run, static_cast<double>(axis.values[static_cast<std::size_t>(position)]));
            i += run;
            left = axis.repeat;
            if (++position == axis.values.size()) position = 0;
        }
    }

    // Return the sizes that the plan of a point binds.
    Sizes bound_at(std::size_t i) const {
        Sizes bound;
        for (const BindingAxis& binding : facts_.binding) {
            const auto value = static_cast<std::int64_t>(values_of(binding)[i]);
            if (binding.every_value || value == 1) bound.emplace(axes_[binding.axis].name, value);
        }
        return bound;
    }

    const double* values_of(const BindingAxis& binding) const {
        return sizes_.data() + binding.axis * kBlock;
    }

    static bool same_plan(const BindingAxis& binding, double x, double y) {
        return binding.every_value ? x == y : (x == 1) == (y == 1);
    }

    bool same_plan(std::size_t i, std::size_t j) const {
        return std::all_of(facts_.binding.begin(), facts_.binding.end(), [&](const BindingAxis& binding) {
            return same_plan(binding, values_of(binding)[i], values_of(binding)[j]);
        });
    }

    bool one_plan(std::size_t points) const {
        return std::all_of(facts_.binding.begin(), facts_.binding.end(), [&](const BindingAxis& binding) {
            const double* const values = values_of(binding);
            return std::all_of(values, values + points,
                               [&](double value) { return same_plan(binding, *values, value); });
        });
    }

    void block(std::size_t at, std::size_t points) {
        if (one_plan(points)) {
            plans_.at(bound_at(0)).run({names_, sizes_.data(), points}, isa_, scratch_, result_);
            write(at, points, nullptr);
            return;
        }
        // Points with the same plan are gathered, evaluated, and scattered back.
        std::vector<bool> taken(points, false);
        for (std::size_t i = 0; i < points; ++i) {
            if (taken[i]) continue;
            std::size_t count = 0;
            for (std::size_t j = i; j < points; ++j) {
                if (taken[j] || !same_plan(i, j)) continue;
                taken[j] = true;
                for (std::size_t a = 0; a < axes_.size(); ++a) {
                    gathered_.data()[a * kBlock + count] = sizes_.data()[a * kBlock + j];
                }
                places_[count++] = j;
            }
            plans_.at(bound_at(i)).run({names_, gathered_.data(), count}, isa_, scratch_, result_);
            write(at, count, places_.data());
        }
    }

    // The last door: machines and sizes are checked before, so this is a fault of a model or of a user's own
    // rule.
    void check_result(std::size_t count) const {
        // Without branches, in lanes of their own: a test of each value would take a fiftieth of a sweep.
        constexpr std::size_t kLanes = 4;
        std::array<double, kLanes> lowest{};
        std::array<double, kLanes> not_finite{};  // x - x is 0 for finite numbers alone
        const auto look = [&](std::size_t i, std::size_t lane) {
            const double latency = result_.latency[i];
            const double footprint = result_.footprint[i];
            lowest[lane] = std::min(lowest[lane], std::min(latency, footprint));
            not_finite[lane] += (latency - latency) + (footprint - footprint);
        };
        std::size_t i = 0;
        for (; i + kLanes <= count; i += kLanes) {
            for (std::size_t lane = 0; lane < kLanes; ++lane) look(i + lane, lane);
        }
        for (; i < count; ++i) look(i, 0);
        bool good = true;
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            good = good && lowest[lane] >= 0 && not_finite[lane] == 0;
        }
        if (good) return;
        throw InputError(
            "a point of this graph has a latency or a peak memory that is negative or not finite; expected "
            "sizes, rules and a machine that give finite numbers of zero or more");
    }

    void write(std::size_t at, std::size_t count, const std::size_t* places) const {
        check_result(count);
        const auto put = [&](std::span<double> out, const auto& values) {
            if (out.empty()) return;
            if (!places) {
                std::copy_n(values.begin(), count, out.data() + at);
                return;
            }
            for (std::size_t i = 0; i < count; ++i) out[at + places[i]] = values[i];
        };
        put(out_.latency_s, result_.latency);
        put(out_.interval_s, result_.latency);
        put(out_.compute_s, result_.compute);
        put(out_.dram_s, result_.dram);
        put(out_.cache_s, result_.cache);
        put(out_.link_s, result_.link);
        put(out_.launch_s, result_.launch);
        put(out_.spread_s, result_.spread);
        put(out_.energy_j, result_.energy);
        put(out_.peak_memory_bytes, result_.footprint);
    }

    // Only if a limit depends on other sizes; other limits are checked once, by axis.
    void check_limits(std::size_t points) const {
        for (std::size_t i = 0; i < points; ++i) {
            Sizes point;
            for (std::size_t a = 0; a < axes_.size(); ++a) {
                point[axes_[a].name] = static_cast<std::int64_t>(sizes_.data()[a * kBlock + i]);
            }
            graph_.check_sizes(point);
        }
    }

    Plans& plans_;
    const Graph& graph_;
    std::span<const SizeAxis> axes_;
    std::span<const std::string> names_;
    const AxisFacts& facts_;
    const Columns& out_;
    Isa isa_;
    AlignedColumns sizes_;     // kBlock values per axis
    AlignedColumns gathered_;  // the same for the points of one plan
    std::array<std::size_t, kBlock> places_{};
    AlignedColumns scratch_;
    BlockResult result_;
};

void walk(Plans& plans, const Graph& graph, std::span<const SizeAxis> axes,
          std::span<const std::string> names, const AxisFacts& facts, std::uint64_t first, std::size_t points,
          const Columns& out, const EvaluateOptions& options) {
    const std::size_t chunks = (points + kChunk - 1) / kChunk;
    const std::size_t threads = std::clamp<std::size_t>(options.threads, 1, std::max<std::size_t>(chunks, 1));
    // Idle threads take chunks in order, so a core with other load takes fewer.
    std::atomic<std::size_t> next = 0;
    struct Failure {
        std::size_t chunk = std::numeric_limits<std::size_t>::max();
        std::exception_ptr error;
    };
    std::vector<Failure> failures(threads);
    const auto take = [&](std::size_t t) {
        std::size_t chunk = 0;
        try {
            Walker walker(plans, graph, axes, names, facts, out, options.isa);
            while ((chunk = next++) < chunks) {
                walker.run(first, chunk * kChunk, std::min(points, (chunk + 1) * kChunk));
            }
        } catch (...) {
            failures[t] = {chunk, std::current_exception()};
            next = chunks;
        }
    };
    run_threads(threads, take);
    // Report the failure that is first in grid order, whichever thread failed first: all earlier chunks were
    // started before it.
    const Failure& earliest =
        *std::min_element(failures.begin(), failures.end(),
                          [](const Failure& x, const Failure& y) { return x.chunk < y.chunk; });
    if (earliest.error) std::rethrow_exception(earliest.error);
}

std::vector<std::string> names_of(std::span<const SizeAxis> axes) {
    std::vector<std::string> names;
    for (const SizeAxis& axis : axes) names.push_back(axis.name);
    return names;
}

}  // namespace

void evaluate(PlanFamily& family, std::span<const SizeAxis> axes, const Hardware& hardware,
              std::uint64_t first, std::size_t points, const Columns& out, const EvaluateOptions& options) {
    const Graph& graph = *family.graph();
    const AxisFacts facts = check_axes(graph, axes, points);
    const std::vector<std::string> names = names_of(axes);
    Plans plans(family, hardware, names);
    walk(plans, graph, axes, names, facts, first, points, out, options);
}

void evaluate(const std::shared_ptr<const Plan>& plan, std::span<const SizeAxis> axes,
              const Hardware& hardware, std::uint64_t first, std::size_t points, const Columns& out,
              const EvaluateOptions& options) {
    AxisFacts facts = check_axes(*plan->graph, axes, points);
    facts = {};  // one plan for all points, as the caller specified
    const std::vector<std::string> names = names_of(axes);
    Plans plans(plan, hardware, names);
    walk(plans, *plan->graph, axes, names, facts, first, points, out, options);
}

PointEstimate evaluate_point(const std::shared_ptr<const Plan>& plan, const Sizes& sizes,
                             const Hardware& hardware) {
    std::vector<SizeAxis> axes;
    for (const auto& [name, value] : sizes)
        axes.push_back({
            .name = name, .values = {&value, 1}
        });
    PointEstimate estimate;
    Columns columns;
    for (const ColumnRow& row : kColumns) columns.*row.column = {&(estimate.*row.value), 1};
    evaluate(plan, axes, hardware, 0, 1, columns);
    return estimate;
}

}  // namespace infercost

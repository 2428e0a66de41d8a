#include "evaluate/step_parts.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <memory>

#include "core/errors.hpp"
#include "core/threads.hpp"
#include "evaluate/bound_plan.hpp"

namespace infercost {
namespace {

constexpr std::size_t kParts = 4;

// A plan with its kernels by part.
struct PartedPlan {
    PartedPlan(std::shared_ptr<const Plan> plan, const Hardware& hardware, std::span<const std::string> names)
        : bound(std::move(plan), hardware, names) {
        const std::vector<Kernel>& kernels = bound.plan().kernels;
        for (std::size_t k = 0; k < kernels.size(); ++k) {
            parts[static_cast<std::size_t>(kernels[k].part)].push_back(bound.kernels()[k]);
        }
    }

    BoundPlan bound;
    std::array<std::vector<BoundKernel>, kParts> parts;
};

class PartsWalker {
  public:
    PartsWalker(std::span<const SizeAxis> columns, std::span<const std::string> names, const StepColumns& out,
                Isa isa)
        : columns_(columns), names_(names), out_(out), isa_(isa), sizes_(columns.size() * kBlock) {}

    void run(const PartedPlan& plan, std::span<const std::size_t> places) {
        for (std::size_t first = 0; first < places.size(); first += kBlock) {
            check_interrupt();
            block(plan, places.subspan(first, std::min(kBlock, places.size() - first)));
        }
    }

  private:
    struct PartColumns {
        std::span<double> StepColumns::* seconds;
        std::span<double> StepColumns::* spread;
        std::span<double> StepColumns::* joules;
    };
    static constexpr std::array<PartColumns, kParts> kPartColumns = {
        {
         {&StepColumns::tokens_s, &StepColumns::tokens_spread_s, &StepColumns::tokens_j},
         {&StepColumns::outputs_s, &StepColumns::outputs_spread_s, &StepColumns::outputs_j},
         {&StepColumns::attention_s, &StepColumns::attention_spread_s, &StepColumns::attention_j},
         {&StepColumns::drafts_s, &StepColumns::drafts_spread_s, &StepColumns::drafts_j},
         }
    };

    void block(const PartedPlan& plan, std::span<const std::size_t> places) {
        const std::size_t points = places.size();
        for (std::size_t c = 0; c < columns_.size(); ++c) {
            for (std::size_t i = 0; i < points; ++i) {
                sizes_.data()[c * kBlock + i] = static_cast<double>(columns_[c].values[places[i]]);
            }
        }
        const SizeBlock sizes{names_, sizes_.data(), points};
        std::array<double, kBlock> device_s{};
        for (std::size_t part = 0; part < kParts; ++part) {
            plan.bound.sum(plan.parts[part], sizes, isa_, scratch_, result_);
            for (std::size_t i = 0; i < points; ++i) {
                device_s[i] += result_.latency[i];
                check(result_.latency[i]);
                (out_.*kPartColumns[part].seconds)[places[i]] = result_.latency[i];
                (out_.*kPartColumns[part].spread)[places[i]] = result_.spread[i];
                (out_.*kPartColumns[part].joules)[places[i]] = result_.energy[i];
                out_.peak_memory_bytes[places[i]] = result_.footprint[i];
                if (part == static_cast<std::size_t>(StepPart::attention)) {
                    out_.attention_start_s[places[i]] = result_.launch[i];
                }
            }
        }
        std::array<double, kBlock> wait_s{};
        std::array<double, kBlock> engine_s{};
        plan.bound.waits(sizes, isa_, scratch_, {device_s.data(), points}, {wait_s.data(), points},
                         {engine_s.data(), points});
        for (std::size_t i = 0; i < points; ++i) {
            out_.wait_s[places[i]] = wait_s[i];
            out_.host_s[places[i]] = engine_s[i];
        }
    }

    static void check(double seconds) {
        if (seconds >= 0 && seconds - seconds == 0) return;
        throw InputError(
            "a point of this graph has a latency that is negative or not finite; expected sizes, rules and a "
            "machine that give finite numbers of zero or more");
    }

    std::span<const SizeAxis> columns_;
    std::span<const std::string> names_;
    const StepColumns& out_;
    Isa isa_;
    AlignedColumns sizes_;
    AlignedColumns scratch_;
    BlockResult result_;
};

}  // namespace

double evaluate_step_parts(PlanFamily& family, std::span<const SizeAxis> columns, const Hardware& hardware,
                           std::size_t points, const StepColumns& out, Isa isa) {
    const Graph& graph = *family.graph();
    std::vector<std::string> names;
    std::vector<bool> of_data;
    for (const SizeAxis& column : columns) {
        if (column.values.size() != points) {
            throw InputError("size '" + column.name + "' has " + std::to_string(column.values.size()) +
                             " values; expected " + std::to_string(points));
        }
        names.push_back(column.name);
        of_data.push_back(graph.depends_on_data(column.name));
    }
    // Points by the sizes that their plan binds: those of 1, and those that depend on data.
    std::map<Sizes, std::vector<std::size_t>> by_plan;
    for (std::size_t i = 0; i < points; ++i) {
        Sizes point;
        Sizes bound;
        for (std::size_t c = 0; c < columns.size(); ++c) {
            const std::int64_t value = columns[c].values[i];
            point.emplace(names[c], value);
            if (of_data[c] || value == 1) bound.emplace(names[c], value);
        }
        graph.check_sizes(point);
        by_plan[bound].push_back(i);
    }
    PartsWalker walker(columns, names, out, isa);
    double static_w = 0;
    for (const auto& [bound, places] : by_plan) {
        const PartedPlan plan(family.plan_for(bound), hardware, names);
        static_w = plan.bound.static_w();
        walker.run(plan, places);
    }
    return static_w;
}

}  // namespace infercost

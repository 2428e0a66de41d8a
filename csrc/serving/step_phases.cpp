#include "serving/step_phases.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace infercost {
namespace {

void add(std::vector<double>& total, const std::vector<double>& values, double count) {
    if (total.empty()) total.assign(values.size(), 0.0);
    for (std::size_t i = 0; i < values.size(); ++i) total[i] += count * values[i];
}

// Columns of one stage, with room for all points.
struct StageColumns {
    explicit StageColumns(std::size_t points) {
        for (std::size_t part = 0; part < kStepParts; ++part) {
            columns.parts[part] = {std::vector<double>(points), std::vector<double>(points),
                                   std::vector<double>(points)};
        }
        for (std::vector<double>* each :
             {&columns.attention_start_s, &columns.wait_s, &columns.host_s, &columns.peak_memory_bytes}) {
            each->resize(points);
        }
        auto& [tokens, outputs, attention, drafts] = columns.parts;
        out = {tokens.seconds,
               outputs.seconds,
               attention.seconds,
               drafts.seconds,
               tokens.spread,
               outputs.spread,
               attention.spread,
               drafts.spread,
               tokens.joules,
               outputs.joules,
               attention.joules,
               drafts.joules,
               columns.attention_start_s,
               columns.wait_s,
               columns.host_s,
               columns.peak_memory_bytes};
    }
    PhaseColumns columns;
    StepColumns out;
};

}  // namespace

double PhaseColumns::device_s(std::size_t point) const {
    double seconds = wait_s[point];
    for (const PartColumns& part : parts) seconds += part.seconds[point];
    return seconds;
}

double PhaseColumns::band_s(std::size_t point, double wait_spread) const {
    double spread_s = 0;
    for (const PartColumns& part : parts) spread_s += part.spread[point];
    return spread_s + wait_spread * wait_s[point];
}

PhaseEvaluator::PhaseEvaluator(const ServedPhase& phase, const Hardware& machine)
    : phase_(&phase), machine_(&machine) {
    for (const StageKind& kind : phase.kinds) stages_ += kind.count;
}

std::string PhaseEvaluator::size_of(SizeRole role) const {
    if (auto name = graph().size_of_role(role)) return *name;
    throw std::invalid_argument("this graph has no size of the " + std::string(name_of(role)) +
                                "; capture it as a named size");
}

Sizes PhaseEvaluator::all_sizes(const Sizes& given) const {
    Sizes sizes;
    for (const auto& [name, value] : graph().size_values(given)) sizes.emplace(name, value.constant());
    return sizes;
}

std::int64_t PhaseEvaluator::least(const std::string& size, std::int64_t low, std::int64_t high) const {
    Sizes point;
    for (const auto& [name, value] : graph().size_values({})) {
        if (!graph().depends_on_data(name)) point.emplace(name, value.constant());
    }
    if (const auto batch = graph().size_of_role(SizeRole::batch)) point[*batch] = 1;
    const auto holds = [&](std::int64_t value) {
        point[size] = value;
        return graph().holds_at(point);
    };
    if (holds(low)) return low;
    std::int64_t below = low;
    while (high - below > 1) {
        const std::int64_t middle = below + (high - below) / 2;
        (holds(middle) ? high : below) = middle;
    }
    return high;
}

PhaseColumns PhaseEvaluator::evaluate(std::size_t variant, SizeValues sizes) const {
    const std::size_t points = sizes.front().second.size();
    for (const auto& [name, value] : graph().size_values({})) {
        const auto given =
            std::find_if(sizes.begin(), sizes.end(), [&](const auto& each) { return each.first == name; });
        if (given != sizes.end() || graph().depends_on_data(name)) continue;
        sizes.emplace_back(name, std::vector<std::int64_t>(points, value.constant()));
    }
    std::vector<SizeAxis> columns;
    for (const auto& [name, values] : sizes) columns.push_back({name, values});
    PhaseColumns total;
    total.slowest_s.resize(points);
    total.peak_memory_bytes.resize(points);
    for (const StageKind& kind : phase_->kinds) {
        StageColumns stage(points);
        evaluate_step_parts(*kind.plans.at(variant), columns, *machine_, points, stage.out);
        const PhaseColumns& found = stage.columns;
        const auto count = static_cast<double>(kind.count);
        for (std::size_t part = 0; part < kStepParts; ++part) {
            add(total.parts[part].seconds, found.parts[part].seconds, count);
            add(total.parts[part].spread, found.parts[part].spread, count);
            add(total.parts[part].joules, found.parts[part].joules, count);
        }
        add(total.attention_start_s, found.attention_start_s, count);
        add(total.wait_s, found.wait_s, count);
        add(total.host_s, found.host_s, count);
        for (std::size_t i = 0; i < points; ++i) {
            total.slowest_s[i] = std::max(total.slowest_s[i], found.device_s(i) + found.host_s[i]);
            total.peak_memory_bytes[i] = std::max(total.peak_memory_bytes[i], found.peak_memory_bytes[i]);
        }
    }
    return total;
}

}  // namespace infercost

#include "interface/costs.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <string>

namespace infercost {
namespace {

// What an estimate knows of its point.
constexpr std::array kOfPoint = {
    CostInput::latency_s,      CostInput::interval_s,   CostInput::energy_j,
    CostInput::items,          CostInput::devices,      CostInput::loaded_bytes,
    CostInput::input_tensors,  CostInput::input_bytes,  CostInput::device_input_bytes,
    CostInput::output_tensors, CostInput::output_bytes, CostInput::device_output_bytes,
    CostInput::tokens,         CostInput::reads_cache,
};

std::size_t place_of(CostInput input) {
    return static_cast<std::size_t>(input);
}

}  // namespace

CostColumns terms_in(const JsonEntry& entry, std::array<double, kCostInputs>& numbers) {
    CostColumns columns;
    const JsonPlace whole("terms");
    entry.for_each_member(whole, [&](std::string_view name, const JsonEntry& value) {
        const CostInput input = entry.within(whole, [&] { return cost_input(name); });
        for (const CostInput known : kOfPoint) {
            if (known == input) {
                entry.fail(whole, " has '" + std::string(name) + "', which the estimate finds; leave it out");
            }
        }
        double& number = numbers[place_of(input)];
        const JsonPlace place("terms", name);
        if (value.is_null()) {
            number = std::numeric_limits<double>::quiet_NaN();
        } else if (value.is_text() && value.text(place) == "unbounded") {
            number = std::numeric_limits<double>::infinity();
        } else {
            number = value.number(place);
        }
        columns[place_of(input)] = CostColumn{
            {&number, 1}
        };
    });
    return columns;
}

PointCosts::PointCosts(const DeployedGraph& deployed, const Launched& launched, std::size_t points)
    : launched_(launched), batch_(deployed.graph()->size_of_role(SizeRole::batch).value_or("")) {
    for (const CostInput input : kOfPoint) known(input).resize(points);
    const Boundary& at = launched.boundary;
    for (std::size_t i = 0; i < points; ++i) {
        known(CostInput::devices)[i] = static_cast<double>(deployed.devices());
        known(CostInput::input_tensors)[i] = static_cast<double>(at.input_tensors);
        known(CostInput::output_tensors)[i] = static_cast<double>(at.output_tensors);
        known(CostInput::reads_cache)[i] = at.reads_cache ? 1.0 : 0.0;
    }
}

void PointCosts::set_sizes(std::size_t point, const Sizes& all, const Sizes& share) {
    const Boundary& at = launched_.boundary;
    const auto value = [](const Expr& quantity, const Sizes& sizes) {
        return static_cast<double>(quantity.evaluate(sizes));
    };
    known(CostInput::items)[point] = batch_.empty() ? 1.0 : static_cast<double>(all.at(batch_));
    double loaded = 0;  // of the stage with most of them
    for (const Holdings& stage : launched_.stages) {
        loaded = std::max(loaded, value(stage.weight_bytes, all));
    }
    known(CostInput::loaded_bytes)[point] = loaded;
    known(CostInput::input_bytes)[point] = value(at.input_bytes, all);
    known(CostInput::device_input_bytes)[point] = value(at.input_bytes, share);
    known(CostInput::output_bytes)[point] = value(at.output_bytes, all);
    known(CostInput::device_output_bytes)[point] = value(at.output_bytes, share);
    known(CostInput::tokens)[point] = at.tokens ? value(*at.tokens, all) : 0.0;
}

void PointCosts::set_times(std::span<const double> latency_s, std::span<const double> interval_s,
                           std::span<const double> energy_j) {
    const auto set = [&](CostInput input, std::span<const double> values) {
        std::copy(values.begin(), values.end(), known(input).begin());
    };
    set(CostInput::latency_s, latency_s);
    set(CostInput::interval_s, interval_s);
    set(CostInput::energy_j, energy_j);
}

std::vector<double> PointCosts::rates() const {
    const std::vector<double>& items = known_[place_of(CostInput::items)];
    const std::vector<double>& interval_s = known_[place_of(CostInput::interval_s)];
    std::vector<double> rates(items.size());
    for (std::size_t i = 0; i < rates.size(); ++i) rates[i] = items[i] / interval_s[i];
    return rates;
}

std::vector<double> PointCosts::derived(CostFigure figure, const CostColumns& terms) const {
    CostColumns inputs = terms;
    std::size_t points = 0;
    for (std::size_t i = 0; i < kCostInputs; ++i) {
        if (known_[i].empty()) continue;
        points = known_[i].size();
        inputs[i] = CostColumn{known_[i]};
    }
    std::vector<double> values(points);
    derive(figure, inputs, values);
    return values;
}

void write_costs(JsonWriter& out, const PointCosts& point, const CostColumns& terms) {
    out.key("costs").begin_object();
    for (std::size_t i = 0; i < kCostFigures; ++i) {
        const std::vector<double> figure = point.derived(static_cast<CostFigure>(i), terms);
        write_number(out.key(cost_figure_names()[i]), figure.front());
    }
    out.end_object();
}

}  // namespace infercost

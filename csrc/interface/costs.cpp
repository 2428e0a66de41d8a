#include "interface/costs.hpp"

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

void write_costs(JsonWriter& out, const DeployedGraph& deployed, const PointEstimate& total, const Sizes& all,
                 const Sizes& share, std::int64_t items, const CostColumns& terms) {
    const Boundary& at = deployed.boundary();
    const auto devices = static_cast<double>(deployed.devices());
    const auto value = [](const Expr& quantity, const Sizes& sizes) {
        return static_cast<double>(quantity.evaluate(sizes));
    };
    const std::array<double, kOfPoint.size()> known = {
        total.latency_s,
        total.interval_s,
        devices * total.energy_j,
        static_cast<double>(items),
        devices,
        value(at.weight_bytes, all),
        static_cast<double>(at.input_tensors),
        value(at.input_bytes, all),
        value(at.input_bytes, share),
        static_cast<double>(at.output_tensors),
        value(at.output_bytes, all),
        value(at.output_bytes, share),
        at.tokens ? value(*at.tokens, all) : 0.0,
        at.reads_cache ? 1.0 : 0.0,
    };
    CostColumns inputs = terms;
    for (std::size_t i = 0; i < known.size(); ++i) {
        inputs[place_of(kOfPoint[i])] = CostColumn{
            {&known[i], 1}
        };
    }
    out.key("costs").begin_object();
    for (std::size_t i = 0; i < kCostFigures; ++i) {
        double figure = 0;
        derive(static_cast<CostFigure>(i), inputs, {&figure, 1});
        write_number(out.key(cost_figure_names()[i]), figure);
    }
    out.end_object();
}

}  // namespace infercost

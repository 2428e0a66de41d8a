#include "interface/grids.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "evaluate/bands.hpp"
#include "evaluate/evaluate.hpp"

namespace infercost {
namespace {

constexpr std::uint64_t kMostPoints = 10'000'000;
constexpr std::string_view kLow = "latency_low_s";
constexpr std::string_view kHigh = "latency_high_s";
constexpr std::string_view kRate = "throughput_per_s";

bool is_column(std::string_view name) {
    return name == kLow || name == kHigh || name == kRate ||
           std::any_of(kColumns.begin(), kColumns.end(),
                       [&](const ColumnRow& row) { return row.name == name; });
}

std::optional<CostFigure> figure_in(std::string_view name) {
    const auto names = cost_figure_names();
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) return std::nullopt;
    return static_cast<CostFigure>(found - names.begin());
}

// Values of all sizes at the points of a grid.
class Grid {
  public:
    Grid(const DeployedGraph& deployed, const Sizes& fixed, const std::vector<GridAxis>& given)
        : deployed_(deployed) {
        for (const GridAxis& axis : given) {
            if (axis.values.empty()) {
                throw std::invalid_argument("axis '" + axis.name + "' has no values; expected at least one");
            }
            points_ *= axis.values.size();
            if (points_ > kMostPoints) {
                throw std::invalid_argument("the axes have more than " + std::to_string(kMostPoints) +
                                            " points; pass fewer values");
            }
        }
        std::uint64_t repeat = points_;
        for (const GridAxis& axis : given) {
            repeat /= axis.values.size();
            add(axis.name, axis.values, repeat);
        }
        for (const auto& [name, value] : fixed) add(name, {value}, 1);
        add_defaults();
        shares_ = values_;
        if (deployed.copies() > 1) {
            for (std::int64_t& value : shares_.at(deployed.shared_size()).values) {
                value = deployed.share_of(value);
            }
        }
    }

    std::size_t points() const { return static_cast<std::size_t>(points_); }

    // Those of the device with the largest share of the batch.
    std::vector<SizeAxis> axes() const {
        std::vector<SizeAxis> axes;
        for (const auto& [name, column] : shares_) axes.push_back({name, column.values, column.repeat});
        return axes;
    }
    Sizes share(std::size_t point) const { return at(shares_, point); }
    Sizes all(std::size_t point) const { return at(values_, point); }

  private:
    struct Column {
        std::vector<std::int64_t> values;
        std::uint64_t repeat;
        std::int64_t at(std::uint64_t point) const { return values[(point / repeat) % values.size()]; }
    };
    using ByName = std::map<std::string, Column>;

    static Sizes at(const ByName& columns, std::uint64_t point) {
        Sizes sizes;
        for (const auto& [name, column] : columns) sizes.emplace(name, column.at(point));
        return sizes;
    }

    void add(const std::string& name, const std::vector<std::int64_t>& values, std::uint64_t repeat) {
        const Graph& graph = *deployed_.graph();
        if (!graph.sizes().contains(name))
            graph.check_sizes({
                {name, values.front()}
            });
        if (!values_.emplace(name, Column{values, repeat}).second) {
            throw std::invalid_argument("size '" + name + "' is given twice; pass it once");
        }
    }

    // A default follows from sizes that were declared before. One that depends on data stays open.
    void add_defaults() {
        const Graph& graph = *deployed_.graph();
        for (const std::string& name : graph.size_names()) {
            if (values_.contains(name) || graph.depends_on_data(name)) continue;
            const Expr& value = graph.sizes().find(name)->second.default_value;
            if (value.is_constant()) {
                add(name, {value.constant()}, 1);
                continue;
            }
            std::vector<std::int64_t> column;
            for (std::uint64_t i = 0; i < points_; ++i) {
                column.push_back(graph.size_values(at(values_, i)).find(name)->second.constant());
            }
            add(name, column, 1);
        }
    }

    const DeployedGraph& deployed_;
    std::uint64_t points_ = 1;
    ByName values_;
    ByName shares_;
};

// What is asked of a grid.
struct Wanted {
    explicit Wanted(const std::vector<std::string>& columns, bool has_terms) {
        for (const std::string& name : columns) {
            const std::optional<CostFigure> figure = figure_in(name);
            if (figure && has_terms) {
                figures.push_back(*figure);
            } else if (figure) {
                throw std::invalid_argument("columns has '" + name +
                                            "', which is derived from numbers of a deployment; pass terms");
            } else if (!is_column(name)) {
                throw std::invalid_argument("columns has '" + name + "', which is no column of an estimate");
            }
        }
        names = columns;
        if (columns.empty()) {
            for (const ColumnRow& row : kColumns) names.emplace_back(row.name);
            names.emplace_back(kLow);
            names.emplace_back(kHigh);
        }
    }
    bool has(std::string_view name) const {
        return std::find(names.begin(), names.end(), name) != names.end();
    }
    // Columns of the evaluator that others are derived from.
    bool needs(std::string_view name) const {
        if (has(name)) return true;
        const bool of_costs = name == "latency_s" || name == "interval_s" || name == "energy_j";
        if (!figures.empty() && of_costs) return true;
        if (has(kRate) && name == "interval_s") return true;
        return (has(kLow) || has(kHigh)) && (name == "latency_s" || name == "spread_s");
    }

    std::vector<std::string> names;
    std::vector<CostFigure> figures;
};

// The evaluator's columns on one machine.
struct Evaluated {
    Evaluated(const Wanted& wanted, std::size_t points) {
        for (std::size_t i = 0; i < kColumns.size(); ++i) {
            if (!wanted.needs(kColumns[i].name)) continue;
            values[i].resize(points);
            written.*kColumns[i].column = values[i];
        }
    }
    std::array<std::vector<double>, kColumns.size()> values;
    Columns written;
};

void write_band(JsonWriter& out, std::string_view key, const Columns& of, double (*end)(double, double)) {
    std::vector<double> ends(of.latency_s.size());
    for (std::size_t i = 0; i < ends.size(); ++i) ends[i] = end(of.latency_s[i], of.spread_s[i]);
    write_numbers(out, key, ends);
}

}  // namespace

void write_grid(DeployedGraph& deployed, const std::vector<const Hardware*>& machines, const Sizes& sizes,
                const std::vector<GridAxis>& axes, const std::vector<std::string>& columns,
                const std::vector<MachineTerms>& terms, JsonWriter& out) {
    if (!terms.empty() && terms.size() != machines.size()) {
        throw std::invalid_argument("terms has " + std::to_string(terms.size()) + " entries for " +
                                    std::to_string(machines.size()) + " machines; expected one for each");
    }
    const Wanted wanted(columns, !terms.empty());
    const Grid grid(deployed, sizes, axes);
    const std::vector<SizeAxis> of_grid = grid.axes();
    const std::size_t points = grid.points();
    Evaluated found(wanted, points);
    // Machines with the same cuts of a pipeline load the same.
    std::map<const DeployedPipeline*, PointCosts> known;
    const auto costs_of = [&](const Launched& launched) -> PointCosts* {
        if (wanted.figures.empty() && !wanted.has(kRate)) return nullptr;
        const auto [kept, is_new] = known.try_emplace(launched.pipeline, deployed, launched, points);
        if (!is_new) return &kept->second;
        for (std::size_t i = 0; i < points; ++i) kept->second.set_sizes(i, grid.all(i), grid.share(i));
        return &kept->second;
    };
    out.key("points").integer(static_cast<std::int64_t>(points)).key("machines").begin_list();
    for (std::size_t at = 0; at < machines.size(); ++at) {
        const Hardware& machine = *machines[at];
        PointCosts* costs = nullptr;
        try {
            const Launched launched = deployed.on(machine);
            deployed.evaluate(launched, of_grid, machine, points, found.written);
            costs = costs_of(launched);
        } catch (const std::invalid_argument& error) {  // such as one without links between devices
            out.begin_object().key("id").text(machine.id).key("refused").text(error.what()).end_object();
            continue;
        }
        if (!found.written.energy_j.empty()) {
            for (double& joules : found.written.energy_j) joules *= static_cast<double>(deployed.devices());
        }
        out.begin_object().key("id").text(machine.id);
        for (std::size_t i = 0; i < kColumns.size(); ++i) {
            if (wanted.has(kColumns[i].name)) write_numbers(out, kColumns[i].name, found.values[i]);
        }
        if (wanted.has(kLow)) write_band(out, kLow, found.written, &band_low);
        if (wanted.has(kHigh)) write_band(out, kHigh, found.written, &band_high);
        if (costs) {
            const Columns& of = found.written;
            costs->set_times(of.latency_s, of.interval_s, of.energy_j);
            if (wanted.has(kRate)) write_numbers(out, kRate, costs->rates());
            for (const CostFigure figure : wanted.figures) {
                write_numbers(out, cost_figure_names()[static_cast<std::size_t>(figure)],
                              costs->derived(figure, terms[at].columns));
            }
        }
        out.end_object();
    }
    out.end_list();
}

}  // namespace infercost

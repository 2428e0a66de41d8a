#include "costs/derived.hpp"

#include <algorithm>
#include <bitset>
#include <cmath>
#include <stdexcept>
#include <string>

#include "core/errors.hpp"

namespace infercost {
namespace {

constexpr double kGiga = 1e9;
constexpr double kMillion = 1e6;
constexpr double kSecondsPerHour = 3600;
constexpr double kJoulesPerKwh = 3.6e6;

#define INFERCOST_COST_TEXT(name) #name,
constexpr std::array<std::string_view, kCostInputs> kInputNames = {
    INFERCOST_COST_INPUTS(INFERCOST_COST_TEXT)};
constexpr std::array<std::string_view, kCostFigures> kFigureNames = {
    INFERCOST_COST_FIGURES(INFERCOST_COST_TEXT)};
#undef INFERCOST_COST_TEXT

// Whether a number is not 0, known (not NaN), or finite.
enum class Asks { nonzero, known, finite };

bool holds(Asks asks, double value) {
    switch (asks) {
        case Asks::known:
            return !std::isnan(value);
        case Asks::finite:
            return std::isfinite(value);
        case Asks::nonzero:
            break;
    }
    return value != 0;
}

// The formulas. `in(input)` returns an input, and `in.where(asks, input, one, other)` the value of `one`
// where the condition holds and that of `other` elsewhere.
template <class Source>
class Formulas {
  public:
    explicit Formulas(Source& source) : in(source) {}

    double energy_per_item_j() { return in(CostInput::energy_j) / in(CostInput::items); }

    // Seconds on the link between host and device: per tensor the latency, and bytes / rate.
    double host_s() {
        const double rate = in(CostInput::link_byte_per_s);
        const double latency_s = in(CostInput::link_latency_s);
        const double into_s =
            in(CostInput::input_tensors) * latency_s + in(CostInput::device_input_bytes) / rate;
        const double out_s =
            in(CostInput::output_tensors) * latency_s + in(CostInput::device_output_bytes) / rate;
        return into_s + out_s;
    }

    // Bytes that the whole batch receives over the network: what is given for an item, or its tensors.
    double request_bytes() {
        return in.where(
            Asks::known, CostInput::request_bytes_per_item,
            [this] { return in(CostInput::items) * in(CostInput::request_bytes_per_item); },
            [this] { return in(CostInput::input_bytes); });
    }

    // Bytes that the whole batch sends over the network.
    double response_bytes() {
        return in.where(
            Asks::known, CostInput::response_bytes_per_item,
            [this] { return in(CostInput::items) * in(CostInput::response_bytes_per_item); },
            [this] { return in(CostInput::output_bytes); });
    }

    // Seconds on the network: a round trip, and bytes / rate.
    double network_s() {
        return in.where(
            Asks::finite, CostInput::network_byte_per_s,
            [this] {
                const double rate = in(CostInput::network_byte_per_s);
                return in(CostInput::network_rtt_s) + (request_bytes() + response_bytes()) / rate;
            },
            [this] { return in(CostInput::network_rtt_s); });
    }

    // Seconds of a request beside the forward; NaN if the link is unknown.
    double transfer_s() { return host_s() + network_s(); }

    // Seconds for which paid copies occupy the device beyond the forward. Overlapped copies of the next batch
    // run during the forward, so that only a longer copy adds time.
    double waiting_s() {
        return in.where(
            Asks::nonzero, CostInput::transfer_is_paid,
            [this] {
                return in.where(
                    Asks::nonzero, CostInput::overlapped,
                    [this] {
                        const double excess_s = host_s() - in(CostInput::interval_s);
                        return (excess_s + std::abs(excess_s)) / 2;
                    },
                    [this] { return host_s(); });
            },
            [] { return 0.0; });
    }

    // USD for the response of one item to leave the cloud.
    double egress_usd() {
        return in.where(
            Asks::nonzero, CostInput::egress_usd_per_gb,
            [this] {
                return response_bytes() * in(CostInput::egress_usd_per_gb) / kGiga / in(CostInput::items);
            },
            [] { return 0.0; });
    }

    // Device seconds of one item: the forward, and copies that do not overlap it.
    double used_s() { return (in(CostInput::interval_s) + waiting_s()) * devices_per_item(); }

    // Paid device seconds of one item: also those of unused devices of instances.
    double paid_s() { return used_s() / in(CostInput::utilization) * in(CostInput::paid_per_used); }

    // USD per hour of all devices that are paid; NaN without a price.
    double usd_per_h() {
        return in(CostInput::devices) * in(CostInput::paid_per_used) * in(CostInput::usd_per_h);
    }

    // USD that an owner pays for the electricity of one item; 0 where the price includes it. Devices draw
    // their idle power in the paid time in which they do not compute.
    double electricity_usd() {
        return in.where(
            Asks::nonzero, CostInput::usd_per_j,
            [this] {
                const double idle_s = paid_s() - in(CostInput::interval_s) * devices_per_item();
                return (energy_per_item_j() + idle_s * in(CostInput::idle_w)) * in(CostInput::usd_per_j);
            },
            [] { return 0.0; });
    }

    // USD of one item; NaN without a price.
    double cost_usd() {
        const double device_usd = paid_s() * in(CostInput::usd_per_h) / kSecondsPerHour;
        return device_usd + electricity_usd() + egress_usd();
    }

    // Tokens that a forward reads or, with drafts in a decode step, yields; 0 for a model without tokens.
    double tokens_per_forward() { return in(CostInput::tokens) * tokens_per_step(); }

    // Tokens of a sequence that a decode step yields; 1 for other forwards.
    double tokens_per_step() {
        return 1 + in(CostInput::reads_cache) * (in(CostInput::draft_tokens_per_step) - 1);
    }

    // Tokens per second, over all sequences and instances.
    double tokens_per_s() {
        return tokens_per_forward() * in(CostInput::instances) / in(CostInput::interval_s);
    }

    // Tokens per second and sequence of the batch.
    double tokens_per_s_per_sequence() {
        return tokens_per_forward() / in(CostInput::items) / in(CostInput::latency_s);
    }

    double usd_per_million_tokens() {
        return kMillion * cost_usd() * in(CostInput::items) / tokens_per_forward();
    }

    // Grams of CO2 equivalent of one item, the data center included; NaN if the place is unknown.
    double carbon_g() {
        return energy_per_item_j() / kJoulesPerKwh * in(CostInput::pue) * in(CostInput::grid_g_per_kwh);
    }

    // Seconds until a replica is ready for its first forward: the sum of the parts of its cold start. NaN if
    // the link, or the warm-up of the engine, is unknown.
    double cold_start_s() {
        const double weights_s = in(CostInput::loaded_bytes) * in(CostInput::weights_s_per_byte);
        const double graphs_s = in.where(
            Asks::nonzero, CostInput::warmup_s_per_graph,
            [this] { return in(CostInput::recorded_graphs) * in(CostInput::warmup_s_per_graph); },
            [] { return 0.0; });
        return in(CostInput::before_weights_s) + weights_s + (in(CostInput::warmup_s) + graphs_s);
    }

    double figure(CostFigure which) {
#define INFERCOST_COST_CASE(name) \
    case CostFigure::name:        \
        return name();
        switch (which) { INFERCOST_COST_FIGURES(INFERCOST_COST_CASE) }
#undef INFERCOST_COST_CASE
        throw std::logic_error("a figure has no formula");
    }

  private:
    // Part of the devices that an item occupies: instances of a model share one.
    double devices_per_item() {
        return in(CostInput::devices) / (in(CostInput::items) * in(CostInput::instances));
    }

    Source& in;
};

using InputSet = std::bitset<kCostInputs>;

std::size_t place(CostInput input) {
    return static_cast<std::size_t>(input);
}

std::vector<CostInput> listed(const InputSet& set) {
    std::vector<CostInput> found;
    for (std::size_t i = 0; i < kCostInputs; ++i) {
        if (set[i]) found.push_back(static_cast<CostInput>(i));
    }
    return found;
}

// The numbers of one point.
struct Row {
    std::array<double, kCostInputs> values{};

    double operator()(CostInput input) const { return values[place(input)]; }

    template <class One, class Other>
    double where(Asks asks, CostInput input, One one, Other other) const {
        return holds(asks, values[place(input)]) ? one() : other();
    }
};

// Notes what is asked. Conditions that are not given may hold or not.
struct Notes {
    const CostColumns* conditions = nullptr;
    InputSet inputs;
    InputSet asked;

    double operator()(CostInput input) {
        inputs.set(place(input));
        return 1;
    }

    template <class One, class Other>
    double where(Asks asks, CostInput input, One one, Other other) {
        inputs.set(place(input));
        asked.set(place(input));
        bool some = true;
        bool others = true;
        if (conditions != nullptr && (*conditions)[place(input)]) {
            const std::span<const double> values = (*conditions)[place(input)]->values;
            const auto is = [asks](double value) { return holds(asks, value); };
            some = std::any_of(values.begin(), values.end(), is);
            others = !std::all_of(values.begin(), values.end(), is);
        }
        double value = 1;
        if (some) value = one();
        if (others) value = other();
        return value;
    }
};

std::size_t found(std::span<const std::string_view> names, std::string_view name, const char* what) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) {
        throw InputError("'" + std::string(name) + "' is not " + what);
    }
    return static_cast<std::size_t>(at - names.begin());
}

}  // namespace

std::span<const std::string_view> cost_input_names() {
    return kInputNames;
}
std::span<const std::string_view> cost_figure_names() {
    return kFigureNames;
}

CostInput cost_input(std::string_view name) {
    return static_cast<CostInput>(found(kInputNames, name, "a number that costs are derived from"));
}

CostFigure cost_figure(std::string_view name) {
    return static_cast<CostFigure>(found(kFigureNames, name, "a derived cost"));
}

std::vector<CostInput> cost_conditions(CostFigure figure) {
    Notes notes;
    Formulas<Notes>(notes).figure(figure);
    return listed(notes.asked);
}

std::vector<CostInput> cost_inputs(CostFigure figure, const CostColumns& conditions) {
    Notes notes;
    notes.conditions = &conditions;
    Formulas<Notes>(notes).figure(figure);
    return listed(notes.inputs);
}

void derive(CostFigure figure, const CostColumns& inputs, std::span<double> out) {
    Row row;
    std::vector<std::size_t> varied;
    for (const CostInput input : cost_inputs(figure, inputs)) {
        const std::optional<CostColumn>& column = inputs[place(input)];
        const std::string name(kInputNames[place(input)]);
        if (!column) throw InputError("the input " + name + " is missing");
        if (column->values.size() != 1 && column->values.size() != out.size()) {
            throw InputError("the input " + name + " has " + std::to_string(column->values.size()) +
                             " values, expected 1 or " + std::to_string(out.size()));
        }
        if (column->values.size() == 1) {
            row.values[place(input)] = column->values[0];
        } else {
            varied.push_back(place(input));
        }
    }
    Formulas<const Row> formulas(row);
    for (std::size_t i = 0; i < out.size(); ++i) {
        for (const std::size_t input : varied) row.values[input] = inputs[input]->values[i];
        out[i] = formulas.figure(figure);
    }
}

}  // namespace infercost

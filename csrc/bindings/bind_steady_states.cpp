// Steady states of servers: arrays in, arrays out.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

#include "bindings/fields.hpp"
#include "core/threads.hpp"
#include "simulate/steady_state.hpp"

namespace infercost {
namespace {

// Any strides: a value that is the same for many servers or loads is passed once.
using LoadColumn = py::array_t<double, py::array::forcecast>;

constexpr std::pair<const char*, double SteadyLoad::*> kLoadColumns[] = {
    {"prompt",        &SteadyLoad::prompt       },
    {"output",        &SteadyLoad::output       },
    {"prompt_square", &SteadyLoad::prompt_square},
    {"output_square", &SteadyLoad::output_square},
    {"prefix_hit",    &SteadyLoad::prefix_hit   },
    {"clients",       &SteadyLoad::clients      },
    {"rate_per_s",    &SteadyLoad::rate_per_s   },
    {"ttft_s",        &SteadyLoad::ttft_s       },
    {"tpot_s",        &SteadyLoad::tpot_s       },
};

constexpr std::pair<const char*, double SteadyState::*> kStateColumns[] = {
    {"ttft_s",                  &SteadyState::ttft_s                 },
    {"tpot_s",                  &SteadyState::tpot_s                 },
    {"e2e_s",                   &SteadyState::e2e_s                  },
    {"tokens_per_s",            &SteadyState::tokens_per_s           },
    {"tokens_per_s_per_device", &SteadyState::tokens_per_s_per_device},
    {"usd_per_million_tokens",  &SteadyState::usd_per_million_tokens },
    {"joules_per_token",        &SteadyState::joules_per_token       },
    {"max_concurrency",         &SteadyState::max_concurrency        },
    {"preempted_share",         &SteadyState::preempted_share        },
    {"slo_share",               &SteadyState::slo_share              },
    {"running",                 &SteadyState::running                },
    {"requests_per_s",          &SteadyState::requests_per_s         },
    {"utilization",             &SteadyState::utilization            },
    {"wait_s",                  &SteadyState::wait_s                 },
};
constexpr std::size_t kLoads = std::size(kLoadColumns);
constexpr std::size_t kStates = std::size(kStateColumns);

// A column of loads: one value for each pair of a server and a load, at strides that may be 0.
struct Source {
    const char* data;
    py::ssize_t by_server;
    py::ssize_t by_load;
    double at(py::ssize_t server, py::ssize_t load) const {
        return *reinterpret_cast<const double*>(data + server * by_server + load * by_load);
    }
};

void check_load(const SteadyLoad& load, py::ssize_t at) {
    const auto refuse = [at](const char* name, double value, const char* expected) {
        throw std::invalid_argument("load " + std::to_string(at) + ": " + name + " is " +
                                    std::to_string(value) + "; expected " + expected);
    };
    const auto is_length = [](double value) { return value >= 1 && value <= 1e9; };
    if (!is_length(load.prompt)) refuse("prompt", load.prompt, "1 to 1e9 tokens");
    if (!is_length(load.output)) refuse("output", load.output, "1 to 1e9 tokens");
    constexpr double kRounding = 1 - 1e-9;
    if (!(load.prompt_square >= load.prompt * load.prompt * kRounding) || !(load.prompt_square <= 1e18)) {
        refuse("prompt_square", load.prompt_square, "a mean of squares, at least the square of the mean");
    }
    if (!(load.output_square >= load.output * load.output * kRounding) || !(load.output_square <= 1e18)) {
        refuse("output_square", load.output_square, "a mean of squares, at least the square of the mean");
    }
    if (!(load.prefix_hit >= 0 && load.prefix_hit < 1)) refuse("prefix_hit", load.prefix_hit, "0 to below 1");
    const bool by_clients = !std::isnan(load.clients);
    if (by_clients == !std::isnan(load.rate_per_s)) {
        refuse("rate_per_s", load.rate_per_s, "a number, or clients, and not both");
    }
    const double asked = by_clients ? load.clients : load.rate_per_s;
    if (!(asked > 0) || !std::isfinite(asked)) {
        refuse(by_clients ? "clients" : "rate_per_s", asked, "a positive number");
    }
    if (!(load.ttft_s >= 0)) refuse("ttft_s", load.ttft_s, "seconds, or 0 for no limit");
    if (!(load.tpot_s >= 0)) refuse("tpot_s", load.tpot_s, "seconds, or 0 for no limit");
}

bool has_lengths_of(const SteadyLoad& a, const SteadyLoad& b) {
    return a.prompt == b.prompt && a.output == b.output && a.prompt_square == b.prompt_square &&
           a.output_square == b.output_square && a.prefix_hit == b.prefix_hit;
}

using Servers = std::vector<std::shared_ptr<SteadyServer>>;

void fill(const Servers& servers, py::ssize_t loads, const std::vector<Source>& given,
          const std::vector<double*>& found) {
    for (std::size_t s = 0; s < servers.size(); ++s) {
        check_interrupt();
        std::optional<SteadyStates> states;
        SteadyLoad last;
        for (py::ssize_t l = 0; l < loads; ++l) {
            constexpr py::ssize_t kBetweenAsking = 4096;
            if (l % kBetweenAsking == kBetweenAsking - 1) check_interrupt();
            SteadyLoad load;
            for (std::size_t i = 0; i < kLoads; ++i) {
                load.*kLoadColumns[i].second = given[i].at(static_cast<py::ssize_t>(s), l);
            }
            check_load(load, l);
            if (!states || !has_lengths_of(load, last)) states.emplace(*servers[s], load);
            last = load;
            const SteadyState state = states->under(load);
            const std::size_t at = s * static_cast<std::size_t>(loads) + static_cast<std::size_t>(l);
            for (std::size_t i = 0; i < kStates; ++i) found[i][at] = state.*kStateColumns[i].second;
        }
    }
}

py::dict steady_states(const Servers& servers, const py::dict& loads) {
    std::vector<LoadColumn> columns;
    py::ssize_t wide = -1;
    for (const auto& [name, member] : kLoadColumns) {
        if (!loads.contains(name)) {
            throw std::invalid_argument("loads have no column " + std::string(name));
        }
        columns.push_back(LoadColumn::ensure(loads[name]));
        const LoadColumn& column = columns.back();
        if (!column) {
            PyErr_Clear();
            throw InputTypeError("loads: " + std::string(name) + " is no array of numbers");
        }
        if (column.ndim() != 2 || column.shape(0) != static_cast<py::ssize_t>(servers.size()) ||
            (wide >= 0 && column.shape(1) != wide)) {
            throw std::invalid_argument(
                "loads: " + std::string(name) +
                " has another shape; expected (servers, loads), the same of all columns");
        }
        wide = column.shape(1);
    }
    for (const auto& server : servers) {
        if (!server) throw InputTypeError("a server is None; expected a SteadyServer");
    }
    std::vector<Source> given;
    for (const LoadColumn& column : columns) {
        given.push_back({reinterpret_cast<const char*>(column.data()), column.strides(0), column.strides(1)});
    }
    py::dict found;
    std::vector<double*> filled;
    for (const auto& [name, member] : kStateColumns) {
        py::array_t<double> made({static_cast<py::ssize_t>(servers.size()), wide});
        filled.push_back(made.mutable_data());
        found[name] = std::move(made);
    }
    const CoreCall core;
    fill(servers, wide, given, filled);
    return found;
}

constexpr Field kSteadySettings[] = {
    setting<&SteadySettings::costs>("costs"),
    optional_setting<&SteadySettings::tokens_each>("tokens_each"),
    optional_setting<&SteadySettings::yield>("yield_tokens"),
    optional_setting<&SteadySettings::most_sequences>("most_sequences"),
    setting<&SteadySettings::pool_tokens>("pool_tokens"),
    optional_setting<&SteadySettings::block_tokens>("block_tokens"),
    optional_setting<&SteadySettings::copies>("copies"),
    optional_setting<&SteadySettings::devices>("devices"),
    setting<&SteadySettings::usd_per_s>("usd_per_s"),
    optional_setting<&SteadySettings::fill>("fill"),
    optional_setting<&SteadySettings::mixes>("mixes"),
    optional_setting<&SteadySettings::chunks>("chunks"),
    optional_setting<&SteadySettings::budget>("budget"),
    optional_setting<&SteadySettings::reserves>("reserves"),
    optional_setting<&SteadySettings::lockstep>("lockstep"),
    optional_setting<&SteadySettings::knows_energy>("knows_energy"),
};

}  // namespace

void register_steady_states(py::module_& m) {
    py::class_<SteadyServer, std::shared_ptr<SteadyServer>> server(m, "SteadyServer",
                                                                   "A server for figures in closed form.");
    def_init<SteadySettings>(server, "SteadyServer", kSteadySettings, [](SteadySettings&& settings) {
        return std::make_shared<SteadyServer>(std::move(settings));
    });
    m.def("steady_states", &steady_states, py::arg("servers"), py::arg("loads"),
          "Figures of servers under loads, in closed form: columns of (servers, loads).");
    std::vector<std::string> names;
    for (const auto& [name, member] : kStateColumns) names.emplace_back(name);
    m.attr("STEADY_STATE_COLUMNS") = py::tuple(py::cast(names));
}

}  // namespace infercost

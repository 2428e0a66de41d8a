// Answers about servers under load: tables of an engine's steps and requests, as documents or made here,
// simulated at some rates.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

#include "deploy/deployed_graph.hpp"
#include "interface/fields.hpp"
#include "serving/server_defaults.hpp"
#include "simulate/drawn_requests.hpp"
#include "simulate/settings.hpp"

namespace infercost {

constexpr std::int64_t kMostServers = 65'535;

// A server without the costs of its steps, and how many of them serve.
struct ServingSettings {
    ServerSettings server;
    ClusterSettings cluster;
    std::int64_t servers = 1;
    double client_s = 0;  // from a client to the queue of the engine and back
    double usd_per_h = std::numeric_limits<double>::quiet_NaN();  // of all devices of all servers
};

// What tables are made for.
struct TabulateSettings {
    StepLimits limits;
    bool limits_sequences = false;  // they are not the engine's own
    double acceptance = 0.7;        // of drafts
    bool writes_tables = false;
};

std::shared_ptr<const StepCosts> step_costs_from_json(std::string_view text);
std::shared_ptr<const UnitRequests> requests_from_json(std::string_view text);
TabulateSettings tabulate_settings_in(const JsonEntry& limits, const JsonEntry& acceptance,
                                      const JsonEntry& tables);

// Tables of the steps of a model, of which `decode` and `prefill` are deployed alike. Writes what a server
// has: its settings, memory and error bands, and the tables if they are asked for.
std::shared_ptr<const StepCosts> write_tables(DeployedGraph& decode, DeployedGraph& prefill,
                                              const Hardware& machine, TabulateSettings settings,
                                              JsonWriter& out);

struct DrawSettings {
    RequestDraw draw;
    bool columns = false;  // the answer has the document of these requests
};
DrawSettings draw_settings_in(const JsonEntry& fields);
// The number of requests, their means and the longest; with `columns` their document.
void write_requests(JsonWriter& out, const UnitRequests& requests, bool columns = false);

ServingSettings serving_settings_in(const JsonEntry& server, const JsonEntry& cluster);

// Writes a list with the figures of each rate.
void write_served(const std::shared_ptr<const StepCosts>& costs, const UnitRequests& requests,
                  const ServingSettings& settings, const std::vector<double>& rates_per_s, JsonWriter& out);

}  // namespace infercost

// Answers about servers under load: tables of an engine's steps and requests as documents, simulated at some
// rates.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "interface/fields.hpp"
#include "simulate/settings.hpp"

namespace infercost {

// Requests at a rate of one per second.
struct UnitRequests {
    std::vector<double> arrival_s;
    std::vector<std::int32_t> prompt;
    std::vector<std::int32_t> output;
    std::vector<std::int64_t> prefix_from;
    std::vector<std::int64_t> prefix_ids;
    std::int64_t prefix_tokens = 0;
};

// A server without the costs of its steps, and how many of them serve.
struct ServingSettings {
    ServerSettings server;
    ClusterSettings cluster;
    std::int64_t servers = 1;
    double client_s = 0;  // from a client to the queue of the engine and back
};

std::shared_ptr<const StepCosts> step_costs_from_json(std::string_view text);
std::shared_ptr<const UnitRequests> requests_from_json(std::string_view text);
ServingSettings serving_settings_in(const JsonEntry& server, const JsonEntry& cluster);

// Writes a list with the figures of each rate.
void write_served(const std::shared_ptr<const StepCosts>& costs, const UnitRequests& requests,
                  const ServingSettings& settings, const std::vector<double>& rates_per_s, JsonWriter& out);

}  // namespace infercost

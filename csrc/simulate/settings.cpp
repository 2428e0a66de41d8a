#include "simulate/settings.hpp"

#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

namespace infercost {
namespace {

// Sizes beyond these are mistakes; products of them fit 64 bits.
constexpr std::int64_t kMostServerTokens = std::int64_t{1} << 31;
constexpr std::int64_t kMostBlocks = std::int64_t{1} << 31;
constexpr std::int64_t kMostSequences = 1 << 20;
constexpr std::int64_t kMostDrafts = 64;
constexpr std::size_t kMostServers = 4096;

[[noreturn]] void refuse(const std::string& problem) {
    throw std::invalid_argument("simulation: " + problem);
}

void check_whole(std::int64_t value, const char* name, std::int64_t least, std::int64_t most) {
    if (value < least || value > most) {
        refuse(std::string(name) + " is " + std::to_string(value) + "; expected a whole number from " +
               std::to_string(least) + " to " + std::to_string(most));
    }
}

void check_number(double value, const char* name, bool may_be_infinite = false) {
    if (!(value >= 0) || (!may_be_infinite && !std::isfinite(value))) {
        refuse(std::string(name) + " is " + std::to_string(value) + "; expected a number of at least 0");
    }
}

void check_share(double value, const char* name) {
    if (!(value >= 0 && value <= 1)) {
        refuse(std::string(name) + " is " + std::to_string(value) + "; expected a number from 0 to 1");
    }
}

constexpr std::array<std::pair<std::string_view, SchedulerEngine>, 3> kEngines = {
    {{"vllm", SchedulerEngine::vllm},
     {"sglang", SchedulerEngine::sglang},
     {"trtllm", SchedulerEngine::trtllm}}
};
constexpr std::array<std::pair<std::string_view, RoutingRule>, 3> kRoutings = {
    {{"round_robin", RoutingRule::round_robin},
     {"least_loaded", RoutingRule::least_loaded},
     {"prefix_aware", RoutingRule::prefix_aware}}
};

template <class Kind, std::size_t N>
Kind parse(std::string_view name, const std::array<std::pair<std::string_view, Kind>, N>& names,
           const char* what) {
    std::string known;
    for (const auto& [each, kind] : names) {
        if (each == name) return kind;
        known += (known.empty() ? "" : ", ") + std::string(each);
    }
    refuse(std::string(what) + " is \"" + std::string(name.substr(0, 40)) + "\"; expected one of " + known);
}

}  // namespace

std::string_view name_of(SchedulerEngine engine) {
    return kEngines[static_cast<std::size_t>(engine)].first;
}

SchedulerEngine parse_serving_engine(std::string_view name) {
    return parse(name, kEngines, "engine");
}

std::string_view name_of(RoutingRule routing) {
    return kRoutings[static_cast<std::size_t>(routing)].first;
}

RoutingRule parse_routing(std::string_view name) {
    return parse(name, kRoutings, "routing");
}

void check(const ServerSettings& s) {
    if (!s.costs) refuse("a server has no costs of steps; expected a StepCosts");
    check_whole(s.max_sequences, "max_sequences", 1, kMostSequences);
    check_whole(s.max_tokens, "max_tokens", 1, kMostServerTokens);
    check_whole(s.chunk_tokens, "chunk_tokens", 0, kMostServerTokens);
    check_whole(s.block_tokens, "block_tokens", 1, 1 << 16);
    check_whole(s.blocks, "blocks", s.engine == SchedulerEngine::vllm ? 2 : 1, kMostBlocks);
    check_whole(s.max_model_tokens, "max_model_tokens", 0, kMostServerTokens);
    check_whole(s.recv_interval, "recv_interval", 1, kMostServerTokens);
    check_whole(s.drafts, "drafts", 0, kMostDrafts);
    check_whole(s.stream_interval, "stream_interval", 1, kMostServerTokens);
    if (!(s.prefill_fill >= 1) || !(s.prefill_fill <= 1e6)) {
        refuse("prefill_fill is " + std::to_string(s.prefill_fill) + "; expected 1 to 1e6");
    }
    check_share(s.watermark, "watermark");
    check_share(s.reserve.initial, "the initial share of the output reserve");
    check_share(s.reserve.least_share, "the least share of the output reserve");
    check_whole(s.reserve.decay_steps, "decay_steps of the output reserve", 1, kMostServerTokens);
    check_whole(s.reserve.most_tokens, "most_tokens of the output reserve", 0, kMostServerTokens);
    check_whole(s.reserve.retract_steps, "retract_steps of the output reserve", 0, kMostServerTokens);
    if (s.acceptance.size() != static_cast<std::size_t>(s.drafts)) {
        refuse("acceptance has " + std::to_string(s.acceptance.size()) + " values; expected " +
               std::to_string(s.drafts) + ", one for each draft");
    }
    for (const double each : s.acceptance) check_share(each, "acceptance");
    const std::int64_t decoding = s.max_sequences * s.tokens_each();
    if (s.engine != SchedulerEngine::sglang && s.max_tokens < decoding) {
        refuse("max_tokens is " + std::to_string(s.max_tokens) + ", but " + std::to_string(s.max_sequences) +
               " decoding sequences need " + std::to_string(decoding) +
               " in a step; raise max_tokens or lower max_sequences");
    }
    if (s.engine == SchedulerEngine::vllm && !s.chunked_prefill &&
        (s.max_model_tokens == 0 || s.max_model_tokens > s.max_tokens)) {
        refuse("without chunked prefill max_tokens (" + std::to_string(s.max_tokens) +
               ") must be at least max_model_tokens (" + std::to_string(s.max_model_tokens) +
               "), as vLLM demands; set both, or chunked_prefill");
    }
    if (s.engine == SchedulerEngine::sglang && s.chunk_tokens > 0) {
        if (s.chunk_tokens < s.block_tokens) {
            refuse("chunk_tokens is " + std::to_string(s.chunk_tokens) + "; expected at least a page of " +
                   std::to_string(s.block_tokens) + " tokens, or 0 for whole prompts");
        }
        if (s.mixed_chunks && s.chunk_tokens <= s.max_sequences) {
            refuse("chunk_tokens is " + std::to_string(s.chunk_tokens) +
                   "; with mixed chunks expected more than max_sequences, " +
                   std::to_string(s.max_sequences));
        }
    }
    if (s.engine == SchedulerEngine::trtllm && s.chunk_tokens > s.max_tokens) {
        refuse("chunk_tokens is " + std::to_string(s.chunk_tokens) + "; expected at most max_tokens, " +
               std::to_string(s.max_tokens));
    }
}

void check(const ClusterSettings& s) {
    if (s.servers.empty() || s.servers.size() > kMostServers) {
        refuse("there are " + std::to_string(s.servers.size()) + " servers; expected 1 to " +
               std::to_string(kMostServers));
    }
    for (const ServerSettings& server : s.servers) check(server);
    const auto servers = static_cast<std::int64_t>(s.servers.size());
    check_whole(s.transfer.prefill_servers, "prefill_servers", 0, servers - 1);
    check_whole(s.lockstep, "lockstep", 1, servers);
    if (servers % s.lockstep != 0 || s.transfer.prefill_servers % s.lockstep != 0) {
        refuse("lockstep is " + std::to_string(s.lockstep) + ", of " + std::to_string(servers) +
               " servers and " + std::to_string(s.transfer.prefill_servers) +
               " for prompts; expected a divisor of both");
    }
    for (const ServerSettings& server : s.servers) {
        if (s.lockstep > 1 && server.jumps) {
            refuse("jumps are on, and servers in lockstep wait for each other in each step; turn them off");
        }
    }
    check_number(s.transfer.bytes_per_token, "bytes_per_token");
    check_number(s.transfer.handshake_s, "handshake_s");
    check_number(s.transfer.byte_per_s, "byte_per_s");
    if (s.transfer.prefill_servers > 0 && s.transfer.bytes_per_token > 0 && !(s.transfer.byte_per_s > 0)) {
        refuse("byte_per_s is 0; expected the rate at which a server for prompts sends caches");
    }
    check_share(s.router.match_share, "match_share");
    check_whole(s.router.most_difference, "most_difference", 0, kMostServerTokens);
    check_number(s.router.most_ratio, "most_ratio");
    check_whole(s.client.max_concurrency, "max_concurrency", 0, kMostServerTokens);
    check_number(s.client.think_s, "think_s");
    check_number(s.client.poll_s, "poll_s");
    check_number(s.client.timeout_s, "timeout_s", true);
    check_number(s.client.queue_timeout_s, "queue_timeout_s", true);
    check_whole(s.samples, "samples", 1, 1 << 20);
}

}  // namespace infercost

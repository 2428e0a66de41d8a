#include "interface/serving.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "simulate/latencies.hpp"
#include "simulate/simulate.hpp"

namespace infercost {
namespace {

constexpr std::int64_t kMostServers = 65'535;

// ---- documents ----

constexpr std::array kCurveFields = {
    Field<Curve>{"knots",   &read_member<&Curve::knots,   Curve>},
    Field<Curve>{"seconds", &read_member<&Curve::seconds, Curve>},
    Field<Curve>{"joules",  &read_member<&Curve::joules,  Curve>}
};
constexpr std::array kSurfaceFields = {
    Field<Surface>{"rows",    &read_member<&Surface::rows,    Surface>},
    Field<Surface>{"columns", &read_member<&Surface::columns, Surface>},
    Field<Surface>{"seconds", &read_member<&Surface::seconds, Surface>},
    Field<Surface>{"joules",  &read_member<&Surface::joules,  Surface>}
};

template <Curve StepTables::* Member>
void read_curve(StepTables& tables, const JsonEntry& entry, const JsonPlace&) {
    read_fields(tables.*Member, entry, "a curve", kCurveFields);
}
template <Surface StepTables::* Member>
void read_surface(StepTables& tables, const JsonEntry& entry, const JsonPlace&) {
    read_fields(tables.*Member, entry, "a surface", kSurfaceFields);
}

constexpr std::array kTableFields = {
    Field<StepTables>{"tokens", &read_curve<&StepTables::tokens>},
    Field<StepTables>{"graphs", &read_curve<&StepTables::graphs>},
    Field<StepTables>{"outputs", &read_curve<&StepTables::outputs>},
    Field<StepTables>{"drafts", &read_curve<&StepTables::drafts>},
    Field<StepTables>{"decode_attention", &read_surface<&StepTables::decode_attention>},
    Field<StepTables>{"prefill_attention", &read_surface<&StepTables::prefill_attention>},
    Field<StepTables>{"host_step_s", &read_member<&StepTables::host_step_s, StepTables>},
    Field<StepTables>{"host_sequence_s", &read_member<&StepTables::host_sequence_s, StepTables>},
    Field<StepTables>{"host_prefill_s", &read_member<&StepTables::host_prefill_s, StepTables>},
    Field<StepTables>{"overlaps_host", &read_member<&StepTables::overlaps_host, StepTables>},
    Field<StepTables>{"idle_w", &read_member<&StepTables::idle_w, StepTables>}
};

constexpr std::array kRequestFields = {
    Field<UnitRequests>{"arrival_s",     &read_member<&UnitRequests::arrival_s,     UnitRequests>},
    Field<UnitRequests>{"prompt",        &read_member<&UnitRequests::prompt,        UnitRequests>},
    Field<UnitRequests>{"output",        &read_member<&UnitRequests::output,        UnitRequests>},
    Field<UnitRequests>{"prefix_from",   &read_member<&UnitRequests::prefix_from,   UnitRequests>},
    Field<UnitRequests>{"prefix_ids",    &read_member<&UnitRequests::prefix_ids,    UnitRequests>},
    Field<UnitRequests>{"prefix_tokens", &read_member<&UnitRequests::prefix_tokens, UnitRequests>}
};

// ---- settings ----

template <auto Part, auto Member>
void read_part(ServingSettings& settings, const JsonEntry& entry, const JsonPlace& place) {
    read_value(settings.*Part.*Member, entry, place);
}
template <auto Member>
constexpr auto of_server = &read_part<&ServingSettings::server, Member>;
template <auto Member>
constexpr auto of_cluster = &read_part<&ServingSettings::cluster, Member>;

template <auto Member>
void read_reserve(ServingSettings& settings, const JsonEntry& entry, const JsonPlace& place) {
    read_value(settings.server.reserve.*Member, entry, place);
}
template <auto Member>
void read_router(ServingSettings& settings, const JsonEntry& entry, const JsonPlace& place) {
    read_value(settings.cluster.router.*Member, entry, place);
}
template <auto Member>
void read_client(ServingSettings& settings, const JsonEntry& entry, const JsonPlace& place) {
    read_value(settings.cluster.client.*Member, entry, place);
}
void read_engine(ServingSettings& settings, const JsonEntry& entry, const JsonPlace& place) {
    settings.server.engine = parse_serving_engine(entry.text(place));
}
void read_routing(ServingSettings& settings, const JsonEntry& entry, const JsonPlace& place) {
    settings.cluster.router.routing = parse_routing(entry.text(place));
}
void read_seed(ServingSettings& settings, const JsonEntry& entry, const JsonPlace& place) {
    settings.cluster.seed = static_cast<std::uint64_t>(entry.integer(place));
}

using S = ServerSettings;
using C = ClusterSettings;
constexpr std::array kServerFields = {
    Field<ServingSettings>{"engine",               &read_engine                                },
    Field<ServingSettings>{"blocks",               of_server<&S::blocks>                       },
    Field<ServingSettings>{"block_tokens",         of_server<&S::block_tokens>                 },
    Field<ServingSettings>{"max_sequences",        of_server<&S::max_sequences>                },
    Field<ServingSettings>{"max_tokens",           of_server<&S::max_tokens>                   },
    Field<ServingSettings>{"chunk_tokens",         of_server<&S::chunk_tokens>                 },
    Field<ServingSettings>{"chunked_prefill",      of_server<&S::chunked_prefill>              },
    Field<ServingSettings>{"max_model_tokens",     of_server<&S::max_model_tokens>             },
    Field<ServingSettings>{"watermark",            of_server<&S::watermark>                    },
    Field<ServingSettings>{"reserve_prompt",       of_server<&S::reserve_prompt>               },
    Field<ServingSettings>{"prefix_cache",         of_server<&S::prefix_cache>                 },
    Field<ServingSettings>{"mixed_chunks",         of_server<&S::mixed_chunks>                 },
    Field<ServingSettings>{"evicts",               of_server<&S::evicts>                       },
    Field<ServingSettings>{"equal_progress",       of_server<&S::equal_progress>               },
    Field<ServingSettings>{"recv_interval",        of_server<&S::recv_interval>                },
    Field<ServingSettings>{"drafts",               of_server<&S::drafts>                       },
    Field<ServingSettings>{"acceptance",           of_server<&S::acceptance>                   },
    Field<ServingSettings>{"stream_interval",      of_server<&S::stream_interval>              },
    Field<ServingSettings>{"first_token_buffered", of_server<&S::first_token_buffered>         },
    Field<ServingSettings>{"prefill_fill",         of_server<&S::prefill_fill>                 },
    Field<ServingSettings>{"fixed_lengths",        &read_reserve<&OutputReserve::fixed_lengths>},
    Field<ServingSettings>{"reserve_share",        &read_reserve<&OutputReserve::initial>      },
    Field<ServingSettings>{"least_reserve_share",  &read_reserve<&OutputReserve::least_share>  },
    Field<ServingSettings>{"reserve_decay_steps",  &read_reserve<&OutputReserve::decay_steps>  },
    Field<ServingSettings>{"most_reserved",        &read_reserve<&OutputReserve::most_tokens>  },
    Field<ServingSettings>{"retract_steps",        &read_reserve<&OutputReserve::retract_steps>}
};
constexpr std::array kClusterFields = {
    Field<ServingSettings>{"servers", &read_member<&ServingSettings::servers, ServingSettings>},
    Field<ServingSettings>{"client_s", &read_member<&ServingSettings::client_s, ServingSettings>},
    Field<ServingSettings>{"routing", &read_routing},
    Field<ServingSettings>{"match_share", &read_router<&RouterSettings::match_share>},
    Field<ServingSettings>{"most_difference", &read_router<&RouterSettings::most_difference>},
    Field<ServingSettings>{"most_ratio", &read_router<&RouterSettings::most_ratio>},
    Field<ServingSettings>{"max_concurrency", &read_client<&ClientSettings::max_concurrency>},
    Field<ServingSettings>{"think_s", &read_client<&ClientSettings::think_s>},
    Field<ServingSettings>{"lockstep", of_cluster<&C::lockstep>},
    Field<ServingSettings>{"samples", of_cluster<&C::samples>},
    Field<ServingSettings>{"seed", &read_seed}
};

// ---- runs ----

class OneRate final : public RequestSource {
  public:
    OneRate(const UnitRequests& requests, double rate_per_s) : requests_(requests) {
        arrival_s_.reserve(requests.arrival_s.size());
        for (const double unit : requests.arrival_s) arrival_s_.push_back(unit / rate_per_s);
    }
    std::size_t most() const override { return arrival_s_.size(); }
    RequestColumns next() override {
        if (std::exchange(given_, true)) return {};
        return {arrival_s_,
                requests_.prompt,
                requests_.output,
                {},
                requests_.prefix_from,
                requests_.prefix_ids,
                requests_.prefix_tokens,
                {}};
    }

  private:
    const UnitRequests& requests_;
    std::vector<double> arrival_s_;
    bool given_ = false;
};

struct Latencies {
    std::vector<double> ttft_s, tpot_s, e2e_s, queue_s;
};

Latencies latencies_of(const RequestResults& found, const UnitRequests& requests,
                       const ServingSettings& settings) {
    Latencies made;
    for (std::size_t i = 0; i < found.outcome.size(); ++i) {
        if (found.outcome[i] != Outcome::finished && found.outcome[i] != Outcome::truncated) continue;
        std::int64_t tokens = requests.output[i];
        if (const std::int64_t longest = settings.server.max_model_tokens; longest > 0) {
            tokens = std::min<std::int64_t>(tokens, longest - requests.prompt[i]);
        }
        made.ttft_s.push_back(found.first_token_s[i] - found.queued_s[i] + settings.client_s);
        made.e2e_s.push_back(found.finish_s[i] - found.queued_s[i] + settings.client_s);
        made.queue_s.push_back(found.scheduled_s[i] - found.queued_s[i]);
        if (tokens < 2) continue;  // no token follows the first one
        made.tpot_s.push_back((found.finish_s[i] - found.first_token_s[i]) / static_cast<double>(tokens - 1));
    }
    return made;
}

void write_distribution(JsonWriter& out, std::string_view key, std::vector<double> values) {
    const Distribution found = distribution(std::move(values));
    out.key(key).begin_object();
    write_number(out.key("mean"), found.mean);
    write_number(out.key("p50"), found.p50);
    write_number(out.key("p90"), found.p90);
    write_number(out.key("p99"), found.p99);
    out.end_object();
}

void write_timeline(JsonWriter& out, const Timeline& timeline, std::size_t servers, std::int64_t blocks) {
    std::vector<double> running, waiting, use;
    for (std::size_t at = 0; at + servers <= timeline.running.size(); at += servers) {
        std::int64_t runs = 0;
        std::int64_t waits = 0;
        std::int64_t held = 0;
        for (std::size_t i = at; i < at + servers; ++i) {
            runs += timeline.running[i];
            waits += timeline.waiting[i];
            held += timeline.blocks[i];
        }
        running.push_back(static_cast<double>(runs));
        waiting.push_back(static_cast<double>(waits));
        use.push_back(static_cast<double>(held) / static_cast<double>(servers) / static_cast<double>(blocks));
    }
    out.key("timeline").begin_object().key("interval_s").number(timeline.interval_s);
    write_numbers(out, "running", running);
    write_numbers(out, "waiting", waiting);
    write_numbers(out, "kv_use", use);
    out.end_object();
}

void write_result(JsonWriter& out, const SimulationResult& result, const UnitRequests& requests,
                  const ServingSettings& settings, double rate_per_s) {
    std::array<std::int64_t, kOutcomes> outcomes{};
    for (const Outcome outcome : result.requests.outcome) ++outcomes[static_cast<std::size_t>(outcome)];
    ServerTotals all;
    for (const ServerTotals& server : result.servers) {
        all.busy_s += server.busy_s;
        all.joules += server.joules;
        all.steps += server.steps;
        all.prefill_steps += server.prefill_steps;
        all.preemptions += server.preemptions;
        all.prompt_tokens += server.prompt_tokens;
        all.cached_tokens += server.cached_tokens;
        all.generated_tokens += server.generated_tokens;
        all.most_blocks = std::max(all.most_blocks, server.most_blocks);
    }
    const double end_s = result.end_s;
    const auto per_s = [&](double amount) { return end_s > 0 ? amount / end_s : 0.0; };
    const auto servers = static_cast<double>(settings.servers);
    const std::int64_t done = outcomes[static_cast<std::size_t>(Outcome::finished)] +
                              outcomes[static_cast<std::size_t>(Outcome::truncated)];
    out.begin_object().key("rate_per_s").number(rate_per_s);
    out.key("requests").integer(static_cast<std::int64_t>(requests.arrival_s.size()));
    out.key("finished").integer(done).key("outcomes").begin_object();
    for (int i = 0; i < kOutcomes; ++i) {
        out.key(outcome_name(static_cast<Outcome>(i))).integer(outcomes[static_cast<std::size_t>(i)]);
    }
    out.end_object().key("duration_s").number(end_s);
    Latencies latencies = latencies_of(result.requests, requests, settings);
    out.key("latencies").begin_object();
    write_distribution(out, "ttft_s", std::move(latencies.ttft_s));
    write_distribution(out, "tpot_s", std::move(latencies.tpot_s));
    write_distribution(out, "e2e_s", std::move(latencies.e2e_s));
    write_distribution(out, "queue_s", std::move(latencies.queue_s));
    out.end_object();
    out.key("requests_per_s").number(per_s(static_cast<double>(done)));
    out.key("tokens_per_s").number(per_s(static_cast<double>(all.generated_tokens)));
    out.key("prompt_tokens_per_s").number(per_s(static_cast<double>(all.prompt_tokens)));
    out.key("utilization").number(end_s > 0 ? all.busy_s / (end_s * servers) : 0.0);
    out.key("busy_s").number(all.busy_s).key("energy_j").number(all.joules);
    out.key("steps").integer(all.steps).key("prefill_steps").integer(all.prefill_steps);
    out.key("preemptions").integer(all.preemptions).key("prompt_tokens").integer(all.prompt_tokens);
    out.key("cached_tokens").integer(all.cached_tokens);
    out.key("generated_tokens").integer(all.generated_tokens).key("most_blocks").integer(all.most_blocks);
    write_timeline(out, result.timeline, result.servers.size(), settings.server.blocks);
    out.end_object();
}

}  // namespace

std::shared_ptr<const StepCosts> step_costs_from_json(std::string_view text) {
    const JsonDocument document(text, "steps JSON");
    StepTables tables;
    read_fields(tables, document.root(), "the document", kTableFields);
    return std::make_shared<const StepCosts>(std::move(tables));
}

std::shared_ptr<const UnitRequests> requests_from_json(std::string_view text) {
    const JsonDocument document(text, "requests JSON");
    auto requests = std::make_shared<UnitRequests>();
    read_fields(*requests, document.root(), "the document", kRequestFields);
    const std::size_t count = requests->arrival_s.size();
    if (count == 0 || requests->prompt.size() != count || requests->output.size() != count) {
        throw std::invalid_argument("requests JSON has " + std::to_string(count) + " arrival_s, " +
                                    std::to_string(requests->prompt.size()) + " prompt and " +
                                    std::to_string(requests->output.size()) +
                                    " output; expected as many of each, and at least one");
    }
    return requests;
}

ServingSettings serving_settings_in(const JsonEntry& server, const JsonEntry& cluster) {
    ServingSettings settings;
    settings.cluster.samples = 256;
    read_fields(settings, server, "server", kServerFields);
    read_fields(settings, cluster, "cluster", kClusterFields);
    if (settings.servers < 1 || settings.servers > kMostServers) {
        throw std::invalid_argument("servers is " + std::to_string(settings.servers) + "; expected 1 to " +
                                    std::to_string(kMostServers));
    }
    return settings;
}

void write_served(const std::shared_ptr<const StepCosts>& costs, const UnitRequests& requests,
                  const ServingSettings& settings, const std::vector<double>& rates_per_s, JsonWriter& out) {
    for (const double rate : rates_per_s) {
        if (!(rate > 0) || !std::isfinite(rate)) {
            throw std::invalid_argument(
                "rates_per_s has a rate that is no number above 0; pass requests per "
                "second");
        }
    }
    ClusterSettings cluster = settings.cluster;
    ServerSettings server = settings.server;
    server.costs = costs;
    if (cluster.lockstep > 1) server.jumps = false;
    check(server);
    cluster.servers.assign(static_cast<std::size_t>(settings.servers), server);
    check(cluster);
    out.begin_list();
    for (const double rate : rates_per_s) {
        OneRate source(requests, rate);
        write_result(out, simulate(cluster, source), requests, settings, rate);
    }
    out.end_list();
}

}  // namespace infercost

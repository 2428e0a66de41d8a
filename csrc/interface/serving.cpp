#include "interface/serving.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "deploy/served_graphs.hpp"
#include "deploy/server_figures.hpp"
#include "interface/estimates.hpp"
#include "lowering/engines/engine_memory.hpp"
#include "lowering/engines/engine_scheduler.hpp"
#include "serving/knots.hpp"
#include "simulate/simulate.hpp"

namespace infercost {
namespace {

// ---- documents ----

constexpr std::array kCurveFields = {
    JsonField<Curve>{"knots",   &read_member<&Curve::knots,   Curve>},
    JsonField<Curve>{"seconds", &read_member<&Curve::seconds, Curve>},
    JsonField<Curve>{"joules",  &read_member<&Curve::joules,  Curve>}
};
constexpr std::array kSurfaceFields = {
    JsonField<Surface>{"rows",    &read_member<&Surface::rows,    Surface>},
    JsonField<Surface>{"columns", &read_member<&Surface::columns, Surface>},
    JsonField<Surface>{"seconds", &read_member<&Surface::seconds, Surface>},
    JsonField<Surface>{"joules",  &read_member<&Surface::joules,  Surface>}
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
    JsonField<StepTables>{"tokens", &read_curve<&StepTables::tokens>},
    JsonField<StepTables>{"graphs", &read_curve<&StepTables::graphs>},
    JsonField<StepTables>{"outputs", &read_curve<&StepTables::outputs>},
    JsonField<StepTables>{"drafts", &read_curve<&StepTables::drafts>},
    JsonField<StepTables>{"decode_attention", &read_surface<&StepTables::decode_attention>},
    JsonField<StepTables>{"prefill_attention", &read_surface<&StepTables::prefill_attention>},
    JsonField<StepTables>{"host_step_s", &read_member<&StepTables::host_step_s, StepTables>},
    JsonField<StepTables>{"host_sequence_s", &read_member<&StepTables::host_sequence_s, StepTables>},
    JsonField<StepTables>{"host_prefill_s", &read_member<&StepTables::host_prefill_s, StepTables>},
    JsonField<StepTables>{"overlaps_host", &read_member<&StepTables::overlaps_host, StepTables>},
    JsonField<StepTables>{"idle_w", &read_member<&StepTables::idle_w, StepTables>}
};

constexpr std::array kRequestFields = {
    JsonField<UnitRequests>{"arrival_s",     &read_member<&UnitRequests::arrival_s,     UnitRequests>},
    JsonField<UnitRequests>{"prompt",        &read_member<&UnitRequests::prompt,        UnitRequests>},
    JsonField<UnitRequests>{"output",        &read_member<&UnitRequests::output,        UnitRequests>},
    JsonField<UnitRequests>{"prefix_from",   &read_member<&UnitRequests::prefix_from,   UnitRequests>},
    JsonField<UnitRequests>{"prefix_ids",    &read_member<&UnitRequests::prefix_ids,    UnitRequests>},
    JsonField<UnitRequests>{"prefix_tokens", &read_member<&UnitRequests::prefix_tokens, UnitRequests>}
};

// ---- tables ----

template <auto Member>
constexpr auto of_limits = &read_member<Member, StepLimits>;
constexpr std::array kLimitFields = {
    JsonField<StepLimits>{"context",        of_limits<&StepLimits::context>     },
    JsonField<StepLimits>{"most_sequences", of_limits<&StepLimits::sequences>   },
    JsonField<StepLimits>{"most_tokens",    of_limits<&StepLimits::tokens>      },
    JsonField<StepLimits>{"most_context",   of_limits<&StepLimits::most_context>},
    JsonField<StepLimits>{"tolerance",      of_limits<&StepLimits::tolerance>   }
};

void write_curve(JsonWriter& out, std::string_view key, const Curve& curve) {
    out.key(key).begin_object();
    write_numbers(out, "knots", curve.knots);
    write_numbers(out, "seconds", curve.seconds);
    write_numbers(out, "joules", curve.joules);
    out.end_object();
}

void write_surface(JsonWriter& out, std::string_view key, const Surface& surface) {
    out.key(key).begin_object();
    write_numbers(out, "rows", surface.rows);
    write_numbers(out, "columns", surface.columns);
    write_numbers(out, "seconds", surface.seconds);
    write_numbers(out, "joules", surface.joules);
    out.end_object();
}

// The document of `steps`.
void write_tables(JsonWriter& out, const StepTables& tables) {
    out.key("tables").begin_object();
    write_curve(out, "tokens", tables.tokens);
    write_curve(out, "graphs", tables.graphs);
    write_curve(out, "outputs", tables.outputs);
    write_curve(out, "drafts", tables.drafts);
    write_surface(out, "decode_attention", tables.decode_attention);
    write_surface(out, "prefill_attention", tables.prefill_attention);
    out.key("host_step_s").number(tables.host_step_s);
    out.key("host_sequence_s").number(tables.host_sequence_s);
    out.key("host_prefill_s").number(tables.host_prefill_s);
    out.key("overlaps_host").boolean(tables.overlaps_host);
    out.key("idle_w").number(tables.idle_w).end_object();
}

// What `serve` takes as its server.
void write_server(JsonWriter& out, const ServerSettings& server) {
    out.key("server").begin_object().key("engine").text(name_of(server.engine));
    if (server.blocks > 0) out.key("blocks").integer(server.blocks);
    out.key("block_tokens").integer(server.block_tokens);
    out.key("max_sequences").integer(server.max_sequences);
    out.key("max_tokens").integer(server.max_tokens);
    out.key("chunk_tokens").integer(server.chunk_tokens);
    out.key("chunked_prefill").boolean(server.chunked_prefill);
    out.key("drafts").integer(server.drafts);
    write_numbers(out, "acceptance", server.acceptance);
    out.key("prefill_fill").number(server.prefill_fill).end_object();
}

// ---- drawn requests ----

template <auto Part, auto Member>
void read_lengths(DrawSettings& settings, const JsonEntry& entry, const JsonPlace& place) {
    read_value(settings.draw.*Part.*Member, entry, place);
}
template <auto Member>
void read_draw(DrawSettings& settings, const JsonEntry& entry, const JsonPlace& place) {
    read_value(settings.draw.*Member, entry, place);
}
void read_arrivals(DrawSettings& settings, const JsonEntry& entry, const JsonPlace& place) {
    settings.draw.arrivals = parse_drawn_arrivals(entry.text(place));
}
void read_draw_seed(DrawSettings& settings, const JsonEntry& entry, const JsonPlace& place) {
    settings.draw.seed = static_cast<std::uint64_t>(entry.integer(place));
}
using D = DrawSettings;
using R = RequestDraw;
using L = DrawnLengths;
constexpr std::array kDrawFields = {
    JsonField<D>{"requests", &read_draw<&R::requests>},
    JsonField<D>{"arrivals", &read_arrivals},
    JsonField<D>{"prompt", &read_lengths<&R::prompt, &L::mean>},
    JsonField<D>{"prompt_variation", &read_lengths<&R::prompt, &L::variation>},
    JsonField<D>{"output", &read_lengths<&R::output, &L::mean>},
    JsonField<D>{"output_variation", &read_lengths<&R::output, &L::variation>},
    JsonField<D>{"longest", &read_draw<&R::longest>},
    JsonField<D>{"seed", &read_draw_seed},
    JsonField<D>{"columns", &read_member<&D::columns, D>}
};

std::int64_t longest_of(const UnitRequests& requests) {
    std::int64_t longest = 0;
    for (std::size_t i = 0; i < requests.prompt.size(); ++i) {
        longest = std::max(longest, std::int64_t{requests.prompt[i]} + requests.output[i]);
    }
    return longest;
}

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
    JsonField<ServingSettings>{"engine",               &read_engine                                },
    JsonField<ServingSettings>{"blocks",               of_server<&S::blocks>                       },
    JsonField<ServingSettings>{"block_tokens",         of_server<&S::block_tokens>                 },
    JsonField<ServingSettings>{"max_sequences",        of_server<&S::max_sequences>                },
    JsonField<ServingSettings>{"max_tokens",           of_server<&S::max_tokens>                   },
    JsonField<ServingSettings>{"chunk_tokens",         of_server<&S::chunk_tokens>                 },
    JsonField<ServingSettings>{"chunked_prefill",      of_server<&S::chunked_prefill>              },
    JsonField<ServingSettings>{"max_model_tokens",     of_server<&S::max_model_tokens>             },
    JsonField<ServingSettings>{"watermark",            of_server<&S::watermark>                    },
    JsonField<ServingSettings>{"reserve_prompt",       of_server<&S::reserve_prompt>               },
    JsonField<ServingSettings>{"prefix_cache",         of_server<&S::prefix_cache>                 },
    JsonField<ServingSettings>{"mixed_chunks",         of_server<&S::mixed_chunks>                 },
    JsonField<ServingSettings>{"evicts",               of_server<&S::evicts>                       },
    JsonField<ServingSettings>{"equal_progress",       of_server<&S::equal_progress>               },
    JsonField<ServingSettings>{"recv_interval",        of_server<&S::recv_interval>                },
    JsonField<ServingSettings>{"drafts",               of_server<&S::drafts>                       },
    JsonField<ServingSettings>{"acceptance",           of_server<&S::acceptance>                   },
    JsonField<ServingSettings>{"stream_interval",      of_server<&S::stream_interval>              },
    JsonField<ServingSettings>{"first_token_buffered", of_server<&S::first_token_buffered>         },
    JsonField<ServingSettings>{"prefill_fill",         of_server<&S::prefill_fill>                 },
    JsonField<ServingSettings>{"fixed_lengths",        &read_reserve<&OutputReserve::fixed_lengths>},
    JsonField<ServingSettings>{"reserve_share",        &read_reserve<&OutputReserve::initial>      },
    JsonField<ServingSettings>{"least_reserve_share",  &read_reserve<&OutputReserve::least_share>  },
    JsonField<ServingSettings>{"reserve_decay_steps",  &read_reserve<&OutputReserve::decay_steps>  },
    JsonField<ServingSettings>{"most_reserved",        &read_reserve<&OutputReserve::most_tokens>  },
    JsonField<ServingSettings>{"retract_steps",        &read_reserve<&OutputReserve::retract_steps>}
};
constexpr std::array kClusterFields = {
    JsonField<ServingSettings>{"servers", &read_member<&ServingSettings::servers, ServingSettings>},
    JsonField<ServingSettings>{"client_s", &read_member<&ServingSettings::client_s, ServingSettings>},
    JsonField<ServingSettings>{"usd_per_h", &read_member<&ServingSettings::usd_per_h, ServingSettings>},
    JsonField<ServingSettings>{"routing", &read_routing},
    JsonField<ServingSettings>{"match_share", &read_router<&RouterSettings::match_share>},
    JsonField<ServingSettings>{"most_difference", &read_router<&RouterSettings::most_difference>},
    JsonField<ServingSettings>{"most_ratio", &read_router<&RouterSettings::most_ratio>},
    JsonField<ServingSettings>{"max_concurrency", &read_client<&ClientSettings::max_concurrency>},
    JsonField<ServingSettings>{"think_s", &read_client<&ClientSettings::think_s>},
    JsonField<ServingSettings>{"lockstep", of_cluster<&C::lockstep>},
    JsonField<ServingSettings>{"samples", of_cluster<&C::samples>},
    JsonField<ServingSettings>{"seed", &read_seed}
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

}  // namespace

std::shared_ptr<const StepCosts> step_costs_from_json(std::string_view text) {
    const JsonDocument document(text, "steps JSON");
    StepTables tables;
    read_fields(tables, document.root(), "the document", kTableFields);
    return std::make_shared<const StepCosts>(std::move(tables));
}

TabulateSettings tabulate_settings_in(const JsonEntry& limits, const JsonEntry& acceptance,
                                      const JsonEntry& tables) {
    TabulateSettings settings;
    read_fields(settings.limits, limits, "limits", kLimitFields);
    if (limits) {
        limits.for_each_member(JsonPlace("limits"), [&](std::string_view name, const JsonEntry&) {
            settings.limits_sequences |= name == "most_sequences";
        });
    }
    if (acceptance) settings.acceptance = acceptance.number(JsonPlace("acceptance"));
    if (!(settings.acceptance >= 0 && settings.acceptance <= 1)) {
        acceptance.fail(JsonPlace("acceptance"), " is no number from 0 to 1");
    }
    settings.writes_tables = tables && tables.boolean(JsonPlace("tables"));
    return settings;
}

std::shared_ptr<const StepCosts> write_tables(DeployedGraph& decode, DeployedGraph& prefill,
                                              const Hardware& machine, TabulateSettings settings,
                                              JsonWriter& out) {
    const ServedModel model = served_model(decode, prefill, machine, nullptr, {});
    StepLimits& limits = settings.limits;
    if (!settings.limits_sequences) {
        limits.sequences = engine_sequences(decode.engine(), machine.dram().capacity_bytes, is_a100(machine));
    }
    ServedSteps made = served_steps(model, limits);
    const ServerSettings server = default_server(model, made, limits, settings.acceptance);
    if (!made.memory.fits.value_or(true)) {
        throw std::invalid_argument("the weights, " + std::to_string(made.memory.weight_bytes) +
                                    " bytes on a device of " + machine.id +
                                    ", leave no memory for the caches of a sequence of " +
                                    std::to_string(limits.context) +
                                    " tokens; pass a layout of more devices, or a narrower precision");
    }
    made.tables = with_known_energy(std::move(made.tables));
    write_server(out, server);
    const Layout& layout = decode.settings().layout;
    const bool lockstep = layout.attention_data > 1 || layout.expert > layout.tensor;
    out.key("cluster").begin_object().key("servers").integer(decode.copies());
    out.key("routing").text("least_loaded");
    out.key("lockstep").integer(lockstep ? decode.copies() : 1).end_object();
    out.key("devices").integer(decode.devices()).key("stages").integer(made.stages);
    WriteMembers{out}("memory", made.memory);
    out.key("kv_bytes_per_token").number(made.kv_bytes_per_token);
    if (server.blocks > 0) out.key("pool_tokens").integer(server.blocks * server.block_tokens);
    out.key("tokens_per_step").number(tokens_of_step(model.settings.draft_tokens, settings.acceptance));
    out.key("spread").number(made.spread).key("prefill_spread").number(made.prefill_spread);
    if (settings.writes_tables) write_tables(out, made.tables);
    return std::make_shared<const StepCosts>(std::move(made.tables));
}

DrawSettings draw_settings_in(const JsonEntry& fields) {
    DrawSettings settings;
    read_fields(settings, fields, "draw", kDrawFields);
    return settings;
}

void write_requests(JsonWriter& out, const UnitRequests& requests, bool columns) {
    double prompt = 0;
    double output = 0;
    for (std::size_t i = 0; i < requests.prompt.size(); ++i) {
        prompt += requests.prompt[i];
        output += requests.output[i];
    }
    const auto count = static_cast<double>(requests.prompt.size());
    out.key("requests").integer(static_cast<std::int64_t>(requests.prompt.size()));
    out.key("mean_prompt").number(prompt / count).key("mean_output").number(output / count);
    out.key("longest").integer(longest_of(requests));
    if (!columns) return;
    out.key("columns").begin_object();
    write_numbers(out, "arrival_s", requests.arrival_s);
    write_integers(out, "prompt", requests.prompt);
    write_integers(out, "output", requests.output);
    out.end_object();
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
    ServingSettings own = settings;
    ServerSettings& server = own.server;
    server.costs = costs;
    if (server.blocks == 0) {  // the owner of the machine chooses the memory: as much as all sequences need
        server.blocks = ample_blocks(server.max_sequences, longest_of(requests), server.block_tokens);
    }
    if (cluster.lockstep > 1) server.jumps = false;
    check(server);
    cluster.servers.assign(static_cast<std::size_t>(settings.servers), server);
    check(cluster);
    ServerTerms terms;
    terms.client_s = settings.client_s;
    terms.blocks = server.blocks;
    if (!std::isnan(settings.usd_per_h)) terms.usd_per_h = settings.usd_per_h;
    if (const double idle_w = costs->tables().idle_w; idle_w > 0) terms.idle_w = idle_w;
    out.begin_list();
    for (const double rate : rates_per_s) {
        OneRate source(requests, rate);
        out.begin_object().key("rate_per_s").number(rate);
        const ServerFigures figures = server_figures(simulate(cluster, source), terms);
        describe(figures, WriteMembers(out));
        out.end_object();
    }
    out.end_list();
}

}  // namespace infercost

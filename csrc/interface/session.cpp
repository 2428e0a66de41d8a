#include "interface/session.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "core/checked_int.hpp"
#include "core/graph_json.hpp"
#include "hardware/device_machine.hpp"
#include "hardware/hardware_json.hpp"
#include "interface/grids.hpp"
#include "interface/layers.hpp"
#include "interface/rents.hpp"
#include "sources/decoder.hpp"

namespace infercost {
namespace {

std::string error_text(std::string_view kind, std::string_view message) {
    JsonWriter out;
    out.begin_object().key("error").begin_object().key("kind").text(kind);
    try {
        out.key("message").text(message);
    } catch (const std::invalid_argument&) {
        out.text("a text is not valid UTF-8");
    }
    return out.end_object().end_object().take();
}

template <class Value>
constexpr std::string_view kWord;
template <>
constexpr std::string_view kWord<const Graph> = "graph";
template <>
constexpr std::string_view kWord<const Hardware> = "machine";
template <>
constexpr std::string_view kWord<DeployedGraph> = "deployment";
template <>
constexpr std::string_view kWord<const StepCosts> = "steps";
template <>
constexpr std::string_view kWord<const UnitRequests> = "requests";

void write_graph(JsonWriter& out, const Graph& graph) {
    out.key("model").text(graph.model());
    out.key("nodes").integer(static_cast<std::int64_t>(graph.nodes().size()));
    out.key("sizes").begin_object();
    for (const std::string& name : graph.size_names()) {
        const NamedSize& size = graph.sizes().find(name)->second;
        write_quantity(out.key(name).begin_object().key("default"), size.default_value);
        out.key("minimum").integer(size.minimum);
        if (size.maximum) write_quantity(out.key("maximum"), *size.maximum);
        out.key("role").text(name_of(size.role)).end_object();
    }
    out.end_object();
}

void write_machine(JsonWriter& out, const Hardware& machine) {
    out.key("id").text(machine.id).key("name").text(machine.name).key("kind").text(name_of(machine.kind));
    write_number(out.key("memory_bytes"), machine.dram().capacity_bytes);
    out.key("bandwidth_byte_per_s").number(machine.dram_byte_per_s());
}

// ---- deployments ----

template <auto Member>
constexpr auto of_layout = &read_member<Member, Layout>;
void read_layout_routing(Layout& layout, const JsonEntry& entry, const JsonPlace& place) {
    layout.routing = parse_expert_routing(entry.text(place));
}
constexpr std::array kLayoutFields = {
    JsonField<Layout>{"tensor",         of_layout<&Layout::tensor>        },
    JsonField<Layout>{"pipeline",       of_layout<&Layout::pipeline>      },
    JsonField<Layout>{"expert",         of_layout<&Layout::expert>        },
    JsonField<Layout>{"data",           of_layout<&Layout::data>          },
    JsonField<Layout>{"context",        of_layout<&Layout::context>       },
    JsonField<Layout>{"attention_data", of_layout<&Layout::attention_data>},
    JsonField<Layout>{"nodes",          of_layout<&Layout::nodes>         },
    JsonField<Layout>{"ulysses",        of_layout<&Layout::ulysses>       },
    JsonField<Layout>{"sequence",       of_layout<&Layout::sequence>      },
    JsonField<Layout>{"exponent",       of_layout<&Layout::exponent>      },
    JsonField<Layout>{"loads",          of_layout<&Layout::loads>         },
    JsonField<Layout>{"routing",        &read_layout_routing              }
};

template <auto Member>
constexpr auto of_step = &read_member<Member, StepSettings>;
constexpr std::array kStepFields = {
    JsonField<StepSettings>{"graph_sizes",        of_step<&StepSettings::graph_sizes>       },
    JsonField<StepSettings>{"hides_host",         of_step<&StepSettings::hides_host>        },
    JsonField<StepSettings>{"draft_tokens",       of_step<&StepSettings::draft_tokens>      },
    JsonField<StepSettings>{"draft_layers",       of_step<&StepSettings::draft_layers>      },
    JsonField<StepSettings>{"cached_thousandths", of_step<&StepSettings::cached_thousandths>},
    JsonField<StepSettings>{"chunk_tokens",       of_step<&StepSettings::chunk_tokens>      },
    JsonField<StepSettings>{"version",            of_step<&StepSettings::version>           }
};

void write_deployment(JsonWriter& out, const DeployedGraph& deployed) {
    out.key("devices").integer(deployed.devices());
    std::map<std::string_view, std::int64_t> ops;
    for (const NodeIndex node : deployed.as_captured()) {
        const Graph& graph = *deployed.graph();
        ++ops[graph.ops()[graph.nodes()[static_cast<std::size_t>(node)].op].name];
    }
    out.key("as_captured").begin_object();
    for (const auto& [op, nodes] : ops) out.key(op).integer(nodes);
    out.end_object();
}

}  // namespace

const Session::Handler Session::kHandlers[] = {
    {"load",     &Session::load    },
    {"unload",   &Session::unload  },
    {"device",   &Session::device  },
    {"scale",    &Session::scale   },
    {"deploy",   &Session::deploy  },
    {"estimate", &Session::estimate},
    {"rent",     &Session::rent    },
    {"grid",     &Session::grid    },
    {"count",    &Session::counts  },
    {"layers",   &Session::layers  },
    {"tabulate", &Session::tabulate},
    {"draw",     &Session::draw    },
    {"serve",    &Session::serve   },
};

std::string Session::answer(std::string_view request, std::string_view document) {
    try {
        JsonWriter out;
        out.begin_object().key("answer").begin_object();
        run(request, document, out);
        return out.end_object().end_object().take();
    } catch (const OverflowError& error) {
        return error_text("overflow", error.what());
    } catch (const std::invalid_argument& error) {
        return error_text("input", error.what());
    } catch (const std::out_of_range& error) {
        return error_text("input", error.what());
    } catch (const std::bad_alloc&) {
        return error_text("memory", "the memory is full; pass fewer points, or a smaller model");
    } catch (const std::exception& error) {
        return error_text("internal", error.what());
    }
}

void Session::run(std::string_view request, std::string_view document, JsonWriter& out) {
    const JsonDocument asked(request, "request");
    const JsonPlace whole("the document");
    const JsonEntry root = asked.root();
    std::optional<JsonEntry> fields;
    const Handler* handler = nullptr;
    root.for_each_member(whole, [&](std::string_view name, const JsonEntry& entry) {
        if (fields) root.fail(whole, " asks for two things; expected one key");
        fields = entry;
        std::string known;
        for (const Handler& each : kHandlers) {
            if (each.name == name) handler = &each;
            known += (known.empty() ? "" : ", ") + std::string(each.name);
        }
        if (!handler) root.fail(whole, " asks for '" + std::string(name) + "'; expected one of " + known);
    });
    if (!handler) root.fail(whole, " asks for nothing; expected one key");
    (this->*handler->run)(*fields, document, out);
}

Session::Handle Session::keep(Held held) {
    held_.emplace(next_, std::move(held));
    return next_++;
}

template <class Value>
const std::shared_ptr<Value>& Session::held(const JsonEntry& entry, const JsonPlace& place) const {
    const Handle handle = entry.integer(place, "a handle");
    const auto found = held_.find(handle);
    const auto* const value =
        found == held_.end() ? nullptr : std::get_if<std::shared_ptr<Value>>(&found->second);
    if (value) return *value;
    entry.fail(place, " is " + std::to_string(handle) + ", which is no handle of a " +
                          std::string(kWord<Value>) + "; pass that of the answer that made it");
}

void Session::load(const JsonEntry& fields, std::string_view document, JsonWriter& out) {
    const auto [kind, file, size, phase] = fields.members(
        JsonPlace("load"),
        std::array{
            JsonKey{"kind"},
            JsonKey{"file", false},
            JsonKey{"size", false},
            JsonKey{"phase", false}
    });
    const JsonPlace place("kind");
    const std::string_view word = kind.text(place);
    if (word == "graph" || word == "decoder") {
        const auto graph =
            word == "graph" ? graph_from_json(document) : build_decoder(decoder_config_from_json(document));
        out.key("handle").integer(keep(graph));
        write_graph(out, *graph);
    } else if (word == "gguf") {
        if (!file || !size || !phase) fields.fail(place, " is gguf; expected file, size and phase as well");
        const std::int64_t bytes = size.integer(JsonPlace("size"));
        load_gguf(
            {std::string(file.text(JsonPlace("file"))),
             static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0)), phase.text(JsonPlace("phase"))},
            document, out);
    } else if (word == "machine") {
        const auto machine = std::make_shared<const Hardware>(hardware_from_json(document));
        out.key("handle").integer(keep(machine));
        write_machine(out, *machine);
    } else if (word == "steps") {
        out.key("handle").integer(keep(step_costs_from_json(document)));
    } else if (word == "requests") {
        const auto requests = requests_from_json(document);
        out.key("handle").integer(keep(requests));
        write_requests(out, *requests);
    } else {
        kind.unexpected(place, "graph, decoder, gguf, machine, steps or requests");
    }
}

void Session::load_gguf(const GgufFile& file, std::string_view begin, JsonWriter& out) {
    const auto model = std::make_shared<GgufModel>(file.name);
    try {
        model->add(read_gguf_header(begin, file.bytes, file.name), file.name);
    } catch (const MoreBytesNeeded& needed) {
        out.key("needs").integer(static_cast<std::int64_t>(needed.end));
        return;
    }
    const std::int64_t parts = model->parts();
    if (parts > 1) {
        throw InputError(
            file.name + " is one of " + std::to_string(parts) +
            " files; join them with llama-gguf-split --merge, or convert the model where Python is: "
            "pyinfercost explore FILE.gguf -o explore.html");
    }
    const auto graph = build_decoder(decoder_config_of_gguf(model, file.phase));
    out.key("handle").integer(keep(graph));
    write_graph(out, *graph);
}

void Session::unload(const JsonEntry& fields, std::string_view, JsonWriter&) {
    const auto [handle] = fields.members(JsonPlace("unload"), std::array{JsonKey{"handle"}});
    const JsonPlace place("handle");
    if (held_.erase(handle.integer(place, "a handle")) == 0) handle.unexpected(place, "a handle in use");
}

void Session::device(const JsonEntry& fields, std::string_view document, JsonWriter& out) {
    const auto [file] = fields.members(JsonPlace("device"), std::array{JsonKey{"file"}});
    const Hardware made = machine_of_device_json(document, std::string(file.text(JsonPlace("file"))));
    out.key("machine").raw(hardware_to_json(made));
}

void Session::scale(const JsonEntry& fields, std::string_view, JsonWriter& out) {
    const auto [machine, cores, compute, bandwidth] =
        fields.members(JsonPlace("scale"), std::array{
                                               JsonKey{"machine"},
                                               JsonKey{"cores", false},
                                               JsonKey{"compute", false},
                                               JsonKey{"bandwidth", false}
    });
    ScaleFactors factors;
    if (cores) factors.cores = cores.number(JsonPlace("cores"));
    if (compute) factors.compute = compute.number(JsonPlace("compute"));
    if (bandwidth) factors.dram_bandwidth = bandwidth.number(JsonPlace("bandwidth"));
    const auto made = std::make_shared<const Hardware>(
        scaled(*held<const Hardware>(machine, JsonPlace("machine")), factors));
    out.key("handle").integer(keep(made));
    write_machine(out, *made);
}

void Session::deploy(const JsonEntry& fields, std::string_view, JsonWriter& out) {
    const auto [graph, precision, engine, execution, layout, step] =
        fields.members(JsonPlace("deploy"),
                       std::array{
                           JsonKey{"graph"},
                           JsonKey{"precision", false},
                           JsonKey{"engine", false},
                           JsonKey{"execution", false},
                           JsonKey{"layout", false},
                           JsonKey{"step", false}
    });
    DeploymentSettings settings;
    if (precision) settings.precision = precision.text(JsonPlace("precision"));
    if (engine) settings.engine = parse_engine(engine.text(JsonPlace("engine")));
    if (execution) settings.execution = parse_execution(execution.text(JsonPlace("execution")));
    read_fields(settings.layout, layout, "layout", kLayoutFields);
    read_fields(settings.step, step, "step", kStepFields);
    const auto made = std::make_shared<DeployedGraph>(held<const Graph>(graph, JsonPlace("graph")), settings);
    out.key("handle").integer(keep(made));
    write_deployment(out, *made);
}

void Session::estimate(const JsonEntry& fields, std::string_view, JsonWriter& out) {
    const auto [deployment, machine, sizes, terms, kernels, modules, nodes] = fields.members(
        JsonPlace("estimate"),
        std::array{
            JsonKey{"deployment"},
            JsonKey{"machine"},
            JsonKey{"sizes", false},
            JsonKey{"terms", false},
            JsonKey{"kernels", false},
            JsonKey{"modules", false},
            JsonKey{"nodes", false}
    });
    // One after the other: compilers differ in the order of arguments, and the first error is the answer.
    const auto& graph = held<DeployedGraph>(deployment, JsonPlace("deployment"));
    const auto& on = held<const Hardware>(machine, JsonPlace("machine"));
    const Sizes given = sizes_in(sizes);
    std::array<double, kCostInputs> numbers{};
    const CostColumns costs = terms ? terms_in(terms, numbers) : CostColumns{};
    const auto asked = [](const JsonEntry& entry, std::string_view name) {
        return entry && entry.boolean(JsonPlace(name));
    };
    const EstimateParts parts{.kernels = asked(kernels, "kernels"),
                              .modules = asked(modules, "modules"),
                              .nodes = asked(nodes, "nodes")};
    write_estimate(*graph, *on, given, parts, terms ? &costs : nullptr, out);
}

std::vector<const Hardware*> Session::machines_in(const JsonEntry& entry) const {
    std::vector<const Hardware*> on;
    const JsonPlace place("machines");
    entry.for_each_item(place, "a list of handles", [&](const JsonEntry& handle) {
        on.push_back(held<const Hardware>(handle, place).get());
    });
    return on;
}

void Session::rent(const JsonEntry& fields, std::string_view, JsonWriter& out) {
    const auto [deployment, machines, offers, replicas] = fields.members(
        JsonPlace("rent"),
        std::array{
            JsonKey{"deployment"},
            JsonKey{"machines"},
            JsonKey{"offers"},
            JsonKey{"replicas", false}
    });
    const auto& graph = held<DeployedGraph>(deployment, JsonPlace("deployment"));
    const std::vector<const Hardware*> on = machines_in(machines);
    std::vector<std::vector<Offer>> of_machines;
    const JsonPlace place("offers");
    offers.for_each_item(place, "a list with the offers of each machine",
                         [&](const JsonEntry& entry) { of_machines.push_back(offers_in(entry, place)); });
    if (of_machines.size() != on.size()) {
        offers.fail(place, " has " + std::to_string(of_machines.size()) + " entries for " +
                               std::to_string(on.size()) + " machines; expected one for each");
    }
    const std::int64_t several = replicas ? replicas.integer(JsonPlace("replicas")) : 1;
    if (several < 1 || several > kMostServers) replicas.fail(JsonPlace("replicas"), " are not 1 to 65535");
    write_rents(*graph, on, of_machines, several, out);
}

void Session::grid(const JsonEntry& fields, std::string_view, JsonWriter& out) {
    const auto [deployment, machines, sizes, axes, columns, terms] = fields.members(
        JsonPlace("grid"), std::array{
                               JsonKey{"deployment"},
                               JsonKey{"machines"},
                               JsonKey{"sizes", false},
                               JsonKey{"axes", false},
                               JsonKey{"columns", false},
                               JsonKey{"terms", false}
    });
    const std::vector<const Hardware*> on = machines_in(machines);
    std::vector<GridAxis> of_grid;
    if (axes) {
        axes.for_each_member(JsonPlace("axes"), [&](std::string_view name, const JsonEntry& values) {
            of_grid.push_back({std::string(name), list_in<std::int64_t>(values, JsonPlace("axis", name))});
        });
    }
    std::vector<std::string> names;
    if (columns) {
        const JsonPlace place("columns");
        columns.for_each_item(place, "a list of names",
                              [&](const JsonEntry& name) { names.emplace_back(name.text(place)); });
    }
    const auto& graph = held<DeployedGraph>(deployment, JsonPlace("deployment"));
    std::vector<MachineTerms> of_machines(terms ? on.size() : 0);
    std::size_t given = 0;
    if (terms) {
        const JsonPlace place("terms");
        terms.for_each_item(place, "a list with numbers for each machine", [&](const JsonEntry& entry) {
            if (given == on.size()) entry.fail(place, " has more entries than there are machines");
            MachineTerms& made = of_machines[given++];
            made.columns = terms_in(entry, made.numbers);
        });
        if (given < on.size()) terms.fail(place, " has fewer entries than there are machines");
    }
    write_grid(*graph, on, sizes_in(sizes), of_grid, names, of_machines, out);
}

void Session::counts(const JsonEntry& fields, std::string_view, JsonWriter& out) {
    const auto [graph, precision, sizes, depth] = fields.members(
        JsonPlace("count"),
        std::array{
            JsonKey{"graph"},
            JsonKey{"precision", false},
            JsonKey{"sizes", false},
            JsonKey{"depth", false}
    });
    const Precision way = parse_precision(precision ? precision.text(JsonPlace("precision")) : "native");
    const std::int64_t down = depth ? depth.integer(JsonPlace("depth")) : 1;
    constexpr std::int64_t kDeepest = 1 << 20;
    const auto& of = held<const Graph>(graph, JsonPlace("graph"));
    write_counts(of, way, sizes_in(sizes), static_cast<int>(std::clamp<std::int64_t>(down, -1, kDeepest)),
                 out);
}

void Session::layers(const JsonEntry& fields, std::string_view, JsonWriter& out) {
    const auto [deployment, machine, sizes, names] = fields.members(
        JsonPlace("layers"),
        std::array{
            JsonKey{"deployment"},
            JsonKey{"machine"},
            JsonKey{"sizes", false},
            JsonKey{"names", false}
    });
    const auto& graph = held<DeployedGraph>(deployment, JsonPlace("deployment"));
    const auto& on = held<const Hardware>(machine, JsonPlace("machine"));
    write_layers(*graph, *on, sizes_in(sizes), names && names.boolean(JsonPlace("names")), out);
}

void Session::tabulate(const JsonEntry& fields, std::string_view, JsonWriter& out) {
    const auto [decode, prefill, machine, limits, acceptance, tables] =
        fields.members(JsonPlace("tabulate"),
                       std::array{
                           JsonKey{"decode"},
                           JsonKey{"prefill"},
                           JsonKey{"machine"},
                           JsonKey{"limits", false},
                           JsonKey{"acceptance", false},
                           JsonKey{"tables", false}
    });
    const auto& steps = held<DeployedGraph>(decode, JsonPlace("decode"));
    const auto& reads = held<DeployedGraph>(prefill, JsonPlace("prefill"));
    const auto& on = held<const Hardware>(machine, JsonPlace("machine"));
    const TabulateSettings settings = tabulate_settings_in(limits, acceptance, tables);
    const auto made = write_tables(*steps, *reads, *on, settings, out);
    out.key("handle").integer(keep(made));
}

void Session::draw(const JsonEntry& fields, std::string_view, JsonWriter& out) {
    const DrawSettings settings = draw_settings_in(fields);
    const auto made = std::make_shared<const UnitRequests>(drawn_requests(settings.draw));
    out.key("handle").integer(keep(made));
    write_requests(out, *made, settings.columns);
}

void Session::serve(const JsonEntry& fields, std::string_view, JsonWriter& out) {
    const auto [steps, requests, rates, server, cluster] =
        fields.members(JsonPlace("serve"), std::array{
                                               JsonKey{"steps"},
                                               JsonKey{"requests"},
                                               JsonKey{"rates_per_s"},
                                               JsonKey{"server"},
                                               JsonKey{"cluster", false}
    });
    const auto& costs = held<const StepCosts>(steps, JsonPlace("steps"));
    const auto& of = held<const UnitRequests>(requests, JsonPlace("requests"));
    const ServingSettings settings = serving_settings_in(server, cluster);
    const std::vector<double> asked = list_in<double>(rates, JsonPlace("rates_per_s"));
    write_served(costs, *of, settings, asked, out.key("rates"));
}

}  // namespace infercost

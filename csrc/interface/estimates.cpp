#include "interface/estimates.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "core/names.hpp"
#include "count/count.hpp"
#include "deploy/point_figures.hpp"
#include "evaluate/evaluate.hpp"
#include "evaluate/node_estimates.hpp"

namespace infercost {
namespace {

void write_sizes(JsonWriter& out, std::string_view key, const Sizes& sizes) {
    out.key(key).begin_object();
    for (const auto& [name, value] : sizes) out.key(name).integer(value);
    out.end_object();
}

void write_terms(JsonWriter& out, const KernelSeconds& terms) {
    out.key("latency_s").number(terms.latency).key("compute_s").number(terms.compute);
    out.key("dram_s").number(terms.dram).key("cache_s").number(terms.cache);
    out.key("link_s").number(terms.link).key("launch_s").number(terms.launch);
}

void write_kernel(JsonWriter& out, const KernelEstimate& kernel) {
    out.begin_object().key("name").text(kernel.name).key("kind").text(name_of(kernel.kind));
    out.key("launches").integer(static_cast<std::int64_t>(kernel.launches.size()));
    write_terms(out, kernel.terms);
    write_number(out.key("energy_j"), kernel.energy_j);
    out.key("bound").text(name_of(kernel.bound));
    out.key("effect").text(kernel.effect).key("effect_share").number(kernel.effect_share);
    out.key("unit").text(unit_of(kernel.engine)).key("algorithm").text(name_of(kernel.algorithm));
    write_number(out.key("flops"), kernel.flops);
    write_number(out.key("traffic_bytes"), kernel.traffic_bytes);
    write_number(out.key("sent_bytes"), kernel.sent_bytes);
    write_number(out.key("ideal_compute_s"), kernel.ideal_compute_s);
    write_number(out.key("stream_s"), kernel.stream_s);
    if (kernel.tiling) {
        out.key("tile").begin_list();
        out.integer(static_cast<std::int64_t>(kernel.tiling->tile.rows));
        out.integer(static_cast<std::int64_t>(kernel.tiling->tile.cols)).end_list();
    }
    out.key("band").text(kernel.band).key("note").text(kernel.note);
    out.key("parts_s").begin_object();
    for (const Part& part : kernel.parts) write_number(out.key(part.name), part.seconds);
    out.end_object().end_object();
}

// Sums over the nodes in a module and all modules below it.
struct ModuleTimes {
    double latency_s = 0;
    double energy_j = 0;
    std::array<double, kBoundCount> bound_s{};  // latency of the nodes that a term binds
};

using Modules = std::map<std::string_view, ModuleTimes>;

// A node counts for its module and for all around it; "" is the model.
Modules modules_of(const Graph& graph, const std::vector<NodeEstimate>& nodes) {
    Modules modules;
    for (const NodeEstimate& each : nodes) {
        const Node& node = graph.nodes()[static_cast<std::size_t>(each.node)];
        std::string_view path = graph.name(node.module);
        while (true) {
            ModuleTimes& module = modules[path];
            module.latency_s += each.terms.latency;
            module.energy_j += each.energy_j;
            module.bound_s[static_cast<std::size_t>(each.kernel->bound)] += each.terms.latency;
            if (path.empty()) break;
            path = parent_of(path);
        }
    }
    return modules;
}

void write_modules(JsonWriter& out, const Modules& modules) {
    out.key("modules").begin_object();
    for (const auto& [path, module] : modules) {
        out.key(path).begin_object().key("latency_s").number(module.latency_s);
        write_number(out.key("energy_j"), module.energy_j);
        for (std::size_t i = 0; i < kBoundCount; ++i) {
            out.key("bound_by_" + std::string(name_of(static_cast<Bound>(i))) + "_s")
                .number(module.bound_s[i]);
        }
        out.end_object();
    }
    out.end_object();
}

void write_totals(JsonWriter& out, const PointEstimate& total, const std::vector<KernelEstimate>& kernels,
                  const Hardware& machine, const PointTerms& terms) {
    for (const ColumnRow& row : kColumns) {
        const bool is_figure = row.name == "latency_s" || row.name == "interval_s" || row.name == "energy_j";
        if (!is_figure) write_number(out.key(row.name), total.*row.value);
    }
    out.key("devices").integer(terms.devices).key("items").integer(terms.items);
    describe(point_figures(total, kernels, machine, terms), WriteMembers(out));
}

// What is moved and held: inputs and results are those of the largest share of the batch on one device.
void write_boundary(JsonWriter& out, const DeployedGraph& deployed, const Boundary& at, const Sizes& all,
                    const Sizes& share) {
    out.key("boundary").begin_object();
    out.key("input_tensors").integer(at.input_tensors);
    out.key("input_bytes").integer(at.input_bytes.evaluate(share));
    out.key("output_tensors").integer(at.output_tensors);
    out.key("output_bytes").integer(at.output_bytes.evaluate(share));
    out.key("weight_bytes").integer(at.weight_bytes.evaluate(share));
    if (at.tokens) out.key("tokens").integer(at.tokens->evaluate(all));
    out.key("vocabulary").integer(at.vocabulary).key("reads_cache").boolean(at.reads_cache);
    if (at.kv_cache_bytes) out.key("kv_cache_bytes").integer(at.kv_cache_bytes->evaluate(share));
    out.key("caches").begin_list();
    for (const Cache& cache : deployed.caches()) {
        out.begin_object().key("name").text(cache.name).key("kind").text(name_of(cache.kind));
        out.key("bytes").integer(cache.bytes.evaluate(share));
        out.key("sequence_bytes").integer(cache.sequence_bytes.evaluate(share));
        out.key("token_bytes").integer(cache.token_bytes.evaluate(share));
        out.key("positions").integer(cache.positions.evaluate(share));
        out.key("grows").boolean(cache.added.evaluate(share) > 0).end_object();
    }
    out.end_list().end_object();
}

// Costs, and the times of a language model: to the first token, or per token of a decode step.
void write_derived(JsonWriter& out, const DeployedGraph& deployed, const Launched& launched,
                   const PointEstimate& total, const Sizes& all, const Sizes& share,
                   const CostColumns& terms) {
    const double energy_j = static_cast<double>(deployed.devices()) * total.energy_j;
    PointCosts costs(deployed, launched, 1);
    costs.set_sizes(0, all, share);
    costs.set_times({&total.latency_s, 1}, {&total.interval_s, 1}, {&energy_j, 1});
    write_costs(out, costs, terms);
    const Boundary& at = launched.boundary;
    if (!at.tokens || !at.kv_cache_bytes) return;
    if (at.reads_cache) {
        const double tokens = costs.derived(CostFigure::tokens_per_step, terms).front();
        write_number(out.key("tpot_s"), total.latency_s / tokens);
    } else {
        out.key("ttft_s").number(total.latency_s);
    }
}

}  // namespace

void write_estimate(DeployedGraph& deployed, const Hardware& machine, const Sizes& sizes,
                    const EstimateParts& parts, const CostColumns* terms, JsonWriter& out) {
    const DeployedPoint at = deployed.at(sizes, machine);
    const Launched& launched = at.launched;
    const Sizes& all = at.sizes;
    const std::vector<KernelEstimate> kernels = estimate_kernels(*at.plan, at.point, machine);
    const auto batch = deployed.graph()->size_of_role(SizeRole::batch);
    const std::int64_t items = batch ? all.at(*batch) : 1;
    // Of a model with a KV cache: that of the fullest stage, and the sequences that its engine can hold.
    const std::optional<DeviceMemory> memory =
        fullest_memory({deployed.engine(), &machine, deployed.attention_ranks(), {}}, launched.stages,
                       at.share, at.total.peak_memory_bytes);
    const PointTerms of_point{deployed.devices(), items, memory ? memory->fits : std::nullopt};
    write_totals(out, at.total, kernels, machine, of_point);
    write_sizes(out, "sizes", all);
    write_boundary(out, deployed, launched.boundary, all, at.share);
    if (memory) WriteMembers{out}("memory", *memory);
    if (terms != nullptr) write_derived(out, deployed, launched, at.total, all, at.share, *terms);
    if (parts.kernels) {
        out.key("kernels").begin_list();
        for (const KernelEstimate& kernel : kernels) write_kernel(out, kernel);
        out.end_list();
    }
    if (!parts.modules && !parts.nodes) return;
    const std::vector<NodeEstimate> of_nodes = estimate_nodes(kernels);
    if (parts.modules) write_modules(out, modules_of(*at.plan->graph, of_nodes));
    if (!parts.nodes) return;
    out.key("nodes").begin_list();
    for (const NodeEstimate& each : of_nodes) {
        out.begin_object();
        describe(each, *at.plan->graph, WriteMembers(out));
        out.end_object();
    }
    out.end_list();
}

// ---- counts ----

namespace {

void write_row(JsonWriter& out, const CountRow& row) {
    out.begin_object().key("nodes").integer(row.nodes);
    write_quantity(out.key("contraction_flops"), row.contraction_flops);
    write_quantity(out.key("causal_flops"), row.causal_flops);
    write_quantity(out.key("pointwise_flops"), row.pointwise_flops);
    write_quantity(out.key("macs"), row.macs());
    write_quantity(out.key("parameters"), row.parameters);
    write_quantity(out.key("parameter_bytes"), row.parameter_bytes);
    write_quantity(out.key("buffer_bytes"), row.buffer_bytes);
    write_quantity(out.key("bytes_read"), row.bytes_read());
    write_quantity(out.key("bytes_written"), row.bytes_written());
    write_quantity(out.key("bytes_sent"), row.bytes_sent);
    write_quantity(out.key("peak_activation_bytes"), row.peak_activation_bytes);
    write_quantity(out.key("peak_memory_bytes"), row.peak_memory_bytes);
    out.end_object();
}

void write_rows(JsonWriter& out, std::string_view key, const std::map<std::string, CountRow>& rows) {
    out.key(key).begin_object();
    for (const auto& [name, row] : rows) write_row(out.key(name), row);
    out.end_object();
}

}  // namespace

void write_counts(const std::shared_ptr<const Graph>& graph, const Precision& precision, const Sizes& sizes,
                  int depth, JsonWriter& out) {
    const Counts counts = count(graph, sizes, precision);
    write_row(out.key("total"), counts.total());
    write_rows(out, "by_op", counts.by_op());
    write_rows(out, "by_module", counts.by_module(depth));
    out.key("unmodelled").begin_object();
    for (const auto& [op, nodes] : counts.unmodelled()) out.key(op).integer(nodes);
    out.end_object();
}

}  // namespace infercost

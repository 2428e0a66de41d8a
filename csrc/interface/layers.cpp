#include "interface/layers.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "count/count.hpp"
#include "evaluate/evaluate.hpp"
#include "evaluate/node_estimates.hpp"
#include "interface/fields.hpp"

namespace infercost {
namespace {

// A column of few distinct words: {"values": ["dram", ...], "at": [0, 0, ...]}; -1 where there is none.
class Words {
  public:
    explicit Words(std::size_t rows) : at_(rows, -1) {}
    void set(std::size_t row, std::string_view word) {
        const auto [found, is_new] = places_.try_emplace(std::string(word), values_.size());
        if (is_new) values_.push_back(&found->first);
        at_[row] = static_cast<std::int64_t>(found->second);
    }
    void write(JsonWriter& out, std::string_view key) const {
        out.key(key).begin_object().key("values").begin_list();
        for (const std::string* value : values_) out.text(*value);
        out.end_list().key("at").begin_list();
        for (const std::int64_t place : at_) out.integer(place);
        out.end_list().end_object();
    }

  private:
    std::map<std::string, std::size_t> places_;
    std::vector<const std::string*> values_;
    std::vector<std::int64_t> at_;
};

using Numbers = std::vector<double>;

struct NumberColumn {
    std::string_view name;
    double (*of)(const NodeEstimate& each);
};
constexpr std::array kNumbers = {
    NumberColumn{"latency_s",    [](const NodeEstimate& each) { return each.terms.latency; }},
    NumberColumn{"compute_s",    [](const NodeEstimate& each) { return each.terms.compute; }},
    NumberColumn{"dram_s",       [](const NodeEstimate& each) { return each.terms.dram; }   },
    NumberColumn{"cache_s",      [](const NodeEstimate& each) { return each.terms.cache; }  },
    NumberColumn{"link_s",       [](const NodeEstimate& each) { return each.terms.link; }   },
    NumberColumn{"launch_s",     [](const NodeEstimate& each) { return each.terms.launch; } },
    NumberColumn{"energy_j",     [](const NodeEstimate& each) { return each.energy_j; }     },
    NumberColumn{"effect_share", [](const NodeEstimate& each) { return each.effect.share; } },
    NumberColumn{"kernel_flops", [](const NodeEstimate& each) { return each.flops; }        },
    NumberColumn{"kernel_bytes", [](const NodeEstimate& each) { return each.traffic_bytes; }}
};

void write_times(JsonWriter& out, const std::vector<NodeEstimate>& nodes, std::size_t rows) {
    const bool energy_known = std::all_of(
        nodes.begin(), nodes.end(), [](const NodeEstimate& each) { return std::isfinite(each.energy_j); });
    for (const NumberColumn& column : kNumbers) {
        // A node without a kernel takes nothing, unless nothing is known; it has no effect.
        const bool known = column.name == "energy_j" ? energy_known : column.name != "effect_share";
        Numbers values(rows, known ? 0.0 : std::numeric_limits<double>::quiet_NaN());
        for (const NodeEstimate& each : nodes) {
            const auto row = static_cast<std::size_t>(each.node);
            if (row < rows) values[row] = column.of(each);
        }
        write_numbers(out, column.name, values);
    }
    Words bound(rows), effect(rows), unit(rows), note(rows);
    for (const NodeEstimate& each : nodes) {
        const auto row = static_cast<std::size_t>(each.node);
        if (row >= rows) continue;
        bound.set(row, name_of(each.kernel->bound));
        effect.set(row, each.effect.name);
        unit.set(row, std::string(each.engine.matrix ? "matrix " : "vector ") +
                          std::string(name_of(each.engine.dtype)));
        if (each.node != each.carrier) {
            note.set(row, "in the kernel of node " + std::to_string(each.carrier));
        } else if (!each.kernel->note.empty()) {
            note.set(row, each.kernel->note);
        }
    }
    bound.write(out, "bound");
    effect.write(out, "effect");
    unit.write(out, "unit");
    note.write(out, "note");
}

// What does not depend on the point: names, what is not modeled, and the parameters of modules, those of the
// modules below included.
void write_names(JsonWriter& out, const Counts& counts, const std::vector<LayerRow>& layers) {
    out.key("coverage").begin_object().key("nodes").integer(counts.nodes());
    out.key("modelled_nodes").integer(counts.modelled_nodes()).key("unmodelled").begin_list();
    for (const auto& [op, nodes] : counts.unmodelled()) {
        out.begin_object().key("op").text(op).key("count").integer(nodes).end_object();
    }
    out.end_list().end_object().key("modules").begin_object();
    for (const auto& [path, row] : counts.by_module(-1)) write_quantity(out.key(path), row.parameters);
    out.end_object();
    Words module(layers.size()), op(layers.size()), phase(layers.size());
    for (std::size_t row = 0; row < layers.size(); ++row) {
        module.set(row, layers[row].module);
        op.set(row, layers[row].op);
        phase.set(row, name_of(layers[row].phase));
    }
    module.write(out, "module");
    op.write(out, "op");
    phase.write(out, "phase");
}

void write_quantities(JsonWriter& out, std::string_view key, const std::vector<LayerRow>& layers,
                      Expr (*of)(const CountRow& row)) {
    out.key(key).begin_list();
    for (const LayerRow& layer : layers) write_quantity(out, of(layer.row));
    out.end_list();
}

void write_counted(JsonWriter& out, const Counts& counts, const std::vector<LayerRow>& layers) {
    const CountRow& total = counts.total();
    out.key("totals").begin_object();
    write_quantity(out.key("contraction_flops"), total.contraction_flops);
    write_quantity(out.key("pointwise_flops"), total.pointwise_flops);
    write_quantity(out.key("macs"), total.macs());
    write_quantity(out.key("parameters"), total.parameters);
    write_quantity(out.key("parameter_bytes"), total.parameter_bytes);
    write_quantity(out.key("buffer_bytes"), total.buffer_bytes);
    write_quantity(out.key("bytes_read"), total.bytes_read());
    write_quantity(out.key("bytes_written"), total.bytes_written());
    write_quantity(out.key("peak_activation_bytes"), total.peak_activation_bytes);
    write_quantity(out.key("peak_memory_bytes"), total.peak_memory_bytes);
    out.end_object().key("memory").begin_object();
    out.key("peak_node").integer(counts.memory().peak_node).key("peak_op").text(counts.memory().peak_op);
    out.key("peak_module").text(counts.memory().peak_module).end_object();
    write_quantities(out, "contraction_flops", layers, [](const CountRow& r) { return r.contraction_flops; });
    write_quantities(out, "pointwise_flops", layers, [](const CountRow& r) { return r.pointwise_flops; });
    write_quantities(out, "bytes_read", layers, [](const CountRow& r) { return r.bytes_read(); });
    write_quantities(out, "bytes_written", layers, [](const CountRow& r) { return r.bytes_written(); });
    write_quantities(out, "live_activation_bytes", layers,
                     [](const CountRow& r) { return r.peak_activation_bytes; });
}

}  // namespace

void write_layers(DeployedGraph& deployed, const Hardware& machine, const Sizes& sizes, bool names,
                  JsonWriter& out) {
    const MemoryOf device = machine.kind == MachineKind::cpu ? MemoryOf::cpu : MemoryOf::accelerator;
    const Counts counts =
        count(deployed.graph(), deployed.all_sizes(sizes), deployed.precision(), {}, device);
    const std::vector<LayerRow> layers = counts.layers();
    write_counted(out, counts, layers);
    if (names) write_names(out, counts, layers);
    const Sizes point = deployed.plan_sizes(sizes);
    const std::shared_ptr<const Plan> plan = deployed.plans().plan_for(point);
    const std::vector<KernelEstimate> kernels = estimate_kernels(*plan, point, machine);
    write_times(out, estimate_nodes(kernels), layers.size());
}

}  // namespace infercost

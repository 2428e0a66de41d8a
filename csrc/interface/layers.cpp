#include "interface/layers.hpp"

#include <algorithm>
#include <array>
#include <bit>
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
    void set(std::size_t row, std::string_view word) { at_[row] = place_of(word); }
    std::int64_t at(std::size_t row) const { return at_[row]; }
    const std::string& value(std::int64_t place) const { return *values_[static_cast<std::size_t>(place)]; }
    void write(JsonWriter& out, std::string_view key) const {
        out.key(key).begin_object().key("values").begin_list();
        for (const std::string* value : values_) out.text(*value);
        out.end_list().key("at").begin_list();
        for (const std::int64_t place : at_) out.integer(place);
        out.end_list().end_object();
    }

  private:
    std::int64_t place_of(std::string_view word) {
        const auto [found, is_new] = places_.try_emplace(std::string(word), values_.size());
        if (is_new) values_.push_back(&found->first);
        return static_cast<std::int64_t>(found->second);
    }

    std::map<std::string, std::size_t> places_;
    std::vector<const std::string*> values_;
    std::vector<std::int64_t> at_;
};

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
constexpr std::array<std::string_view, 3> kWordColumns = {"bound", "effect", "unit"};

struct QuantityColumn {
    std::string_view name;
    Expr (*of)(const CountRow& row);
};
constexpr std::array kQuantities = {
    QuantityColumn{"contraction_flops", [](const CountRow& row) { return row.contraction_flops; }},
    QuantityColumn{"pointwise_flops",   [](const CountRow& row) { return row.pointwise_flops; }  },
    QuantityColumn{"bytes_read",        [](const CountRow& row) { return row.bytes_read(); }     },
    QuantityColumn{"bytes_written",     [](const CountRow& row) { return row.bytes_written(); }  }
};

// Layers of a model repeat: equal rows are written once. Numbers are equal if their bits are.
class Rows {
  public:
    Rows(const std::vector<LayerRow>& layers, const std::vector<NodeEstimate>& nodes)
        : quantities_(layers.size() * kQuantities.size()),
          numbers_(layers.size()),
          bound_(layers.size()),
          effect_(layers.size()),
          unit_(layers.size()),
          note_(layers.size()) {
        const bool energy_known = std::all_of(nodes.begin(), nodes.end(), [](const NodeEstimate& each) {
            return std::isfinite(each.energy_j);
        });
        // A node without a kernel takes nothing, unless nothing is known; it has no effect.
        std::array<double, kNumbers.size()> nothing{};
        for (std::size_t i = 0; i < kNumbers.size(); ++i) {
            const bool known =
                kNumbers[i].name == "energy_j" ? energy_known : kNumbers[i].name != "effect_share";
            if (!known) nothing[i] = std::numeric_limits<double>::quiet_NaN();
        }
        for (std::size_t row = 0; row < layers.size(); ++row) {
            numbers_[row] = nothing;
            for (std::size_t i = 0; i < kQuantities.size(); ++i) {
                quantities_[row * kQuantities.size() + i] = kQuantities[i].of(layers[row].row);
            }
        }
        for (const NodeEstimate& each : nodes) set(each);
        for (std::size_t row = 0; row < layers.size(); ++row) row_.push_back(place_of(row));
    }

    void write(JsonWriter& out) const {
        out.key("keys").begin_list();
        for (const QuantityColumn& column : kQuantities) out.text(column.name);
        for (const NumberColumn& column : kNumbers) out.text(column.name);
        for (const std::string_view name : kWordColumns) out.text(name);
        out.end_list().key("rows").begin_list();
        for (const std::size_t row : distinct_) write_row(out, row);
        out.end_list().key("row").begin_list();
        for (const std::int64_t place : row_) out.integer(place);
        out.end_list();
        note_.write(out, "note");
    }

  private:
    using Key = std::vector<std::uint64_t>;

    void set(const NodeEstimate& each) {
        const auto row = static_cast<std::size_t>(each.node);
        if (row >= numbers_.size()) return;
        for (std::size_t i = 0; i < kNumbers.size(); ++i) numbers_[row][i] = kNumbers[i].of(each);
        bound_.set(row, name_of(each.kernel->bound));
        effect_.set(row, each.effect.name);
        unit_.set(row, unit_of(each.engine));
        if (const std::string note = note_of(each); !note.empty()) note_.set(row, note);
    }

    std::int64_t place_of(std::size_t row) {
        Key key;
        for (std::size_t i = 0; i < kQuantities.size(); ++i) {
            const Expr& quantity = quantities_[row * kQuantities.size() + i];
            const bool constant = quantity.is_constant();
            key.push_back(constant ? 0 : 1);
            key.push_back(constant ? static_cast<std::uint64_t>(quantity.constant())
                                   : texts_.try_emplace(quantity.text(), texts_.size()).first->second);
        }
        for (const double number : numbers_[row]) key.push_back(std::bit_cast<std::uint64_t>(number));
        for (const Words* words : {&bound_, &effect_, &unit_}) {
            key.push_back(static_cast<std::uint64_t>(words->at(row)));
        }
        const auto [found, is_new] = places_.try_emplace(std::move(key), distinct_.size());
        if (is_new) distinct_.push_back(row);
        return static_cast<std::int64_t>(found->second);
    }

    void write_row(JsonWriter& out, std::size_t row) const {
        out.begin_list();
        for (std::size_t i = 0; i < kQuantities.size(); ++i) {
            write_quantity(out, quantities_[row * kQuantities.size() + i]);
        }
        for (const double number : numbers_[row]) write_number(out, number);
        for (const Words* words : {&bound_, &effect_, &unit_}) {
            const std::int64_t place = words->at(row);
            if (place < 0) {
                out.null();
            } else {
                out.text(words->value(place));
            }
        }
        out.end_list();
    }

    std::vector<Expr> quantities_;
    std::vector<std::array<double, kNumbers.size()>> numbers_;
    Words bound_, effect_, unit_, note_;
    std::map<std::string, std::uint64_t> texts_;  // of quantities in sizes without a value
    std::map<Key, std::size_t> places_;
    std::vector<std::size_t> distinct_;
    std::vector<std::int64_t> row_;
};

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

// Bytes of keys, values and states after the forward: all, those of a sequence, and those that its last token
// added; null for a model without them.
void write_caches(JsonWriter& out, const DeployedGraph& deployed, const Sizes& sizes) {
    std::int64_t all = 0;
    std::int64_t of_sequence = 0;
    std::int64_t of_token = 0;
    for (const Cache& cache : deployed.caches()) {
        all += cache.bytes.evaluate(sizes);
        of_sequence += cache.sequence_bytes.evaluate(sizes);
        of_token += (cache.added * cache.token_bytes).evaluate(sizes);
    }
    const auto write = [&](std::string_view key, std::int64_t bytes) {
        out.key(key);
        if (deployed.caches().empty()) {
            out.null();
        } else {
            out.integer(bytes);
        }
    };
    write("kv_cache_bytes", all);
    write("kv_cache_bytes_per_token", of_token);
    write("kv_cache_bytes_per_sequence", of_sequence);
}

void write_counted(JsonWriter& out, const Counts& counts, const std::vector<LayerRow>& layers,
                   const DeployedGraph& deployed, const Sizes& sizes) {
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
    write_caches(out, deployed, sizes);
    const bool counted = total.parameters.is_constant() && total.parameter_bytes.is_constant();
    const double parameters = counted ? static_cast<double>(total.parameters.constant()) : 0.0;
    constexpr double kBits = 8;
    write_number(out.key("bits_per_parameter"),
                 parameters > 0 ? kBits * static_cast<double>(total.parameter_bytes.constant()) / parameters
                                : std::numeric_limits<double>::quiet_NaN());
    out.end_object().key("memory").begin_object();
    out.key("peak_node").integer(counts.memory().peak_node).key("peak_op").text(counts.memory().peak_op);
    out.key("peak_module").text(counts.memory().peak_module).end_object();
    out.key("live_activation_bytes").begin_list();
    for (const LayerRow& layer : layers) write_quantity(out, layer.row.peak_activation_bytes);
    out.end_list();
}

}  // namespace

void write_layers(DeployedGraph& deployed, const Hardware& machine, const Sizes& sizes, bool names,
                  JsonWriter& out) {
    const MemoryOf device = machine.kind == MachineKind::cpu ? MemoryOf::cpu : MemoryOf::accelerator;
    const Sizes all = deployed.all_sizes(sizes);
    const Launched launched = deployed.on(machine);
    const Counts counts = count(launched.graph, all, deployed.precision(), {}, device);
    const std::vector<LayerRow> layers = counts.layers();
    write_counted(out, counts, layers, deployed, all);
    if (names) write_names(out, counts, layers);
    const Sizes point = deployed.step_sizes(launched, deployed.plan_sizes(sizes));
    const std::shared_ptr<const Plan> plan = deployed.plans_of(launched)->plan_for(point);
    const std::vector<KernelEstimate> kernels = estimate_kernels(*plan, point, machine);
    Rows(layers, estimate_nodes(kernels)).write(out);
}

}  // namespace infercost

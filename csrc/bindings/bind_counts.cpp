#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/fields.hpp"
#include "count/count.hpp"

namespace infercost {
namespace {

py::dict bytes_by_role(const EnumArray<Traffic, Expr>& read, const EnumArray<Traffic, Expr>& written) {
    py::dict result;
    for (std::size_t i = 0; i < kTrafficCount; ++i) {
        const std::string name(name_of(static_cast<Traffic>(i)));
        result[py::str(name + "_read")] = to_python(read[i]);
        result[py::str(name + "_written")] = to_python(written[i]);
    }
    return result;
}

py::dict dimensions_of(const Work& work) {
    py::dict result;
    if (work.kind != WorkKind::gemm && work.kind != WorkKind::convolution &&
        work.kind != WorkKind::attention) {
        return result;
    }
    result["batch"] = to_python(work.dims.batch);
    result["m"] = to_python(work.dims.m);
    result["n"] = to_python(work.dims.n);
    result["k"] = to_python(work.dims.k);
    if (work.kind == WorkKind::attention) result["n_value"] = to_python(work.dims.n_value);
    if (work.kind == WorkKind::convolution) {
        result["filter_elements"] = work.dims.filter_elements;
    }
    return result;
}

Work make_work(const py::object& contraction, const py::object& pointwise, const py::object& read,
               const py::object& written, std::string_view kind, std::string_view dtype) {
    Work work;
    work.kind = parse_work_kind(kind);
    if (work.kind == WorkKind::collective) {
        throw std::invalid_argument(
            "kind is 'collective', whose group is not part of these figures; expected another kind, or a "
            "node of an op 'collective.*' in the graph");
    }
    work.dtype = parse_dtype(dtype);
    const auto amount = [](const py::object& value, const char* what) {
        const Expr e = to_expr(value, what);
        if (e.is_constant() && e.constant() < 0) {
            throw std::invalid_argument(std::string(what) + " is " + e.text() + "; expected zero or more");
        }
        return e;
    };
    work.contraction_flops = amount(contraction, "contraction_flops");
    work.causal_flops = work.contraction_flops;
    work.pointwise_flops = amount(pointwise, "pointwise_flops");
    work.read[static_cast<std::size_t>(Traffic::activation)] = amount(read, "bytes_read");
    work.written[static_cast<std::size_t>(Traffic::activation)] = amount(written, "bytes_written");
    return work;
}

py::dict row_dict(const CountRow& row) {
    py::dict result;
    result["contraction_flops"] = to_python(row.contraction_flops);
    result["pointwise_flops"] = to_python(row.pointwise_flops);
    result["macs"] = to_python(row.macs());
    result["parameters"] = to_python(row.parameters);
    result["parameter_bytes"] = to_python(row.parameter_bytes);
    result["buffer_bytes"] = to_python(row.buffer_bytes);
    result["bytes_read"] = to_python(row.bytes_read());
    result["bytes_written"] = to_python(row.bytes_written());
    result["peak_activation_bytes"] = to_python(row.peak_activation_bytes);
    result["peak_memory_bytes"] = to_python(row.peak_memory_bytes);
    return result;
}

std::string row_text(const CountRow& row) {
    std::string text;
    for (const auto& [name, value] : row_dict(row)) {
        text += (text.empty() ? "CountRow(" : ", ") + std::string(py::str(name)) + "=" +
                std::string(py::repr(value));
    }
    return text + ")";
}

py::list to_list(const std::vector<Expr>& values) {
    py::list result;
    for (const Expr& e : values) result.append(to_python(e));
    return result;
}

// A result that is held, as Python sees it.
struct Held {
    Lifetime lifetime;
};

std::vector<Held> live_at(const MemoryUse& use, NodeIndex node) {
    if (node < 0 || static_cast<std::size_t>(node) >= use.timeline.size()) {
        throw InputIndexError("node " + std::to_string(node) + " of a graph that has " +
                              std::to_string(use.timeline.size()));
    }
    std::vector<Held> held;
    for (const Lifetime& s : use.storages) {
        if (s.first <= node && node <= s.last) held.push_back({s});
    }
    const auto is_number = [](const Held& h) { return h.lifetime.bytes.is_constant(); };
    if (std::all_of(held.begin(), held.end(), is_number)) {
        std::stable_sort(held.begin(), held.end(), [](const Held& a, const Held& b) {
            return a.lifetime.bytes.constant() > b.lifetime.bytes.constant();
        });
    }
    return held;
}

struct RuleInfo {
    std::string op;
    std::string family;
    std::string convention;
    std::string relation;
};

RuleInfo info_of(const Family& family, const OpRule& row) {
    return {std::string(row.op), std::string(family.name), std::string(row.convention),
            std::string(kRelationNames[static_cast<std::size_t>(row.traits.relation)])};
}

std::vector<RuleInfo> all_rules() {
    std::vector<RuleInfo> result;
    for (const Family& family : families()) {
        for (const OpRule& row : family.rows) result.push_back(info_of(family, row));
    }
    return result;
}

std::optional<RuleInfo> rule_of(const std::string& op) {
    const std::size_t first = op.find('.');
    const std::size_t second = first == std::string::npos ? first : op.find('.', first + 1);
    if (first == std::string::npos || first + 1 == op.size()) {
        throw std::invalid_argument("op '" + op +
                                    "' is not a qualified name; expected namespace.name[.overload]");
    }
    const OpRule* found =
        find_rule({op, op.substr(0, second),
                   second == std::string::npos ? std::string("default") : op.substr(second + 1)});
    for (const Family& family : families()) {
        for (const OpRule& row : family.rows) {
            if (&row == found) return info_of(family, row);
        }
    }
    return std::nullopt;
}

py::tuple group_state(const ExchangeGroup& g) {
    return py::make_tuple(std::string(kCollectives[static_cast<std::size_t>(g.op)]),
                          std::string(kExchangeKernels[static_cast<std::size_t>(g.kernel)]), g.devices,
                          g.nodes, g.share, g.top_k, g.experts, g.token_bytes, g.cores);
}

ExchangeGroup group_from_state(const py::tuple& state) {
    return {.op = parse_collective(state[0].cast<std::string>()),
            .kernel = parse_exchange_kernel(state[1].cast<std::string>()),
            .devices = state[2].cast<std::int64_t>(),
            .nodes = state[3].cast<std::int64_t>(),
            .share = state[4].cast<std::int64_t>(),
            .top_k = state[5].cast<std::int64_t>(),
            .experts = state[6].cast<std::int64_t>(),
            .token_bytes = state[7].cast<std::int64_t>(),
            .cores = state[8].cast<std::int64_t>()};
}

// Quantities travel as text, since atoms are interned in each process.
py::tuple work_state(const Work& work) {
    Work copy = work;
    std::vector<std::string> texts;
    for (const Expr* e : copy.quantities()) texts.push_back(e->text());
    return py::make_tuple(std::string(name_of(work.kind)), std::string(name_of(work.dtype)), work.modelled,
                          work.dims.filter_elements, work.dims.weight_bits, texts,
                          group_state(work.exchange.group));
}

Work work_from_state(const py::tuple& state) {
    Work work;
    work.kind = parse_work_kind(state[0].cast<std::string>());
    work.dtype = parse_dtype(state[1].cast<std::string>());
    work.modelled = state[2].cast<bool>();
    work.dims.filter_elements = state[3].cast<std::int64_t>();
    work.dims.weight_bits = state[4].cast<int>();
    const auto texts = state[5].cast<std::vector<std::string>>();
    const std::vector<Expr*> quantities = work.quantities();
    for (std::size_t i = 0; i < quantities.size(); ++i) *quantities[i] = Expr::parse(texts.at(i));
    work.exchange.group = group_from_state(state[6]);
    return work;
}

}  // namespace

Overrides to_overrides(const py::object& values) {
    Overrides overrides;
    if (values.is_none()) return overrides;
    for (const auto& [node, work] : values.cast<py::dict>()) {
        overrides.emplace_back(node.cast<NodeIndex>(), work.cast<const Work&>());
    }
    return overrides;
}

void register_counts(py::module_& m) {
    static constexpr Field kWork[] = {
        field<&Work::kind>("kind"),
        field<&Work::dtype>("dtype"),
        field<&Work::contraction_flops>("contraction_flops"),
        field<&Work::pointwise_flops>("pointwise_flops"),
        field<&Work::causal_flops>("causal_flops"),
        field<&Work::bytes_read>("bytes_read"),
        field<&Work::bytes_written>("bytes_written"),
        field<[](const Work& w) { return bytes_by_role(w.read, w.written); }>("bytes_by_role"),
        field<[](const Work& w) { return w.exchange.sent_bytes; }>("bytes_sent"),
        field<&dimensions_of>("dimensions"),
    };
    def_fields(py::class_<Work>(m, "Work",
                                "What one node asks of any machine. FLOPs count a multiply-accumulate as 2."),
               kWork)
        .def(py::init(&make_work), py::kw_only(), py::arg("contraction_flops") = 0,
             py::arg("pointwise_flops") = 0, py::arg("bytes_read") = 0, py::arg("bytes_written") = 0,
             py::arg("kind") = "pointwise", py::arg("dtype") = "float32")
        .def(py::pickle(&work_state, &work_from_state));

    static constexpr Field kCountRow[] = {
        field<&CountRow::nodes>("nodes"),
        field<[](const CountRow& r) { return r.contraction_flops + r.pointwise_flops; }>("flops"),
        field<&CountRow::macs>("macs"),
        field<&CountRow::contraction_flops>("contraction_flops"),
        field<&CountRow::pointwise_flops>("pointwise_flops"),
        field<&CountRow::causal_flops>("causal_flops"),
        field<&CountRow::parameters>("parameters"),
        field<&CountRow::parameter_bytes>("parameter_bytes"),
        field<&CountRow::buffer_bytes>("buffer_bytes"),
        field<&CountRow::bytes_read>("bytes_read"),
        field<&CountRow::bytes_written>("bytes_written"),
        field<&CountRow::bytes_sent>("bytes_sent"),
        field<&CountRow::peak_activation_bytes>("peak_activation_bytes"),
        field<&CountRow::peak_memory_bytes>("peak_memory_bytes"),
        field<[](const CountRow& r) { return bytes_by_role(r.read, r.written); }>("bytes_by_role"),
    };
    def_fields(py::class_<CountRow>(
                   m, "CountRow", "One line of Counts: the whole model, a module, an op, or a single node."),
               kCountRow)
        .def("__repr__", &row_text)
        .def("to_dict", &row_dict, "The fields of the JSON contract's totals.");

    static constexpr Field kLayerRow[] = {
        field<&LayerRow::index>("index"),
        field<&LayerRow::module>("module"),
        field<&LayerRow::op>("op"),
        field<&LayerRow::source>("source"),
        field<&LayerRow::phase>("phase"),
        field<[](const LayerRow& l) { return l.work.modelled; }>("modelled"),
        field<&LayerRow::work>("work"),
        field<&LayerRow::row>("row"),
    };
    def_fields(py::class_<LayerRow>(m, "LayerRow", "One node of the graph with what it asks for."),
               kLayerRow);

    static constexpr Field kHeldStorage[] = {
        field<[](const Held& h) { return to_python(h.lifetime.bytes); }>("bytes"),
        field<[](const Held& h) { return h.lifetime.tensor; }>("tensor"),
        field<[](const Held& h) { return h.lifetime.first; }>("made_by"),
        field<[](const Held& h) { return h.lifetime.last; }>("held_until"),
    };
    def_fields(
        py::class_<Held>(m, "HeldStorage",
                         "A storage that is held: its bytes, the node that made it, the last node that "
                         "runs while it is held."),
        kHeldStorage);

    static constexpr Field kMemory[] = {
        field<&MemoryUse::peak_node>("peak_node"),
        field<[](const MemoryUse& u) { return to_list(u.timeline); }>("timeline"),
        field<[](const MemoryUse& u) { return to_list(u.workspace); }>("workspace"),
        field<[](const MemoryUse& u) {
            return u.lifetimes == Lifetimes::observed ? "observed" : "last_use";
        }>("lifetimes"),
        field<&MemoryUse::peak_op>("peak_op"),
        field<&MemoryUse::peak_module>("peak_module"),
        field<&MemoryUse::input_bytes>("input_bytes"),
        field<&MemoryUse::peak_activation_bytes>("peak_activation_bytes"),
        field<&MemoryUse::peak_memory_bytes>("peak_memory_bytes"),
        field<&MemoryUse::saved_for_backward_bytes>("saved_for_backward_bytes"),
    };
    def_fields(
        py::class_<MemoryUse>(m, "Memory", "Live activation bytes over the node order, and their peak."),
        kMemory)
        .def("live", &live_at, py::arg("node"),
             "What is held while a node runs, largest first where sizes are numbers: results of nodes, "
             "without the "
             "node's workspace.");

    static constexpr Field kCounts[] = {
        field<&Counts::total>("total"),
        field<[](const Counts& c) {
            const CoreCall core;
            return c.layers();
        }>("layers"),
        field<&Counts::unmodelled>("unmodelled"),
        field<&Counts::memory>("memory"),
        field<&Counts::nodes>("nodes"),
        field<&Counts::modelled_nodes>("modelled_nodes"),
    };
    def_fields(
        py::class_<Counts>(m, "Counts", "What a graph asks for, in total and by layer, module and op."),
        kCounts)
        .def(
            "by_module",
            [](const Counts& c, std::optional<int> depth) { return c.by_module(depth.value_or(-1)); },
            py::call_guard<CoreCall>(), py::arg("depth") = py::none(),
            "Every module path down to depth (None: all) with all that lies below it; '' is the whole model.")
        .def("by_op", &Counts::by_op, py::call_guard<CoreCall>())
        .def(
            "by_phase",
            [](const Counts& c) {
                py::dict rows;
                for (auto& [phase, row] : c.by_phase()) rows[py::str(std::string(name_of(phase)))] = row;
                return rows;
            },
            "'forward', and of a training step 'backward': a row for each, which add up to the total.");

    static constexpr Field kRule[] = {
        field<&RuleInfo::op>("op"),
        field<&RuleInfo::family>("family"),
        field<&RuleInfo::convention>("convention"),
        field<&RuleInfo::relation>("relation"),
    };
    def_fields(
        py::class_<RuleInfo>(
            m, "Rule", "One row of the op tables: the op, its family, the counting convention in words."),
        kRule);
    m.def("rules", &all_rules, "All rows of the op tables.");
    m.def("find_rule", &rule_of, py::arg("op"), "The row that counts this op, or None.");
    m.def(
        "count",
        [](const std::shared_ptr<const Graph>& graph, const py::dict& sizes, const std::string& precision,
           const py::object& overrides, bool on_cpu) {
            const Precision way = parse_precision(precision);
            const Overrides own = to_overrides(overrides);
            const Sizes values = to_sizes(sizes);
            const CoreCall core;
            return count(graph, values, way, own, on_cpu ? MemoryOf::cpu : MemoryOf::accelerator);
        },
        py::arg("graph"), py::arg("sizes"), py::kw_only(), py::arg("precision") = "native",
        py::arg("overrides") = py::none(), py::arg("on_cpu") = true,
        "Counts a graph. Sizes that are not given stay symbolic; overrides maps node indices to Work; memory "
        "is "
        "that of a CPU or of an accelerator.");
}

}  // namespace infercost

#include "core/graph_json.hpp"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <unordered_map>
#include <utility>

#include "core/json.hpp"
#include "core/threads.hpp"

namespace infercost {
namespace {

constexpr JsonKey optional(std::string_view name) {
    return {name, false};
}

// ---- text -> graph ----

class GraphReader {
  public:
    explicit GraphReader(std::string_view text) : document_(text, "graph JSON") {}

    std::shared_ptr<const Graph> read() {
        const JsonPlace place("the document");
        const JsonEntry root = document_.root();
        const auto [version, model, sizes, guards, tensors, nodes, inputs, outputs, held_until] =
            root.members(place, std::array{JsonKey{"schema_version"}, optional("model"), JsonKey{"sizes"},
                                           optional("guards"), JsonKey{"tensors"}, JsonKey{"nodes"},
                                           JsonKey{"inputs"}, JsonKey{"outputs"}, optional("held_until")});
        const std::int64_t written = version.integer(JsonPlace("schema_version"));
        if (written != kGraphSchemaVersion) {
            version.fail(JsonPlace("schema_version"), " is " + std::to_string(written) +
                                                          "; this version reads " +
                                                          std::to_string(kGraphSchemaVersion));
        }
        builder_.emplace(model ? std::string(model.text(JsonPlace("'model'"))) : std::string());
        sizes.for_each_member(JsonPlace("'sizes'"),
                              [&](std::string_view name, JsonEntry entry) { read_size(name, entry); });
        if (guards) for_each(guards, "'guards'", "guard", &GraphReader::read_guard);
        for_each(tensors, "'tensors'", "tensor", &GraphReader::read_tensor);
        for_each(nodes, "'nodes'", "node", &GraphReader::read_node);
        const std::vector<TensorIndex> given = indices(inputs, JsonPlace("'inputs'"));
        const std::vector<TensorIndex> results = indices(outputs, JsonPlace("'outputs'"));
        std::vector<NodeIndex> held;
        if (held_until) held = lifetimes(held_until, JsonPlace("'held_until'"));
        return root.within(place, [&] { return builder_->build(given, results, std::move(held)); });
    }

  private:
    using ReadEntry = void (GraphReader::*)(JsonEntry, const JsonPlace&);

    void for_each(JsonEntry list, std::string_view name, std::string_view item_name, ReadEntry read_entry) {
        std::size_t number = 0;
        list.for_each_item(JsonPlace(name), "a list", [&](JsonEntry item) {
            (this->*read_entry)(item, JsonPlace(item_name, number++));
        });
    }

    // Lengths repeat all over a graph: each distinct text is parsed once.
    Expr expression(JsonEntry entry, const JsonPlace& place) {
        if (!entry.is_text()) return {entry.integer(place, "an integer or a size expression")};
        const std::string_view text = entry.text(place);
        const auto [known, inserted] = expressions_.try_emplace(text);
        if (inserted) known->second = entry.within(place, [&] { return Expr::parse(text); });
        return known->second;
    }

    std::vector<Expr> expressions(JsonEntry list, const JsonPlace& place) {
        std::vector<Expr> result;
        list.for_each_item(place, "a list",
                           [&](JsonEntry item) { result.push_back(expression(item, place)); });
        return result;
    }

    std::int64_t constant(JsonEntry entry, const JsonPlace& place) {
        const Expr value = expression(entry, place);
        return entry.within(place, [&] { return value.constant(); });
    }

    TensorIndex index(JsonEntry entry, const JsonPlace& place) {
        if (entry.is_null()) return kNoTensor;
        const std::int64_t value = constant(entry, place);
        if (value < 0 || value > std::numeric_limits<TensorIndex>::max()) {
            entry.fail(place, " names tensor " + std::to_string(value) +
                                  "; expected zero or more, or null for none");
        }
        return static_cast<TensorIndex>(value);
    }

    std::vector<TensorIndex> indices(JsonEntry list, const JsonPlace& place) {
        std::vector<TensorIndex> result;
        list.for_each_item(place, "a list of tensor numbers",
                           [&](JsonEntry item) { result.push_back(index(item, place)); });
        return result;
    }

    static std::vector<NodeIndex> lifetimes(JsonEntry list, const JsonPlace& place) {
        std::vector<NodeIndex> result;
        result.reserve(list.size());
        list.for_each_item(place, "a list", [&](JsonEntry item) {
            if (item.is_null()) {
                result.push_back(kNotObserved);
                return;
            }
            const std::int64_t node = item.integer(place, "the number of a node, or null");
            if (node < 0 || node > std::numeric_limits<NodeIndex>::max()) {
                item.fail(place,
                          " has entry " + std::to_string(node) + "; expected the number of a node, or null");
            }
            result.push_back(static_cast<NodeIndex>(node));
        });
        return result;
    }

    // A number, or a text where JSON has no number: "inf", "-inf", "nan".
    static double real(JsonEntry entry, const JsonPlace& place) {
        if (!entry.is_text()) return entry.number(place);
        const std::string text(entry.text(place));
        if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
        if (text == "inf") return std::numeric_limits<double>::infinity();
        if (text == "-inf") return -std::numeric_limits<double>::infinity();
        const std::optional<double> value = json_number(text);
        if (!value) entry.unexpected(place, "a number");
        return *value;
    }

    void read_size(std::string_view name, JsonEntry entry) {
        const JsonPlace place("size", name);
        const auto [default_value, minimum, maximum, origin, role] =
            entry.members(place, std::array{JsonKey{"default"}, optional("minimum"), optional("maximum"),
                                            optional("origin"), optional("role")});
        NamedSize size;
        size.default_value = expression(default_value, place);
        if (minimum) size.minimum = constant(minimum, place);
        if (maximum && !maximum.is_null()) size.maximum = expression(maximum, place);
        if (origin) size.origin = origin.text(JsonPlace("origin", &place));
        size.role = role_of_name(name);
        if (role) {
            const JsonPlace role_place("role", &place);
            size.role = role.within(role_place, [&] { return parse_size_role(role.text(role_place)); });
        }
        entry.within(place, [&] { builder_->add_size(std::string(name), std::move(size)); });
    }

    void read_guard(JsonEntry entry, const JsonPlace& place) {
        std::vector<JsonEntry> parts;
        entry.for_each_item(place, "a list", [&](JsonEntry part) { parts.push_back(part); });
        if (parts.size() != 3) {
            entry.fail(place,
                       " has " + std::to_string(parts.size()) + " entries; expected [left, relation, right]");
        }
        const std::string_view relation = parts[1].text(JsonPlace("relation", &place));
        const Expr left = expression(parts[0], place);
        const Expr right = expression(parts[2], place);
        entry.within(place, [&] { builder_->add_guard({left, parse_relation(relation), right}); });
    }

    void read_tensor(JsonEntry entry, const JsonPlace& place) {
        const auto [dtype, shape, strides, role, name, logical_numel, storage_elements] = entry.members(
            place, std::array{JsonKey{"dtype"}, JsonKey{"shape"}, optional("strides"), JsonKey{"role"},
                              optional("name"), optional("stands_for"), optional("storage_elements")});
        const std::vector<Expr> lengths = expressions(shape, JsonPlace("shape", &place));
        std::vector<Expr> steps;
        if (strides) steps = expressions(strides, JsonPlace("strides", &place));
        const std::optional<std::span<const Expr>> view =
            strides ? std::optional<std::span<const Expr>>(steps) : std::nullopt;
        const std::string_view dtype_name = dtype.text(JsonPlace("dtype", &place));
        const std::string_view role_name = role.text(JsonPlace("role", &place));
        const std::string_view label = name ? name.text(JsonPlace("name", &place)) : std::string_view();
        const auto elements = [&](JsonEntry count, std::string_view key) -> std::optional<std::int64_t> {
            if (!count) return std::nullopt;
            return constant(count, JsonPlace(key, &place));
        };
        const std::optional<std::int64_t> logical = elements(logical_numel, "stands_for");
        const std::optional<std::int64_t> stored = elements(storage_elements, "storage_elements");
        entry.within(place, [&] {
            builder_->add_tensor(parse_dtype(dtype_name), lengths, view, parse_role(role_name), label,
                                 logical, stored);
        });
    }

    void read_node(JsonEntry entry, const JsonPlace& place) {
        check_interrupt();
        const auto [op, module, source, phase, args, outputs] =
            entry.members(place, std::array{JsonKey{"op"}, optional("module"), optional("source"),
                                            optional("phase"), JsonKey{"args"}, JsonKey{"outputs"}});
        const auto text = [&](JsonEntry value, std::string_view key, std::string_view otherwise) {
            return value ? value.text(JsonPlace(key, &place)) : otherwise;
        };
        const std::string_view op_name = op.text(JsonPlace("op", &place));
        const std::string_view path = text(module, "module", "");
        const std::string_view line = text(source, "source", "");
        const std::string_view phase_name = text(phase, "phase", name_of(Phase::forward));
        entry.within(place, [&] { builder_->begin_node(op_name, path, line, parse_phase(phase_name)); });
        args.for_each_member(JsonPlace("args", &place), [&](std::string_view name, JsonEntry value) {
            read_argument(name, value, JsonPlace("argument", name, &place));
        });
        const std::vector<TensorIndex> results = indices(outputs, JsonPlace("outputs", &place));
        entry.within(place, [&] { builder_->end_node(results); });
    }

    // null, or [kind, value].
    void read_argument(std::string_view name, JsonEntry entry, const JsonPlace& place) {
        if (entry.is_null()) return builder_->argument_none(name);
        const auto [kind, value] = entry.pair(place, "null or [kind, value]");
        const std::string_view kind_name = kind.text(JsonPlace("kind", &place));
        if (kind_name == "tensor") {
            builder_->argument_tensor(name, index(value, place));
        } else if (kind_name == "int") {
            builder_->argument_integer(name, expression(value, place));
        } else if (kind_name == "bool") {
            builder_->argument_boolean(name, value.boolean(place));
        } else if (kind_name == "float") {
            builder_->argument_real(name, real(value, place));
        } else if (kind_name == "str") {
            builder_->argument_text(name, value.text(place));
        } else if (kind_name == "tensors") {
            builder_->argument_tensors(name, indices(value, place));
        } else if (kind_name == "ints") {
            builder_->argument_integers(name, expressions(value, place));
        } else if (kind_name == "floats") {
            std::vector<double> reals;
            value.for_each_item(place, "a list", [&](JsonEntry item) { reals.push_back(real(item, place)); });
            builder_->argument_reals(name, reals);
        } else {
            kind.fail(place, " has kind '" + std::string(kind_name) +
                                 "'; expected tensor, int, bool, float, str, tensors, ints or floats");
        }
    }

    const JsonDocument document_;
    std::optional<GraphBuilder> builder_;
    std::unordered_map<std::string_view, Expr> expressions_;
};

// ---- graph -> text ----

class GraphTextWriter {
  public:
    // Named sizes and the arguments of a node are written in the order of the graph, or in that of their
    // names.
    enum class Order : std::uint8_t { of_graph, of_names };

    GraphTextWriter(const Graph& graph, Order order) : graph_(graph), order_(order) {
        expressions_.reserve(graph.expressions().size());
        for (const Expr& e : graph.expressions()) expressions_.push_back(number_text(e));
    }

    std::string write() {
        out_.begin_object();
        out_.key("schema_version").integer(kGraphSchemaVersion);
        out_.key("model").text(graph_.model());
        out_.key("sizes").begin_object();
        if (order_ == Order::of_names) {
            for (const auto& [name, size] : graph_.sizes()) write_size(name, size);
        } else {
            for (const std::string& name : graph_.size_names()) {
                write_size(name, graph_.sizes().find(name)->second);
            }
        }
        out_.end_object();
        out_.key("guards").begin_list();
        for (const Guard& guard : graph_.guards()) {
            out_.begin_list().text(guard.left.text()).text(name_of(guard.relation)).text(guard.right.text());
            out_.end_list();
        }
        out_.end_list();
        out_.key("tensors").begin_list();
        for (const Tensor& tensor : graph_.tensors()) write_tensor(tensor);
        out_.end_list();
        out_.key("nodes").begin_list();
        for (const Node& node : graph_.nodes()) write_node(node);
        out_.end_list();
        write_indices("inputs", graph_.inputs());
        write_indices("outputs", graph_.outputs());
        if (!graph_.held_until().empty()) {
            out_.key("held_until").begin_list();
            for (const NodeIndex node : graph_.held_until()) {
                node == kNotObserved ? out_.null() : out_.integer(node);
            }
            out_.end_list();
        }
        out_.end_object();
        return out_.take();
    }

  private:
    static std::string number_text(const Expr& e) {
        return e.is_constant() ? std::to_string(e.constant()) : JsonWriter::quoted(e.text());
    }

    // Names repeat: each is quoted once.
    const std::string& quoted_name(std::uint32_t id) {
        if (id >= names_.size()) names_.resize(id + 1);
        if (names_[id].empty()) names_[id] = JsonWriter::quoted(graph_.name(id));
        return names_[id];
    }

    void write_dim(Dim dim) { dim >= 0 ? out_.integer(dim) : out_.raw(expressions_[-dim - 1]); }

    void write_dims(std::string_view key, Range range) {
        out_.key(key).begin_list();
        for (const Dim d : graph_.dims(range)) write_dim(d);
        out_.end_list();
    }

    template <class Indices>
    void write_indices(std::string_view key, const Indices& indices) {
        out_.key(key).begin_list();
        for (const auto t : indices) out_.integer(t);
        out_.end_list();
    }

    void write_size(const std::string& name, const NamedSize& size) {
        out_.key(name).begin_object();
        out_.key("default").raw(number_text(size.default_value));
        out_.key("minimum").integer(size.minimum);
        if (size.maximum) out_.key("maximum").raw(number_text(*size.maximum));
        if (!size.origin.empty()) out_.key("origin").text(size.origin);
        if (size.role != role_of_name(name)) out_.key("role").text(name_of(size.role));
        out_.end_object();
    }

    void write_tensor(const Tensor& tensor) {
        out_.begin_object();
        out_.key("dtype").text(name_of(tensor.dtype));
        write_dims("shape", tensor.shape);
        write_dims("strides", tensor.strides);
        out_.key("role").text(name_of(tensor.role));
        if (!graph_.name(tensor.name).empty()) out_.key("name").raw(quoted_name(tensor.name));
        if (tensor.logical_numel >= 0) out_.key("stands_for").integer(tensor.logical_numel);
        if (tensor.storage_elements >= 0) out_.key("storage_elements").integer(tensor.storage_elements);
        out_.end_object();
    }

    void write_node(const Node& node) {
        out_.begin_object();
        out_.key("op").text(graph_.ops()[node.op].full);
        if (!graph_.name(node.module).empty()) out_.key("module").raw(quoted_name(node.module));
        if (!graph_.name(node.source).empty()) out_.key("source").raw(quoted_name(node.source));
        if (node.phase != Phase::forward) out_.key("phase").text(name_of(node.phase));
        out_.key("args").begin_object();
        const std::span<const Argument> arguments = graph_.arguments(node);
        ordered_.assign(arguments.begin(), arguments.end());
        if (order_ == Order::of_names) {
            std::sort(ordered_.begin(), ordered_.end(), [this](const Argument& a, const Argument& b) {
                return graph_.name(a.name) < graph_.name(b.name);
            });
        }
        for (const Argument& argument : ordered_) {
            out_.quoted_key(quoted_name(argument.name));
            write_argument(argument);
        }
        out_.end_object();
        write_indices("outputs", graph_.node_outputs(node));
        out_.end_object();
    }

    // [kind, value]: the kind keeps an integer apart from a tensor, and from a float without a fraction.
    void write_argument(const Argument& argument) {
        switch (argument.kind) {
            case ArgKind::none:
                out_.null();
                return;
            case ArgKind::tensor:
                out_.begin_list().text("tensor").integer(argument.value).end_list();
                return;
            case ArgKind::integer:
                out_.begin_list().text("int").integer(argument.value).end_list();
                return;
            case ArgKind::expression:
                out_.begin_list().text("int");
                write_dim(argument.value);
                out_.end_list();
                return;
            case ArgKind::boolean:
                out_.begin_list().text("bool").boolean(argument.value != 0).end_list();
                return;
            case ArgKind::real:
                out_.begin_list().text("float").text(shortest_text(argument.real)).end_list();
                return;
            case ArgKind::text:
                out_.begin_list().text("str");
                out_.raw(quoted_name(static_cast<std::uint32_t>(argument.value))).end_list();
                return;
            case ArgKind::tensor_list:
                out_.begin_list().text("tensors").begin_list();
                for (const std::int64_t t : graph_.integers(argument.range)) {
                    t == kNoTensor ? out_.null() : out_.integer(t);
                }
                break;
            case ArgKind::integer_list:
                out_.begin_list().text("ints").begin_list();
                for (const std::int64_t value : graph_.integers(argument.range)) out_.integer(value);
                break;
            case ArgKind::expression_list:
                out_.begin_list().text("ints").begin_list();
                for (const std::int64_t value : graph_.integers(argument.range)) write_dim(value);
                break;
            case ArgKind::real_list:
                out_.begin_list().text("floats").begin_list();
                for (const double value : graph_.reals(argument.range)) out_.text(shortest_text(value));
                break;
        }
        out_.end_list().end_list();  // of a list
    }

    const Graph& graph_;
    const Order order_;
    std::vector<Argument> ordered_;  // of one node
    JsonWriter out_;
    IndexedVector<Dim, std::string> expressions_;  // as JSON
    std::vector<std::string> names_;               // as JSON; empty until they are written
};

}  // namespace

std::string graph_to_json(const Graph& graph) {
    return GraphTextWriter(graph, GraphTextWriter::Order::of_graph).write();
}

bool operator==(const Graph& a, const Graph& b) {
    const auto text = [](const Graph& graph) {
        return GraphTextWriter(graph, GraphTextWriter::Order::of_names).write();
    };
    return &a == &b || (a.nodes().size() == b.nodes().size() && text(a) == text(b));
}

std::shared_ptr<const Graph> graph_from_json(std::string_view text) {
    return GraphReader(text).read();
}

}  // namespace infercost

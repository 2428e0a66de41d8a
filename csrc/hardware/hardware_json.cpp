#include "hardware/hardware_json.hpp"

#include <cmath>
#include <limits>

#include "core/json.hpp"

namespace infercost {
namespace {

// ---- text -> machine ----

double number_of(JsonEntry entry, std::string_view key, const JsonPlace* outer = nullptr) {
    return entry.number(JsonPlace(key, outer));
}

std::string text_of(JsonEntry entry, std::string_view key) {
    return std::string(entry.text(JsonPlace(key)));
}

// Read an object with arbitrary keys: visit(key, value, place).
template <class Visit>
void for_each_named(JsonEntry object, std::string_view table, Visit&& visit) {
    object.for_each_member(JsonPlace(table), [&](std::string_view name, JsonEntry value) {
        visit(name, value, JsonPlace(table, name));
    });
}

template <class Map>
Map numbers_of(JsonEntry object, std::string_view table) {
    Map found;
    for_each_named(object, table, [&](std::string_view name, JsonEntry value, const JsonPlace& place) {
        found.emplace(name, value.number(place));
    });
    return found;
}

Rates rates_of(JsonEntry object, std::string_view table) {
    Rates rates{};
    for_each_named(object, table, [&](std::string_view name, JsonEntry value, const JsonPlace& place) {
        const DType dtype = value.within(place, [&] { return parse_dtype(name); });
        double& rate = rates[dtype];
        if (rate != 0) value.fail(place, " is given twice; expected each dtype once");
        rate = value.number(place);
    });
    return rates;
}

std::vector<MemoryLevel> memory_of(JsonEntry list) {
    std::vector<MemoryLevel> levels;
    list.for_each_item(JsonPlace("memory"), "a list of levels", [&](JsonEntry entry) {
        const JsonPlace place("memory level", levels.size());
        const auto [level, capacity, bandwidth] = entry.members(
            place, std::array{JsonKey{"level"}, JsonKey{"capacity_bytes"}, JsonKey{"bandwidth_byte_per_s"}});
        levels.push_back({std::string(level.text(JsonPlace("level", &place))),
                          capacity.is_null() ? std::numeric_limits<double>::infinity()
                                             : number_of(capacity, "capacity_bytes", &place),
                          number_of(bandwidth, "bandwidth_byte_per_s", &place)});
    });
    return levels;
}

ArrayShape array_of(JsonEntry entry) {
    const JsonPlace place("array");
    const auto [rows, cols, units] =
        entry.members(place, std::array{JsonKey{"rows"}, JsonKey{"cols"}, JsonKey{"units"}});
    return {number_of(rows, "rows", &place), number_of(cols, "cols", &place),
            number_of(units, "units", &place)};
}

Overheads overheads_of(JsonEntry entry) {
    const JsonPlace place("overheads_s");
    const auto [dispatch, launch_gap, replay_gap, kernel_minimum] =
        entry.members(place, std::array{JsonKey{"dispatch"}, JsonKey{"launch_gap"}, JsonKey{"replay_gap"},
                                        JsonKey{"kernel_minimum"}});
    return {number_of(dispatch, "dispatch", &place), number_of(launch_gap, "launch_gap", &place),
            number_of(replay_gap, "replay_gap", &place), number_of(kernel_minimum, "kernel_minimum", &place)};
}

// ---- machine -> text ----

template <class Map>
void write_numbers(JsonWriter& out, std::string_view table, const Map& numbers) {
    out.key(table).begin_object();
    for (const auto& [name, value] : numbers) out.key(name).number(value);
    out.end_object();
}

void write_rates(JsonWriter& out, std::string_view table, const Rates& rates) {
    out.key(table).begin_object();
    for (std::size_t i = 0; i < rates.size(); ++i) {
        if (rates[i] > 0) out.key(name_of(static_cast<DType>(i))).number(rates[i]);
    }
    out.end_object();
}

void write_memory(JsonWriter& out, const std::vector<MemoryLevel>& levels) {
    out.key("memory").begin_list();
    for (const MemoryLevel& level : levels) {
        out.begin_object().key("level").text(level.name).key("capacity_bytes");
        std::isinf(level.capacity_bytes) ? out.null() : out.number(level.capacity_bytes);
        out.key("bandwidth_byte_per_s").number(level.bandwidth_byte_per_s).end_object();
    }
    out.end_list();
}

std::map<std::string, std::string> texts_of(JsonEntry entry, std::string_view table) {
    std::map<std::string, std::string> found;
    for_each_named(entry, table, [&](std::string_view key, JsonEntry value, const JsonPlace& place) {
        found.emplace(key, value.text(place));
    });
    return found;
}

void write_texts(JsonWriter& out, std::string_view name, const std::map<std::string, std::string>& texts) {
    out.key(name).begin_object();
    for (const auto& [key, words] : texts) out.key(key).text(words);
    out.end_object();
}

}  // namespace

Hardware hardware_from_json(std::string_view text) {
    const JsonDocument document(text, "machine JSON");
    const JsonPlace whole("the document");
    const JsonEntry root = document.root();
    const auto [version, id, name, kind, family, cores, clock, matrix, vector, memory, array, sparsity,
                overheads, achieved, constants, spread, evidence, power, links, provenance] =
        root.members(whole, std::array{
                                JsonKey{"schema_version"},
                                JsonKey{"id"},
                                JsonKey{"name"},
                                JsonKey{"kind"},
                                JsonKey{"family"},
                                JsonKey{"cores"},
                                JsonKey{"clock_hz"},
                                JsonKey{"matrix_flop_per_s"},
                                JsonKey{"vector_flop_per_s"},
                                JsonKey{"memory"},
                                JsonKey{"array", false},
                                JsonKey{"sparsity_2_4"},
                                JsonKey{"overheads_s"},
                                JsonKey{"achieved"},
                                JsonKey{"constants"},
                                JsonKey{"spread"},
                                JsonKey{"evidence"},
                                JsonKey{"power_w"},
                                JsonKey{"links_byte_per_s"},
                                JsonKey{"provenance"}
    });
    const JsonPlace version_place("schema_version");
    if (const std::int64_t written = version.integer(version_place); written != kHardwareSchemaVersion) {
        version.fail(version_place, " is " + std::to_string(written) + "; this version reads " +
                                        std::to_string(kHardwareSchemaVersion));
    }
    Hardware h;
    h.id = text_of(id, "id");
    h.name = text_of(name, "name");
    const std::string kind_name = text_of(kind, "kind");
    h.kind = kind.within(JsonPlace("kind"), [&] { return parse_machine_kind(kind_name); });
    h.family = text_of(family, "family");
    h.cores = number_of(cores, "cores");
    h.clock_hz = number_of(clock, "clock_hz");
    h.matrix = rates_of(matrix, "matrix_flop_per_s");
    h.vector = rates_of(vector, "vector_flop_per_s");
    h.memory = memory_of(memory);
    if (array) h.array = array_of(array);
    h.sparsity_2_4 = number_of(sparsity, "sparsity_2_4");
    h.overheads = overheads_of(overheads);
    using Named = std::map<std::string, double>;
    root.within(whole, [&] {
        h.set_achieved(numbers_of<Named>(achieved, "achieved"));
        h.set_constants(numbers_of<Named>(constants, "constants"));
    });
    h.spread = number_of(spread, "spread");
    h.power_w = numbers_of<decltype(h.power_w)>(power, "power_w");
    h.links_byte_per_s = numbers_of<decltype(h.links_byte_per_s)>(links, "links_byte_per_s");
    h.evidence = texts_of(evidence, "evidence");
    h.provenance = texts_of(provenance, "provenance");
    root.within(whole, [&] { h.validate(); });
    return h;
}

std::string hardware_to_json(const Hardware& h) {
    JsonWriter out;
    out.begin_object();
    out.key("schema_version").integer(kHardwareSchemaVersion);
    out.key("id").text(h.id).key("name").text(h.name).key("kind").text(name_of(h.kind));
    out.key("family").text(h.family).key("cores").number(h.cores).key("clock_hz").number(h.clock_hz);
    write_rates(out, "matrix_flop_per_s", h.matrix);
    write_rates(out, "vector_flop_per_s", h.vector);
    write_memory(out, h.memory);
    if (h.array) {
        out.key("array").begin_object();
        out.key("rows").number(h.array->rows).key("cols").number(h.array->cols);
        out.key("units").number(h.array->units).end_object();
    }
    out.key("sparsity_2_4").number(h.sparsity_2_4);
    out.key("overheads_s").begin_object();
    out.key("dispatch").number(h.overheads.dispatch_s);
    out.key("launch_gap").number(h.overheads.launch_gap_s);
    out.key("replay_gap").number(h.overheads.replay_gap_s);
    out.key("kernel_minimum").number(h.overheads.kernel_minimum_s).end_object();
    write_numbers(out, "achieved", h.named_achieved());
    write_numbers(out, "constants", h.named_constants());
    out.key("spread").number(h.spread);
    write_texts(out, "evidence", h.evidence);
    write_numbers(out, "power_w", h.power_w);
    write_numbers(out, "links_byte_per_s", h.links_byte_per_s);
    write_texts(out, "provenance", h.provenance);
    out.end_object();
    return out.take();
}

}  // namespace infercost

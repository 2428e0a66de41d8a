#include "hardware/constants.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <unordered_map>

#include "core/errors.hpp"
#include "core/nearest.hpp"
#include "hardware/costs.hpp"

namespace infercost {
namespace {

constexpr std::string_view kDepthwiseTable = "kernel.depthwise";
constexpr std::array<std::string_view, 2> kEngines = {"matrix", "vector"};

// Kinds of work with their own kernel constants.
bool has_kernels(std::size_t kind) {
    return kind != static_cast<std::size_t>(WorkKind::free) &&
           kind != static_cast<std::size_t>(WorkKind::collective) &&
           kind != static_cast<std::size_t>(WorkKind::unknown);
}

const std::string& kernel_table(std::size_t kind) {
    static const EnumArray<WorkKind, std::string> kTables = [] {
        EnumArray<WorkKind, std::string> names;
        for (std::size_t k = 0; k < kWorkKindCount; ++k) {
            names[k] = "kernel." + std::string(name_of(static_cast<WorkKind>(k)));
        }
        return names;
    }();
    return kTables[kind];
}

// Call visit(table, group, rows) for every struct of a machine's constants.
template <class AnyConstants, class Visit>
void visit_groups(AnyConstants& c, Visit&& visit) {
    for (std::size_t kind = 0; kind < kWorkKindCount; ++kind) {
        if (!has_kernels(kind)) continue;
        visit(kernel_table(kind), c.kernel[kind], kKernelRows);
        visit(kernel_table(kind), c.band[kind], kClassBandRows);
    }
    visit(kDepthwiseTable, c.depthwise_kernel, kKernelRows);
    visit(kDepthwiseTable, c.depthwise, kDepthwiseRows);
    visit("stream", c.stream, kStreamRows);
    visit("forward", c.forward, kForwardRows);
    visit("limits", c.limits, kLimitRows);
    for (std::size_t table = 0; table < kTileTableCount; ++table) {
        visit(kTileTables[table], c.tiles[table], kTileRows);
        visit(kTileTables[table], c.tiles[table], kSharedTileRows);
    }
    for (std::size_t table = 0; table < kRowTableCount; ++table)
        visit(kRowTables[table], c.rows[table], kRowRows);
    visit("attention", c.attention, kAttentionRows);
    visit("winograd", c.winograd, kWinogradRows);
    visit("array", c.array, kArrayRows);
    visit("sparsity", c.sparsity, kSparsityRows);
    visit("cpu", c.cpu, kCpuRows);
    visit("achieved", c.achieved, kAchievedRows);
    visit("energy", c.energy, kEnergyDerived);
    visit("power", c.power, kPowerDerived);
    visit("collectives", c.collectives, kCollectiveRows);
    visit("engine_all_reduce", c.engine_all_reduce, kEngineReduceRows);
    for (std::size_t table = 0; table < kExpertTables.size(); ++table)
        visit(kExpertTables[table], c.experts[table], kExpertRows);
    visit("host_link", c.host_link, kHostLinkRows);
    visit("cold_start", c.cold_start, kColdStartRows);
    visit("link", c.link, kLinkDerived);
    visit("library", c.library, kLibraryDerived);
}

// Call visit(table, figures, row) for every figure that each engine has per dtype.
template <class AnyConstants, class Visit>
void visit_engines(AnyConstants& c, Visit&& visit) {
    visit("achieved", c.achieved_of, kAchievedOfEngine);
    visit("energy", c.energy_of, kEnergyOfEngine);
    visit("power", c.power_of, kPowerOfEngine);
}

// Expand `pj_per_flop_{engine}_{dtype}` for one engine and dtype.
std::string for_engine(std::string_view pattern, std::string_view engine, DType dtype) {
    std::string text(pattern);
    const auto put = [&](std::string_view place, std::string_view word) {
        const std::size_t at = text.find(place);
        if (at != std::string::npos) text.replace(at, place.size(), word);
    };
    put("{engine}", engine);
    put("{dtype}", kDTypes[dtype].short_name);
    return text;
}

template <class Visit>
void for_each_engine(Visit&& visit) {
    for (const std::string_view engine : kEngines) {
        for (std::size_t dtype = 0; dtype < kDTypeCount; ++dtype) {
            if (owns_short_name(static_cast<DType>(dtype))) visit(engine, static_cast<DType>(dtype));
        }
    }
}

// Location of a named constant in a machine, and its allowed values.
struct Slot {
    std::string name;
    std::ptrdiff_t offset;
    const Constant* row;
};

struct NameHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
};
template <class Value>
using ByName = std::unordered_map<std::string, Value, NameHash, std::equal_to<>>;

struct Slots {
    std::vector<Slot> all;
    ByName<std::size_t> by_name;

    Slots() {
        const Constants prototype;
        const auto add = [&](std::string name, const double& place, const Constant& row) {
            by_name.emplace(name, all.size());
            all.push_back({std::move(name),
                           reinterpret_cast<const char*>(&place) - reinterpret_cast<const char*>(&prototype),
                           &row});
        };
        visit_groups(prototype, [&](std::string_view table, const auto& group, const auto& rows) {
            for (const auto& row : rows)
                add(std::string(table) + "." + std::string(row.name), group.*row.field, row);
        });
        visit_engines(prototype, [&](std::string_view table, const EngineFigures& figures,
                                     const Constant& row) {
            for_each_engine([&](std::string_view engine, DType dtype) {
                const auto& of_dtypes = engine == kEngines[0] ? figures.matrix : figures.vector;
                add(std::string(table) + "." + for_engine(row.name, engine, dtype), of_dtypes[dtype], row);
            });
        });
    }
};

const Slots& slots() {
    static const Slots kSlots;
    return kSlots;
}

const Slot& slot_of(std::string_view name) {
    const auto found = slots().by_name.find(name);
    if (found != slots().by_name.end()) return slots().all[found->second];
    std::vector<std::string> known;
    for (const Slot& slot : slots().all) known.push_back(slot.name);
    throw InputError("unknown constant '" + std::string(name) + "'; the nearest is '" +
                     nearest_name(name, known) + "'");
}

const double& at(const Constants& constants, const Slot& slot) {
    return *reinterpret_cast<const double*>(reinterpret_cast<const char*>(&constants) + slot.offset);
}
double& at(Constants& constants, const Slot& slot) {
    return *reinterpret_cast<double*>(reinterpret_cast<char*>(&constants) + slot.offset);
}

// The range in a machine. That of a constant that is converted is wide, because its value depends on the
// clock.
ValueRange range_of(const Constant& row) {
    constexpr double kTiniest = 1e-30;  // of kTiny or kHuge in any unit and at any clock
    if (row.unit.conversion == Conversion::none) return row.range;
    return {row.range.low > 0 ? kTiniest : 0, false, 1 / kTiniest};
}

std::string text_of(const ValueRange& range) {
    std::string text = range.whole ? "a whole number " : "a finite number ";
    text += (range.above ? "> " : ">= ") + short_text(range.low);
    if (range.high < std::numeric_limits<double>::infinity()) text += " and <= " + short_text(range.high);
    return text;
}

template <class Group, std::size_t N>
void fill(Group& group, const ConstantField<Group> (&rows)[N]) {
    for (const ConstantField<Group>& row : rows) group.*row.field = value_or(group.*row.field, row.otherwise);
}

void fill(EngineFigures& figures, double matrix, double vector) {
    for (double& value : figures.matrix) value = value_or(value, matrix);
    for (double& value : figures.vector) value = value_or(value, vector);
}

}  // namespace

Constants::Constants() {
    const auto unset = [](auto& group, const auto& of_group) {
        for (const auto& row : of_group) group.*row.field = kUnset;
    };
    for (std::size_t kind = 0; kind < kWorkKindCount; ++kind) {
        unset(kernel[kind], kKernelRows);
        unset(band[kind], kClassBandRows);
    }
    visit_groups(*this, [&](std::string_view, auto& group, const auto& of_group) { unset(group, of_group); });
    visit_engines(*this, [](std::string_view, EngineFigures& figures, const Constant&) {
        figures.matrix.fill(kUnset);
        figures.vector.fill(kUnset);
    });
}

void Constants::set(std::string_view name, double value) {
    const Slot& slot = slot_of(name);
    if (!is_set(value)) {
        throw InputError("constant '" + std::string(name) + "' is not a number; pass a number, or omit it");
    }
    at(*this, slot) = value;
}

double Constants::get(std::string_view name) const {
    return at(*this, slot_of(name));
}

void Constants::validate() const {
    for (const Slot& slot : slots().all) {
        const double value = at(*this, slot);
        if (is_set(value) && !range_of(*slot.row).has(value)) {
            throw InputError("constant '" + slot.name + "' is " + short_text(value) + "; expected " +
                             text_of(range_of(*slot.row)));
        }
    }
}

std::map<std::string, double> Constants::named() const {
    std::map<std::string, double> found;
    for (const Slot& slot : slots().all) {
        if (is_set(at(*this, slot))) found.emplace(slot.name, at(*this, slot));
    }
    return found;
}

Constants Constants::complete(double kernel_minimum_s, double spread) const {
    Constants full = *this;
    for (std::size_t kind = 0; kind < kWorkKindCount; ++kind) {
        KernelConstants& one = full.kernel[kind];
        one.minimum_s =
            value_or(one.minimum_s, is_contraction(static_cast<WorkKind>(kind)) ? kernel_minimum_s : 0.0);
        fill(one, kKernelRows);
        full.band[kind].spread = value_or(full.band[kind].spread, spread);
    }
    full.depthwise_kernel.minimum_s = value_or(full.depthwise_kernel.minimum_s, kernel_minimum_s);
    fill(full.depthwise_kernel, kKernelRows);
    full.depthwise.grouped = value_or(full.depthwise.grouped, full.depthwise_kernel.compute);
    full.depthwise.wide = value_or(full.depthwise.wide, full.depthwise_kernel.compute);
    for (std::size_t table = 0; table < kTileTableCount; ++table) {
        const auto general = static_cast<std::size_t>(general_table(static_cast<TileTable>(table)));
        for (const ConstantField<TileConstants>& row : kSharedTileRows) {
            full.tiles[table].*row.field = value_or(full.tiles[table].*row.field, tiles[general].*row.field);
        }
    }
    CpuConstants& loops = full.cpu;
    fill(loops, kCpuRows);
    loops.scattered_s = loops.scattered_s > 0 ? loops.scattered_s : loops.row_s;
    loops.half_gemv_s = value_or(loops.half_gemv_s, loops.gemv_s);
    loops.byte_gemv_s = value_or(loops.byte_gemv_s, loops.gemv_s);
    loops.byte_weight_stream = value_or(loops.byte_weight_stream, loops.weight_stream);
    loops.half_attention = value_or(loops.half_attention, loops.attention);
    loops.half_key_s = value_or(loops.half_key_s, loops.key_s);
    loops.half_weight_stream = value_or(loops.half_weight_stream, loops.weight_stream);
    loops.compiled_special_s = value_or(loops.compiled_special_s, loops.special_s);
    loops.compiled_row_s = value_or(loops.compiled_row_s, loops.row_s);
    loops.compiled_softmax_s = value_or(loops.compiled_softmax_s, loops.softmax_s);
    // A compiler keeps channels innermost, so windows vectorize.
    loops.compiled_window_s = value_or(loops.compiled_window_s, kCompiledWindow * loops.window_s);
    visit_groups(full, [](std::string_view, auto& group, const auto& of_group) { fill(group, of_group); });
    fill(full.achieved_of, full.achieved.matrix, full.achieved.vector);
    visit_engines(full, [](std::string_view, EngineFigures& figures, const Constant& row) {
        fill(figures, row.otherwise, row.otherwise);
    });
    return full;
}

std::string short_text(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%g", value);
    return text;
}

// ---- lists ---------------------------------------------------------------------------------------------

std::string_view name_of(ConstantScope scope) {
    switch (scope) {
        case ConstantScope::machine:
            return "machine";
        case ConstantScope::kernel_class:
            return "kernel class";
        case ConstantScope::product:
            return "kind of product";
        case ConstantScope::row_kernel:
            return "kind of row kernel";
        case ConstantScope::engine:
            return "engine and dtype";
    }
    return "";
}

namespace {

class RowList {
  public:
    RowList() {
        using enum ConstantScope;
        loaded("overheads", kOverheadRows);
        held({"achieved"}, kAchievedRows, machine);
        add({"achieved"}, kAchievedOfEngine, engine, true);
        loaded("cache", kCacheRows);
        held({"limits"}, kLimitRows, machine);
        loaded("assumed", kAssumedRows);
        held({"stream"}, kStreamRows, machine);
        loaded("stream", kEccRows);
        held({"forward"}, kForwardRows, machine);
        std::vector<std::string> classes;
        for (std::size_t kind = 0; kind < kWorkKindCount; ++kind) {
            if (has_kernels(kind)) classes.push_back(kernel_table(kind));
        }
        classes.emplace_back(kDepthwiseTable);
        held(classes, kKernelRows, kernel_class);
        held({std::string(kDepthwiseTable)}, kDepthwiseRows, machine);
        const std::vector<std::string> products(kTileTables.begin(), kTileTables.end());
        held(products, kTileRows, product);
        held(products, kSharedTileRows, product, "tiles_matrix (of tiles_convolution: tiles_vector)");
        held({kRowTables.begin(), kRowTables.end()}, kRowRows, row_kernel);
        held({"attention"}, kAttentionRows, machine);
        held({"winograd"}, kWinogradRows, machine);
        held({"array"}, kArrayRows, machine);
        held({"sparsity"}, kSparsityRows, machine);
        held({"cpu"}, kCpuRows, machine);
        loaded("energy", kEnergyRows);
        loaded("power", kPowerRows);
        held({"collectives"}, kCollectiveRows, machine);
        held({"engine_all_reduce"}, kEngineReduceRows, machine);
        held({kExpertTables.begin(), kExpertTables.end()}, kExpertRows, machine);
        held({"host_link"}, kHostLinkRows, machine);
        held({"cold_start"}, kColdStartRows, machine);
    }

    std::vector<CalibrationRow> rows;

  private:
    template <class Rows>
    void held(const std::vector<std::string>& tables, const Rows& some, ConstantScope scope,
              const char* fallback = "") {
        for (const Constant& row : some) {
            if (row.key.empty()) continue;
            add(tables, row, scope, true);
            rows.back().fallback = fallback;
        }
    }
    template <class Rows>
    void loaded(const char* table, const Rows& some) {
        for (const Constant& row : some) {
            const bool of_engine = row.key.find("{engine}") != std::string_view::npos;
            add({table}, row, of_engine ? ConstantScope::engine : ConstantScope::machine, false);
        }
    }
    void add(std::vector<std::string> tables, const Constant& row, ConstantScope scope, bool held) {
        CalibrationRow one{std::move(tables), {}, {}, row, scope, "", held};
        if (scope == ConstantScope::engine) {
            for_each_engine([&](std::string_view engine, DType dtype) {
                one.keys.push_back(for_engine(row.key, engine, dtype));
                one.names.push_back(for_engine(row.name, engine, dtype));
            });
        } else {
            one.keys.emplace_back(row.key);
            one.names.emplace_back(row.name);
        }
        rows.push_back(std::move(one));
    }
};

struct KeyedConstant {
    std::string name;
    const Unit* unit;
};

const ByName<KeyedConstant>& by_key() {
    static const ByName<KeyedConstant> kByKey = [] {
        ByName<KeyedConstant> found;
        for (const CalibrationRow& row : calibration_rows()) {
            for (const std::string& table : row.tables) {
                for (std::size_t i = 0; i < row.keys.size(); ++i) {
                    found.emplace(table + "." + row.keys[i],
                                  KeyedConstant{table + "." + row.names[i], &row.constant.unit});
                }
            }
        }
        return found;
    }();
    return kByKey;
}

const KeyedConstant& find_key(std::string_view key) {
    const auto found = by_key().find(key);
    if (found != by_key().end()) return found->second;
    std::vector<std::string> known;
    for (const auto& [name, constant] : by_key()) known.push_back(name);
    std::sort(known.begin(), known.end());
    throw InputError("unknown key '" + std::string(key) + "' of a calibration file; the nearest is '" +
                     nearest_name(key, known) + "'");
}

}  // namespace

const std::vector<CalibrationRow>& calibration_rows() {
    static const RowList kList;
    return kList.rows;
}

std::map<std::string, double> base_constants(const std::map<std::string, double>& calibration,
                                             double clock_hz) {
    std::map<std::string, double> found;
    for (const auto& [key, value] : calibration) {
        const KeyedConstant& constant = find_key(key);
        found.emplace(constant.name, to_base(*constant.unit, value, clock_hz));
    }
    return found;
}

double calibration_value(std::string_view key, double base, double clock_hz) {
    return from_base(*find_key(key).unit, base, clock_hz);
}

}  // namespace infercost

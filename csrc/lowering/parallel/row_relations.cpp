// Work on elements and rows, reductions, and operators that look elements up.
#include <algorithm>
#include <string>

#include "lowering/parallel/product_axes.hpp"

namespace infercost {
namespace {
namespace row_relations_table {

constexpr std::string_view kNorm = "a norm needs them all";
constexpr std::string_view kReduced = "a reduction needs them all";
constexpr std::string_view kRow = "an operator needs whole rows of them";
constexpr std::string_view kRead = "single ones are looked up";

bool is_all(const Call& call) {
    return !call.has("dim") || call.integers("dim").empty();
}

// Dimensions that an argument lists, counted from the front; all without it.
std::vector<bool> listed(const Call& call, std::string_view name, std::size_t rank, bool otherwise) {
    IndexedVector<std::int64_t, bool> found(rank, false);
    const List<Expr> given = call.integers(name);
    if (given.empty()) return std::vector<bool>(rank, otherwise);
    for (const Expr& each : given) {
        const std::int64_t dim =
            each.constant() < 0 ? each.constant() + static_cast<std::int64_t>(rank) : each.constant();
        if (dim >= 0 && dim < static_cast<std::int64_t>(rank)) found[dim] = true;
    }
    return found;
}

// ---- reductions ----

// What may be done to the reduced dimensions: of a linear reduction, each device has a part of the sum; a
// statistic needs all of them, as a norm does; those of an extreme stay whole.
enum class Reduction : std::uint8_t { linear, statistic, extreme };

bool reduce(Relations& relations, const Call& call, Reduction reduction) {
    const TensorIndex source = call.first_operand();
    const AxisList axes = relations.of(source);
    const std::vector<bool> gone = listed(call, "dim", axes.size(), true);
    for (std::size_t i = 0; i < axes.size(); ++i) {
        if (gone[i]) relations.axes().mix(axes[i], kReduced);
        if (!gone[i]) continue;
        if (reduction == Reduction::statistic) relations.axes().mark_norm(axes[i]);
        if (reduction == Reduction::extreme) relations.axes().fix(axes[i], kReduced);
    }
    for (std::size_t r = 0; r < call.output_count(); ++r) {
        const TensorIndex result = call.output(r);
        const bool kept = call.rank(result) == static_cast<int>(axes.size());
        AxisList now;
        for (std::size_t i = 0; i < axes.size(); ++i) {
            if (!gone[i]) now.push_back(axes[i]);
            if (gone[i] && kept) now.push_back(Axes::kOne);
        }
        relations.set(result, now);
    }
    return true;
}

// A sum of parts is the sum of all: each device has a part of it.
bool sum(Relations& relations, const Call& call) {
    return reduce(relations, call, Reduction::linear);
}
bool statistic(Relations& relations, const Call& call) {
    return reduce(relations, call, Reduction::statistic);
}
bool extreme(Relations& relations, const Call& call) {
    if (call.has("other")) return relate_elements(relations, call);
    return reduce(relations, call, Reduction::extreme);
}

// A softmax, a scan, a sort: results are like the operand, and need all of one dimension.
bool along(Relations& relations, const Call& call) {
    const TensorIndex source = call.first_operand();
    const AxisList axes = relations.of(source);
    const bool all = is_all(call);
    const int dim = all ? -1 : dim_of(call, "dim", static_cast<int>(axes.size()), -1);
    for (std::size_t i = 0; i < axes.size(); ++i) {
        if (all || static_cast<int>(i) == dim) relations.axes().fix(axes[i], kRow);
    }
    for (std::size_t r = 0; r < call.output_count(); ++r) {
        const TensorIndex result = call.output(r);
        AxisList now = relations.fresh(result);
        if (now.size() != axes.size()) return false;
        for (std::size_t i = 0; i < axes.size(); ++i) {
            const bool same = relations.axes().length(now[i]) == relations.axes().length(axes[i]);
            if (same && (all || static_cast<int>(i) != dim)) now[i] = axes[i];
        }
        relations.set(result, now);
    }
    return true;
}
// The last dimension without an argument.
bool along_last(Relations& relations, const Call& call) {
    const TensorIndex source = call.first_operand();
    const AxisList axes = relations.of(source);
    if (axes.empty()) return false;
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), -1);
    if (dim < 0) return false;
    relations.axes().fix(axes[dim], kRow);
    for (std::size_t r = 0; r < call.output_count(); ++r) {
        AxisList now = relations.fresh(call.output(r));
        if (now.size() != axes.size()) return false;
        for (std::size_t i = 0; i < axes.size(); ++i) {
            if (std::cmp_not_equal(i, dim)) now[i] = axes[i];
        }
        relations.set(call.output(r), now);
    }
    return true;
}

// ---- norms ----

bool row_norm(Relations& relations, const Call& call) {
    const TensorIndex source = call.first_operand();
    const AxisList axes = relations.of(source);
    const std::size_t normed = call.integers("normalized_shape").size();
    if (normed == 0 || normed > axes.size()) return false;
    const std::size_t first = axes.size() - normed;
    for (std::size_t i = first; i < axes.size(); ++i) relations.axes().mark_norm(axes[i]);
    for (const char* name : {"weight", "bias"}) {
        const TensorIndex t = call.tensor(name);
        if (t == kNoTensor || relations.of(t).size() != normed) continue;
        for (std::size_t i = 0; i < normed; ++i) relations.axes().equal(relations.of(t)[i], axes[first + i]);
    }
    relations.set(call.output(), axes);
    for (std::size_t r = 1; r < call.output_count(); ++r) {  // statistics
        AxisList now = relations.fresh(call.output(r));
        for (std::size_t i = 0; i < std::min(first, now.size()); ++i) now[i] = axes[i];
        relations.set(call.output(r), now);
    }
    return true;
}

bool channel_norm(Relations& relations, const Call& call) {
    const TensorIndex source = call.first_operand();
    const AxisList axes = relations.of(source);
    if (axes.size() < 2) return false;
    call.for_each_input([&](TensorIndex t) {
        const AxisList own = relations.of(t);
        if (t != source && own.size() == 1 &&
            relations.axes().length(own[0]) == relations.axes().length(axes[1])) {
            relations.axes().equal(own[0], axes[1]);
        }
    });
    relations.set(call.output(), axes);
    for (std::size_t r = 1; r < call.output_count(); ++r)
        relations.set(call.output(r), relations.fresh(call.output(r)));
    return true;
}

bool group_norm(Relations& relations, const Call& call) {
    const AxisList axes = relations.of(call.first_operand());
    for (std::size_t i = 1; i < axes.size(); ++i) relations.axes().fix(axes[i], kNorm);
    return channel_norm(relations, call);
}

// ---- look-ups ----

bool embedding(Relations& relations, const Call& call) {
    const TensorIndex weight = call.require_tensor("weight");
    const TensorIndex ids = call.require_tensor("indices");
    if (call.has("group_size")) {
        const AxisList made = relations.fresh(call.output());
        if (made.empty() || relations.lengths(weight).size() != 2) return false;
        if (!relate_narrow(relations, call, weight, made.back())) return false;
    }
    const AxisList table = relations.of(weight);
    if (table.size() != 2) return false;
    AxisList axes = relations.of(ids);
    axes.push_back(table[1]);
    relations.set(call.output(), axes);
    relations.add_table(ids, weight);
    if (relations.flow().tensor(weight).role == Role::parameter &&
        relations.looks_up_words(relations.node())) {
        relations.add_vocabulary(table[0]);
    } else {
        relations.axes().fix(table[0], kRead);
    }
    return true;
}

// Positions that tensors of indices name. Rows that are looked up have axes of their own: a device may have
// some of them.
bool index(Relations& relations, const Call& call) {
    const TensorIndex source = call.first_operand();
    const AxisList axes = relations.of(source);
    const List<TensorIndex> indices = call.tensors("indices");
    const std::size_t rank = static_cast<std::size_t>(call.rank(call.output()));
    std::vector<bool> read(axes.size(), false);
    std::size_t wide = 0;  // dimensions of the indices
    std::size_t count = 0;
    for (std::size_t i = 0; i < indices.size() && i < axes.size(); ++i) {
        if (indices[i] == kNoTensor) continue;
        read[i] = true;
        ++count;
        wide = std::max(wide, static_cast<std::size_t>(call.rank(indices[i])));
    }
    if (axes.size() - count + wide != rank) return false;  // a mask selects
    for (std::size_t i = 0; i < axes.size(); ++i) {
        if (read[i]) relations.axes().mix(axes[i], kRead);
    }
    const auto first = static_cast<std::size_t>(std::find(read.begin(), read.end(), true) - read.begin());
    bool together = true;
    for (std::size_t i = first; i < first + count; ++i) together = together && i < read.size() && read[i];
    const AxisList fresh = relations.fresh(call.output());
    AxisList now;
    const auto add_rows = [&] {
        const std::size_t start = now.size();
        for (std::size_t i = 0; i < wide; ++i) now.push_back(fresh.at(start + i));
    };
    if (!together) add_rows();
    for (std::size_t i = 0; i < axes.size(); ++i) {
        if (together && i == first) add_rows();
        if (!read[i]) now.push_back(axes[i]);
    }
    if (count == 1 && wide == 1 && relations.is_weight(source)) {
        relations.add_look_up(axes[first], now[together ? first : 0]);
    }
    relations.set(call.output(), now);
    return true;
}

bool index_select(Relations& relations, const Call& call) {
    AxisList axes = relations.of(call.first_operand());
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), 0);
    if (dim < 0) return false;
    relations.axes().mix(axes[dim], kRead);
    axes[dim] = relations.fresh(call.output()).at(dim);
    relations.set(call.output(), axes);
    return true;
}

// Adds rows of a source to rows of the result.
bool index_add(Relations& relations, const Call& call) {
    const AxisList axes = relations.of(call.first_operand());
    const TensorIndex source =
        call.tensor("source") != kNoTensor ? call.tensor("source") : call.require_tensor("src");
    const AxisList rows = relations.of(source);
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), 0);
    if (dim < 0 || rows.size() != axes.size()) return false;
    for (std::size_t i = 0; i < axes.size(); ++i) {
        if (static_cast<int>(i) != dim &&
            relations.axes().length(axes[i]) == relations.axes().length(rows[i])) {
            relations.axes().equal(axes[i], rows[i]);
        }
    }
    relations.set(call.output(), axes);
    return true;
}

// One element of a dimension for each index.
bool gather(Relations& relations, const Call& call) {
    const AxisList axes = relations.of(call.first_operand());
    const TensorIndex ids = call.require_tensor("index");
    AxisList now = relations.of(ids);
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), 0);
    if (dim < 0 || now.size() != axes.size()) return false;
    for (std::size_t i = 0; i < axes.size(); ++i) {
        if (static_cast<int>(i) == dim) {
            relations.axes().fix(axes[i], kRead);
        } else if (relations.axes().length(axes[i]) == relations.axes().length(now[i])) {
            relations.axes().equal(axes[i], now[i]);
        }
    }
    relations.set(call.output(), now);
    return true;
}

// Values are put to places of one dimension; the result is like the first operand.
bool scatter(Relations& relations, const Call& call) {
    const AxisList axes = relations.of(call.first_operand());
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), 0);
    if (dim < 0) return false;
    relations.axes().fix(axes[dim], kRead);
    for (const char* name : {"index", "src", "source"}) {
        const TensorIndex t = call.tensor(name);
        if (t == kNoTensor || relations.of(t).size() != axes.size()) continue;
        for (std::size_t i = 0; i < axes.size(); ++i) {
            const AxisId own = relations.of(t)[i];
            if (static_cast<int>(i) != dim &&
                relations.axes().length(own) == relations.axes().length(axes[i])) {
                relations.axes().equal(own, axes[i]);
            }
        }
    }
    relations.set(call.output(), axes);
    return true;
}

// Positions that indices name are written; the others stay.
bool index_put(Relations& relations, const Call& call) {
    const AxisList axes = relations.of(call.first_operand());
    const List<TensorIndex> indices = call.tensors("indices");
    for (std::size_t i = 0; i < indices.size() && i < axes.size(); ++i) {
        if (indices[i] != kNoTensor) relations.axes().fix(axes[i], kRead);
    }
    const TensorIndex values = call.tensor("values");
    if (values != kNoTensor) {
        const AxisList own = relations.of(values);
        for (std::size_t i = 1; i <= std::min(own.size(), axes.size()); ++i) {
            const bool named = axes.size() - i < indices.size() && indices[axes.size() - i] != kNoTensor;
            const AxisId x = own[own.size() - i];
            const AxisId y = axes[axes.size() - i];
            if (!named && relations.axes().length(x) == relations.axes().length(y))
                relations.axes().equal(x, y);
        }
    }
    relations.set(call.output(), axes);
    return true;
}

// ---- narrow formats ----

// Each row, or group of a row, has a scale; a device quantizes its part with scales of its own.
bool quantize_rows(Relations& relations, const Call& call) {
    const AxisList axes = relations.of(call.first_operand());
    if (axes.empty()) return false;
    for (std::size_t r = 0; r < call.output_count(); ++r) {
        AxisList now = axes;
        if (relations.lengths(call.output(r)).size() != axes.size()) return false;
        if (relations.lengths(call.output(r)).back() == 1) now.back() = Axes::kOne;
        relations.set(call.output(r), now);
    }
    return true;
}

// Halves of a dimension: one is multiplied by the other's sigmoid.
bool gated(Relations& relations, const Call& call) {
    AxisList axes = relations.of(call.first_operand());
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), -1);
    if (dim < 0) return false;
    const Axes::Length half = relations.axes().length(axes[dim]) / 2;
    const Axes::Length lengths[] = {half, half};
    const AxisList parts = relations.axes().cut(axes[dim], lengths);
    if (parts.size() != 2) return false;
    relations.axes().equal(parts[0], parts[1]);
    axes[dim] = parts[0];
    relations.set(call.output(), axes);
    return true;
}

// Another dtype or layout of the first operand.
bool like_first(Relations& relations, const Call& call) {
    relations.set(call.output(), relations.of(call.first_operand()));
    return true;
}

constexpr RelationRow kRows[] = {
    {Relation::like_first,     like_first   },
    {Relation::gated,          gated        },
    {Relation::sum,            sum          },
    {Relation::statistic,      statistic    },
    {Relation::extreme,        extreme      },
    {Relation::along,          along        },
    {Relation::along_last,     along_last   },
    {Relation::row_norm,       row_norm     },
    {Relation::channel_norm,   channel_norm },
    {Relation::group_norm,     group_norm   },
    {Relation::embedding,      embedding    },
    {Relation::index,          index        },
    {Relation::index_select,   index_select },
    {Relation::index_add,      index_add    },
    {Relation::gather,         gather       },
    {Relation::scatter,        scatter      },
    {Relation::index_put,      index_put    },
    {Relation::quantized_rows, quantize_rows},
};

}  // namespace row_relations_table
}  // namespace

bool relate_elements(Relations& relations, const Call& call) {
    for (std::size_t r = 0; r < call.output_count(); ++r) {
        const TensorIndex result = call.output(r);
        const std::vector<Axes::Length> lengths = relations.lengths(result);
        AxisList axes(lengths.size(), -1);
        call.for_each_input([&](TensorIndex t) {
            const AxisList own = relations.of(t);
            const std::vector<Axes::Length> from = relations.lengths(t);
            for (std::size_t i = 1; i <= std::min(own.size(), axes.size()); ++i) {
                const std::size_t place = axes.size() - i;
                if (from[from.size() - i] != lengths[place] || lengths[place] == 1) continue;
                const AxisId axis = own[own.size() - i];
                if (axes[place] < 0) {
                    axes[place] = axis;
                } else {
                    relations.axes().equal(axes[place], axis);
                }
            }
        });
        for (std::size_t i = 0; i < axes.size(); ++i) {
            if (axes[i] < 0) axes[i] = relations.axes().leaf(lengths[i]);
        }
        relations.set(result, axes);
    }
    return true;
}

std::span<const RelationRow> row_relations() {
    return row_relations_table::kRows;
}

}  // namespace infercost

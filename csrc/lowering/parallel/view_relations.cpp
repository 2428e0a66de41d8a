// Operators that move elements and compute nothing.
#include <algorithm>
#include <numeric>

#include "lowering/parallel/relations.hpp"

namespace infercost {
namespace {
namespace view_relations_table {

TensorIndex source_of(const Call& call) {
    return call.first_operand();
}

// ---- dimensions that are merged and divided ----

// Walks along the factors of all dimensions before a view, and the lengths after it. Both products of lengths
// are equal; each step takes their common part.
bool regroup(Relations& relations, const Call& call) {
    Axes& axes = relations.axes();
    const TensorIndex source = source_of(call);
    const TensorIndex result = call.output();
    const Lengths before = relations.lengths(source);
    const Lengths after = relations.lengths(result);
    if (std::find(before.begin(), before.end(), 0) != before.end()) {
        relations.set(result, relations.fresh(result));
        return true;
    }
    AxisList items;
    for (std::size_t i = 0; i < before.size(); ++i) {
        const AxisId axis = relations.of(source)[i];
        if (axes.length(axis) != before[i]) return false;  // packed
        for (const AxisId factor : axes.factors(axis)) {
            if (axes.length(factor) > 1) items.push_back(factor);
        }
    }
    struct Part {
        std::size_t item;
        std::size_t place;  // among the parts of its item
    };
    std::vector<Lengths> parts(items.size());
    std::vector<std::vector<Part>> made(after.size());
    std::size_t item = 0;
    Axes::Length left = items.empty() ? 1 : axes.length(items[0]);
    for (std::size_t dim = 0; dim < after.size(); ++dim) {
        Axes::Length open = after[dim];
        while (open > 1) {
            if (item == items.size()) return false;
            const Axes::Length step = std::min(open, left);
            if (step == 0 || open % step != 0 || left % step != 0) return false;
            made[dim].push_back({item, parts[item].size()});
            parts[item].push_back(step);
            open /= step;
            left /= step;
            if (left == 1 && ++item < items.size()) left = axes.length(items[item]);
        }
    }
    if (item != items.size()) return false;
    std::vector<AxisList> pieces(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
        if (parts[i].size() == 1) {
            pieces[i].push_back(items[i]);
            continue;
        }
        if (!axes.divide(items[i], parts[i])) return false;
        pieces[i] = axes.factors(items[i]);
        if (pieces[i].size() != parts[i].size()) return false;
    }
    AxisList now;
    for (const std::vector<Part>& own : made) {
        AxisList factors;
        for (const Part& part : own) factors.push_back(pieces[part.item][part.place]);
        now.push_back(axes.product(factors));
    }
    relations.set(result, now);
    return true;
}

// ---- dimensions that change places ----

bool permute(Relations& relations, const Call& call) {
    AxisList axes;
    const AxisList from = relations.of(source_of(call));
    const int rank = static_cast<int>(from.size());
    for (const Expr& each : call.integers("dims")) {
        if (!each.is_constant()) return false;
        const std::int64_t dim = each.constant() < 0 ? each.constant() + rank : each.constant();
        if (dim < 0 || dim >= rank) return false;
        axes.push_back(from[dim]);
    }
    relations.set(call.output(), axes);
    return true;
}

bool swap(Relations& relations, const Call& call, int one, int other) {
    AxisList axes = relations.of(source_of(call));
    if (axes.size() >= 2) {
        if (one < 0 || other < 0) return false;
        std::swap(axes[one], axes[other]);
    }
    relations.set(call.output(), axes);
    return true;
}
bool swap_dims(Relations& relations, const Call& call) {
    const int rank = call.rank(source_of(call));
    return swap(relations, call, dim_of(call, "dim0", rank, 0), dim_of(call, "dim1", rank, 1));
}
bool swap_axes(Relations& relations, const Call& call) {
    const int rank = call.rank(source_of(call));
    return swap(relations, call, dim_of(call, "axis0", rank, 0), dim_of(call, "axis1", rank, 1));
}
bool swap_last(Relations& relations, const Call& call) {
    const int rank = call.rank(source_of(call));
    return swap(relations, call, rank - 2, rank - 1);
}

bool unsqueeze(Relations& relations, const Call& call) {
    AxisList axes = relations.of(source_of(call));
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()) + 1, 0);
    if (dim < 0) return false;
    axes.insert(axes.begin() + dim, Axes::kOne);
    relations.set(call.output(), axes);
    return true;
}

bool squeeze(Relations& relations, const Call& call) {
    const AxisList from = relations.of(source_of(call));
    const Lengths lengths = relations.lengths(source_of(call));
    const int rank = static_cast<int>(from.size());
    IndexedVector<std::int64_t, bool> gone(from.size(), !call.has("dim"));
    for (const Expr& each : call.integers("dim")) {
        if (!each.is_constant()) return false;
        const std::int64_t dim = each.constant() < 0 ? each.constant() + rank : each.constant();
        if (dim < 0 || dim >= rank) return false;
        gone[dim] = true;
    }
    AxisList axes;
    for (std::size_t i = 0; i < from.size(); ++i) {
        if (!gone[i] || lengths[i] != 1) axes.push_back(from[i]);
    }
    relations.set(call.output(), axes);
    return true;
}

// ---- parts of a dimension ----

bool split(Relations& relations, const Call& call) {
    const TensorIndex source = source_of(call);
    const AxisList from = relations.of(source);
    const int dim = dim_of(call, "dim", static_cast<int>(from.size()), 0);
    if (dim < 0) return false;
    Lengths lengths;
    for (std::size_t i = 0; i < call.output_count(); ++i) {
        lengths.push_back(relations.lengths(call.output(i)).at(dim));
    }
    if (std::find(lengths.begin(), lengths.end(), 0) != lengths.end()) return false;
    const AxisList parts = relations.axes().cut(from[dim], lengths);
    if (parts.size() != lengths.size()) return false;
    for (std::size_t i = 0; i < call.output_count(); ++i) {
        AxisList axes = from;
        axes[dim] = parts[i];
        relations.set(call.output(i), axes);
    }
    return true;
}

// A part that is no section of an axis.
void read_part(Relations& relations, AxisId& axis, Axes::Length length) {
    relations.axes().fix(axis, "a part of them is read", true);
    axis = relations.axes().leaf(length);
    relations.axes().fix(axis, "they are a part of others", true);
}

bool cut(Relations& relations, const Call& call) {
    const TensorIndex source = source_of(call);
    const TensorIndex result = call.output();
    AxisList axes = relations.of(source);
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), 0);
    if (dim < 0) return false;
    const Axes::Length whole = relations.lengths(source)[dim];
    const Axes::Length part = relations.lengths(result).at(dim);
    const Axes::Length step = relations.number(call.integer("step", 1));
    if (part != whole && !relations.is_live(source) && !relations.is_weight(source)) {
        // Rows of a table of positions: those of one dimension of an image are not those of another.
        axes[dim] = relations.axes().leaf(part);
    } else if (part != whole && step > 1 && part * step == whole &&
               relations.axes().length(axes[dim]) == whole) {
        // One of each group of neighbors: gates and values that lie in turn.
        const AxisList factors = relations.axes().factors(axes[dim]);
        const Axes::Length lengths[] = {part, step};
        if (factors.size() == 1 && relations.axes().divide(factors[0], lengths)) {
            axes[dim] = relations.axes().factors(axes[dim]).front();
        } else if (factors.size() == 2 && relations.axes().length(factors[0]) == part) {
            axes[dim] = factors[0];
        } else {
            read_part(relations, axes[dim], part);
        }
    } else if (part != whole) {
        Axes::Length start = relations.number(call.integer("start", 0));
        if (start < 0) start += whole;
        const bool dense = step == 1;
        Lengths lengths;
        if (start > 0) lengths.push_back(start);
        const std::size_t place = lengths.size();
        lengths.push_back(part);
        if (whole > start + part) lengths.push_back(whole - start - part);
        const Axes::Length total = std::accumulate(lengths.begin(), lengths.end(), Axes::Length{0});
        const bool fits =
            dense && part > 0 && start >= 0 && total == whole && relations.axes().length(axes[dim]) == whole;
        const AxisList parts = fits ? relations.axes().cut(axes[dim], lengths) : AxisList{};
        if (parts.size() == lengths.size()) {
            axes[dim] = parts[place];
        } else {
            read_part(relations, axes[dim], part);
        }
    }
    relations.set(result, axes);
    return true;
}

// The section of an axis that has a place; the whole axis, if the call reads each place.
AxisId section_read(const Relations& relations, const Call& call, AxisId axis) {
    if (!call.has("index")) return axis;
    const Axes& known = relations.axes();
    Axes::Length place = relations.number(call.integer("index", 0));
    if (place < 0) place += known.length(axis);
    for (const AxisId section : known.sections(axis)) {
        place -= known.length(section);
        if (place < 0) return section;
    }
    return axis;
}

bool take_out(Relations& relations, const Call& call) {
    AxisList axes = relations.of(source_of(call));
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), 0);
    if (dim < 0) return false;
    // The key beside the queries of its group has a section of its own.
    relations.axes().fix(section_read(relations, call, axes[dim]), "they are read one by one", true);
    axes.erase(axes.begin() + dim);
    for (std::size_t i = 0; i < call.output_count(); ++i) relations.set(call.output(i), axes);
    return true;
}

bool concatenate(Relations& relations, const Call& call) {
    const TensorIndex result = call.output();
    const std::size_t rank = relations.lengths(result).size();
    const int dim = dim_of(call, "dim", static_cast<int>(rank), 0);
    if (dim < 0) return false;
    AxisList axes(rank, Axes::kOne);
    AxisList sections;
    for (const TensorIndex t : call.tensors("tensors")) {
        const AxisList own = relations.of(t);
        const Lengths lengths = relations.lengths(t);
        if (std::find(lengths.begin(), lengths.end(), 0) != lengths.end()) continue;
        if (own.size() != rank) return false;
        sections.push_back(own[dim]);
        for (std::size_t i = 0; i < rank; ++i) {
            if (std::cmp_equal(i, dim)) continue;
            if (axes[i] == Axes::kOne) {
                axes[i] = own[i];
            } else {
                relations.axes().equal(axes[i], own[i]);
            }
        }
    }
    if (sections.empty()) axes = relations.fresh(result);
    const bool table = sections.size() > 1 && !relations.is_live(result) && !relations.is_weight(result);
    if (!sections.empty()) {
        axes[dim] = table ? relations.axes().leaf(relations.lengths(result)[dim])
                          : relations.axes().sequence(sections);
    }
    relations.set(result, axes);
    return true;
}

bool stack(Relations& relations, const Call& call) {
    const TensorIndex result = call.output();
    AxisList axes = relations.fresh(result);
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), 0);
    if (dim < 0) return false;
    for (const TensorIndex t : call.tensors("tensors")) {
        AxisList own = relations.of(t);
        if (own.size() + 1 != axes.size()) return false;
        own.insert(own.begin() + dim, axes[dim]);
        for (std::size_t i = 0; i < axes.size(); ++i) {
            if (relations.axes().length(axes[i]) > 1) relations.axes().equal(axes[i], own[i]);
        }
    }
    relations.set(result, axes);
    return true;
}

// ---- more elements ----

bool expand(Relations& relations, const Call& call) {
    const TensorIndex source = source_of(call);
    const AxisList from = relations.of(source);
    const Lengths before = relations.lengths(source);
    const Lengths after = relations.lengths(call.output());
    if (after.size() < before.size()) return false;
    const std::size_t more = after.size() - before.size();
    AxisList axes;
    for (std::size_t i = 0; i < after.size(); ++i) {
        const bool same = i >= more && before[i - more] == after[i];
        axes.push_back(same ? from[i - more] : relations.axes().leaf(after[i]));
    }
    relations.set(call.output(), axes);
    return true;
}

bool repeat(Relations& relations, const Call& call) {
    const TensorIndex source = source_of(call);
    const AxisList from = relations.of(source);
    const Lengths before = relations.lengths(source);
    const Lengths after = relations.lengths(call.output());
    if (after.size() < before.size()) return false;
    const std::size_t more = after.size() - before.size();
    AxisList axes;
    for (std::size_t i = 0; i < after.size(); ++i) {
        const Axes::Length own = i < more ? 1 : before[i - more];
        if (own == 0 || after[i] % own != 0) return false;
        const AxisId parts[] = {relations.axes().leaf(after[i] / own),
                                i < more ? Axes::kOne : from[i - more]};
        axes.push_back(relations.axes().product(parts));
    }
    relations.set(call.output(), axes);
    return true;
}

bool repeat_each(Relations& relations, const Call& call) {
    const TensorIndex source = source_of(call);
    AxisList axes = relations.of(source);
    if (!call.has("dim") || call.tensor("repeats") != kNoTensor) return false;
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), 0);
    if (dim < 0) return false;
    const Axes::Length own = relations.lengths(source)[dim];
    const Axes::Length now = relations.lengths(call.output()).at(dim);
    if (own == 0 || now % own != 0) return false;
    const AxisId parts[] = {axes[dim], relations.axes().leaf(now / own)};
    axes[dim] = relations.axes().product(parts);
    relations.set(call.output(), axes);
    return true;
}

// Dimensions that change their length need all of it; the others stay.
bool pad(Relations& relations, const Call& call) {
    const TensorIndex source = source_of(call);
    const Lengths before = relations.lengths(source);
    const Lengths after = relations.lengths(call.output());
    if (before.size() != after.size()) return false;
    AxisList axes = relations.of(source);
    for (std::size_t i = 0; i < axes.size(); ++i) {
        if (before[i] == after[i]) continue;
        relations.axes().fix(axes[i], "a pad goes around them", true);
        axes[i] = relations.axes().leaf(after[i]);
        relations.axes().fix(axes[i], "a pad goes around them", true);
    }
    relations.set(call.output(), axes);
    return true;
}

bool along_dims(Relations& relations, const Call& call) {
    const AxisList axes = relations.of(source_of(call));
    const int rank = static_cast<int>(axes.size());
    for (const Expr& each : call.integers("dims")) {
        if (!each.is_constant()) return false;
        const std::int64_t dim = each.constant() < 0 ? each.constant() + rank : each.constant();
        if (dim >= 0 && dim < rank) relations.axes().fix(axes[dim], "they change places", true);
    }
    relations.set(call.output(), axes);
    return true;
}

bool triangle(Relations& relations, const Call& call) {
    const AxisList axes = relations.of(source_of(call));
    if (axes.size() < 2) return false;
    for (std::size_t i = axes.size() - 2; i < axes.size(); ++i) {
        relations.axes().fix(axes[i], "a triangle of them is kept");
    }
    relations.set(call.output(), axes);
    return true;
}

// Pairs of numbers are complex ones.
bool to_complex(Relations& relations, const Call& call) {
    AxisList axes = relations.of(source_of(call));
    if (axes.empty()) return false;
    axes.pop_back();
    relations.set(call.output(), axes);
    return true;
}
bool to_pairs(Relations& relations, const Call& call) {
    AxisList axes = relations.of(source_of(call));
    axes.push_back(relations.axes().leaf(2));
    relations.set(call.output(), axes);
    return true;
}

constexpr RelationRow kRows[] = {
    {Relation::regroup,     regroup    },
    {Relation::permute,     permute    },
    {Relation::swap_dims,   swap_dims  },
    {Relation::swap_axes,   swap_axes  },
    {Relation::swap_last,   swap_last  },
    {Relation::unsqueeze,   unsqueeze  },
    {Relation::squeeze,     squeeze    },
    {Relation::split,       split      },
    {Relation::cut,         cut        },
    {Relation::take_out,    take_out   },
    {Relation::concatenate, concatenate},
    {Relation::stack,       stack      },
    {Relation::expand,      expand     },
    {Relation::repeat,      repeat     },
    {Relation::repeat_each, repeat_each},
    {Relation::pad,         pad        },
    {Relation::along_dims,  along_dims },
    {Relation::triangle,    triangle   },
    {Relation::to_complex,  to_complex },
    {Relation::to_pairs,    to_pairs   },
};

}  // namespace view_relations_table
}  // namespace

std::span<const RelationRow> view_relations() {
    return view_relations_table::kRows;
}

}  // namespace infercost

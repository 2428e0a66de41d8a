#include "lowering/parallel/axes.hpp"

#include <algorithm>
#include <numeric>

#include "core/checked_int.hpp"

namespace infercost {
namespace {

constexpr std::string_view kUnlike = "tensors divide them in different ways";

constexpr Axes::Length ceil_div(Axes::Length all, Axes::Length parts) {
    return (all + parts - 1) / parts;
}

}  // namespace

Axes::Axes() : reasons_{""} {
    nodes_.push_back({.length = 1, .up = 0, .kind = Kind::product, .parts = {}, .leaf = {}});
}

AxisId Axes::root(AxisId axis) const {
    // Each axis on the way is moved up by one, since a residual stream equates hundreds of axes in a chain.
    while (nodes_[axis].up != axis) {
        const AxisId above = nodes_[axis].up;
        nodes_[axis].up = nodes_[above].up;
        axis = nodes_[axis].up;
    }
    return axis;
}

AxisId Axes::leaf(Length length) {
    return length == 1 ? kOne : made(Kind::leaf, {}, length);
}

AxisId Axes::made(Kind kind, std::vector<AxisId> parts, Length length) {
    const auto number = static_cast<AxisId>(nodes_.size());
    nodes_.push_back({.length = length, .up = number, .kind = kind, .parts = std::move(parts), .leaf = {}});
    return number;
}

AxisId Axes::product(std::span<const AxisId> axes) {
    std::vector<AxisId> parts;
    Length length = 1;
    for (const AxisId axis : axes) {
        if (this->length(axis) == 1) continue;
        length = checked_mul(length, this->length(axis));
        parts.push_back(root(axis));
    }
    if (parts.empty()) return kOne;
    return parts.size() == 1 ? parts.front() : made(Kind::product, std::move(parts), length);
}

AxisId Axes::sequence(std::span<const AxisId> axes) {
    std::vector<AxisId> parts;
    Length length = 0;
    for (const AxisId axis : axes) {
        if (this->length(axis) == 0) continue;
        length += this->length(axis);
        // A section of length 1 is an axis of its own here, since it has a place.
        parts.push_back(this->length(axis) == 1 ? kOne : root(axis));
    }
    return parts.size() == 1 ? parts.front() : made(Kind::sequence, std::move(parts), length);
}

Axes::Length Axes::local(AxisId axis) const {
    return local(axis, false);
}

Axes::Length Axes::local_of_all_tokens(AxisId axis) const {
    return local(axis, true);
}

Axes::Length Axes::local(AxisId axis, bool all_tokens) const {
    const Node& node = at(axis);
    if (node.kind == Kind::leaf) {
        if (node.leaf.busiest > 0) return node.leaf.busiest;
        if (node.leaf.splits == 1 || (all_tokens && node.leaf.tokens)) return node.length;
        return ceil_div(blocks(axis), node.leaf.splits) * node.leaf.unit;
    }
    Length total = node.kind == Kind::product ? 1 : 0;
    for (const AxisId part : node.parts) {
        const Length own = local(part, all_tokens);
        total = node.kind == Kind::product ? checked_mul(total, own) : total + own;
    }
    return total;
}

Axes::Length Axes::blocks(AxisId leaf) const {
    return ceil_div(length(leaf), info(leaf).unit);
}

void Axes::undivide() {
    for (Node& node : nodes_) {
        node.leaf.splits = 1;
        node.leaf.busiest = 0;
        node.leaf.tokens = false;
    }
}

bool Axes::is_split(AxisId axis) const {
    const Node& node = at(axis);
    if (node.kind == Kind::leaf) return node.leaf.splits > 1 || node.leaf.busiest > 0;
    return std::any_of(node.parts.begin(), node.parts.end(), [&](AxisId part) { return is_split(part); });
}

bool Axes::is_fixed(AxisId axis) const {
    const std::vector<AxisId> found = leaves(axis);
    return std::any_of(found.begin(), found.end(), [&](AxisId leaf) { return info(leaf).why != 0; });
}

std::string Axes::why(AxisId axis) const {
    for (const AxisId leaf : leaves(axis)) {
        if (info(leaf).why != 0) return reason(info(leaf).why);
        if (info(leaf).norm && !info(leaf).heads) return "a norm needs them all";
    }
    return "";
}

void Axes::collect(AxisId axis, std::vector<AxisId>& leaves) const {
    const Node& node = at(axis);
    if (node.kind == Kind::leaf) {
        leaves.push_back(root(axis));
        return;
    }
    for (const AxisId part : node.parts) collect(part, leaves);
}

std::vector<AxisId> Axes::leaves(AxisId axis) const {
    std::vector<AxisId> found;
    collect(axis, found);
    return found;
}

std::vector<AxisId> Axes::factors(AxisId axis) const {
    const Node& node = at(axis);
    if (node.kind != Kind::product) return {root(axis)};
    std::vector<AxisId> found;
    for (const AxisId part : node.parts) {
        const std::vector<AxisId> inner = factors(part);
        found.insert(found.end(), inner.begin(), inner.end());
    }
    return found;
}

std::vector<AxisId> Axes::sections(AxisId axis) const {
    const Node& node = at(axis);
    if (node.kind != Kind::sequence) return {root(axis)};
    std::vector<AxisId> found;
    for (const AxisId part : node.parts) {
        const std::vector<AxisId> inner = sections(part);
        found.insert(found.end(), inner.begin(), inner.end());
    }
    return found;
}

// ---- properties ----

int Axes::number_of(std::string_view why) {
    const auto found = std::find(reasons_.begin(), reasons_.end(), why);
    const auto number = static_cast<int>(found - reasons_.begin());
    if (found == reasons_.end()) reasons_.emplace_back(why);
    return number;
}

void Axes::gather(AxisId axis, std::string_view why) {
    keep_whole(axis, why, false);
}

void Axes::keep_whole(AxisId axis, std::string_view why, bool unknown) {
    int number = 0;
    for (const AxisId leaf : leaves(axis)) {
        Leaf& known = info(leaf);
        if (known.why != 0) continue;
        if (number == 0) number = number_of(why);
        known.why = number;
        known.unknown = unknown;
    }
}

void Axes::mix(AxisId axis, std::string_view why) {
    int number = 0;
    for (const AxisId leaf : leaves(axis)) {
        Leaf& known = info(leaf);
        if (known.mixed != 0) continue;
        if (number == 0) number = number_of(why);
        known.mixed = number;
    }
}

void Axes::fix(AxisId axis, std::string_view why, bool unknown) {
    mix(axis, why);
    keep_whole(axis, why, unknown);
}

void Axes::mark_norm(AxisId axis) {
    mix(axis, "a norm or a mean needs them all");
    for (const AxisId leaf : leaves(axis)) info(leaf).norm = true;
}

void Axes::mark_heads(AxisId axis) {
    for (const AxisId leaf : leaves(axis)) info(leaf).heads = true;
}

// ---- equalities ----

// Another axis takes the place of a leaf, and all that is known of it. One that has the leaf and is as long
// has nothing else, and would be a part of itself.
void Axes::take(AxisId leaf, AxisId other) {
    const std::vector<AxisId> parts = leaves(other);
    if (std::find(parts.begin(), parts.end(), leaf) != parts.end()) return;
    const Leaf known = info(leaf);
    nodes_[leaf].up = other;
    for (const AxisId part : parts) {
        Leaf& now = info(part);
        now.norm = now.norm || known.norm;
        now.heads = now.heads || known.heads;
        if (now.mixed == 0) now.mixed = known.mixed;
        if (now.why == 0) {
            now.why = known.why;
            now.unknown = known.unknown;
        }
    }
}

void Axes::equal(AxisId a, AxisId b) {
    a = root(a);
    b = root(b);
    if (a == b) return;
    if (length(a) != length(b)) {
        fix(a, kUnlike, true);
        fix(b, kUnlike, true);
        return;
    }
    if (is_leaf(a)) return take(a, b);
    if (is_leaf(b)) return take(b, a);
    if (is_sequence(a) && is_sequence(b)) return equal_sequences(a, b);
    if (!is_sequence(a) && !is_sequence(b)) return equal_products(a, b);
    if (is_sequence(a) ? equal_repeated(a, b) : equal_repeated(b, a)) return;
    fix(a, kUnlike, true);
    fix(b, kUnlike, true);
}

// Sections of equal lengths, one after another, are a product whose outer factor counts them.
bool Axes::equal_repeated(AxisId sequence, AxisId product) {
    const std::vector<AxisId> own = sections(sequence);
    const std::vector<AxisId> parts = factors(product);
    if (parts.size() < 2 || length(parts.front()) != static_cast<Length>(own.size())) return false;
    const Length each = length(own.front());
    if (std::any_of(own.begin(), own.end(), [&](AxisId section) { return length(section) != each; }))
        return false;
    fix(parts.front(), "they count parts of others");
    const AxisId rest = this->product(std::span(parts).subspan(1));
    for (const AxisId section : own) {
        if (each > 1) equal(section, rest);
    }
    return true;
}

void Axes::equal_products(AxisId a, AxisId b) {
    std::vector<AxisId> left = factors(a);
    std::vector<AxisId> right = factors(b);
    // An equality further out may have divided a factor.
    const auto open = [&](std::vector<AxisId>& list, std::size_t place) {
        const std::vector<AxisId> parts = factors(list[place]);
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(place));
        list.insert(list.begin() + static_cast<std::ptrdiff_t>(place), parts.begin(), parts.end());
    };
    for (std::size_t i = 0, j = 0; i < left.size() && j < right.size();) {
        open(left, i);
        open(right, j);
        const Length one = length(left[i]);
        const Length other = length(right[j]);
        if (one == other) {
            equal(left[i++], right[j++]);
            continue;
        }
        const Length outer = std::min(one, other);
        const Length lengths[] = {outer, std::max(one, other) / outer};
        const AxisId longer = one > other ? left[i] : right[j];
        if (is_sequence(longer)) {  // the factors of the other one that are as long together
            std::vector<AxisId>& list = one > other ? right : left;
            std::size_t& place = one > other ? j : i;
            std::vector<AxisId> group;
            Length have = 1;
            while (place < list.size() && have < std::max(one, other)) {
                have *= length(list[place]);
                group.push_back(list[place++]);
            }
            if (have != std::max(one, other)) {
                fix(a, kUnlike, true);
                fix(b, kUnlike, true);
                return;
            }
            equal(longer, product(group));
            ++(one > other ? i : j);
            continue;
        }
        if (length(longer) % outer != 0 || !divide(longer, lengths)) {
            fix(a, kUnlike, true);
            fix(b, kUnlike, true);
            return;
        }
    }
}

void Axes::equal_sequences(AxisId a, AxisId b) {
    std::vector<Length> lengths;
    Length left = 0;
    Length right = 0;
    const std::vector<AxisId> one = sections(a);
    const std::vector<AxisId> other = sections(b);
    // The ends of both.
    for (std::size_t i = 0, j = 0; i < one.size() || j < other.size();) {
        const Length to_left = i < one.size() ? left + length(one[i]) : left;
        const Length to_right = j < other.size() ? right + length(other[j]) : right;
        const Length end = i == one.size()     ? to_right
                           : j == other.size() ? to_left
                                               : std::min(to_left, to_right);
        lengths.push_back(end - std::accumulate(lengths.begin(), lengths.end(), Length{0}));
        if (to_left == end) left = end, ++i;
        if (to_right == end) right = end, ++j;
    }
    const std::vector<AxisId> first = cut(a, lengths);
    const std::vector<AxisId> second = cut(b, lengths);
    if (first.size() != lengths.size() || second.size() != lengths.size()) {
        fix(a, kUnlike, true);
        fix(b, kUnlike, true);
        return;
    }
    for (std::size_t i = 0; i < lengths.size(); ++i) equal(first[i], second[i]);
}

// ---- parts ----

void Axes::part(AxisId leaf, Kind kind, std::span<const Length> lengths) {
    const Leaf known = info(leaf);
    std::vector<AxisId> parts;
    for (const Length length : lengths) {
        if (length == 1 && kind == Kind::product) continue;
        const AxisId made = this->leaf(length);
        if (made != kOne) info(made) = known;
        parts.push_back(made);
    }
    Node& node = nodes_[root(leaf)];
    node.kind = kind;
    node.parts = std::move(parts);
}

bool Axes::divide(AxisId axis, std::span<const Length> lengths) {
    if (!is_leaf(axis)) return false;
    part(axis, Kind::product, lengths);
    return true;
}

std::vector<AxisId> Axes::cut(AxisId axis, std::span<const Length> lengths) {
    if (lengths.size() == 1) return {root(axis)};
    if (is_leaf(axis)) {
        part(axis, Kind::sequence, lengths);
        return at(axis).parts;
    }
    if (!is_sequence(axis)) return cut_product(axis, lengths);
    std::vector<AxisId> found;
    std::vector<AxisId> left = sections(axis);
    std::size_t next = 0;
    for (const Length wanted : lengths) {
        std::vector<AxisId> group;
        Length have = 0;
        while (have < wanted) {
            if (next == left.size()) return {};
            const Length whole = length(left[next]);
            if (have + whole > wanted) {
                const Length pieces[] = {wanted - have, have + whole - wanted};
                const std::vector<AxisId> parts = cut(left[next], pieces);
                if (parts.size() != 2) return {};
                left[next] = parts[1];
                group.push_back(parts[0]);
                have = wanted;
            } else {
                group.push_back(left[next++]);
                have += whole;
            }
        }
        found.push_back(group.size() == 1 ? group.front() : sequence(group));
    }
    return found;
}

// Cuts the outer factor of a product, where all parts have the inner ones whole.
std::vector<AxisId> Axes::cut_product(AxisId axis, std::span<const Length> lengths) {
    const std::vector<AxisId> parts = factors(axis);
    if (parts.size() < 2) return {};
    const AxisId rest = product(std::span(parts).subspan(1));
    std::vector<Length> outer;
    for (const Length wanted : lengths) {
        if (wanted % length(rest) != 0) return {};
        outer.push_back(wanted / length(rest));
    }
    std::vector<AxisId> found;
    for (const AxisId section : cut(parts.front(), outer)) {
        const AxisId both[] = {section, rest};
        found.push_back(product(both));
    }
    return found;
}

}  // namespace infercost

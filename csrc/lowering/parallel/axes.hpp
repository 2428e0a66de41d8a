// Axes: what the dimensions of tensors are made of. A dimension is one axis, a product of axes (heads x
// width), or a sequence of axes (queries, then keys, then values). Operators relate the dimensions of their
// operands and results; axes that are equal become one, and are divided as finely as any operator needs them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/indexed.hpp"

namespace infercost {

using AxisId = std::int32_t;

class Axes {
  public:
    using Length = std::int64_t;
    static constexpr AxisId kOne = 0;  // any dimension of length 1

    // What is known of an axis that is neither a product nor a sequence.
    struct Leaf {
        int why = 0;           // reason why it stays whole; 0: none
        bool norm = false;     // a norm, or another statistic, needs all of it
        bool heads = false;    // of an attention
        bool unknown = false;  // the reason is that an operator is not followed
        int mixed = 0;  // reason why an operator cannot have parts of it, even of gathered ones; 0: none
        bool tokens = false;       // it is split because tokens are shared
        std::int64_t splits = 1;   // parts, of which the largest counts; a device has one of them
        std::int64_t unit = 1;     // elements of a block, which no part divides
        std::int64_t busiest = 0;  // elements of the busiest device, where shares differ; 0 where they do not
        std::int64_t weights = 0;  // elements of the weights that have it
    };

    Axes();

    AxisId leaf(Length length);
    AxisId product(std::span<const AxisId> axes);
    AxisId sequence(std::span<const AxisId> axes);

    Length length(AxisId axis) const { return at(axis).length; }
    // Length on one device.
    Length local(AxisId axis) const;
    // With all tokens, where these are shared.
    Length local_of_all_tokens(AxisId axis) const;
    bool is_split(AxisId axis) const;
    bool is_fixed(AxisId axis) const;

    // Makes two axes one. Axes that do not fit are fixed.
    void equal(AxisId a, AxisId b);
    void fix(AxisId axis, std::string_view why, bool unknown = false);
    // As fix() for weights; parts of tokens may be gathered.
    void gather(AxisId axis, std::string_view why);
    // Tokens stay whole; weights may be divided along it.
    void mix(AxisId axis, std::string_view why);
    void mark_norm(AxisId axis);
    void mark_heads(AxisId axis);

    // Factors of an axis that are leaves or sequences, outermost first.
    std::vector<AxisId> factors(AxisId axis) const;
    // Sections of a sequence; another axis is its own section.
    std::vector<AxisId> sections(AxisId axis) const;
    // Divides a leaf into factors; false for another axis.
    bool divide(AxisId axis, std::span<const Length> lengths);
    // Cuts an axis into sections; empty if it cannot be cut there.
    std::vector<AxisId> cut(AxisId axis, std::span<const Length> lengths);

    AxisId root(AxisId axis) const;
    bool is_leaf(AxisId axis) const { return at(axis).kind == Kind::leaf; }
    bool is_sequence(AxisId axis) const { return at(axis).kind == Kind::sequence; }
    std::vector<AxisId> leaves(AxisId axis) const;
    // Blocks of a leaf; elements of one that has none.
    Length blocks(AxisId leaf) const;
    // Nothing is split anymore.
    void undivide();
    Leaf& info(AxisId leaf) { return nodes_[root(leaf)].leaf; }
    const Leaf& info(AxisId leaf) const { return at(leaf).leaf; }
    const std::string& reason(int why) const { return reasons_[why]; }
    // The first reason among the leaves of an axis to be whole; empty if there is none.
    std::string why(AxisId axis) const;

  private:
    enum class Kind : std::uint8_t { leaf, product, sequence };
    struct Node {
        Length length;
        mutable AxisId up;  // itself, or the axis that it is equal to, directly or over others
        Kind kind = Kind::leaf;
        std::vector<AxisId> parts;
        Leaf leaf;
    };

    const Node& at(AxisId axis) const { return nodes_[root(axis)]; }
    AxisId made(Kind kind, std::vector<AxisId> parts, Length length);
    void take(AxisId leaf, AxisId other);
    void equal_products(AxisId a, AxisId b);
    void equal_sequences(AxisId a, AxisId b);
    bool equal_repeated(AxisId sequence, AxisId product);
    std::vector<AxisId> cut_product(AxisId axis, std::span<const Length> lengths);
    void part(AxisId leaf, Kind kind, std::span<const Length> lengths);
    void collect(AxisId axis, std::vector<AxisId>& leaves) const;
    int number_of(std::string_view why);
    // Leaves without a reason so far get one.
    void keep_whole(AxisId axis, std::string_view why, bool unknown);
    Length local(AxisId axis, bool all_tokens) const;

    IndexedVector<AxisId, Node> nodes_;
    IndexedVector<int, std::string> reasons_;
};

}  // namespace infercost

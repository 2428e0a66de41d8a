// Partial sums: values of which each rank has a part, until a collective operation adds the parts up.
#pragma once

#include <map>
#include <vector>

#include "lowering/parallel/expert_loads.hpp"
#include "lowering/parallel/relations.hpp"

namespace infercost {

enum class Parts : std::uint8_t {
    none,
    sum,     // the ranks of `tensor` have a part each
    experts  // results of experts are on the ranks of the experts
};

// A value that is added up right after a node has made it.
struct Joined {
    TensorIndex tensor;
    NodeIndex after;
    Parts parts;
    TensorIndex rows;      // of experts: their results, before they are put in the order of tokens
    std::int64_t devices;  // ranks that have a part
};

struct PartialSums {
    std::vector<Joined> joins;                 // in order
    IndexedVector<TensorIndex, bool> partial;  // of each tensor: whether some node makes a part of it
};

// Where partial sums must be joined: before the first operator that is not linear in them. Sums of partial
// sums are joined once.
PartialSums partial_sums(Relations& relations, const Layout& layout);

// Whether a node makes rows of experts from tokens.
bool makes_expert_rows(const Relations& relations, NodeIndex node);
// The loads of experts by the axis of their rows. Throws InputError for loads that do not fit a
// layer.
std::map<AxisId, ExpertLoads> loads_by_rows(Relations& relations, const Layout& layout);

}  // namespace infercost

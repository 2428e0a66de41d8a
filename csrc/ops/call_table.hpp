// Numbers of calls: equal ones, such as those of the same layer in many blocks, have the same number.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ops/call.hpp"

namespace infercost {

// Calls are equal if a rule cannot tell them apart: the same op and arguments, and tensors that have the same
// dtypes, lengths, strides and roles of storage, and are the same as each other at the same places. Of one
// pass over one graph.
class CallTable {
  public:
    // From 0 on. Nothing for calls with very many tensors, and for new ones once the table is full.
    std::optional<std::size_t> number_of(const Call& call);

  private:
    struct Key {
        std::uint64_t hash;
        std::size_t begin;  // in values_
        std::size_t count;
    };

    bool write(const Call& call);
    bool write_tensor(TensorIndex t);
    void write_dims(const Graph& graph, Range range);
    void grow();

    std::vector<std::int64_t> made_;    // the key that is looked up
    std::vector<TensorIndex> tensors_;  // of its call, each once
    std::vector<Key> keys_;
    std::vector<std::int64_t> values_;
    std::vector<std::uint32_t> slots_;  // number of a key + 1; 0 is free
};

}  // namespace infercost

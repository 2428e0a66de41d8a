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

    // Keys of one sort, numbered from 0 on.
    class Keys {
      public:
        // The number of a key, which is added if there is room.
        std::optional<std::size_t> number_of(const std::vector<std::int64_t>& key);

      private:
        void grow();

        std::vector<Key> keys_;
        std::vector<std::int64_t> values_;
        std::vector<std::uint32_t> slots_;  // number of a key + 1; 0 is free
    };

    bool write(const Call& call);
    bool write_tensor(TensorIndex t);
    bool write_form(const Graph& graph, TensorIndex t);

    std::vector<std::int64_t> made_;    // the key that is looked up
    std::vector<TensorIndex> tensors_;  // of its call, each once
    std::vector<std::int64_t> form_;
    Keys calls_;
    Keys forms_;                                        // dtypes, roles, lengths and strides
    IndexedVector<TensorIndex, std::int64_t> form_of_;  // of each tensor, once it was asked for
};

}  // namespace infercost

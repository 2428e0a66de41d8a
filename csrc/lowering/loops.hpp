// Launches as loops of a tensor compiler. A loop runs over a space of indices and reads and writes values, or
// is a library call that the compiler does not change.
#pragma once

#include <vector>

#include "lowering/launch.hpp"

namespace infercost {

using LoopIndex = std::int32_t;
using ValueIndex = std::int32_t;
inline constexpr ValueIndex kNoValue = -1;

// One operand or result of a loop.
struct Stream {
    ValueIndex value;  // kNoValue: several operands together, without other readers
    TensorIndex tensor;
    Expr bytes;
    Traffic role;
    bool across;   // across the storage order
    bool counted;  // counts among the reads that decide whether a result is kept; a scalar does not
};

enum class LoopClass : std::uint8_t {
    library,    // a library kernel: reads and writes memory, regardless of its neighbors
    pointwise,  // computes each element of the result independently
    window,     // the same, but reads each element of its operand several times
    reduction,  // reduces rows of `length` elements to one element each, which may scale the row
    closed      // a separate loop that can be fused with preceding loops only
};

struct Loop {
    LoopClass kind = LoopClass::library;
    NodeIndex node = 0;
    std::vector<NodeIndex> twins;  // nodes with the same result
    Work work;
    KernelHints hints;
    Expr results = 1;  // space of the loop: results x length
    Expr length = 1;
    std::vector<Stream> reads;
    std::vector<Stream> writes;
    int uses = 1;       // reads of each operand in the body
    bool inner = true;  // reduction: rows are dense, in the order of a loop over all elements
};

// One state of one storage: an in-place op replaces it by another state.
struct StorageState {
    std::vector<LoopIndex> producers;  // none for inputs of the graph
    std::vector<LoopIndex> readers;
    bool escapes = false;  // a result of the graph, or part of a storage that outlives it
};

struct Loops {
    IndexedVector<LoopIndex, Loop> loops;  // in execution order
    IndexedVector<ValueIndex, StorageState> values;
    // Pairs that never share a kernel: the first must end before the second starts.
    std::vector<std::pair<LoopIndex, LoopIndex>> barriers;
};

// Fill in the class of a loop, and its space.
void classify(Loop& loop, const Call& call, bool channels_last);

// `channels_last`: the compiler runs convolutions in that layout.
Loops to_loops(const Pass& pass, std::vector<Launch> launches, bool channels_last);

// Groups of loops that become one kernel each. A loop whose result is never kept is in each kernel that reads
// it.
std::vector<std::vector<LoopIndex>> group_loops(const Loops& loops);

}  // namespace infercost

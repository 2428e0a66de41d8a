// Launches as loops of a tensor compiler: each runs over a space of indices and reads and writes values, or
// is a library call that the compiler leaves as it is.
#pragma once

#include <vector>

#include "lowering/launch.hpp"

namespace infercost {

using ValueIndex = std::int32_t;
inline constexpr ValueIndex kNoValue = -1;

// One operand or result of a loop.
struct Stream {
    ValueIndex value;  // kNoValue: of several operands together, which no one else reads
    TensorIndex tensor;
    Expr bytes;
    Traffic role;
    bool across;   // against the order in which it lies
    bool counted;  // among the reads that decide whether a result is kept; a lone number is not
};

enum class LoopClass : std::uint8_t {
    library,    // a kernel of a library: reads and writes memory, whatever comes before and after
    pointwise,  // each element of the result on its own
    window,     // the same, but it reads each element of its operand several times
    reduction,  // over rows: `length` elements are reduced to one, which may scale them
    closed      // a loop of its own that can take in what precedes it, and nothing else
};

struct Loop {
    LoopClass kind = LoopClass::library;
    NodeIndex node = 0;
    std::vector<NodeIndex> twins;  // nodes that compute the same
    Work work;
    KernelHints hints;
    Expr results = 1;  // the space that it runs over: results x length
    Expr length = 1;
    std::vector<Stream> reads;
    std::vector<Stream> writes;
    int uses = 1;       // how often the body reads each operand
    bool inner = true;  // of a reduction: rows lie dense, as a loop over all elements meets them
};

// One state of one storage: an in-place op replaces it by another.
struct Value {
    std::vector<std::int32_t> producers;  // loops; none for what the graph is given
    std::vector<std::int32_t> readers;
    bool escapes = false;  // a result of the graph, or of a storage that outlives it
};

struct Loops {
    std::vector<Loop> loops;  // in an order in which they can run
    std::vector<Value> values;
    // Pairs that never share a kernel: the second must not start before the first has ended.
    std::vector<std::pair<std::int32_t, std::int32_t>> barriers;
};

// Fills in the class of a loop, and its space.
void classify(Loop& loop, const Call& call, bool channels_last);

// `channels_last`: the compiler has decided to run convolutions in that layout.
Loops to_loops(const Pass& pass, std::vector<Launch> launches, bool channels_last);

// The loops that become one kernel each; a loop whose result is never kept is in each kernel that reads it.
std::vector<std::vector<std::int32_t>> group_loops(const Loops& loops);

}  // namespace infercost

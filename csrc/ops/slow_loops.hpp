// What a loop over elements costs a vector unit beyond the arithmetic that is counted as FLOPs: functions
// that take many instructions, rows that are passed over several times, windows.
#pragma once

#include "ops/call.hpp"

namespace infercost {

// Adds the loops of one node to its work, where its op has any.
void add_slow_loops(const Call& call, Work& work);

}  // namespace infercost

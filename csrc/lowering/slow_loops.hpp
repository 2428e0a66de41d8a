// Loops over elements that cost a vector unit more than the arithmetic that is counted as FLOPs: functions
// that take many instructions, rows that are passed over several times, windows.
#pragma once

#include "lowering/kernel_hints.hpp"

namespace infercost {

SlowLoops slow_loops(const Call& call, const Work& work);

}  // namespace infercost

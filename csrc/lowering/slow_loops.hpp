// Loops that cost a vector unit more than their FLOPs: functions of many instructions, rows that are
// traversed several times, windows.
#pragma once

#include "lowering/kernel_hints.hpp"

namespace infercost {

SlowLoops slow_loops(const Call& call, const Work& work);

}  // namespace infercost

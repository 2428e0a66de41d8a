// Recurrent layers: state spaces, linear attention, short causal convolutions. A module that was captured as
// a loop over tokens or chunks is one kernel of an engine, and its convolution another.
#pragma once

#include <vector>

#include "lowering/engines/units.hpp"

namespace infercost {

// Units of recurrent modules; no path leaves a unit and returns to it.
Units find_recurrences(const Flow& flow);

}  // namespace infercost

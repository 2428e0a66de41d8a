// The main reason for a kernel's time, as one name and a share of the time, from the parts of its terms. The
// term that binds a kernel consists of the least time for its work and of losses: partly filled tiles, waves
// with idle cores, a clock limited by power. If a loss takes a quarter of the kernel's time or more, the
// largest loss is the effect; otherwise the resource itself is. docs/effects.md explains each.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "evaluate/explain.hpp"

namespace infercost {

struct Effect {
    std::string_view name;
    double share;  // of the latency of the kernel
};

Effect effect_of(const KernelEstimate& kernel, const Hardware& hardware);

// The names of all effects.
std::vector<std::string> effect_names();

}  // namespace infercost

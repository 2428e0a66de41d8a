#include "evaluate/effects.hpp"

#include <algorithm>
#include <array>

namespace infercost {
namespace {

// Minimum share of a kernel's time for a loss to be its effect.
constexpr double kDecides = 0.25;

struct Loss {
    Bound bound;
    std::string_view part;  // of KernelEstimate::parts
    std::string_view effect;
};
constexpr std::array<Loss, 28> kLosses = {
    {
     {Bound::launch, "host", "host-bound (dispatch)"},
     {Bound::launch, "start", "start of the forward"},
     {Bound::launch, "engine", "host of the engine"},
     {Bound::launch, "regions", "parallel regions"},
     {Bound::launch, "cold", "cold calls"},
     {Bound::launch, "steps", "steps between devices"},
     {Bound::compute, "power", "power-limited"},
     {Bound::compute, "edges", "small tiles"},
     {Bound::compute, "padding", "tile padding"},
     {Bound::compute, "waves", "wave quantization"},
     {Bound::compute, "depth", "short reduction"},
     {Bound::compute, "pages", "TLB pages"},
     {Bound::compute, "operands", "operand latency"},
     {Bound::compute, "split", "split-K"},
     {Bound::compute, "exponentials", "exponentials"},
     {Bound::compute, "starts", "start of tiles"},
     {Bound::compute, "rows", "row latency"},
     {Bound::compute, "issue", "instruction issue"},
     {Bound::compute, "idle", "idle cores"},
     {Bound::compute, "loops", "slow loops"},
     {Bound::compute, "reorder", "layout copies"},
     {Bound::compute, "packing", "weight packing"},
     {Bound::dram, "strided", "strided reads"},
     {Bound::dram, "again", "rows read again"},
     {Bound::dram, "transposes", "layout copies"},
     {Bound::dram, "faults", "page faults"},
     {Bound::cache, "weights", "weight reads"},
     {Bound::link, "network", "network between nodes"},
     }
};

constexpr std::array<std::string_view, 12> kResources = {
    "matrix unit",    "vector unit",    "vector unit only",    "emulated precision",
    "Winograd",       "direct kernel",  "key and value reads", "dram bandwidth",
    "cache-resident", "link bandwidth", "launch floor",        "none"};

const Loss* loss_of(Bound bound, std::string_view part) {
    const auto found = std::find_if(kLosses.begin(), kLosses.end(), [&](const Loss& loss) {
        return loss.bound == bound && loss.part == part;
    });
    return found == kLosses.end() ? nullptr : &*found;
}

double seconds_of(const KernelEstimate& kernel, std::string_view part) {
    for (const Part& each : kernel.parts) {
        if (each.name == part) return each.seconds;
    }
    return 0;
}

std::string_view arithmetic_of(const KernelEstimate& kernel, const Hardware& hardware) {
    if (seconds_of(kernel, "keys") >= kDecides * kernel.terms.latency) return "key and value reads";
    if (!kernel.note.empty()) return "emulated precision";
    if (kernel.algorithm == Algorithm::winograd) return "Winograd";
    if (kernel.algorithm == Algorithm::direct) return "direct kernel";
    if (kernel.engine.matrix) return "matrix unit";
    const bool has_matrix = std::any_of(hardware.matrix.begin(), hardware.matrix.end(),
                                        [](double flop_per_s) { return flop_per_s > 0; });
    return is_contraction(kernel.kind) && has_matrix ? "vector unit only" : "vector unit";
}

}  // namespace

Effect effect_of(const KernelEstimate& kernel, const Hardware& hardware) {
    const double latency_s = kernel.terms.latency;
    if (!(latency_s > 0)) return {"none", 0};
    const Loss* largest = nullptr;
    double lost_s = 0;
    for (const Part& part : kernel.parts) {
        const Loss* const loss = loss_of(kernel.bound, part.name);
        if (!loss || (largest && part.seconds <= lost_s)) continue;
        largest = loss;
        lost_s = part.seconds;
    }
    if (largest && lost_s >= kDecides * latency_s)
        return {largest->effect, std::min(lost_s / latency_s, 1.0)};
    switch (kernel.bound) {
        case Bound::launch:
            return {"launch floor", std::min(kernel.terms.launch / latency_s, 1.0)};
        case Bound::dram:
            return {"dram bandwidth", std::min(kernel.terms.dram / latency_s, 1.0)};
        case Bound::cache:
            return {"cache-resident", std::min(kernel.terms.cache / latency_s, 1.0)};
        case Bound::link:
            return {"link bandwidth", std::min(kernel.terms.link / latency_s, 1.0)};
        case Bound::compute:
        case Bound::count_:
            break;
    }
    return {arithmetic_of(kernel, hardware), std::min(kernel.terms.compute / latency_s, 1.0)};
}

std::vector<std::string> effect_names() {
    std::vector<std::string> names(kResources.begin(), kResources.end());
    for (const Loss& loss : kLosses) {
        if (std::find(names.begin(), names.end(), loss.effect) == names.end())
            names.emplace_back(loss.effect);
    }
    return names;
}

}  // namespace infercost

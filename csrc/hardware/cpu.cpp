// CPU: threads share the work while there is enough of it, caches serve what fits, each op pays its dispatch.
#include <algorithm>
#include <cmath>

#include "hardware/machine.hpp"

namespace infercost {
namespace {

// torch's grain size: a loop over fewer elements than this is not split between threads.
constexpr double kGrainElements = 32768;

// A blocked matrix product hands out panels of about this size, and pads columns to vector registers.
constexpr double kPanelRows = 32;
constexpr double kPanelCols = 64;
constexpr double kVectorColumns = 16;
constexpr double kTileRows = 16;  // of a matrix unit such as AMX

}  // namespace

void time_on_cpu(const Hardware& hardware, Execution execution, const KernelBlock& kernel,
                 const KernelTimes& times) {
    const Engine engine = contraction_engine(hardware, kernel.dtype);
    const Engine vector = vector_engine(hardware, kernel.dtype);
    time_memory(hardware, kernel, times);
    const Overheads& over = hardware.overheads;
    const double element_bytes = std::max(1, bits_of(kernel.dtype) / 8);
    const double per_op = execution == Execution::eager      ? over.dispatch_s
                          : execution == Execution::compiled ? over.launch_gap_s
                                                             : over.replay_gap_s;
    const double minimum = is_contraction(kernel.kind) ? over.kernel_minimum_s : 0.0;

    for (std::size_t i = 0; i < kernel.points; ++i) {
        double compute = 0;
        double threads = hardware.cores;
        if (kernel.contraction_flops[i] > 0 && kernel.m[i] > 0) {
            const double batch = kernel.batch[i];
            const double m = kernel.m[i];
            const double n = kernel.n[i];
            const double panels = batch * ceil_div(m, kPanelRows) * ceil_div(n, kPanelCols);
            threads = std::min(hardware.cores, std::max(1.0, panels));
            const double rows = engine.matrix ? ceil_div(m, kTileRows) * kTileRows : m;
            // The longer side lies along the vector registers.
            const double lanes = std::max(m, n);
            const double padding = ceil_div(lanes, kVectorColumns) * kVectorColumns / lanes * (rows / m);
            const double waves = ceil_div(panels, threads) * threads / panels;
            const double flops =
                kernel.contraction_flops[i] * (engine.matrix ? padding : std::min(padding, 16.0));
            compute = flops * waves / (engine.flop_per_s * threads / hardware.cores);
        } else {
            threads = std::clamp(std::ceil(kernel.written_bytes[i] / element_bytes / kGrainElements), 1.0,
                                 hardware.cores);
            if (kernel.contraction_flops[i] > 0) compute = kernel.contraction_flops[i] / engine.flop_per_s;
        }
        if (kernel.pointwise_flops[i] > 0 && vector.flop_per_s > 0) {
            compute += kernel.pointwise_flops[i] / (vector.flop_per_s * threads / hardware.cores);
        }
        times.compute[i] = compute;
        times.cache[i] *= hardware.cores / threads;  // private caches of idle cores serve nobody
        times.launch[i] = per_op + minimum;
    }
}

}  // namespace infercost

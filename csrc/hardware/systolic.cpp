// Systolic arrays: a weight tile of rows x cols is loaded, activations stream through it one row a cycle.
//
// Source: "How to Scale Your Model" (jax-ml/scaling-book), chapter on TPUs: one [8,128] x [128,128] product
// per 8 cycles when full; loading the next tile overlaps with streaming, the first fill and the last drain do
// not.
#include <algorithm>
#include <cmath>

#include "hardware/machine.hpp"

namespace infercost {

void time_on_systolic(const Hardware& hardware, Execution execution, const KernelBlock& kernel,
                      const KernelTimes& times) {
    const Engine engine = contraction_engine(hardware, kernel.dtype);
    const Engine vector = vector_engine(hardware, kernel.dtype);
    time_memory(hardware, kernel, times);
    const Overheads& over = hardware.overheads;
    const double gap = execution == Execution::eager      ? std::max(over.dispatch_s, over.launch_gap_s)
                       : execution == Execution::compiled ? over.launch_gap_s
                                                          : over.replay_gap_s;
    const double minimum = is_contraction(kernel.kind) ? over.kernel_minimum_s : 0.0;

    for (std::size_t i = 0; i < kernel.points; ++i) {
        double compute = 0;
        const bool shaped = kernel.contraction_flops[i] > 0 && kernel.m[i] > 0 && hardware.array;
        if (shaped) {
            const ArrayShape& array = *hardware.array;
            // One cycle of the whole machine does 2 * rows * cols * units FLOPs at this dtype's rate.
            const double cycle_s = 2.0 * array.rows * array.cols * array.units / engine.flop_per_s;
            const auto product = [&](double batch, double m, double n, double k) {
                const double tiles = batch * ceil_div(k, array.rows) * ceil_div(n, array.cols);
                // A tile is used for m cycles, or for as long as the next one takes to load.
                const double busy = ceil_div(tiles, array.units) * std::max(m, array.rows);
                return (busy + array.rows + array.cols) * cycle_s;
            };
            compute = product(kernel.batch[i], kernel.m[i], kernel.n[i], kernel.k[i]);
            if (kernel.kind == WorkKind::attention) {
                compute += product(kernel.batch[i], kernel.m[i], kernel.n_value[i], kernel.n[i]);
            }
            // Depthwise convolutions leave the array for the vector unit when that is faster.
            if (kernel.kind == WorkKind::convolution && vector.flop_per_s > 0) {
                compute = std::min(compute, kernel.contraction_flops[i] / vector.flop_per_s);
            }
        } else if (kernel.contraction_flops[i] > 0) {
            compute = kernel.contraction_flops[i] / engine.flop_per_s;
        }
        if (kernel.pointwise_flops[i] > 0 && vector.flop_per_s > 0) {
            compute = std::max(compute, kernel.pointwise_flops[i] / vector.flop_per_s);
        }
        times.compute[i] = compute;
        times.launch[i] = gap + minimum;
    }
}

}  // namespace infercost

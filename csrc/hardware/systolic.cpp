// Systolic arrays: facts that do not depend on sizes.
#include <algorithm>

#include "hardware/machine.hpp"

namespace infercost {

SystolicCosts Binder::systolic(const KernelTerms& terms) {
    const auto& [engine, vector] = engines(terms.dtype);
    const Overheads& over = hardware_.overheads;
    SystolicCosts costs;
    costs.shaped = !is_zero(terms.contraction_flops) && !is_zero(terms.m) && hardware_.array.has_value();
    costs.attention = terms.kind == WorkKind::attention;
    // Depthwise convolutions run on the vector unit if that is faster.
    costs.direct = terms.kind == WorkKind::convolution && vector.flop_per_s > 0;
    costs.engine_s_per_flop = seconds_per(engine.flop_per_s);
    costs.vector_s_per_flop = seconds_per(vector.flop_per_s);
    if (costs.shaped) {
        costs.rows = hardware_.array->rows;
        costs.cols = hardware_.array->cols;
        costs.units = hardware_.array->units;
        // One cycle of the whole machine computes 2 * rows * cols * units FLOPs at the rate of this dtype.
        costs.cycle_s = 2.0 * costs.rows * costs.cols * costs.units * costs.engine_s_per_flop;
    }
    const double gap = execution_ == Execution::eager      ? std::max(over.dispatch_s, over.launch_gap_s)
                       : execution_ == Execution::compiled ? over.launch_gap_s
                                                           : over.replay_gap_s;
    costs.launch_s = gap + (is_contraction(terms.kind) ? over.kernel_minimum_s : 0.0);
    return costs;
}

}  // namespace infercost

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
    // Depthwise convolutions, and products with a few rows.
    costs.direct = vector.flop_per_s > 0;
    costs.hosted = constants_.link.host_weights > 0;
    const KernelConstants& of_class = constants_.kernel[terms.kind];
    costs.dram_factor = 1 / of_class.dram;
    const bool contraction = is_contraction(terms.kind);
    costs.engine_s_per_flop = seconds_per(engine.flop_per_s) / (contraction ? of_class.compute : 1);
    costs.vector_s_per_flop = seconds_per(vector.flop_per_s) / (contraction ? 1 : of_class.compute);
    if (costs.shaped) {
        costs.rows = hardware_.array->rows;
        costs.cols = hardware_.array->cols;
        costs.units = hardware_.array->units;
        costs.load_rows = costs.rows * constants_.array.load;
        // One cycle of the whole machine computes 2 * rows * cols * units FLOPs at the rate of this dtype.
        costs.cycle_s = 2.0 * costs.rows * costs.cols * costs.units * costs.engine_s_per_flop;
    }
    if (terms.kind == WorkKind::free) return costs;
    // A compiled program is one launch, like a recorded graph.
    const double gap =
        execution_ == Execution::eager ? std::max(over.dispatch_s, over.launch_gap_s) : over.replay_gap_s;
    costs.launch_s = gap + of_class.minimum_s;
    return costs;
}

}  // namespace infercost

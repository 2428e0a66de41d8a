// CPU: what can be looked up before any size is known.
#include <algorithm>

#include "hardware/machine.hpp"

namespace infercost {

CpuCosts Binder::cpu(const KernelTerms& terms) {
    const auto& [engine, vector] = engines(terms.dtype);
    const Overheads& over = hardware_.overheads;
    CpuCosts costs;
    costs.cores = hardware_.cores;
    costs.shaped = !is_zero(terms.contraction_flops) && !is_zero(terms.m);
    costs.matrix = engine.matrix;
    costs.engine_s_per_flop = seconds_per(engine.flop_per_s);
    costs.vector_s_per_flop = seconds_per(vector.flop_per_s);
    costs.element_bytes = std::max(1, bits_of(terms.dtype) / 8);
    const double per_op = execution_ == Execution::eager      ? over.dispatch_s
                          : execution_ == Execution::compiled ? over.launch_gap_s
                                                              : over.replay_gap_s;
    costs.launch_s = per_op + (is_contraction(terms.kind) ? over.kernel_minimum_s : 0.0);
    return costs;
}

}  // namespace infercost

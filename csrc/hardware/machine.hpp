// A kernel on a machine: everything that does not depend on sizes is looked up here once; what is left for
// each point is plain arithmetic (gpu_model.hpp, cpu_model.hpp, systolic_model.hpp). A machine model knows no
// ops: it sees a kernel's kind, dimensions, FLOPs and bytes.
#pragma once

#include <array>
#include <optional>

#include "hardware/costs.hpp"
#include "hardware/hardware.hpp"

namespace infercost {

// Looks up once per dtype what the kernels of a plan share.
class Binder {
  public:
    Binder(const Hardware& hardware, Execution execution)
        : hardware_(hardware),
          constants_(hardware.constants.complete(hardware.overheads.kernel_minimum_s, hardware.spread)),
          execution_(execution) {}

    MemoryCosts memory() const;
    // What the host spends on issuing one op while the device runs those before it; 0 where it waits for
    // each.
    double host_s() const;
    // From the host's call until the first kernel runs, and from the last one back.
    double start_s() const;
    // What the machine draws whatever it does; not a number where its energy is not known.
    double static_w() const;
    // The only place that chooses by kind of machine, but for the loop that runs the models.
    BoundKernel bind(const KernelTerms& terms);

  private:
    struct Engines {
        Engine contraction;
        Engine vector;
    };
    const Engines& engines(DType dtype);
    const EnergyCosts& energy_of(DType dtype);
    EnergyCosts energy(const KernelTerms& terms);
    GpuCosts gpu(const KernelTerms& terms);
    RowCosts gpu_rows(const KernelTerms& terms) const;
    double direct_share(const KernelTerms& terms) const;
    double gpu_spread(const KernelTerms& terms, double of_class);
    AttentionCosts gpu_attention(double core_s_per_flop) const;
    CpuCosts cpu(const KernelTerms& terms);
    SystolicCosts systolic(const KernelTerms& terms);

    const Hardware& hardware_;
    const Constants constants_;  // with defaults
    Execution execution_;
    std::array<std::optional<Engines>, kDTypeCount> engines_;
    std::array<std::optional<EnergyCosts>, kDTypeCount> energies_;
};

inline double seconds_per(double rate) {
    return rate > 0 ? 1.0 / rate : 0.0;
}

}  // namespace infercost

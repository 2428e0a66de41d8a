// A kernel on a machine: facts that do not depend on sizes are looked up here once; the rest is arithmetic
// per point (gpu_model.hpp, cpu_model.hpp, systolic_model.hpp). A machine model knows no ops: it sees a
// kernel's kind, dimensions, FLOPs and bytes.
#pragma once

#include <array>
#include <optional>

#include "hardware/costs.hpp"
#include "hardware/hardware.hpp"

namespace infercost {

// Looks up facts that the kernels of a plan share, once per dtype.
class Binder {
  public:
    Binder(const Hardware& hardware, Execution execution)
        : hardware_(hardware),
          constants_(hardware.constants.complete(hardware.overheads.kernel_minimum_s, hardware.spread)),
          execution_(execution) {}

    MemoryCosts memory() const;
    // Host time to issue one op while the device runs preceding ops; 0 if the host waits for each op.
    double host_s() const;
    // Time from the host's call to the first kernel, and from the last kernel back.
    double start_s() const;
    // Static power of the machine; NaN if its energy is unknown.
    double static_w() const;
    // The only dispatch on the kind of machine, except for the loop that runs the models.
    BoundKernel bind(const KernelTerms& unbound);

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

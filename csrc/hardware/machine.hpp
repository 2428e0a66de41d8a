// A kernel on a machine: facts that do not depend on sizes are looked up here once; the rest is arithmetic
// per point (gpu_model.hpp, cpu_model.hpp, systolic_model.hpp). A machine model knows no ops: it sees a
// kernel's kind, dimensions, FLOPs and bytes.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "hardware/costs.hpp"
#include "hardware/hardware.hpp"

namespace infercost {

// Classes of kernels that may have an error band of their own: kinds of work, tables of products and of row
// kernels, by the names of these tables.
inline constexpr int kBandOfMachine = 0;
inline constexpr int kFirstTileBand = 1 + static_cast<int>(kWorkKindCount);
inline constexpr int kFirstRowBand = kFirstTileBand + static_cast<int>(kTileTableCount);
// Products of compiled models at a rate that nobody measured.
inline constexpr int kCompiledBand = kFirstRowBand + static_cast<int>(kRowTableCount);
constexpr int band_of(WorkKind kind) {
    return 1 + static_cast<int>(kind);
}
constexpr int band_of(TileTable table) {
    return kFirstTileBand + static_cast<int>(table);
}
constexpr int band_of(RowTable table) {
    return kFirstRowBand + static_cast<int>(table);
}
// `tiles_fp8`, `kernel.attention`, or `other`.
std::string name_of_band(int band);

// Looks up facts that the kernels of a plan share, once per dtype.
class Binder {
  public:
    Binder(const Hardware& hardware, Execution execution);

    MemoryCosts memory() const;
    // Host time to issue one op while the device runs preceding ops; 0 if the host waits for each op.
    double host_s() const;
    // Time from the host's call to the first kernel, and from the last kernel back; `weights` is the number
    // of tensors that a compiled module checks.
    double start_s(double weights) const;
    // Static power of the machine; NaN if its energy is unknown.
    double static_w() const;
    // Whether a kernel of the plan runs on this machine: recorded graphs, and the copies of inputs into them,
    // exist on GPUs.
    bool runs(const KernelTerms& terms) const;
    // The only dispatch on the kind of machine, except for the loop that runs the models.
    BoundKernel bind(const KernelTerms& unbound);

  private:
    struct Engines {
        Engine contraction;
        Engine vector;
    };
    const Engines& engines(DType dtype);
    bool is_prepared(const KernelTerms& terms) const;
    const EnergyCosts& energy_of(DType dtype);
    EnergyCosts energy(const KernelTerms& terms);
    GpuCosts gpu(const KernelTerms& terms);
    RowCosts gpu_rows(const KernelTerms& terms) const;
    double direct_share(const KernelTerms& terms) const;
    // The class of kernels with a spread of its own that a kernel belongs to; 0 for the spread of the
    // machine.
    int band(const KernelTerms& terms);
    int gpu_band(const KernelTerms& terms);
    double spread_of(int band) const;
    AttentionCosts gpu_attention(const KernelTerms& terms, const Engine& engine) const;
    bool is_frozen(const KernelTerms& terms) const;
    // Whether a compiler for CPUs computes the results when the graph is made.
    bool is_folded(const KernelTerms& terms) const;
    double private_capacity() const;
    CpuCosts cpu(const KernelTerms& terms);
    SystolicCosts systolic(const KernelTerms& terms);
    void bind_exchange(BoundKernel& kernel) const;

    const Hardware& hardware_;
    const Constants constants_;  // with defaults
    const Execution execution_;  // on this machine
    EnumArray<DType, std::optional<Engines>> engines_;
    EnumArray<DType, std::optional<EnergyCosts>> energies_;
};

inline double seconds_per(double rate) {
    return rate > 0 ? 1.0 / rate : 0.0;
}

}  // namespace infercost

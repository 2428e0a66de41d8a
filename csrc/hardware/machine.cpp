#include "hardware/machine.hpp"

#include <algorithm>

#include "core/errors.hpp"
#include "hardware/collectives.hpp"

namespace infercost {
namespace {

KernelTerms without_work(const KernelTerms& terms) {
    KernelTerms none{};
    none.kind = WorkKind::free;
    none.dtype = terms.dtype;
    none.launches = terms.launches;
    return none;
}

// torch records CUDA graphs on GPUs alone; on other machines the mode runs what `compiled` does.
Execution execution_on(MachineKind kind, Execution execution) {
    const bool skipped = execution == Execution::reduce_overhead && kind != MachineKind::gpu;
    return skipped ? Execution::compiled : execution;
}

}  // namespace

Binder::Binder(const Hardware& hardware, Execution execution)
    : hardware_(hardware),
      constants_(hardware.constants.complete(hardware.overheads.kernel_minimum_s, hardware.spread)),
      execution_(execution_on(hardware.kind, execution)) {}

MemoryCosts Binder::memory() const {
    const AchievedConstants& reached = constants_.achieved;
    MemoryCosts costs;
    costs.dram_s_per_byte = 1.0 / hardware_.stream_byte_per_s();
    const MemoryLevel* last = hardware_.last_cache();
    if (!last) return costs;
    costs.last_capacity = last->capacity_bytes * constants_.stream.resident;
    const bool array = hardware_.kind == MachineKind::systolic;
    costs.weight_capacity = costs.last_capacity * (array ? constants_.array.resident : 1.0);
    costs.last_cache_s_per_byte = 1.0 / (last->bandwidth_byte_per_s * reached.cache);
    costs.caches = static_cast<int>(hardware_.memory.size()) - 1;
    if (costs.caches > kMaxCaches) {
        throw InputError("hardware '" + hardware_.id + "' has " + std::to_string(costs.caches) +
                         " cache levels; expected at most " + std::to_string(kMaxCaches));
    }
    for (int i = 0; i < costs.caches; ++i) {
        const MemoryLevel& level = hardware_.memory[static_cast<std::size_t>(i)];
        costs.capacity[i] = level.capacity_bytes;
        costs.s_per_byte[i] =
            1.0 / (std::max(last->bandwidth_byte_per_s, level.bandwidth_byte_per_s) * reached.cache);
    }
    return costs;
}

double Binder::host_s() const {
    if (hardware_.kind != MachineKind::gpu || is_replayed(execution_)) return 0.0;
    // Compiled code still issues its kernels one by one.
    return execution_ == Execution::eager ? hardware_.overheads.dispatch_s
                                          : constants_.forward.compiled_dispatch_s;
}

// A graph that the caller replays is timed on the device. torch's mode runs inside of a call of the module,
// which checks guards and copies inputs before it launches the graph.
double Binder::start_s(double weights) const {
    const ForwardConstants& forward = constants_.forward;
    if (execution_ == Execution::cuda_graph) return 0.0;
    const bool checks = is_fused(execution_) && weights > 0;
    return forward.start_s + (checks ? forward.compiled_start_s + weights * forward.guard_s : 0.0);
}

double Binder::static_w() const {
    return constants_.energy.static_w;
}

const EnergyCosts& Binder::energy_of(DType dtype) {
    std::optional<EnergyCosts>& slot = energies_[dtype];
    if (!slot) {
        const auto& [engine, vector] = engines(dtype);
        const MemoryLevel* last = hardware_.last_cache();
        EnergyCosts& costs = slot.emplace();
        costs.engine_j_per_flop = energy_j_per_flop(hardware_, engine);
        costs.vector_j_per_flop = energy_j_per_flop(hardware_, vector);
        costs.cache_j_per_byte = constants_.energy.cache_j_per_byte;
        costs.dram_j_per_byte = constants_.energy.dram_j_per_byte;
        costs.per_cache = 1.0 / (last ? last->capacity_bytes : 1.0);
        costs.most_w = constants_.energy.most_w - value_or(constants_.energy.static_w, 0);
    }
    return *slot;
}

EnergyCosts Binder::energy(const KernelTerms& terms) {
    EnergyCosts costs = energy_of(terms.dtype);
    const auto add = [&](const Affine& quantity, double joules) {
        Affine& sum = costs.together;
        if (quantity.coefficient != 0) {
            if (sum.coefficient != 0 && sum.column != quantity.column) costs.one_column = false;
            sum.column = quantity.column;
        }
        sum.constant += quantity.constant * joules;
        sum.coefficient += quantity.coefficient * joules;
    };
    add(terms.contraction_flops, costs.engine_j_per_flop);
    add(terms.pointwise_flops, costs.vector_j_per_flop);
    add(terms.weight_bytes, costs.cache_j_per_byte);
    add(terms.other_bytes, costs.cache_j_per_byte);
    return costs;
}

const Binder::Engines& Binder::engines(DType dtype) {
    std::optional<Engines>& slot = engines_[dtype];
    if (!slot) slot = {contraction_engine(hardware_, dtype), vector_engine(hardware_, dtype)};
    return *slot;
}

std::string name_of_band(int band) {
    const auto at = [&](int first) { return static_cast<std::size_t>(band - first); };
    if (band == kBandOfMachine) return "other";
    if (band == kCompiledBand) return "library.int8";
    if (band >= kFirstRowBand) return std::string(kRowTables[at(kFirstRowBand)]);
    if (band >= kFirstTileBand) return std::string(kTileTables[at(kFirstTileBand)]);
    return "kernel." + std::string(name_of(static_cast<WorkKind>(at(1))));
}

double Binder::spread_of(int band) const {
    const auto at = [&](int first) { return static_cast<std::size_t>(band - first); };
    if (band == kBandOfMachine) return hardware_.spread;
    if (band == kCompiledBand) return constants_.library.int8_spread;
    if (band >= kFirstRowBand) return constants_.rows[at(kFirstRowBand)].spread;
    if (band >= kFirstTileBand) return constants_.tiles[at(kFirstTileBand)].spread;
    return hardware_.constants.band[at(1)].spread;  // without the machine's spread as its default
}

int Binder::band(const KernelTerms& terms) {
    if (hardware_.kind == MachineKind::gpu) {
        const int own = gpu_band(terms);
        if (is_set(spread_of(own))) return own;
    }
    if (terms.prepared && is_contraction(terms.kind) && has_compiled_rate(hardware_, terms.dtype)) {
        return kCompiledBand;
    }
    const int of_kind = band_of(terms.kind);
    return is_set(spread_of(of_kind)) ? of_kind : kBandOfMachine;
}

bool Binder::runs(const KernelTerms& terms) const {
    return !terms.copies_input || is_replayed(execution_);
}

// Compilers of programs for arrays lay out weights before any forward.
bool Binder::is_prepared(const KernelTerms& terms) const {
    return hardware_.kind == MachineKind::systolic && execution_ != Execution::eager &&
           terms.kind == WorkKind::copy && !is_zero(terms.weight_bytes);
}

// Collectives take the same time on machines of every kind, as far as these have links.
void Binder::bind_exchange(BoundKernel& kernel) const {
    const CollectiveModel model(hardware_, kernel.terms.exchange, kernel.terms.dtype, execution_);
    kernel.exchange = model.costs();
    kernel.spread = model.spread();
    kernel.band = band_of(WorkKind::collective);
    kernel.energy.link_j_per_byte = constants_.energy.link_j_per_byte;
}

BoundKernel Binder::bind(const KernelTerms& unbound) {
    BoundKernel kernel;
    kernel.machine = hardware_.kind;
    const bool nothing = !runs(unbound) || is_prepared(unbound) || is_folded(unbound);
    kernel.terms = nothing ? without_work(unbound) : unbound;
    KernelTerms& terms = kernel.terms;
    if (terms.may_round_to_tf32) terms.dtype = dtype_with_tf32(hardware_, terms.dtype);
    kernel.energy = energy(terms);
    if (terms.kind == WorkKind::collective) {
        bind_exchange(kernel);
        return kernel;
    }
    kernel.band = band(terms);
    kernel.spread = spread_of(kernel.band);
    switch (hardware_.kind) {
        case MachineKind::gpu:
            kernel.gpu = gpu(terms);
            break;
        case MachineKind::cpu:
            kernel.cpu = cpu(kernel.terms);
            break;
        case MachineKind::systolic:
            kernel.systolic = systolic(kernel.terms);
            break;
    }
    return kernel;
}

}  // namespace infercost

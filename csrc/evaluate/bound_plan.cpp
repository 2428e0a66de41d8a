#include "evaluate/bound_plan.hpp"

#include <algorithm>
#include <functional>

#include "core/errors.hpp"
#include "core/exchange.hpp"

namespace infercost {
namespace {

constexpr double kSecondsPerNs = 1e-9;

double at(const Affine& a, const double* columns, std::size_t i) {
    return a.constant + a.coefficient * columns[static_cast<std::size_t>(a.column) * kBlock + i];
}

// Call visit(holds) with the comparison of a relation.
template <class Visit>
auto with_relation(Guard::Relation relation, Visit visit) {
    switch (relation) {
        case Guard::Relation::equal:
            return visit(std::equal_to<>{});
        case Guard::Relation::unequal:
            return visit(std::not_equal_to<>{});
        case Guard::Relation::less:
            return visit(std::less<>{});
        case Guard::Relation::less_equal:
            return visit(std::less_equal<>{});
        case Guard::Relation::greater:
            return visit(std::greater<>{});
        case Guard::Relation::greater_equal:
            break;
    }
    return visit(std::greater_equal<>{});
}

bool holds(const PlanGuard& guard, const double* columns, std::size_t i) {
    return with_relation(guard.relation, [&](auto holds) {
        return holds(at(guard.left, columns, i), at(guard.right, columns, i));
    });
}

// Counts instead of searching: a loop without an exit vectorizes.
bool holds_everywhere(const PlanGuard& guard, const double* columns, std::size_t points) {
    return with_relation(guard.relation, [&](auto holds) {
        std::int64_t broken = 0;
        for (std::size_t i = 0; i < points; ++i)
            broken += holds(at(guard.left, columns, i), at(guard.right, columns, i)) ? 0 : 1;
        return broken == 0;
    });
}

struct Loops {
    decltype(&baseline::run_tape) run_tape;
    decltype(&baseline::run_block) run_block;
    decltype(&baseline::run_terms) run_terms;
};

const Loops& loops([[maybe_unused]] Isa isa) {
    static constexpr Loops kBaseline{baseline::run_tape, baseline::run_block, baseline::run_terms};
#ifdef INFERCOST_X86_DISPATCH
    static constexpr Loops kAvx2{avx2::run_tape, avx2::run_block, avx2::run_terms};
    static constexpr Loops kAvx512{avx512::run_tape, avx512::run_block, avx512::run_terms};
    if (isa == Isa::avx512) return kAvx512;
    if (isa == Isa::avx2) return kAvx2;
#endif
    return kBaseline;
}

const Affine& footprint_on(MachineKind kind, const Plan& plan) {
    if (kind == MachineKind::cpu) return plan.cpu_footprint;
    return kind == MachineKind::gpu ? plan.gpu_footprint : plan.footprint;
}

std::size_t padded(std::size_t points) {
    return (points + kLanes - 1) / kLanes * kLanes;
}

}  // namespace

BoundPlan::BoundPlan(std::shared_ptr<const Plan> plan, const Hardware& hardware,
                     std::span<const std::string> names)
    : plan_(std::move(plan)) {
    for (const std::string& name : plan_->tape.size_names()) {
        const auto found = std::find(names.begin(), names.end(), name);
        if (found == names.end()) throw InputError("size '" + name + "' is not given; pass a value for it");
        inputs_.push_back(static_cast<std::size_t>(found - names.begin()));
    }
    Binder binder(hardware, plan_->execution);
    memory_ = binder.memory();
    footprint_ = footprint_on(hardware.kind, *plan_);
    // Compilers of whole models have prepared every call; a module of torch checks what it was compiled for.
    const bool prepared = std::any_of(plan_->terms.begin(), plan_->terms.end(),
                                      [](const KernelTerms& terms) { return terms.prepared; });
    start_s_ = binder.start_s(prepared ? 0.0 : static_cast<double>(plan_->weight_count));
    static_w_ = binder.static_w();
    spread_ = hardware.spread;
    kernels_.reserve(plan_->terms.size());
    for (const KernelTerms& terms : plan_->terms) {
        if (binder.runs(terms)) launches_ += terms.launches;
        runs_.push_back(binder.runs(terms));
        kernels_.push_back(binder.bind(terms));
    }
    const double own_s =
        prepared ? kEngineLaunchS : kSecondsPerNs * static_cast<double>(plan_->step.launch_ns);
    const double each_s = binder.host_s() > 0 && own_s > 0 ? own_s : binder.host_s();
    host_s_ = each_s * launches_;
    for (const BoundKernel& kernel : kernels_) {
        if (kernel.exchange.host_s > 0)
            host_s_ += kernel.terms.launches * (kEngineLaunchS + kernel.exchange.host_s - each_s);
    }
    host_spread_s_ =
        host_s_ * (own_s > 0 ? spread_ : value_or(hardware.constants.forward.host_spread, spread_));
    if (hardware.kind == MachineKind::gpu && plan_->step.largest_graph > 0) {
        const Overheads& over = hardware.overheads;
        unrecorded_host_s_ = (own_s > 0 ? own_s : over.dispatch_s) * launches_;
        unrecorded_gap_s_ = std::max(0.0, over.launch_gap_s - over.replay_gap_s) * launches_;
    }
    if (hardware.constants.link.host_weights > 0 && plan_->resident_bytes.is_constant()) {
        // A scratchpad alone keeps weights as narrow as products read them, and half of the activations of
        // the graph, whose operators after a product write its result in place.
        double read = 0;
        for (const BoundKernel& kernel : kernels_)
            read += kernel.terms.launches * kernel.terms.weight_bytes.constant;
        const double resident = static_cast<double>(plan_->resident_bytes.constant());
        memory_.weight_capacity = resident + 2 * (memory_.weight_capacity - read);
    }
}

BlockInput BoundPlan::fill(const SizeBlock& sizes, Isa isa, AlignedColumns& scratch,
                           double* footprint) const {
    // The columns, followed by the minimum of each.
    const Tape& tape = plan_->tape;
    const std::size_t needed = tape.column_count() * (kBlock + 1);
    scratch.grow(needed);
    double* const least = scratch.data() + tape.column_count() * kBlock;
    const std::size_t points = padded(sizes.points);
    std::vector<const double*> inputs;
    inputs.reserve(inputs_.size());
    for (const std::size_t input : inputs_) {
        double* const values = sizes.values + input * kBlock;
        std::fill(values + sizes.points, values + points, values[sizes.points - 1]);
        inputs.push_back(values);
    }
    const TapeInput steps{tape.steps().data(), static_cast<int>(tape.steps().size()), tape.operands().data(),
                          inputs.data(), static_cast<int>(kBlock)};
    loops(isa).run_tape(steps, static_cast<int>(points), scratch.data(), least);
    check_guards(sizes, scratch.data());
    double least_footprint = at(footprint_, scratch.data(), 0);
    for (std::size_t i = 0; i < points; ++i) {
        footprint[i] = at(footprint_, scratch.data(), i);
        least_footprint = std::min(least_footprint, footprint[i]);
    }
    return {kernels_.data(),
            static_cast<int>(kernels_.size()),
            memory_,
            scratch.data(),
            static_cast<int>(kBlock),
            least,
            footprint,
            least_footprint,
            static_cast<int>(points)};
}

void BoundPlan::check_guards(const SizeBlock& sizes, const double* columns) const {
    for (const PlanGuard& guard : plan_->guards) {
        if (holds_everywhere(guard, columns, sizes.points)) continue;
        for (std::size_t i = 0; i < sizes.points; ++i) {
            if (holds(guard, columns, i)) continue;
            Sizes point = plan_->bound;
            for (std::size_t s = 0; s < sizes.names.size(); ++s) {
                point[sizes.names[s]] = static_cast<std::int64_t>(sizes.values[s * kBlock + i]);
            }
            plan_->graph->check_guards(point);
        }
    }
}

void BoundPlan::sum_block(const BlockInput& input, Isa isa, BlockResult& result) {
    const BlockSums sums{result.latency.data(), result.compute.data(), result.dram.data(),
                         result.cache.data(),   result.link.data(),    result.launch.data(),
                         result.spread.data(),  result.energy.data()};
    for (double* sum : {sums.latency, sums.compute, sums.dram, sums.cache, sums.link, sums.launch,
                        sums.spread, sums.dynamic})
        std::fill_n(sum, input.points, 0.0);
    loops(isa).run_block(input, sums);
}

void BoundPlan::sum(std::span<const BoundKernel> kernels, const SizeBlock& sizes, Isa isa,
                    AlignedColumns& scratch, BlockResult& result) const {
    BlockInput input = fill(sizes, isa, scratch, result.footprint.data());
    input.kernels = kernels.data();
    input.kernel_count = static_cast<int>(kernels.size());
    sum_block(input, isa, result);
}

void BoundPlan::waits(const SizeBlock& sizes, Isa isa, AlignedColumns& scratch,
                      std::span<const double> device_s, std::span<double> wait_s,
                      std::span<double> engine_s) const {
    alignas(64) std::array<double, kBlock + 8> footprint;
    const BlockInput input = fill(sizes, isa, scratch, footprint.data());
    for (std::size_t i = 0; i < sizes.points; ++i) {
        double total_s = device_s[i];
        if (host_s_ > 0 || start_s_ > 0) total_s += start_s_ + std::max(0.0, host_s_ - total_s);
        if (unrecorded_host_s_ > 0) total_s += unrecorded_s(input.columns, i, total_s);
        wait_s[i] = total_s - device_s[i];
        engine_s[i] = 0;
        for (const BoundKernel& kernel : kernels_) {
            if (is_zero(kernel.terms.host_ns)) continue;
            engine_s[i] += kernel.terms.launches * kSecondsPerNs * at(kernel.terms.host_ns, input.columns, i);
        }
    }
}

void BoundPlan::run(const SizeBlock& sizes, Isa isa, AlignedColumns& scratch, BlockResult& result) const {
    const BlockInput input = fill(sizes, isa, scratch, result.footprint.data());
    sum_block(input, isa, result);
    const BlockSums sums{result.latency.data(), result.compute.data(), result.dram.data(),
                         result.cache.data(),   result.link.data(),    result.launch.data(),
                         result.spread.data(),  result.energy.data()};
    const auto add_wait = [&](int i, double wait_s) {
        sums.latency[i] += wait_s;
        sums.launch[i] += wait_s;
        sums.spread[i] += wait_s * spread_;
    };
    if (host_s_ > 0 || start_s_ > 0) {
        // The host runs ahead of the device: the slower of the two determines the latency, and the slower of
        // their upper ends that of the latency.
        for (int i = 0; i < input.points; ++i) {
            const double device_s = sums.latency[i];
            const double high_s = std::max(device_s + sums.spread[i], host_s_ + host_spread_s_);
            add_wait(i, start_s_ + std::max(0.0, host_s_ - device_s));
            sums.spread[i] = high_s - std::max(device_s, host_s_) + start_s_ * spread_;
        }
    }
    if (unrecorded_host_s_ > 0) {
        for (int i = 0; i < input.points; ++i) {
            add_wait(i, unrecorded_s(input.columns, static_cast<std::size_t>(i), sums.latency[i]));
        }
    }
    // An engine's host works between steps, while the device waits, or while it works on the step before.
    for (std::size_t k = 0; k < kernels_.size(); ++k) {
        if (is_zero(kernels_[k].terms.host_ns)) continue;
        for (int i = 0; i < input.points; ++i) {
            const double each_s =
                host_of_engine_s(k, input.columns, static_cast<std::size_t>(i), sums.latency[i]);
            add_wait(i, kernels_[k].terms.launches * each_s);
        }
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(input.points); ++i) {
        double& energy = result.energy[i];
        energy += static_w_ * result.latency[i];
        if (energy < 0) energy = 0;  // a rounding error; an unknown energy is not a number, and stays
    }
}

std::vector<KernelSeconds> BoundPlan::terms(std::span<const BoundKernel> kernels, const SizeBlock& sizes,
                                            Isa isa) const {
    AlignedColumns scratch;
    alignas(64) std::array<double, kBlock> footprint;
    BlockInput input = fill(sizes, isa, scratch, footprint.data());
    input.kernels = kernels.data();
    input.kernel_count = static_cast<int>(kernels.size());
    std::vector<KernelSeconds> terms(kernels.size());
    loops(isa).run_terms(input, terms.data());
    return terms;
}

double BoundPlan::unrecorded_s(const double* columns, std::size_t point, double device_s) const {
    if (at(plan_->step_tokens, columns, point) <= static_cast<double>(plan_->step.largest_graph)) return 0;
    return unrecorded_gap_s_ + std::max(0.0, unrecorded_host_s_ - device_s - unrecorded_gap_s_);
}

double BoundPlan::host_of_engine_s(std::size_t kernel, const double* columns, std::size_t point,
                                   double device_s) const {
    const KernelTerms& terms = kernels_[kernel].terms;
    const double host_s = kSecondsPerNs * at(terms.host_ns, columns, point);
    return plan_->step.hides_host ? std::max(0.0, host_s - device_s / terms.launches) : host_s;
}

double BoundPlan::engine_s(std::size_t kernel, std::span<const KernelSeconds> device, const SizeBlock& sizes,
                           Isa isa) const {
    if (is_zero(kernels_[kernel].terms.host_ns)) return 0;
    AlignedColumns scratch;
    alignas(64) std::array<double, kBlock> footprint;
    const BlockInput input = fill(sizes, isa, scratch, footprint.data());
    const LaunchWait waited = wait(device, sizes, isa);
    const double before_s = device_s(device) + launches_ * (waited.host_s + waited.start_s);
    return host_of_engine_s(kernel, input.columns, 0, before_s);
}

double BoundPlan::device_s(std::span<const KernelSeconds> device) const {
    double seconds = 0;
    for (std::size_t k = 0; k < device.size(); ++k) seconds += kernels_[k].terms.launches * device[k].latency;
    return seconds;
}

LaunchWait BoundPlan::wait(std::span<const KernelSeconds> device, const SizeBlock& sizes, Isa isa) const {
    if (launches_ == 0) return {};
    const double known_s = device_s(device);
    double host_s = std::max(0.0, host_s_ - known_s);
    if (unrecorded_host_s_ > 0) {
        AlignedColumns scratch;
        alignas(64) std::array<double, kBlock> footprint;
        host_s += unrecorded_s(fill(sizes, isa, scratch, footprint.data()).columns, 0, known_s);
    }
    return {host_s / launches_, start_s_ / launches_};
}

}  // namespace infercost

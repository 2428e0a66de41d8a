#include "evaluate/bound_plan.hpp"

#include <algorithm>
#include <stdexcept>

namespace infercost {
namespace {

double at(const Affine& a, const double* columns, std::size_t i) {
    return a.constant + a.coefficient * columns[static_cast<std::size_t>(a.column) * kBlock + i];
}

bool holds(Guard::Relation relation, double a, double b) {
    switch (relation) {
        case Guard::Relation::equal:
            return a == b;
        case Guard::Relation::unequal:
            return a != b;
        case Guard::Relation::less:
            return a < b;
        case Guard::Relation::less_equal:
            return a <= b;
        case Guard::Relation::greater:
            return a > b;
        case Guard::Relation::greater_equal:
            return a >= b;
    }
    return false;
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
        if (found == names.end()) throw std::invalid_argument("size '" + name + "' is not given");
        inputs_.push_back(static_cast<std::size_t>(found - names.begin()));
    }
    Binder binder(hardware, plan_->execution);
    memory_ = binder.memory();
    kernels_.reserve(plan_->terms.size());
    for (const KernelTerms& terms : plan_->terms) kernels_.push_back(binder.bind(terms));
}

BlockInput BoundPlan::fill(const SizeBlock& sizes, std::vector<double>& scratch, double* footprint) const {
    const std::size_t needed = plan_->tape.column_count() * kBlock;
    if (scratch.size() < needed) scratch.resize(needed);
    std::vector<const double*> inputs;
    inputs.reserve(inputs_.size());
    for (const std::size_t input : inputs_) inputs.push_back(sizes.values + input * kBlock);
    const std::size_t points = padded(sizes.points);
    plan_->tape.run(inputs.data(), sizes.points, points, scratch.data());
    check_guards(sizes, scratch.data());
    for (std::size_t i = 0; i < points; ++i) footprint[i] = at(plan_->footprint, scratch.data(), i);
    return {kernels_.data(),         static_cast<int>(kernels_.size()), memory_,
            scratch.data(),          static_cast<int>(kBlock),          footprint,
            static_cast<int>(points)};
}

void BoundPlan::check_guards(const SizeBlock& sizes, const double* columns) const {
    for (const PlanGuard& guard : plan_->guards) {
        for (std::size_t i = 0; i < sizes.points; ++i) {
            if (holds(guard.relation, at(guard.left, columns, i), at(guard.right, columns, i))) continue;
            Sizes point = plan_->bound;
            for (std::size_t s = 0; s < sizes.names.size(); ++s) {
                point[sizes.names[s]] = static_cast<std::int64_t>(sizes.values[s * kBlock + i]);
            }
            plan_->graph->check_guards(point);
        }
    }
}

void BoundPlan::run(const SizeBlock& sizes, Isa isa, std::vector<double>& scratch,
                    BlockResult& result) const {
    const BlockInput input = fill(sizes, scratch, result.footprint.data());
    const BlockSums sums{result.latency.data(), result.compute.data(), result.dram.data(),
                         result.cache.data(), result.launch.data()};
    for (double* sum : {sums.latency, sums.compute, sums.dram, sums.cache, sums.launch})
        std::fill_n(sum, input.points, 0.0);
    switch (isa) {
#ifdef INFERCOST_X86_DISPATCH
        case Isa::avx512:
            return avx512::run_block(input, sums);
        case Isa::avx2:
            return avx2::run_block(input, sums);
#endif
        default:
            return baseline::run_block(input, sums);
    }
}

std::vector<KernelSeconds> BoundPlan::terms(const SizeBlock& sizes, Isa isa) const {
    std::vector<double> scratch;
    std::array<double, kBlock> footprint;
    const BlockInput input = fill(sizes, scratch, footprint.data());
    std::vector<KernelSeconds> terms(kernels_.size());
    switch (isa) {
#ifdef INFERCOST_X86_DISPATCH
        case Isa::avx512:
            avx512::run_terms(input, terms.data());
            break;
        case Isa::avx2:
            avx2::run_terms(input, terms.data());
            break;
#endif
        default:
            baseline::run_terms(input, terms.data());
            break;
    }
    return terms;
}

}  // namespace infercost

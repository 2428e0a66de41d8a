#include "evaluate/evaluate.hpp"

#include <algorithm>
#include <stdexcept>

#include "evaluate/columns.hpp"

namespace infercost {
namespace {

void check(const Plan& plan, const SizeColumns& sizes, std::size_t points) {
    for (const auto& [name, column] : sizes) {
        if (column.size() != points) {
            throw std::invalid_argument("size '" + name + "' has " + std::to_string(column.size()) +
                                        " values; expected " + std::to_string(points));
        }
        if (column.empty()) continue;
        const auto [low, high] = std::minmax_element(column.begin(), column.end());
        plan.graph->check_sizes({
            {name, *low}
        });
        plan.graph->check_sizes({
            {name, *high}
        });
    }
    for (const std::string& name : plan.names) {
        if (!sizes.contains(name)) throw std::invalid_argument("size '" + name + "' is not given");
    }
    if (plan.graph->guards().empty()) return;
    Sizes point = plan.bound;
    for (std::size_t i = 0; i < points; ++i) {
        for (const auto& [name, column] : sizes) point[name] = column[i];
        plan.graph->check_guards(point);
    }
}

// The quantities of a kernel that depend on sizes, for one block.
struct KernelColumns {
    Block contraction, pointwise, weights, others, written, batch, m, n, k, n_value;
};

KernelBlock load(const Kernel& kernel, BlockEvaluator& evaluator, KernelColumns& c, const Block& footprint) {
    const Work& work = kernel.work;
    const Expr weights = work.read[static_cast<std::size_t>(Traffic::weight)];
    evaluator.evaluate(work.contraction_flops, c.contraction.data());
    evaluator.evaluate(work.pointwise_flops, c.pointwise.data());
    evaluator.evaluate(weights, c.weights.data());
    evaluator.evaluate(work.bytes_read() - weights + work.bytes_written(), c.others.data());
    evaluator.evaluate(work.bytes_written(), c.written.data());
    evaluator.evaluate(work.dims.batch, c.batch.data());
    evaluator.evaluate(work.dims.m, c.m.data());
    evaluator.evaluate(work.dims.n, c.n.data());
    evaluator.evaluate(work.dims.k, c.k.data());
    evaluator.evaluate(work.dims.n_value, c.n_value.data());
    return {
        work.kind,          work.dtype,           bits_of(work.dtype), static_cast<double>(work.dims.window),
        evaluator.points(), c.contraction.data(), c.pointwise.data(),  c.weights.data(),
        c.others.data(),    c.written.data(),     c.batch.data(),      c.m.data(),
        c.n.data(),         c.k.data(),           c.n_value.data(),    footprint.data()};
}

// Runs every kernel over every block. `visit(kernel index, first point, count, times)`.
template <class Visit>
void for_each_block(const Plan& plan, const SizeColumns& sizes, std::size_t points, const Hardware& hardware,
                    std::vector<double>& peak_memory, Visit&& visit) {
    check(plan, sizes, points);
    peak_memory.resize(points);
    KernelColumns columns;
    Block footprint;
    Block compute, dram, cache, launch;
    const KernelTimes times{compute.data(), dram.data(), cache.data(), launch.data()};
    for (std::size_t begin = 0; begin < points; begin += kBlock) {
        BlockEvaluator evaluator(sizes, begin, std::min(kBlock, points - begin));
        evaluator.evaluate(plan.peak_memory_bytes, footprint.data());
        std::copy_n(footprint.begin(), evaluator.points(),
                    peak_memory.begin() + static_cast<std::ptrdiff_t>(begin));
        for (std::size_t k = 0; k < plan.kernels.size(); ++k) {
            const KernelBlock block = load(plan.kernels[k], evaluator, columns, footprint);
            time_kernel(hardware, plan.execution, block, times);
            visit(k, begin, evaluator.points(), times);
        }
    }
}

}  // namespace

Columns evaluate(const Plan& plan, const SizeColumns& sizes, std::size_t points, const Hardware& hardware) {
    Columns result;
    for (std::vector<double>* column :
         {&result.latency_s, &result.compute_s, &result.dram_s, &result.cache_s, &result.launch_s}) {
        column->assign(points, 0.0);
    }
    for_each_block(plan, sizes, points, hardware, result.peak_memory_bytes,
                   [&](std::size_t k, std::size_t begin, std::size_t count, const KernelTimes& times) {
                       const auto launches = static_cast<double>(plan.kernels[k].launches.size());
                       for (std::size_t i = 0; i < count; ++i) {
                           const double compute = times.compute[i];
                           const double dram = times.dram[i];
                           const double cache = times.cache[i];
                           const double longest = std::max({compute, dram, cache});
                           const std::size_t at = begin + i;
                           result.latency_s[at] += launches * (times.launch[i] + longest);
                           result.launch_s[at] += launches * times.launch[i];
                           std::vector<double>& bound = compute == longest ? result.compute_s
                                                        : dram == longest  ? result.dram_s
                                                                           : result.cache_s;
                           bound[at] += launches * longest;
                       }
                   });
    return result;
}

std::vector<KernelEstimate> evaluate_kernels(const Plan& plan, const Sizes& sizes, const Hardware& hardware) {
    std::vector<std::int64_t> values;
    values.reserve(sizes.size());
    SizeColumns columns;
    for (const auto& [name, value] : sizes) {
        values.push_back(value);
        columns[name] = {&values.back(), 1};
    }
    std::vector<KernelEstimate> result(plan.kernels.size());
    std::vector<double> peak;
    for_each_block(plan, columns, 1, hardware, peak,
                   [&](std::size_t k, std::size_t, std::size_t, const KernelTimes& times) {
                       const double longest = std::max({times.compute[0], times.dram[0], times.cache[0]});
                       result[k] = {times.launch[0] + longest, times.compute[0], times.dram[0],
                                    times.cache[0], times.launch[0]};
                   });
    return result;
}

}  // namespace infercost

#include "evaluate/run.hpp"

#include "evaluate/tape_run.hpp"
#include "hardware/cpu_model.hpp"
#include "hardware/exchange_model.hpp"
#include "hardware/gpu_model.hpp"
#include "hardware/systolic_model.hpp"

namespace infercost::INFERCOST_ISA {
namespace {

// Energy of a kernel above static power, limited by the board: its arithmetic, its bytes at the last cache
// and, if the cache does not hold them, at DRAM; of a collective also its bytes on the links.
struct Energy {
    // A cache holds a working set of up to half of its size in full, and nothing of a working set of 1.5
    // times its size.
    static constexpr double kMissed = 1.5;
    EnergyCosts costs;  // copies, as in run_gpu
    const double* footprint;
    Vec most;
    Quantity contraction, pointwise, weights, others, together, sent;
    bool weights_miss, others_miss;  // at all points of the block; joules are the same either way

    INFERCOST_INLINE Energy(const BoundKernel& kernel, const BlockColumns& block)
        : costs(kernel.energy),
          footprint(block.footprint),
          most(splat(kernel.energy.most_w)),
          contraction(block[kernel.terms.contraction_flops]),
          pointwise(block[kernel.terms.pointwise_flops]),
          weights(block[kernel.terms.weight_bytes]),
          others(block[kernel.terms.other_bytes]),
          together(block[kernel.energy.together]),
          sent(block[kernel.terms.sent_bytes]),
          weights_miss(block.lowest_footprint * kernel.energy.per_cache >= kMissed),
          others_miss((block.least(kernel.terms.weight_bytes) + block.least(kernel.terms.other_bytes)) *
                          kernel.energy.per_cache >=
                      kMissed) {}

    // The share of bytes that the cache does not hold.
    INFERCOST_INLINE Vec missed(Vec bytes) const {
        return clamp(bytes * splat(costs.per_cache) - splat(kMissed - 1), splat(0.0), splat(1.0));
    }

    INFERCOST_INLINE Vec joules(int i, const Times& times) const {
        const Vec weight_bytes = weights.at(i);
        const Vec other_bytes = others.at(i);
        Vec wanted;
        if (costs.one_column) {
            wanted = together.at(i);
        } else {
            wanted = contraction.at(i) * splat(costs.engine_j_per_flop) +
                     pointwise.at(i) * splat(costs.vector_j_per_flop) +
                     (weight_bytes + other_bytes) * splat(costs.cache_j_per_byte);
        }
        // As in MemoryModel: activations were just written, weights were read one forward ago.
        Vec cold_weights = weight_bytes;
        if (!weights_miss) cold_weights = weight_bytes * missed(load(footprint + i));
        Vec cold_others = other_bytes;
        if (!others_miss) cold_others = other_bytes * missed(weight_bytes + other_bytes);
        wanted = wanted + (cold_weights + cold_others) * splat(costs.dram_j_per_byte);
        if (costs.link_j_per_byte > 0) wanted = wanted + sent.at(i) * splat(costs.link_j_per_byte);
        return min(wanted, times.total * most);
    }
};

// Add the time of a kernel to the sums: its longest term except the launch to the term that bounds it, and
// its launch if it varies between points.
template <bool launch_varies>
struct Accumulate {
    BlockSums sums;
    Vec launches;
    double spread;
    Energy energy;

    INFERCOST_INLINE void operator()(int i, const Times& times) const {
        const Vec spent = launches * times.busy;
        const Vec longest = max(max(times.compute, times.dram), times.cache);
        const Mask compute = times.compute >= longest;
        const Mask dram = times.dram >= longest;
        const Mask dram_alone = both(dram, neither(compute, compute));
        const Mask cache = neither(compute, dram);
        add(sums.compute, i, only(compute, spent));
        add(sums.dram, i, only(dram_alone, spent));
        add(sums.cache, i, only(cache, spent));
        add_rest(i, times);
    }

    // The same if the cache takes no longer than DRAM at any point.
    INFERCOST_INLINE void behind_dram(int i, const Times& times) const {
        const Vec spent = launches * times.busy;
        const Mask compute = times.compute >= times.dram;
        add(sums.compute, i, only(compute, spent));
        add(sums.dram, i, only(neither(compute, compute), spent));
        add_rest(i, times);
    }

    // A collective.
    INFERCOST_INLINE void over_link(int i, const Times& times) const {
        const Vec spent = launches * times.busy;
        const Mask link = times.link >= times.dram;
        add(sums.link, i, only(link, spent));
        add(sums.dram, i, only(neither(link, link), spent));
        add_rest(i, times);
    }

  private:
    static INFERCOST_INLINE void add(double* sum, int i, Vec more) { store(sum + i, load(sum + i) + more); }

    INFERCOST_INLINE void add_rest(int i, const Times& times) const {
        add(sums.latency, i, launches * times.total);
        if constexpr (launch_varies) add(sums.launch, i, launches * times.launch);
        add(sums.spread, i, launches * times.total * splat(spread));
        add(sums.dynamic, i, launches * energy.joules(i, times));
    }
};

// Stores the terms of the first point.
struct Keep {
    KernelSeconds* terms;
    Energy energy;

    INFERCOST_INLINE void operator()(int i, const Times& times) const { keep(i, times, splat(0.0)); }
    INFERCOST_INLINE void behind_dram(int i, const Times& times) const { (*this)(i, times); }
    INFERCOST_INLINE void over_link(int i, const Times& times) const { keep(i, times, times.link); }

  private:
    INFERCOST_INLINE void keep(int i, const Times& times, Vec link) const {
        if (i != 0) return;
        double lanes[7][Vec::lanes];
        store(lanes[0], times.total);
        store(lanes[1], times.compute);
        store(lanes[2], times.dram);
        store(lanes[3], times.cache);
        store(lanes[4], link);
        store(lanes[5], times.launch);
        store(lanes[6], energy.joules(i, times));
        *terms = {lanes[0][0], lanes[1][0], lanes[2][0], lanes[3][0], lanes[4][0], lanes[5][0], lanes[6][0]};
    }
};

// The launch of a kernel if it is equal at all points; 0 if it varies.
double launch_of(const BoundKernel& kernel) {
    if (kernel.terms.kind == WorkKind::collective) return 0.0;
    switch (kernel.machine) {
        case MachineKind::gpu:
            return kernel.gpu.floor_s;
        case MachineKind::cpu:
            return 0.0;
        case MachineKind::systolic:
            return kernel.systolic.launch_s;
    }
    return 0.0;
}

// `varying` receives the times of kernels whose launch varies between points.
template <class Sink, class VaryingSink>
void run_kernel(const BoundKernel& kernel, const BlockInput& input, const BlockColumns& block,
                const Sink& sink, const VaryingSink& varying) {
    if (kernel.terms.kind == WorkKind::collective) return run_exchange(kernel, block, input.points, varying);
    switch (kernel.machine) {
        case MachineKind::gpu:
            return run_gpu(kernel, input.memory, block, input.points, sink);
        case MachineKind::cpu:
            return run_cpu(kernel, input.memory, block, input.points, varying);
        case MachineKind::systolic:
            return run_systolic(kernel, input.memory, block, input.points, sink);
    }
}

BlockColumns columns_of(const BlockInput& input) {
    return {input.columns, input.stride, input.least, input.footprint, input.least_footprint};
}

}  // namespace

void run_tape(const TapeInput& tape, int points, double* columns, double* least) {
    TapeRunner{tape, columns, points}.run(least);
}

void run_block(const BlockInput& input, const BlockSums& sums) {
    const BlockColumns block = columns_of(input);
    double launch_s = 0;
    for (int k = 0; k < input.kernel_count; ++k) {
        const BoundKernel& kernel = input.kernels[k];
        const Vec launches = splat(kernel.terms.launches);
        const Energy energy(kernel, block);
        run_kernel(kernel, input, block, Accumulate<false>{sums, launches, kernel.spread, energy},
                   Accumulate<true>{sums, launches, kernel.spread, energy});
        launch_s += kernel.terms.launches * launch_of(kernel);
    }
    if (launch_s > 0) {
        for (int i = 0; i < input.points; i += Vec::lanes)
            store(sums.launch + i, load(sums.launch + i) + splat(launch_s));
    }
}

void run_terms(const BlockInput& input, KernelSeconds* terms) {
    const BlockColumns block = columns_of(input);
    for (int k = 0; k < input.kernel_count; ++k) {
        const Keep keep{terms + k, Energy(input.kernels[k], block)};
        run_kernel(input.kernels[k], input, block, keep, keep);
    }
}

void run_messages(const ExchangeCosts& costs, const double* bytes, int points, const ExchangeTimes& times) {
    for (int i = 0; i < points; i += Vec::lanes) {
        const FastestWay way = fastest_way(costs, load(bytes + i));
        store(times.start_s + i, way.start);
        store(times.link_s + i, way.link);
        store(times.copy_s + i, way.copy);
        store(times.way + i, way.way);
    }
}

}  // namespace infercost::INFERCOST_ISA

#include "evaluate/explain.hpp"

#include <algorithm>
#include <cmath>
#include <deque>

#include "evaluate/bound_plan.hpp"
#include "evaluate/effects.hpp"
#include "hardware/gpu.hpp"
#include "hardware/machine.hpp"

namespace infercost {
namespace {

using Shape = GpuCosts::Shape;
using Term = double KernelSeconds::*;

// Times that differ only by rounding are equal.
constexpr double kSame = 1e-9;

// One point, for which a plan is bound to a machine.
class BoundPoint {
  public:
    // The plan must outlive the point.
    BoundPoint(const Plan& plan, const Sizes& sizes, const Hardware& hardware)
        : values_(sizes.size() * kBlock),
          names_(names_of(plan, sizes)),
          plan_(std::shared_ptr<const Plan>(&plan, [](const Plan*) {}), hardware, names_) {
        std::size_t i = 0;
        for (const auto& [name, size] : sizes) values_.data()[i++ * kBlock] = static_cast<double>(size);
    }
    const BoundPlan& plan() const { return plan_; }
    SizeBlock block() { return {names_, values_.data(), 1}; }

  private:
    static std::vector<std::string> names_of(const Plan& plan, const Sizes& sizes) {
        plan.graph->check_sizes(sizes);
        std::vector<std::string> names;
        for (const auto& [name, size] : sizes) names.push_back(name);
        return names;
    }
    AlignedColumns values_;
    std::vector<std::string> names_;
    BoundPlan plan_;
};

// A launch with what it waits for in addition to device time.
KernelSeconds with_waits(KernelSeconds terms, const LaunchWait& wait, double engine_s) {
    const double added_s = wait.host_s + wait.start_s + engine_s;
    terms.latency += added_s;
    terms.launch += added_s;
    return terms;
}

// What a kernel is computed without, all but `power` also without the power limit of the board.
enum class Without : std::uint8_t {
    power,
    direct,  // the direct convolution, and what no product does
    vector,  // what no product does
    transposes,
    strided,
    exponentials,
    keys,
    starts,
    again,
    issue,
    loops,
    reorder,
    faults,
    packing,
    weights,
    regions,
    cold,
    steps,
    network,
    count_
};

// What each kernel of a plan takes without one mechanism.
class Questions {
  public:
    explicit Questions(std::size_t kernels) { places_.reserve(kernels); }

    void ask(const BoundKernel& kernel) {
        places_.emplace_back();
        if (kernel.terms.kind == WorkKind::collective) return ask_collective(kernel);
        switch (kernel.machine) {
            case MachineKind::gpu:
                return ask_gpu(kernel);
            case MachineKind::cpu:
                without(Without::loops, kernel,
                        [](BoundKernel& k) { std::fill_n(k.cpu.loop_s, kSlowLoopCount, 0.0); });
                without(Without::reorder, kernel, [](BoundKernel& k) { k.cpu.reorder_s = 0; });
                without(Without::faults, kernel, [](BoundKernel& k) { k.cpu.fault_s_per_byte = 0; });
                without(Without::packing, kernel, [](BoundKernel& k) { k.cpu.packing_s_per_byte = 0; });
                without(Without::weights, kernel, [](BoundKernel& k) { k.cpu.gemv_s_per_byte = 0; });
                without(Without::regions, kernel, [](BoundKernel& k) { k.cpu.region_s = 0; });
                return without(Without::cold, kernel, [](BoundKernel& k) { k.cpu.cold_s = 0; });
            case MachineKind::systolic:
                return;
        }
    }
    void answer(const BoundPlan& bound, const SizeBlock& block) {
        answers_ = bound.terms(asked_, block, best_isa());
    }

    const KernelSeconds& answer(std::size_t kernel, Without mechanism) const {
        return answers_.at(places_[kernel].of[mechanism]);
    }
    const KernelSeconds& answer_of_tile(std::size_t kernel, int tile) const {
        return answers_.at(places_[kernel].tiles + static_cast<std::size_t>(tile));
    }

  private:
    // Of one kernel: where its questions are among all.
    struct Places {
        Places() { of.fill(kNotAsked); }
        EnumArray<Without, std::size_t> of;
        std::size_t tiles = kNotAsked;  // the first tile of its menu; the others follow
    };
    static constexpr std::size_t kNotAsked = static_cast<std::size_t>(-1);

    template <class Change>
    void without(Without mechanism, const BoundKernel& kernel, Change change) {
        places_.back().of[mechanism] = asked_.size();
        asked_.push_back(kernel);
        change(asked_.back());
    }

    void ask_collective(const BoundKernel& kernel) {
        without(Without::steps, kernel, [](BoundKernel& k) {
            for (ExchangeWay& way : k.exchange.ways) way.start_s -= way.steps_s;
        });
        without(Without::network, kernel, [](BoundKernel& k) {
            for (ExchangeWay& way : k.exchange.ways) way.s_per_byte = way.link_s_per_byte;
        });
    }

    void ask_gpu(const BoundKernel& limited) {
        without(Without::power, limited,
                [](BoundKernel& k) { k.gpu.power_s_per_flop = k.gpu.power_s_per_byte = 0; });
        const BoundKernel kernel = asked_.back();
        switch (kernel.gpu.shape) {
            case Shape::tiles:
            case Shape::winograd:
                ask_tiles(kernel);
                without(Without::direct, kernel, [](BoundKernel& k) {
                    k.gpu.direct = false;
                    k.gpu.vector_s_per_flop = 0;
                });
                without(Without::vector, kernel, [](BoundKernel& k) { k.gpu.vector_s_per_flop = 0; });
                return without(Without::transposes, kernel,
                               [](BoundKernel& k) { k.gpu.transposed_factor = 0; });
            case Shape::attention:
                without(Without::exponentials, kernel,
                        [](BoundKernel& k) { k.gpu.attention.exponential_s = 0; });
                without(Without::keys, kernel, [](BoundKernel& k) {
                    k.gpu.attention.decode_s_per_byte = k.gpu.attention.cached_s_per_byte = 0;
                });
                return without(Without::starts, kernel, [](BoundKernel& k) {
                    AttentionCosts& a = k.gpu.attention;
                    a.tile_s = a.decode_start_s = a.combine_s = a.combine_split_s = 0;
                });
            case Shape::rows:
                without(Without::again, kernel, [](BoundKernel& k) { k.gpu.rows.passes = 0; });
                without(Without::transposes, kernel, [](BoundKernel& k) { k.gpu.transposed_factor = 0; });
                return without(Without::strided, kernel, [](BoundKernel& k) { k.gpu.strided_factor = 0; });
            case Shape::none:
                without(Without::issue, kernel, [](BoundKernel& k) { k.gpu.issue_s_per_byte = 0; });
                return without(Without::strided, kernel, [](BoundKernel& k) { k.gpu.strided_factor = 0; });
            case Shape::unshaped:
                return;
        }
    }

    // Each tile of the menu alone.
    void ask_tiles(const BoundKernel& kernel) {
        places_.back().tiles = asked_.size();
        for (int t = 0; t < kernel.gpu.menu->count; ++t) {
            menus_.push_back({1, {kernel.gpu.menu->tiles[t]}});
            BoundKernel& asked = asked_.emplace_back(kernel);
            asked.gpu.shape = Shape::tiles;
            asked.gpu.direct = false;
            asked.gpu.vector_s_per_flop = 0;
            asked.gpu.menu = &menus_.back();
        }
    }

    std::deque<TileMenu> menus_;  // a deque, because questions hold pointers to its elements
    std::vector<BoundKernel> asked_;
    std::vector<KernelSeconds> answers_;
    std::vector<Places> places_;  // of each kernel
};

class Explainer {
  public:
    Explainer(const BoundPlan& bound, const SizeBlock& block, const Sizes& sizes, const Hardware& hardware)
        : bound_(bound),
          block_(block),
          sizes_(sizes),
          hardware_(hardware),
          questions_(bound.kernels().size()) {}

    std::vector<KernelEstimate> run() {
        const std::vector<BoundKernel>& kernels = bound_.kernels();
        for (const BoundKernel& kernel : kernels) questions_.ask(kernel);
        questions_.answer(bound_, block_);
        const std::vector<KernelSeconds> device = bound_.terms(kernels, block_, best_isa());
        const LaunchWait wait = bound_.wait(device, block_, best_isa());
        std::vector<KernelEstimate> result(kernels.size());
        for (std::size_t i = 0; i < kernels.size(); ++i) {
            at_ = i;
            now_ = &result[i];
            now_->terms = unlimited_ = device[i];
            const Kernel& kernel = bound_.plan().kernels[i];
            now_->name = kernel.name;
            now_->kind = kernel.work.kind;
            now_->copies_input = kernel.hints.copies_input;
            now_->launches = kernel.launches;
            now_->band = name_of_band(kernels[i].band);
            explain(kernels[i], kernel.work);
            add("host", wait.host_s);
            add("start", wait.start_s);
            const double engine_s = bound_.engine_s(i, device, block_, best_isa());
            add("engine", engine_s);
            now_->terms = with_waits(now_->terms, wait, engine_s);
            now_->bound = bound_of(now_->terms);
            now_->energy_j = now_->terms.dynamic_j + bound_.static_w() * now_->terms.latency;
            name_engine(kernels[i].terms);
        }
        std::size_t i = 0;
        std::erase_if(result, [&](const KernelEstimate&) { return !bound_.runs(i++); });
        return result;
    }

  private:
    double value(const Expr& e) const { return static_cast<double>(e.evaluate(sizes_)); }

    const KernelSeconds& answer(Without mechanism) const { return questions_.answer(at_, mechanism); }
    void lost(std::string_view part, Without mechanism, Term term) {
        add(part, unlimited_.*term - answer(mechanism).*term);
    }
    void add(std::string_view part, double seconds) {
        if (seconds > kSame * now_->terms.latency) now_->parts.push_back({part, seconds});
    }
    // Part of compute that no earlier part explains.
    void add_rest(std::string_view part, double explained_s) {
        add(part, unlimited_.compute - explained_s - now_->ideal_compute_s);
    }

    void explain(const BoundKernel& kernel, const Work& work) {
        now_->traffic_bytes = value(work.bytes_read() + work.bytes_written());
        now_->stream_s = now_->traffic_bytes / hardware_.stream_byte_per_s();
        const double flops = value(work.contraction_flops);
        const double others = value(work.pointwise_flops);
        now_->flops = flops + others;
        now_->sent_bytes = value(work.exchange.sent_bytes);
        if (kernel.terms.kind == WorkKind::collective) {
            lost("steps", Without::steps, &KernelSeconds::launch);
            return lost("network", Without::network, &KernelSeconds::link);
        }
        switch (kernel.machine) {
            case MachineKind::gpu:
                now_->ideal_compute_s =
                    std::max(flops * kernel.gpu.engine_s_per_flop, others * kernel.gpu.vector_s_per_flop);
                unlimited_ = answer(Without::power);
                add("power", now_->terms.compute - unlimited_.compute);
                gpu(kernel.gpu, work);
                break;
            case MachineKind::cpu:
                now_->ideal_compute_s =
                    flops * kernel.cpu.engine_s_per_flop + others * kernel.cpu.vector_s_per_flop;
                cpu();
                break;
            case MachineKind::systolic:
                now_->ideal_compute_s = std::max(flops * kernel.systolic.engine_s_per_flop,
                                                 others * kernel.systolic.vector_s_per_flop);
                add_rest("padding", 0);
                break;
        }
    }

    void name_engine(const KernelTerms& kernel) {
        const bool contraction = is_contraction(kernel.kind);
        const Engine engine = kernel.prepared ? compiled_engine(hardware_, kernel.dtype)
                                              : contraction_engine(hardware_, kernel.dtype);
        const bool direct = now_->algorithm == Algorithm::direct;
        now_->engine = contraction && !direct ? engine : vector_engine(hardware_, kernel.dtype);
        if (contraction && kernel.prepared && has_compiled_rate(hardware_, kernel.dtype)) {
            now_->note = "int8 at a multiple of the rate of float32: measured in torch alone";
        }
        if (!contraction || !engine.emulated) return;
        now_->note = "no " + std::string(name_of(kernel.dtype)) + " engine: computed as " +
                     std::string(name_of(engine.dtype));
    }

    void cpu() {
        const double loops_s = now_->terms.compute - answer(Without::loops).compute;
        lost("loops", Without::loops, &KernelSeconds::compute);
        const double reorder_s = now_->terms.compute - answer(Without::reorder).compute;
        lost("reorder", Without::reorder, &KernelSeconds::compute);
        lost("faults", Without::faults, &KernelSeconds::dram);
        const double packing_s = now_->terms.compute - answer(Without::packing).compute;
        lost("packing", Without::packing, &KernelSeconds::compute);
        lost("weights", Without::weights, &KernelSeconds::cache);
        lost("regions", Without::regions, &KernelSeconds::launch);
        lost("cold", Without::cold, &KernelSeconds::launch);
        add_rest("idle", loops_s + reorder_s + packing_s);
    }

    void gpu(const GpuCosts& costs, const Work& work) {
        switch (costs.shape) {
            case Shape::tiles:
            case Shape::winograd:
                return product(costs, work);
            case Shape::attention: {
                const double all = unlimited_.compute;
                const double exponentials_s = all - answer(Without::exponentials).compute;
                const double keys_s = all - answer(Without::keys).compute;
                const double starts_s = all - answer(Without::starts).compute;
                // As much of the arithmetic as a causal mask allows to skip.
                now_->ideal_compute_s =
                    keys_s > 0 ? 0 : value(work.causal_flops) * costs.attention.core_s_per_flop / costs.cores;
                add("exponentials", exponentials_s);
                add("keys", keys_s);
                add("starts", starts_s);
                return add_rest("padding", exponentials_s + keys_s + starts_s);
            }
            case Shape::rows:
                lost("again", Without::again, &KernelSeconds::dram);
                lost("transposes", Without::transposes, &KernelSeconds::dram);
                lost("strided", Without::strided, &KernelSeconds::dram);
                return add_rest(costs.rows.issue_s > 0 ? "issue" : "rows", 0);
            case Shape::none:
                lost("issue", Without::issue, &KernelSeconds::compute);
                return lost("strided", Without::strided, &KernelSeconds::dram);
            case Shape::unshaped:
                return;
        }
    }

    void product(const GpuCosts& costs, const Work& work) {
        const double m = value(work.dims.m);
        double best = questions_.answer_of_tile(at_, 0).compute;
        int chosen = 0;
        for (int t = 1; t < costs.menu->count; ++t) {
            const double tile_s = questions_.answer_of_tile(at_, t).compute;
            // Of equal tiles, the smaller, which pads least.
            if (costs.tiles.by_rows ? m <= costs.menu->tiles[t].most_rows : tile_s <= best) {
                best = tile_s;
                chosen = t;
            }
        }
        const double without_direct = answer(Without::direct).compute;
        const double contraction = answer(Without::vector).compute;
        lost("transposes", Without::transposes, &KernelSeconds::dram);
        const bool winograd = without_direct < best * (1 - kSame);
        const bool direct = contraction < without_direct * (1 - kSame);
        now_->algorithm = direct ? Algorithm::direct : winograd ? Algorithm::winograd : Algorithm::tiles;
        if (now_->algorithm != Algorithm::tiles || contraction < unlimited_.compute * (1 - kSame)) return;

        const Tile tile = costs.menu->tiles[chosen];
        const TileCosts& c = costs.tiles;
        const double batch = value(work.dims.batch);
        const double n = value(work.dims.n);
        const double k = value(work.dims.k);
        Tiling tiling;
        tiling.tile = tile;
        tiling.tiles = batch * std::ceil(m / tile.rows) * std::ceil(n / tile.cols);
        const double most = std::clamp(std::floor(k / c.split_length), 1.0, c.most_splits);
        tiling.parts = std::clamp(std::floor(costs.cores / tiling.tiles), 1.0, most);
        tiling.rounds = std::ceil(tiling.tiles * tiling.parts / costs.cores);
        tiling.filled = tiling.tiles * tiling.parts / (tiling.rounds * costs.cores);
        now_->tiling = tiling;
        // One core on its tiles: from the arithmetic of the results to whole tiles in whole rounds, at the
        // rate of this tile.
        const double slower = 1 + c.edge * (64 / tile.rows + 64 / tile.cols - 1);
        const double results_s = now_->ideal_compute_s * slower;
        now_->ideal_compute_s = std::min(now_->ideal_compute_s, results_s);
        const double element_s = 2 * tile.rows * tile.cols * slower * c.core_s_per_flop;
        const double rounds_s = tiling.rounds * element_s * k / tiling.parts;
        const double padded_s = rounds_s * tiling.filled;
        const double depth_s = rounds_s * c.depth_overhead / k;
        double pages_s = 0;
        if (c.page_bytes > 0) {
            const double beyond = std::clamp(k * c.operand_bytes / c.page_bytes - 1, 0.0, c.page_most);
            pages_s = (rounds_s + depth_s) * c.page_cost * beyond;
        }
        double split_s = 0;
        if (tiling.parts > 1) split_s = c.split_s + tiling.parts * batch * m * n * c.split_s_per_element;
        add("edges", results_s - now_->ideal_compute_s);
        add("padding", padded_s - results_s);
        add("waves", rounds_s - padded_s);
        add("depth", depth_s);
        add("pages", pages_s);
        add("split", split_s);
        add("operands", unlimited_.compute - rounds_s - depth_s - pages_s - split_s);
    }

    const BoundPlan& bound_;
    SizeBlock block_;
    const Sizes& sizes_;
    const Hardware& hardware_;
    KernelSeconds unlimited_;  // without the power limit of the board
    Questions questions_;
    std::size_t at_ = 0;  // the kernel that is explained
    KernelEstimate* now_ = nullptr;
};

}  // namespace

std::string_view name_of(Algorithm algorithm) {
    switch (algorithm) {
        case Algorithm::none:
            return "";
        case Algorithm::tiles:
            return "tiles";
        case Algorithm::winograd:
            return "winograd";
        case Algorithm::direct:
            return "direct";
    }
    return "";
}

Bound bound_of(const KernelSeconds& terms) {
    const double longest = std::max({terms.compute, terms.dram, terms.cache, terms.link});
    if (terms.launch > longest) return Bound::launch;
    if (terms.link > 0 && terms.link == longest) return Bound::link;
    if (terms.compute == longest) return Bound::compute;
    return terms.dram == longest ? Bound::dram : Bound::cache;
}

std::vector<KernelTime> kernel_times(const Plan& plan, const Sizes& sizes, const Hardware& hardware) {
    BoundPoint point(plan, sizes, hardware);
    const BoundPlan& bound = point.plan();
    const Isa isa = best_isa();
    const std::vector<KernelSeconds> device = bound.terms(bound.kernels(), point.block(), isa);
    const LaunchWait wait = bound.wait(device, point.block(), isa);
    std::vector<KernelTime> times;
    for (std::size_t i = 0; i < device.size(); ++i) {
        if (!bound.runs(i)) continue;
        times.push_back({i, with_waits(device[i], wait, bound.engine_s(i, device, point.block(), isa))});
    }
    return times;
}

std::vector<KernelEstimate> estimate_kernels(const Plan& plan, const Sizes& sizes, const Hardware& hardware) {
    BoundPoint point(plan, sizes, hardware);
    std::vector<KernelEstimate> kernels = Explainer(point.plan(), point.block(), sizes, hardware).run();
    for (KernelEstimate& kernel : kernels) {
        const Effect effect = effect_of(kernel, hardware);
        kernel.effect = effect.name;
        kernel.effect_share = effect.share;
    }
    return kernels;
}

}  // namespace infercost

// GPU: what can be looked up before any size is known.
#include "hardware/gpu.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "hardware/machine.hpp"

namespace infercost {
namespace {

GpuCosts::Shape shape_of(const KernelTerms& terms, Execution execution) {
    using Shape = GpuCosts::Shape;
    // Interpolation by a thread for each position of a plane; a compiler has one for each result.
    if (terms.kind == WorkKind::pooling && (!terms.channels_first || execution == Execution::compiled)) {
        return Shape::none;
    }
    if (is_zero(terms.contraction_flops)) {
        // Sums are spread over threads however long their rows are.
        return is_zero(terms.n) || terms.kind == WorkKind::reduction ? Shape::none : Shape::rows;
    }
    if (terms.kind == WorkKind::attention) return Shape::attention;
    // A user's rule may give no dimensions.
    return is_zero(terms.m) ? Shape::unshaped : Shape::tiles;
}

// Several products at once, or a convolution in groups.
bool is_batched(const KernelTerms& terms) {
    return !(is_constant(terms.batch) && terms.batch.constant == 1);
}

// A convolution with one channel to a group: nothing is reduced but its window.
bool is_depthwise(const KernelTerms& terms) {
    return terms.kind == WorkKind::convolution && is_constant(terms.k) && terms.k.constant == terms.window &&
           is_batched(terms);
}

// A convolution in groups of few channels, for which libraries of the matrix unit have kernels of their own
// if they are 4, 8, 16, 32 or 64. Others run as if there were no matrix unit.
bool is_in_odd_groups(const KernelTerms& terms) {
    if (terms.kind != WorkKind::convolution || !is_batched(terms) || !is_constant(terms.n)) return false;
    const double width = terms.n.constant;
    return width < kWideGroup && std::exp2(std::round(std::log2(width))) != width;
}

// Several matrices of weights, each with rows of its own: a mixture of experts.
bool is_grouped(const KernelTerms& terms) {
    return terms.kind == WorkKind::gemm && !is_zero(terms.weight_bytes) && is_batched(terms);
}

// What a class of kernels is called in calibration files.
std::string class_of(const KernelTerms& terms) {
    return "kernel." + (is_depthwise(terms) ? std::string("depthwise") : std::string(name_of(terms.kind))) +
           ".";
}

// Kernels of products by what they multiply: the constants of each stand in a table of their own, and where
// one says nothing, those of the matrix unit hold.
std::string tiles_of(const KernelTerms& terms, const Engine& engine) {
    if (!engine.matrix) return terms.kind == WorkKind::convolution ? "tiles_convolution." : "tiles_vector.";
    if (is_grouped(terms)) return terms.operand_bits <= 8 ? "tiles_grouped8." : "tiles_grouped.";
    if (terms.weight_bits > 0) return terms.weight_bits <= 4 ? "tiles_weight4." : "tiles_weight8.";
    if (engine.dtype == DType::int8) return "tiles_int8.";
    const bool fp8 = engine.dtype == DType::float8_e4m3fn || engine.dtype == DType::float8_e5m2;
    return fp8 ? "tiles_fp8." : "tiles_matrix.";
}

// Kernels along rows by what they do; those of serving engines have a block for each token.
std::string rows_of(const KernelTerms& terms) {
    if (terms.window > 1) return "token_rows.";
    if (terms.kind == WorkKind::softmax) return "softmax_rows.";
    if (terms.kind == WorkKind::pooling) return "plane_rows.";
    return terms.kind == WorkKind::normalization ? "norm_rows." : "quantize_rows.";
}

TileCosts tile_costs(const Hardware& hardware, const std::string& table, double core_s_per_flop,
                     double stream_s_per_byte, double operand_bytes) {
    const std::string general = table == "tiles_convolution." ? "tiles_vector." : "tiles_matrix.";
    const auto constant = [&](const char* key, double otherwise) {
        return hardware.constant(table + key, hardware.constant(general + key, otherwise));
    };
    TileCosts costs;
    costs.core_s_per_flop = core_s_per_flop;
    costs.operand_s = constant("operand_s_per_element", 0);
    costs.exposed_operands = constant("exposed_operands", 0);
    costs.round_s = constant("round_s", 0);
    costs.exposed_memory = constant("exposed_memory", 0);
    costs.split_length = constant("split_length", 512);
    costs.most_splits = constant("most_splits", 1e9);
    costs.split_s = constant("split_s", 0);
    // Each part is written and read once, in fp32.
    costs.split_s_per_element = constant("split_bytes", 0) * 8 * stream_s_per_byte;
    costs.depth_overhead = constant("depth_overhead", 0);
    costs.page_bytes = constant("page_kib", 0) * 1024;
    costs.page_cost = constant("page_cost", 0);
    costs.page_most = constant("page_most", 0);
    costs.operand_bytes = operand_bytes;
    costs.edge = constant("edge", 0);
    costs.by_rows = constant("by_rows", 0) > 0;
    return costs;
}

}  // namespace

RowCosts Binder::gpu_rows(const KernelTerms& terms) const {
    const bool softmax = terms.kind == WorkKind::softmax;
    const bool norm = terms.kind == WorkKind::normalization;
    const bool fixed = terms.window > 1;  // how many threads a block has is the op's own
    const std::string table = rows_of(terms);
    const auto constant = [&](const char* key, double otherwise) {
        return hardware_.constant(table + key, otherwise);
    };
    const auto capacity = [&](std::string_view name) {
        for (const MemoryLevel& level : hardware_.memory) {
            if (level.name == name) return level.capacity_bytes;
        }
        return 1.0;
    };
    RowCosts costs;
    costs.element_bytes = std::max(1, terms.operand_bits / 8);
    costs.threads = hardware_.constant("limits.threads_per_core", 2048);
    // Norms have blocks of 128 threads; quantising kernels of serving engines give a whole core to a row.
    const bool alone = terms.kind == WorkKind::pooling;  // a thread has its row for itself
    costs.block = fixed ? terms.window : softmax ? 0 : norm ? 128 : alone ? 1 : costs.threads;
    costs.held = softmax ? 1024 : 0;
    if (fixed && hardware_.clock_hz > 0) {
        costs.issue_s = 1 / (constant("issue_per_clock", 1) * hardware_.clock_hz * hardware_.cores);
    }
    costs.passes = fixed || alone ? 0 : softmax ? 2 : 1;
    costs.l1_bytes = constant("l1_share", 1) * capacity("l1") / hardware_.cores;
    costs.l2_bytes = constant("l2_share", 1) * capacity("l2");
    costs.l1_in_l2 = softmax ? 0 : 1;
    costs.width = constant("width", 1);
    costs.trip_s = constant("trip_s", 0);
    costs.element_s = constant("element_s", 0);
    return costs;
}

double Binder::gpu_spread(const KernelTerms& terms, double of_class) {
    const GpuCosts::Shape shape = shape_of(terms, execution_);
    if (shape == GpuCosts::Shape::rows) return hardware_.constant(rows_of(terms) + "spread", of_class);
    const Engine& engine = engines(terms.dtype).contraction;
    const bool direct = terms.kind == WorkKind::convolution && !engine.matrix;
    if (terms.kind != WorkKind::gemm && !direct) return of_class;
    return hardware_.constant(tiles_of(terms, engine) + "spread", of_class);
}

AttentionCosts Binder::gpu_attention(double core_s_per_flop) const {
    const auto constant = [&](const char* key, double otherwise) {
        return hardware_.constant(std::string("attention.") + key, otherwise);
    };
    const double clock_s = hardware_.clock_hz > 0 ? 1.0 / hardware_.clock_hz : 0.0;
    const double share_s =
        hardware_.cores / (hardware_.dram().bandwidth_byte_per_s * constant("decode_dram", 1));
    const double own = constant("decode_element_per_clock", 0);
    AttentionCosts costs;
    costs.core_s_per_flop = core_s_per_flop * constant("matrix", 1);
    costs.exponential_s = constant("exponential", 0) / 16 * clock_s;
    costs.tile_s = constant("tile_s", 0);
    costs.longest = constant("longest", 0);
    costs.exposed_memory = constant("exposed_memory", 0);
    costs.decode_start_s = constant("decode_s", 0);
    costs.decode_s_per_byte = share_s;
    costs.decode_s_per_element = own > 0 ? clock_s / own : 0.0;
    costs.narrow = constant("narrow", 0);
    costs.narrow_s = constant("narrow_s", 0);
    costs.wide_passes = constant("wide_passes", 0);
    costs.combine_s = constant("combine_s", 0);
    costs.combine_split_s = constant("combine_split_s", 0);
    return costs;
}

// What direct convolutions reach of the vector unit.
double Binder::direct_share(const KernelTerms& terms) const {
    const auto constant = [&](const std::string& key, double otherwise) {
        return hardware_.constant("kernel.depthwise." + key, otherwise);
    };
    const double narrow = constant("compute", 1);
    if (!is_depthwise(terms)) return constant("grouped", narrow);
    const double last = terms.channels_first ? 1 : constant("channels_last", 1);
    return last * (terms.window > kWidestDirect ? constant("wide", narrow) : narrow);
}

GpuCosts Binder::gpu(const KernelTerms& terms) {
    const auto& [engine, vector] = engines(terms.dtype);
    const Overheads& over = hardware_.overheads;
    const std::string name = class_of(terms);
    const auto of_class = [&](const char* key, double otherwise) {
        return hardware_.constant(name + key, otherwise);
    };
    const std::string table = tiles_of(terms, engine);
    const bool product = terms.kind == WorkKind::gemm;
    const bool tabled = product || (terms.kind == WorkKind::convolution && !engine.matrix);
    const auto of_tiles = [&](const char* key, double otherwise) {
        return tabled ? hardware_.constant(table + key, otherwise) : otherwise;
    };
    const double stored = is_zero(terms.weight_bytes) ? 1 : of_tiles("with_weights", 1);
    // A matrix unit that knows 2:4 skips the zeros, and a library reaches a share of that; others multiply
    // them.
    const double skipped = terms.semi_structured && engine.matrix && hardware_.sparsity_2_4 > 1
                               ? hardware_.sparsity_2_4 * hardware_.constant("sparsity.gain_2_4", 1)
                               : 1;
    const double compute = of_class("compute", 1) * of_tiles("compute", 1) * stored * skipped;
    const double core_s_per_flop = hardware_.cores * seconds_per(engine.flop_per_s);
    GpuCosts costs;
    costs.shape = shape_of(terms, execution_);
    costs.cores = hardware_.cores;
    costs.engine_s_per_flop = seconds_per(engine.flop_per_s) / compute;
    costs.vector_s_per_flop = seconds_per(vector.flop_per_s);
    const double gap = execution_ == Execution::cuda_graph ? over.replay_gap_s : over.launch_gap_s;
    costs.floor_s = gap + of_class("minimum_s", is_contraction(terms.kind) ? over.kernel_minimum_s : 0.0) +
                    of_tiles("minimum_s", 0);
    costs.dram_factor = 1 / (of_class("dram", 1) * of_tiles("dram", 1));
    costs.pointwise = costs.vector_s_per_flop > 0 && !is_zero(terms.pointwise_flops);
    costs.cache_hidden = memory().dram_s_per_byte * costs.dram_factor >= memory().last_cache_s_per_byte;
    costs.turnaround = hardware_.constant("stream.turnaround", 0);
    if (!is_zero(terms.strided_bytes)) costs.strided_factor = hardware_.constant("stream.strided", 0);
    // Libraries of the matrix unit keep channels innermost: what comes otherwise is turned, and turned back.
    if (terms.channels_first && engine.matrix && !is_depthwise(terms)) {
        costs.transposed_factor = hardware_.constant("stream.transposed", 0);
    }
    // A norm's kernels read planes; the convolution behind them wants its channels innermost again.
    if (terms.turned && execution_ != Execution::compiled) {
        costs.transposed_factor = hardware_.constant("stream.turned", 0);
    }
    // A compiler's kernels are its own.
    const double per_clock = execution_ == Execution::compiled ? 0 : of_class("issue_byte_per_clock", 0);
    if (per_clock > 0 && hardware_.clock_hz > 0) {
        costs.issue_s_per_byte = 1 / (per_clock * hardware_.clock_hz * hardware_.cores);
    }
    const double batched = product && is_batched(terms) ? of_tiles("batched_rows", 0) : 0;
    costs.tiles = tile_costs(hardware_, table, core_s_per_flop / compute, memory().dram_s_per_byte,
                             terms.operand_bits / 8.0);
    if (engine.matrix) {
        costs.menu = is_grouped(terms)       ? &kExpertTiles
                     : terms.weight_bits > 0 ? &kWidenedTiles
                     : costs.tiles.by_rows   ? &kTilesByRows
                                             : &kMatrixTiles;
    } else {
        costs.menu = batched <= 0 ? &kVectorTiles : batched < 128 ? &kBatchedTiles : &kBatchedTile;
    }
    costs.sustained_s_per_byte = hardware_.constant("sustained.dram_s_per_byte", 0);
    costs.sustained_s_per_flop = sustained_s_per_flop(hardware_, engine);
    // Depthwise and narrow grouped convolutions have direct kernels on the vector unit: no padding to tiles.
    costs.direct = terms.kind == WorkKind::convolution && is_batched(terms) && vector.flop_per_s > 0;
    costs.direct_s_per_flop = costs.vector_s_per_flop / direct_share(terms);
    const bool innermost = !terms.channels_first || execution_ == Execution::compiled;
    const bool odd = engine.matrix && innermost && !is_depthwise(terms) && is_in_odd_groups(terms);
    if (odd || (is_depthwise(terms) && terms.window > kWidestDirect)) {
        costs.shape = GpuCosts::Shape::unshaped;  // a general kernel, without tiles
        costs.engine_s_per_flop = costs.direct_s_per_flop;
        // What is fetched once serves all results of a group.
        if (odd) costs.engine_s_per_flop *= std::min(1.0, kNarrowGroup / terms.n.constant);
    }
    const double large = of_class("large", 0);
    if (is_depthwise(terms) && engine.matrix && innermost && large > 0) {
        costs.most_bytes = kMostElements * terms.operand_bits / 8;
        costs.large_s_per_flop = costs.vector_s_per_flop / large;
    }
    // Products of few rows have kernels on the vector unit, whose columns go to threads.
    if (product && of_tiles("direct", 0) > 0) {
        costs.direct = true;
        costs.direct_s_per_flop = costs.vector_s_per_flop / of_tiles("direct", 1);
    }
    if (costs.shape == GpuCosts::Shape::rows) costs.rows = gpu_rows(terms);
    if (costs.shape == GpuCosts::Shape::attention) costs.attention = gpu_attention(core_s_per_flop);
    const double fused = hardware_.constant("winograd.fused", 0);
    if (costs.shape == GpuCosts::Shape::tiles && !engine.matrix && fused > 0 && !is_zero(terms.squares_4)) {
        costs.shape = GpuCosts::Shape::winograd;
        costs.winograd.fused_s_per_flop = core_s_per_flop / fused;
        costs.winograd.product_s_per_flop = core_s_per_flop / hardware_.constant("winograd.products", 1);
        costs.winograd.pass_s_per_byte = memory().dram_s_per_byte * hardware_.constant("winograd.passes", 1);
        costs.winograd.element_bytes = terms.operand_bits / 8.0;
        costs.winograd.launch_s = gap;
    }
    return costs;
}

}  // namespace infercost

// GPU: facts that do not depend on sizes.
#include "hardware/gpu.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "hardware/machine.hpp"

namespace infercost {
namespace {

GpuCosts::Shape shape_of(const KernelTerms& terms, Execution execution) {
    using Shape = GpuCosts::Shape;
    // Interpolation with one thread per position of a plane; a compiler uses one per result.
    if (terms.kind == WorkKind::pooling && (!terms.channels_first || is_fused(execution))) {
        return Shape::none;
    }
    if (is_zero(terms.contraction_flops)) {
        // Sums are distributed over threads for any row length. A convolution without products is the
        // gradient of a bias, which is a sum, or has no images.
        const bool sums = terms.kind == WorkKind::reduction || terms.kind == WorkKind::convolution;
        return is_zero(terms.n) || sums ? Shape::none : Shape::rows;
    }
    if (terms.kind == WorkKind::attention) return Shape::attention;
    // A user's rule may omit the dimensions.
    return is_zero(terms.m) ? Shape::unshaped : Shape::tiles;
}

// A convolution in groups of few channels. Libraries for the matrix unit have separate kernels for 4, 8, 16,
// 32 or 64 channels; other widths run as if there were no matrix unit.
bool is_in_odd_groups(const KernelTerms& terms) {
    if (terms.kind != WorkKind::convolution || !is_batched(terms) || !is_constant(terms.n)) return false;
    const double width = terms.n.constant;
    return width < kWideGroup && std::exp2(std::round(std::log2(width))) != width;
}

// Several weight matrices, each with its own rows: a mixture of experts.
bool is_grouped(const KernelTerms& terms) {
    return terms.kind == WorkKind::gemm && !is_zero(terms.weight_bytes) && is_batched(terms);
}

const KernelConstants& class_of(const KernelTerms& terms, const Constants& constants) {
    return is_depthwise(terms) ? constants.depthwise_kernel : constants.kernel[terms.kind];
}

// Tables of products by their operands.
TileTable table_of(const KernelTerms& terms, const Engine& engine) {
    using enum TileTable;
    if (!engine.matrix) return terms.kind == WorkKind::convolution ? convolution : vector;
    if (is_grouped(terms) && terms.operand_bits <= 8) return terms.block_scales ? grouped_blocks : grouped8;
    if (is_grouped(terms)) return grouped;
    if (terms.prepared) return tuned;
    if (terms.weight_bits > 0) return terms.weight_bits <= 4 ? weight4 : weight8;
    if (engine.dtype == DType::int8) return int8;
    if (engine.dtype == DType::float4_e2m1fn_x2) return fp4;
    return engine.dtype == DType::float8_e4m3fn || engine.dtype == DType::float8_e5m2 ? fp8 : matrix;
}

const TileConstants& tiles_of(const KernelTerms& terms, const Engine& engine, const Constants& constants) {
    return constants.tiles[table_of(terms, engine)];
}

// A kernel that goes along rows.
struct RowKernel {
    double block;     // threads per row; 0: as in softmax
    double held;      // longest row that fits registers
    double passes;    // additional reads of a row that does not fit
    double l1_in_l2;  // 1: both caches together hold the rows of all cores
};
constexpr double kOfOp = -1;  // threads of a kernel of a serving engine, which its op determines
constexpr EnumArray<RowTable, RowKernel> kRowKernels = {{{
    {0, 1024, 2, 0},                // softmax
    {128, 0, 1, 1},                 // norm
    {kQuantizingThreads, 0, 1, 1},  // quantize
    {1, 0, 0, 1},                   // plane
    {kOfOp, 0, 0, 1},               // token
}}};

// Tables of row kernels by their function; kernels of serving engines use one block per token.
RowTable row_table_of(const KernelTerms& terms) {
    if (terms.row_schedule == RowSchedule::block_per_row) return RowTable::token;
    if (terms.kind == WorkKind::softmax) return RowTable::softmax;
    if (terms.row_schedule == RowSchedule::thread_per_row) return RowTable::plane;
    return terms.kind == WorkKind::normalization ? RowTable::norm : RowTable::quantize;
}

TileCosts tile_costs(const TileConstants& tiles, double core_s_per_flop, double stream_s_per_byte,
                     double operand_bytes) {
    TileCosts costs;
    costs.core_s_per_flop = core_s_per_flop;
    costs.operand_s = tiles.operand_s_per_element;
    costs.exposed_operands = tiles.exposed_operands;
    costs.round_s = tiles.round_s;
    costs.exposed_memory = tiles.exposed_memory;
    costs.split_length = tiles.split_length;
    costs.most_splits = tiles.most_splits;
    costs.split_s = tiles.split_s;
    // Each part is written and read once, in fp32.
    costs.split_s_per_element = tiles.split_bytes * 8 * stream_s_per_byte;
    costs.depth_overhead = tiles.depth_overhead;
    costs.page_bytes = tiles.page_bytes;
    costs.page_cost = tiles.page_cost;
    costs.page_most = tiles.page_most;
    costs.operand_bytes = operand_bytes;
    costs.edge = tiles.edge;
    costs.by_rows = tiles.by_rows > 0;
    return costs;
}

// For products whose table sets no constants.
constexpr TileConstants kPlainTiles = [] {
    TileConstants tiles{};
    for (const ConstantField<TileConstants>& row : kTileRows) tiles.*row.field = row.otherwise;
    return tiles;
}();

}  // namespace

RowCosts Binder::gpu_rows(const KernelTerms& terms) const {
    const RowTable table = row_table_of(terms);
    const RowKernel& kernel = kRowKernels[table];
    const RowConstants& rows = constants_.rows[table];
    const auto capacity = [&](std::string_view name) {
        for (const MemoryLevel& level : hardware_.memory) {
            if (level.name == name) return level.capacity_bytes;
        }
        return 1.0;
    };
    RowCosts costs;
    costs.element_bytes = std::max(1, terms.operand_bits / 8);
    // Quantizing kernels of serving engines process one row per core, with blocks of 512 threads.
    costs.threads = table == RowTable::quantize ? kQuantizingThreads : constants_.limits.threads_per_core;
    costs.block = kernel.block == kOfOp ? terms.threads_per_row : kernel.block;
    costs.held = kernel.held;
    if (table == RowTable::token && hardware_.clock_hz > 0) {
        costs.issue_s = 1 / (rows.issue_per_clock * hardware_.clock_hz * hardware_.cores);
    }
    costs.passes = kernel.passes;
    costs.l1_bytes = rows.l1_share * capacity("l1") / hardware_.cores;
    costs.l2_bytes = rows.l2_share * capacity("l2");
    costs.l1_in_l2 = kernel.l1_in_l2;
    costs.width = rows.width;
    costs.start_s = rows.start_s;
    costs.trip_s = rows.trip_s;
    costs.element_s = rows.element_s;
    return costs;
}

int Binder::gpu_band(const KernelTerms& terms) {
    if (shape_of(terms, execution_) == GpuCosts::Shape::rows) return band_of(row_table_of(terms));
    const Engine& engine = engines(terms.dtype).contraction;
    const bool direct = terms.kind == WorkKind::convolution && !engine.matrix;
    if (terms.kind != WorkKind::gemm && !direct) return band_of(terms.kind);
    if (terms.prepared && engine.matrix) return band_of(WorkKind::convolution);
    return band_of(table_of(terms, engine));
}

AttentionCosts Binder::gpu_attention(const KernelTerms& terms, const Engine& engine) const {
    const AttentionConstants& attention = constants_.attention;
    const MemoryCosts levels = memory();
    const double clock_s = hardware_.clock_hz > 0 ? 1.0 / hardware_.clock_hz : 0.0;
    const double turned = attention.narrow_element_per_clock;
    // Narrow keys are multiplied at the rate of their dtype, if the matrix unit has it.
    const double rate = hardware_.matrix[engine.dtype];
    const double narrow_rate = hardware_.matrix[DType::float8_e4m3fn];
    const double narrower = engine.matrix && narrow_rate > rate ? rate / narrow_rate : 1.0;
    AttentionCosts costs;
    costs.core_s_per_flop = hardware_.cores * seconds_per(engine.flop_per_s) * attention.matrix;
    costs.narrow_core_s_per_flop = costs.core_s_per_flop * narrower;
    costs.exponential_s = attention.exponential / 16 * clock_s;
    costs.wide = attention.wide;
    costs.query_rows = attention.query_rows;
    costs.packs = attention.packs > 0;
    costs.tile_s = attention.tile_s;
    costs.longest = attention.longest;
    costs.exposed_memory = attention.exposed_memory;
    // The vector unit computes no more rows than there are queries.
    costs.unit_rows = engine.matrix ? std::max(kInstructionRows, attention.decode_rows) : kInstructionRows;
    costs.decode_rows = engine.matrix ? attention.decode_rows : 0.0;
    costs.key_block = attention.key_block;
    costs.decode_start_s = attention.decode_s;
    costs.decode_s_per_byte =
        hardware_.cores / (hardware_.dram().bandwidth_byte_per_s * attention.decode_dram);
    costs.cache_bytes = levels.last_capacity;
    costs.cached_s_per_byte = hardware_.cores * levels.last_cache_s_per_byte;
    costs.result_s_per_byte = levels.dram_s_per_byte * attention.decode_results;
    costs.narrow_s_per_element = turned > 0 ? clock_s / turned : 0.0;
    costs.narrow_s = attention.narrow_s;
    costs.narrow_s_per_query_element =
        levels.dram_s_per_byte * attention.narrow_passes * (terms.operand_bits / 8.0 + 1);
    costs.wide_passes = attention.wide_passes;
    costs.combine_s = attention.combine_s;
    costs.combine_split_s = attention.combine_split_s;
    return costs;
}

// The share of the vector unit that direct convolutions reach.
double Binder::direct_share(const KernelTerms& terms) const {
    const DepthwiseConstants& depthwise = constants_.depthwise;
    if (!is_depthwise(terms)) return depthwise.grouped;
    const double last = terms.channels_first ? 1 : depthwise.channels_last;
    return last *
           (terms.filter_elements > kWidestDirect ? depthwise.wide : constants_.depthwise_kernel.compute);
}

GpuCosts Binder::gpu(const KernelTerms& terms) {
    const auto& [engine, vector] = engines(terms.dtype);
    const Overheads& over = hardware_.overheads;
    const KernelConstants& of_class = terms.prepared && terms.kind == WorkKind::convolution && engine.matrix
                                          ? constants_.kernel[WorkKind::gemm]
                                          : class_of(terms, constants_);
    const TileConstants& table = tiles_of(terms, engine, constants_);
    const bool product = terms.kind == WorkKind::gemm;
    const bool tuned = terms.prepared && engine.matrix;
    const bool tabled = product || (terms.kind == WorkKind::convolution && (!engine.matrix || tuned));
    const TileConstants& of_tiles = tabled ? table : kPlainTiles;
    const double stored = is_zero(terms.weight_bytes) ? 1 : of_tiles.with_weights;
    // A matrix unit with 2:4 support skips the zeros, and a library reaches a share of that factor; other
    // units multiply them.
    const double skipped = terms.semi_structured && engine.matrix && hardware_.sparsity_2_4 > 1
                               ? hardware_.sparsity_2_4 * constants_.sparsity.gain_2_4
                               : 1;
    const double compute = of_class.compute * of_tiles.compute * stored * skipped;
    const double core_s_per_flop = hardware_.cores * seconds_per(engine.flop_per_s);
    GpuCosts costs;
    costs.shape = shape_of(terms, execution_);
    costs.chained = tuned;
    costs.cores = hardware_.cores;
    costs.engine_s_per_flop = seconds_per(engine.flop_per_s) / compute;
    costs.vector_s_per_flop = seconds_per(vector.flop_per_s);
    const double gap = is_replayed(execution_) ? over.replay_gap_s : over.launch_gap_s;
    costs.floor_s = gap + of_class.minimum_s + of_tiles.minimum_s;
    costs.dram_factor = 1 / (of_class.dram * of_tiles.dram);
    costs.pointwise = costs.vector_s_per_flop > 0 && !is_zero(terms.pointwise_flops);
    costs.dram_byte_per_s = 1 / (memory().dram_s_per_byte * costs.dram_factor);
    costs.cache_hidden = memory().dram_s_per_byte * costs.dram_factor >= memory().last_cache_s_per_byte;
    costs.turnaround = constants_.stream.turnaround;
    if (!is_zero(terms.strided_bytes)) costs.strided_factor = constants_.stream.strided;
    // Libraries for the matrix unit need channels innermost; other layouts are converted before and after.
    if (terms.channels_first && engine.matrix && !is_depthwise(terms)) {
        costs.transposed_factor = constants_.stream.transposed;
    }
    // Kernels of a norm need NCHW; the next convolution needs channels innermost again.
    if (terms.needs_layout_change && !is_fused(execution_)) {
        costs.transposed_factor = constants_.stream.turned;
    }
    // A compiler generates its own kernels.
    const double per_clock = is_fused(execution_) ? 0 : of_class.issue_byte_per_clock;
    if (per_clock > 0 && hardware_.clock_hz > 0) {
        costs.issue_s_per_byte = 1 / (per_clock * hardware_.clock_hz * hardware_.cores);
    }
    const double batched = product && is_batched(terms) ? of_tiles.batched_rows : 0;
    costs.tiles =
        tile_costs(table, core_s_per_flop / compute, memory().dram_s_per_byte, terms.operand_bits / 8.0);
    if (engine.matrix) {
        costs.menu = is_grouped(terms)       ? &kExpertTiles
                     : terms.weight_bits > 0 ? &kWidenedTiles
                     : table.by_rows > 1     ? &kSharedTilesByRows
                     : costs.tiles.by_rows   ? &kTilesByRows
                                             : &kMatrixTiles;
    } else {
        costs.menu = batched <= 0 ? &kVectorTiles : batched < 128 ? &kBatchedTiles : &kBatchedTile;
    }
    // Zeros that are skipped draw no power.
    costs.power_s_per_flop = power_s_per_flop(hardware_, engine) / skipped;
    costs.power_s_per_byte = value_or(constants_.power.dram_s_per_byte, 0);
    // Depthwise and narrow grouped convolutions have direct kernels on the vector unit, without padding to
    // tiles.
    costs.direct = terms.kind == WorkKind::convolution && is_batched(terms) && vector.flop_per_s > 0;
    costs.direct_s_per_flop = costs.vector_s_per_flop / direct_share(terms);
    const bool innermost = !terms.channels_first || is_fused(execution_);
    const bool odd = engine.matrix && innermost && !is_depthwise(terms) && is_in_odd_groups(terms);
    if (odd || (is_depthwise(terms) && terms.filter_elements > kWidestDirect)) {
        costs.shape = GpuCosts::Shape::unshaped;  // a general kernel without tiles
        costs.engine_s_per_flop = costs.direct_s_per_flop;
        // All results of a group share one fetch.
        if (odd) costs.engine_s_per_flop *= std::min(1.0, kNarrowGroup / terms.n.constant);
    }
    const double large = constants_.depthwise.large;
    if (is_depthwise(terms) && engine.matrix && innermost && large > 0) {
        costs.most_bytes = kMostElements * terms.operand_bits / 8;
        costs.large_s_per_flop = costs.vector_s_per_flop / large;
    }
    // Products with few rows have kernels on the vector unit that assign columns to threads.
    if (product && of_tiles.direct > 0) {
        costs.direct = true;
        costs.direct_s_per_flop = costs.vector_s_per_flop / of_tiles.direct;
    }
    if (costs.shape == GpuCosts::Shape::rows) costs.rows = gpu_rows(terms);
    if (costs.shape == GpuCosts::Shape::attention) costs.attention = gpu_attention(terms, engine);
    const double fused = constants_.winograd.fused;
    if (costs.shape == GpuCosts::Shape::tiles && !engine.matrix && fused > 0 &&
        !is_zero(terms.winograd_tiles_4)) {
        costs.shape = GpuCosts::Shape::winograd;
        // These algorithms save FLOPs, so that their energy does not follow from the number of FLOPs: the
        // clock of all of them falls to the available power.
        const double slower = std::max(1.0, kWinogradPower * costs.power_s_per_flop * engine.flop_per_s);
        const double limited_s_per_flop = core_s_per_flop * slower;
        costs.power_s_per_flop = 0;
        costs.tiles.core_s_per_flop *= slower;
        costs.winograd.fused_s_per_flop = limited_s_per_flop / fused;
        costs.winograd.product_s_per_flop = limited_s_per_flop / constants_.winograd.products;
        costs.winograd.pass_s_per_byte = memory().dram_s_per_byte * constants_.winograd.passes;
        costs.winograd.element_bytes = terms.operand_bits / 8.0;
        costs.winograd.launch_s = gap;
    }
    return costs;
}

}  // namespace infercost

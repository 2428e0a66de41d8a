// The table of calibration constants: properties of a family of machines that its data sheets do not give.
//
// One row per constant: its key and unit in a calibration file, its field in base units in a machine, the
// range of its values in a file, its default, and its meaning. The loader, the schema of the files and the
// documentation are generated from these rows; machine models read the structs. To add a constant, add a
// field and a row. A field without a row, a row without a field, and a repeated key do not compile.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/dtype.hpp"
#include "core/kinds.hpp"
#include "hardware/constant.hpp"
#include "hardware/kernel_tables.hpp"
#include "hardware/link_constants.hpp"

namespace infercost {

#include "hardware/constant_rows.hpp"

// ---- kernels of GPUs and systolic arrays, by class: [kernel.CLASS] -------------------------------------

struct KernelConstants {
    double dram, compute, minimum_s, issue_byte_per_clock;
};
inline constexpr ConstantField<KernelConstants> kKernelRows[] = {
    ROW("dram", KernelConstants, dram, kRatio, kPositive, 1,
        "DRAM bandwidth of these kernels, as a multiple of [achieved] dram"),
    ROW("compute", KernelConstants, compute, kRatio, kPositive, 1,
        "compute rate of these kernels, as a multiple of [achieved] matrix or vector"),
    ROW("minimum_clocks", KernelConstants, minimum_s, kClocks, kNotNegative, kUnset,
        "time of the smallest kernel in addition to the gap before it; unset: for contractions, "
        "kernel_minimum of [overheads]"),
    ROW("issue_byte_per_clock", KernelConstants, issue_byte_per_clock, kBytesAClock, kPositive, kUnset,
        "maximum rate at which a core issues results; unset: no limit"),
};
static_assert(is_complete(kKernelRows));

struct BandConstants {
    double spread;
};
inline constexpr ConstantField<BandConstants> kClassBandRows[] = {
    ROW("", BandConstants, spread, kRatio, kSpread, kUnset,
        "error band of these kernels: four of five measurements are between latency / (1 + spread) "
        "and latency x (1 + spread); unset: spread of the machine"),
};
static_assert(is_complete(kClassBandRows) && has_distinct_keys(kKernelRows, kClassBandRows));

// [kernel.depthwise], in addition to its KernelConstants: convolutions with one channel per group.
struct DepthwiseConstants {
    double grouped, wide, large, channels_last;
};
inline constexpr ConstantField<DepthwiseConstants> kDepthwiseRows[] = {
    ROW("grouped", DepthwiseConstants, grouped, kRatio, kPositive, kUnset,
        "share of the vector unit's peak for direct convolutions in narrow groups; unset: compute"),
    ROW("wide", DepthwiseConstants, wide, kRatio, kPositive, kUnset,
        "the same for windows above 7 x 7, which use a general kernel; unset: compute"),
    ROW("large", DepthwiseConstants, large, kRatio, kPositive, kUnset,
        "the same for tensors of more than 2^31 elements with channels innermost; unset: no effect"),
    ROW("channels_last", DepthwiseConstants, channels_last, kRatio, kPositive, 1,
        "rate with channels innermost divided by the rate with channels outermost"),
};
static_assert(is_complete(kDepthwiseRows) && has_distinct_keys(kKernelRows, kDepthwiseRows));

// ---- memory and launches of GPUs: [stream], [forward], [limits] ----------------------------------------

struct StreamConstants {
    double turnaround, resident, strided, turned, transposed;
};
inline constexpr ConstantField<StreamConstants> kStreamRows[] = {
    ROW("turnaround", StreamConstants, turnaround, kRatio, kNotNegative, 0,
        "turnaround of DRAM between reading and writing, in bytes per byte that is read and written"),
    ROW("resident", StreamConstants, resident, kRatio, kNotNegative, 1,
        "share of the last cache that retains a working set until its next use"),
    ROW("strided", StreamConstants, strided, kRatio, kNotNegative, 0,
        "extra bytes per byte that is read across its storage order"),
    ROW("turned", StreamConstants, turned, kRatio, kNotNegative, 0,
        "passes over the bytes of a group norm with channels innermost, to change the layout"),
    ROW("transposed", StreamConstants, transposed, kRatio, kNotNegative, 0,
        "passes over the bytes of a convolution with channels outermost, to change the layout"),
};
static_assert(is_complete(kStreamRows));
inline constexpr Constant kEccRows[] = {
    LOADED("inline_ecc", "inline_ecc", kRatio, kFraction, 1,
           "DRAM bandwidth with ECC that is stored among the data, as a multiple of that without ECC"),
};
static_assert(has_distinct_keys(kStreamRows, kEccRows));

struct ForwardConstants {
    double start_s, compiled_start_s, guard_s, compiled_dispatch_s, host_spread;
};
inline constexpr ConstantField<ForwardConstants> kForwardRows[] = {
    ROW("start_us", ForwardConstants, start_s, kMicroseconds, kNotNegative, 0,
        "time from the host's call to the first kernel, and from the last kernel back"),
    ROW("compiled_start_us", ForwardConstants, compiled_start_s, kMicroseconds, kNotNegative, 0,
        "extra time to call a compiled module"),
    ROW("guard_us", ForwardConstants, guard_s, kMicroseconds, kNotNegative, 0,
        "extra time to call a compiled module, per weight or buffer whose identity it checks"),
    ROW("compiled_dispatch_us", ForwardConstants, compiled_dispatch_s, kMicroseconds, kNotNegative, 0,
        "host time to issue one kernel of compiled code, which overlaps with the device"),
    ROW("host_spread", ForwardConstants, host_spread, kRatio, kNotNegative, kUnset,
        "relative spread of the host times of machines with this device; unset: that of its kernels"),
};
static_assert(is_complete(kForwardRows));

struct LimitConstants {
    double threads_per_core, dram_byte_per_s_per_core;
};
inline constexpr ConstantField<LimitConstants> kLimitRows[] = {
    ROW("threads_per_core", LimitConstants, threads_per_core, kThreads, kCount, 2048,
        "threads in flight per core, which limits the rows in flight"),
    ROW("dram_gb_per_s_per_core", LimitConstants, dram_byte_per_s_per_core, kGigabytesPerSecondPerCore,
        kPositive, kUnset,
        "maximum DRAM bandwidth of one core: cache lines in flight divided by the latency; unset: no limit"),
};
static_assert(is_complete(kLimitRows));

// ---- products on GPUs, by operands: [tiles_NAME] -------------------------------------------------------

struct TileConstants {
    double compute, with_weights, dram, minimum_s, batched_rows, direct, spread;
    double operand_s_per_element, exposed_operands, round_s, exposed_memory;
    double split_length, most_splits, split_s, split_bytes;
    double page_bytes, page_cost, page_most, depth_overhead, edge, by_rows;
};
inline constexpr ConstantField<TileConstants> kTileRows[] = {
    ROW("compute", TileConstants, compute, kRatio, kPositive, 1,
        "compute rate of these products, as a multiple of the rate of their class"),
    ROW("with_weights", TileConstants, with_weights, kRatio, kPositive, 1,
        "the same for products with weights, whose rows are along the reduction"),
    ROW("dram", TileConstants, dram, kRatio, kPositive, 1,
        "DRAM bandwidth of these products, as a multiple of the bandwidth of their class"),
    ROW("minimum_clocks", TileConstants, minimum_s, kClocks, kNotNegative, 0,
        "time of the smallest product in addition to the minimum of its class"),
    ROW("batched_rows", TileConstants, batched_rows, kElements, kNotNegative, 0,
        "minimum rows of a tile in batches of products, whose tiles have 128 columns; 0: any tile"),
    ROW("direct", TileConstants, direct, kRatio, kPositive, kUnset,
        "share of the vector unit's peak for kernels without tiles on few rows; unset: no such kernels"),
    ROW("", TileConstants, spread, kRatio, kSpread, kUnset,
        "error band of these products; unset: spread of their class"),
};
// A table takes unset constants of this list from its general_table().
inline constexpr ConstantField<TileConstants> kSharedTileRows[] = {
    ROW("operand_clocks_per_element", TileConstants, operand_s_per_element, kClocksPerElement, kNotNegative,
        0, "operand latency per element of the reduction"),
    ROW("exposed_operands", TileConstants, exposed_operands, kRatio, kNotNegative, 0,
        "exposed share of the shorter of arithmetic and operand latency"),
    ROW("round_clocks", TileConstants, round_s, kClocks, kNotNegative, 0,
        "time of each additional round of tiles on a core, whose pipeline drains and fills"),
    ROW("exposed_memory", TileConstants, exposed_memory, kRatio, kNotNegative, 0,
        "exposed share of the shorter of core time and DRAM time"),
    ROW("split_length", TileConstants, split_length, kElements, kPositive, 512,
        "minimum length of a part of a split reduction"),
    ROW("most_splits", TileConstants, most_splits, kParts, kOneOrMore, 1e9,
        "maximum number of parts of a split reduction"),
    ROW("split_clocks", TileConstants, split_s, kClocks, kNotNegative, 0,
        "time of the pass that adds the partial sums of a split reduction"),
    ROW("split_bytes", TileConstants, split_bytes, kRatio, kNotNegative, 0,
        "share of the bytes of partial sums that DRAM serves"),
    ROW("page_kib", TileConstants, page_bytes, kKibibytes, kNotNegative, 0,
        "distance of operand rows above which the TLB of a core misses; 0: no misses"),
    ROW("page_cost", TileConstants, page_cost, kRatio, kNotNegative, 0,
        "extra arithmetic time per multiple of page_kib"),
    ROW("page_most", TileConstants, page_most, kRatio, kNotNegative, 0,
        "multiples of page_kib above which the extra time is constant"),
    ROW("depth_overhead", TileConstants, depth_overhead, kElements, kNotNegative, 0,
        "time to fill the pipeline, in elements of the reduction"),
    ROW("edge", TileConstants, edge, kRatio, kNotNegative, 0,
        "extra time per result of a 64 x 64 tile over a 128 x 128 tile"),
    ROW("by_rows", TileConstants, by_rows, kRatio, kNotNegative, 0,
        "0: the fastest tile is used; 1: the number of rows selects it; 2: the same, and pairs of cores "
        "share "
        "tiles of more than 128 rows"),
};
static_assert(is_complete(kTileRows, kSharedTileRows));

// ---- row kernels of GPUs, by function: [NAME_rows] -----------------------------------------------------

struct RowConstants {
    double l1_share, l2_share, width, start_s, trip_s, element_s, issue_per_clock, spread;
};
inline constexpr ConstantField<RowConstants> kRowRows[] = {
    ROW("l1_share", RowConstants, l1_share, kRatio, kNotNegative, 1,
        "share of the innermost cache that retains rows until they are read again"),
    ROW("l2_share", RowConstants, l2_share, kRatio, kPositive, 1, "the same for the L2 cache"),
    ROW("width", RowConstants, width, kRatio, kPositive, 1,
        "width of the transition at which a cache overflows: 1 is from 0.5 to 1.5 times its size"),
    ROW("start_clocks", RowConstants, start_s, kClocks, kNotNegative, 0,
        "time of a block before its first elements"),
    ROW("trip_clocks", RowConstants, trip_s, kClocks, kNotNegative, 0,
        "time of a block's threads for four elements each"),
    ROW("element_clocks", RowConstants, element_s, kClocks, kNotNegative, 0,
        "time of a block per element of its row"),
    ROW("issue_per_clock", RowConstants, issue_per_clock, kElementsAClock, kPositive, 1,
        "elements that a core reads or writes, if instructions are the limit"),
    ROW("", RowConstants, spread, kRatio, kSpread, kUnset,
        "error band of these kernels; unset: spread of their class"),
};
static_assert(is_complete(kRowRows));

// ---- attention and Winograd convolutions on GPUs -------------------------------------------------------

struct AttentionConstants {
    double matrix, exponential, wide, query_rows, packs, tile_s, longest, exposed_memory;
    double decode_rows, key_block, decode_s, decode_dram, decode_results;
    double narrow_element_per_clock, narrow_s, narrow_passes, wide_passes;
    double combine_s, combine_split_s;
};
inline constexpr ConstantField<AttentionConstants> kAttentionRows[] = {
    ROW("matrix", AttentionConstants, matrix, kRatio, kPositive, 1,
        "time of the products relative to matrix products"),
    ROW("exponential", AttentionConstants, exponential, kRatio, kNotNegative, 0,
        "time of the exponentials relative to 16 per clock and core"),
    ROW("wide", AttentionConstants, wide, kRatio, kPositive, 1,
        "factor on the time of the products if heads are too wide for one kernel"),
    ROW("query_rows", AttentionConstants, query_rows, kElements, kCount, 128, "queries of a tile"),
    ROW("packs", AttentionConstants, packs, kRatio, kNotNegative, 1,
        "1: heads that share keys share tiles of queries; 0: tiles of one head"),
    ROW("tile_us", AttentionConstants, tile_s, kMicroseconds, kNotNegative, 0,
        "time to start a tile of queries"),
    ROW("longest", AttentionConstants, longest, kRatio, kNotNegative, 0,
        "share of the longest tile that is added to the mean of all tiles"),
    ROW("exposed_memory", AttentionConstants, exposed_memory, kRatio, kNotNegative, 0,
        "exposed share of the shorter of core time and DRAM time"),
    ROW("decode_rows", AttentionConstants, decode_rows, kElements, kPositive, 64,
        "rows that the matrix unit computes if there are fewer queries"),
    ROW("key_block", AttentionConstants, key_block, kElements, kCount, 64,
        "keys of a block, if there are few queries"),
    ROW("decode_clocks", AttentionConstants, decode_s, kClocks, kNotNegative, 0,
        "time to start a block of keys, if there are few queries"),
    ROW("decode_dram", AttentionConstants, decode_dram, kRatio, kPositive, 1,
        "share of the DRAM bandwidth for streamed keys and values"),
    ROW("decode_results", AttentionConstants, decode_results, kRatio, kNotNegative, 0,
        "time of few queries and their results relative to a stream of their bytes"),
    ROW("narrow_element_per_clock", AttentionConstants, narrow_element_per_clock, kElementsAClock, kPositive,
        kUnset, "rate of a core at turning keys and values that are narrower than queries; unset: no limit"),
    ROW("narrow_clocks", AttentionConstants, narrow_s, kClocks, kNotNegative, 0,
        "time of the kernel that converts queries to the dtype of keys"),
    ROW("narrow_passes", AttentionConstants, narrow_passes, kRatio, kNotNegative, 0,
        "time of that kernel per element relative to a stream of its bytes"),
    ROW("wide_passes", AttentionConstants, wide_passes, kRatio, kNotNegative, 0,
        "passes over partial results, if heads are too wide for one kernel"),
    ROW("combine_clocks", AttentionConstants, combine_s, kClocks, kNotNegative, 0,
        "time of the kernel that combines the parts of split keys"),
    ROW("combine_split_clocks", AttentionConstants, combine_split_s, kClocks, kNotNegative, 0,
        "time of that kernel per part"),
};
static_assert(is_complete(kAttentionRows));

struct WinogradConstants {
    double fused, products, passes;
};
inline constexpr ConstantField<WinogradConstants> kWinogradRows[] = {
    ROW("fused", WinogradConstants, fused, kRatio, kPositive, kUnset,
        "share of the peak for products in a fused kernel; unset: no Winograd kernels"),
    ROW("products", WinogradConstants, products, kRatio, kPositive, 1,
        "share of the peak for products between separate transforms"),
    ROW("passes", WinogradConstants, passes, kRatio, kPositive, 1,
        "time of separate transforms relative to a stream of their bytes"),
};
static_assert(is_complete(kWinogradRows));

// ---- systolic arrays: [array] --------------------------------------------------------------------------

struct ArrayConstants {
    double load, resident;
};
inline constexpr ConstantField<ArrayConstants> kArrayRows[] = {
    ROW("load", ArrayConstants, load, kRatio, kNotNegative, 1,
        "time to load a tile of weights, relative to that of as many activations as the tile has rows"),
    ROW("resident", ArrayConstants, resident, kRatio, kNotNegative, 1,
        "share of the scratchpad that weights and activations may fill for weights to stay until the next "
        "forward"),
};
static_assert(is_complete(kArrayRows));

// [sparsity]
struct SparsityConstants {
    double gain_2_4;
};
inline constexpr ConstantField<SparsityConstants> kSparsityRows[] = {
    ROW("gain_2_4", SparsityConstants, gain_2_4, kRatio, kHalfToOne, 1,
        "share of the matrix unit's 2:4 factor that libraries reach"),
};
static_assert(is_complete(kSparsityRows));

// ---- CPUs: [cpu] ---------------------------------------------------------------------------------------

struct CpuConstants {
    double special_s, library_s, row_s, softmax_s, window_s, scattered_s, score_s, half_s, transpose_s,
        copying_s;
    double compiled_special_s, compiled_row_s, compiled_softmax_s, compiled_window_s, compiled_grain;
    double packing_s, byte_packing_s, gemv_s, half_gemv_s, byte_gemv_s, weight_stream, half_weight_stream,
        byte_weight_stream;
    double product, pixelwise, convolution, grouped, depthwise, attention, half_attention;
    double key_s, half_key_s;
    double convolution_s, cold_dispatch_s, cold_product_s, cold_convolution_s, region_s, fault_s_per_byte;
};
inline constexpr ConstantField<CpuConstants> kCpuRows[] = {
    ROW("special_per_clock_per_core", CpuConstants, special_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of exp and similar functions"),
    ROW("library_per_clock_per_core", CpuConstants, library_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of functions for which eager execution calls a vendor library"),
    ROW("row_per_clock_per_core", CpuConstants, row_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of rows that are traversed several times"),
    ROW("softmax_per_clock_per_core", CpuConstants, softmax_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of a softmax"),
    ROW("window_per_clock_per_core", CpuConstants, window_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of pooling windows"),
    ROW("scattered_per_clock_per_core", CpuConstants, scattered_s, kElementsPerClockPerCore, kPositive,
        kUnset, "elements of rows that are not contiguous; unset: as row"),
    ROW("score_per_clock_per_core", CpuConstants, score_s, kElementsPerClockPerCore, kPositive, 0,
        "scores of attention: exponentials, beside the products; unset: no time"),
    ROW("half_per_clock_per_core", CpuConstants, half_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of 16 bits that loops of eager execution widen and round; unset: no time"),
    ROW("transpose_per_clock_per_core", CpuConstants, transpose_s, kElementsPerClockPerCore, kPositive, 0,
        "elements copied from one order of axes to another"),
    ROW("copying_per_clock_per_core", CpuConstants, copying_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of activations that a library copies into its blocked layout; unset: by bytes"),
    ROW("compiled_special_per_clock_per_core", CpuConstants, compiled_special_s, kElementsPerClockPerCore,
        kPositive, kUnset,
        "elements of exp and similar functions in compiled loops; unset: as in eager loops"),
    ROW("compiled_row_per_clock_per_core", CpuConstants, compiled_row_s, kElementsPerClockPerCore, kPositive,
        kUnset, "the same for rows; unset: as in eager loops"),
    ROW("compiled_softmax_per_clock_per_core", CpuConstants, compiled_softmax_s, kElementsPerClockPerCore,
        kPositive, kUnset, "the same for a softmax; unset: as in eager loops"),
    ROW("compiled_window_per_clock_per_core", CpuConstants, compiled_window_s, kElementsPerClockPerCore,
        kPositive, kUnset, "the same for pooling windows; unset: five times the eager rate"),
    ROW("compiled_grain", CpuConstants, compiled_grain, kElements, kPositive, 512,
        "elements per thread below which compiled loops run on one thread; the default is "
        "cpp.min_chunk_size of torch._inductor.config in PyTorch 2.13"),
    ROW("packing_per_clock_per_core", CpuConstants, packing_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of fp32 weights packed into panels before a product with more than three rows; unset: no "
        "time"),
    ROW("byte_packing_per_clock_per_core", CpuConstants, byte_packing_s, kElementsPerClockPerCore, kPositive,
        0, "the same for 8-bit weights in the layout of a framework; unset: no time"),
    ROW("gemv_per_clock_per_core", CpuConstants, gemv_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of weights read, widened and multiplied in a product with few rows; unset: by bytes"),
    ROW("half_gemv_per_clock_per_core", CpuConstants, half_gemv_s, kElementsPerClockPerCore, kPositive,
        kUnset, "the same for 16-bit weights that a library arranges in each call; unset: as gemv"),
    ROW("byte_gemv_per_clock_per_core", CpuConstants, byte_gemv_s, kElementsPerClockPerCore, kPositive,
        kUnset, "the same for 8-bit weights that a library arranges in each call; unset: as gemv"),
    ROW("weight_stream", CpuConstants, weight_stream, kRatio, kPositive, 1,
        "rate at which a product reads weights from the last cache and from memory, as a multiple of "
        "[achieved]"),
    ROW("half_weight_stream", CpuConstants, half_weight_stream, kRatio, kPositive, kUnset,
        "the same for 16-bit weights that a library arranges in each call; unset: as weight_stream"),
    ROW("byte_weight_stream", CpuConstants, byte_weight_stream, kRatio, kPositive, kUnset,
        "the same for 8-bit weights that a library arranges in each call; unset: as weight_stream"),
    ROW("product", CpuConstants, product, kRatio, kPositive, 1,
        "compute rate of matrix products, as a multiple of [achieved]"),
    ROW("pixelwise", CpuConstants, pixelwise, kRatio, kPositive, 1, "the same for 1 x 1 convolutions"),
    ROW("convolution", CpuConstants, convolution, kRatio, kPositive, 1, "the same for other convolutions"),
    ROW("grouped", CpuConstants, grouped, kRatio, kPositive, 1, "the same for convolutions in groups"),
    ROW("depthwise", CpuConstants, depthwise, kRatio, kPositive, 1,
        "the same for convolutions with one channel per group"),
    ROW("attention", CpuConstants, attention, kRatio, kPositive, 1, "the same for attention"),
    ROW("half_attention", CpuConstants, half_attention, kRatio, kPositive, kUnset,
        "the same for attention in 16 bits; unset: as attention"),
    ROW("key_per_clock_per_core", CpuConstants, key_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of keys and values that attention of one query reads and multiplies; unset: by FLOPs"),
    ROW("half_key_per_clock_per_core", CpuConstants, half_key_s, kElementsPerClockPerCore, kPositive, kUnset,
        "the same in 16 bits; unset: as key"),
    ROW("convolution_us", CpuConstants, convolution_s, kMicroseconds, kNotNegative, 0,
        "extra time to call the convolution library, over a call of the product library"),
    ROW("cold_dispatch_us", CpuConstants, cold_dispatch_s, kMicroseconds, kNotNegative, 0,
        "extra time of an op whose code and data were evicted from the private caches"),
    ROW("cold_product_us", CpuConstants, cold_product_s, kMicroseconds, kNotNegative, 0,
        "the same for the product library, over the dispatch"),
    ROW("cold_convolution_us", CpuConstants, cold_convolution_s, kMicroseconds, kNotNegative, 0,
        "the same for the convolution library, over the product library"),
    ROW("parallel_region_us_per_thread", CpuConstants, region_s, kMicroseconds, kNotNegative, 0,
        "time to open and close a parallel loop, per thread"),
    ROW("page_fault_us", CpuConstants, fault_s_per_byte, kMicrosecondsPerPage, kNotNegative, 0,
        "time to map a new page of 4 KiB, for results above 32 MiB"),
};
static_assert(is_complete(kCpuRows));

// ---- reachable shares of a data sheet: [achieved] ------------------------------------------------------

// A figure of each engine per dtype; kUnset if there is none.
struct EngineFigures {
    EnumArray<DType, double> matrix, vector;

    double of(bool on_matrix, DType dtype) const { return (on_matrix ? matrix : vector)[dtype]; }
};
// Its key in a file and its name in a machine, for an engine and a dtype with a short name.
inline constexpr std::string_view kEngineAndDtype = "{engine}_{dtype}";

struct AchievedConstants {
    double dram, cache, matrix, vector;
};
inline constexpr ConstantField<AchievedConstants> kAchievedRows[] = {
    ROW("dram", AchievedConstants, dram, kRatio, kFraction, 1, "share of the DRAM bandwidth for streams",
        kRequired),
    ROW("cache", AchievedConstants, cache, kRatio, kFraction, 1,
        "share of the bandwidth of caches for streams", kRequired),
    ROW("matrix", AchievedConstants, matrix, kRatio, kReached, 1,
        "share of the peak for products on the matrix unit", kRequired),
    ROW("vector", AchievedConstants, vector, kRatio, kReached, 1,
        "share of the peak for arithmetic on the vector unit", kRequired),
};
inline constexpr Constant kAchievedOfEngine{"{engine}_{dtype}",
                                            "{engine}_{dtype}",
                                            kRatio,
                                            kReached,
                                            kUnset,
                                            "the same for one dtype; unset: the share of the engine"};
static_assert(is_complete(kAchievedRows));

// ---- energy: [energy], [power] ---------------------------------------------------------------------------

// In a file; the loader combines these with the power limit of the board.
inline constexpr Constant kEnergyRows[] = {
    LOADED("static_fraction", "static_fraction", kRatio, kFraction, kUnset,
           "static power as a share of the board's power limit; unset: energy is not estimated"),
    LOADED("dram_pj_per_byte", "dram_j_per_byte", kPicojoulesPerByte, kPositive, kUnset,
           "energy of a byte from DRAM, including caches and wires; unset: energy is not estimated"),
    LOADED("cache_pj_per_byte", "cache_j_per_byte", kPicojoulesPerByte, kNotNegative, 0,
           "energy of a byte from the last cache, including the path to it; DRAM adds to it"),
    LOADED("link_pj_per_byte", "link_j_per_byte", kPicojoulesPerByte, kPositive, kUnset,
           "energy of a byte on the links of a collective; unset: it is not counted"),
    LOADED("spread", "spread", kRatio, kSpread, 0, "error band of the power, as a fraction"),
    LOADED(
        "pj_per_flop_{engine}_{dtype}", "{engine}_{dtype}", kPicojoulesPerFlop, kPositive, kUnset,
        "energy of a FLOP at full clock; unset: scaled from another dtype, or power limit divided by peak"),
};
inline constexpr Constant kPowerRows[] = {
    LOADED("static_fraction", "static_fraction", kRatio, kNotNegative, 0,
           "share of the board's power limit that is not available to kernels"),
    LOADED("static_w", "static_w", kWatts, kNotNegative, 0,
           "additional power that is not available to kernels"),
    LOADED("burst", "burst", kRatio, kOneOrMore, 1,
           "power that a board with its own supply may draw for a short forward, over its limit"),
    LOADED("lowest_voltage_ghz", "lowest_voltage_hz", kGigahertz, kPositive, kUnset,
           "clock up to which the lowest voltage suffices; unset: one voltage"),
    LOADED("voltage_rise", "voltage_rise", kRatio, kNotNegative, 0,
           "relative rise of the voltage divided by that of the clock, above lowest_voltage_ghz"),
    LOADED("dram_pj_per_byte", "dram_j_per_byte", kPicojoulesPerByte, kNotNegative, kUnset,
           "energy of a byte from DRAM at the power limit; unset: no power limit is modelled"),
    LOADED("pj_per_flop_{engine}_{dtype}", "{engine}_{dtype}", kPicojoulesPerFlop, kPositive, kUnset,
           "energy of a FLOP at the lowest voltage; unset: scaled from another dtype, or such that a board "
           "holds its clock in a short forward"),
};

// In a machine.
struct EnergyConstants {
    double static_w, most_w, cache_j_per_byte, dram_j_per_byte, link_j_per_byte, spread;
};
inline constexpr ConstantField<EnergyConstants> kEnergyDerived[] = {
    DERIVED(EnergyConstants, static_w, kWatts, kUnset, "static power of the machine"),
    DERIVED(EnergyConstants, most_w, kWatts, 0, "power limit of the board"),
    DERIVED(EnergyConstants, cache_j_per_byte, kJoulesPerByte, 0, "energy of a byte from the last cache"),
    DERIVED(EnergyConstants, dram_j_per_byte, kJoulesPerByte, 0, "additional energy of a byte from DRAM"),
    DERIVED(EnergyConstants, link_j_per_byte, kJoulesPerByte, 0, "energy of a byte on links; 0: unknown"),
    ROW("", EnergyConstants, spread, kRatio, kSpread, 0, "error band of the power"),
};
struct PowerConstants {
    double sustained, dram_s_per_byte;
};
inline constexpr ConstantField<PowerConstants> kPowerDerived[] = {
    DERIVED(PowerConstants, sustained, kRatio, 0, "1: the machine runs without pause, at its power limit"),
    DERIVED(PowerConstants, dram_s_per_byte, kSecondsPerByte, kUnset,
            "energy of a byte from DRAM divided by the available power; unset: no limit"),
};
static_assert(is_complete(kEnergyDerived) && is_complete(kPowerDerived));
inline constexpr Constant kEnergyOfEngine{"", kEngineAndDtype,   kJoulesPerFlop, kNotNegative,
                                          0,  "energy of a FLOP"};
inline constexpr Constant kPowerOfEngine{
    "", kEngineAndDtype, kSecondsPerFlop, kNotNegative, 0, "energy of a FLOP divided by the available power"};

// Defaults of the libraries that torch calls on a device.
struct LibraryConstants {
    double rounds_to_tf32, int8_flop_per_s, int8_spread;
};
inline constexpr ConstantField<LibraryConstants> kLibraryDerived[] = {
    DERIVED(LibraryConstants, rounds_to_tf32, kRatio, 0,
            "1: cuDNN, which computes float32 convolutions and recurrent layers in TF32 if torch allows it"),
    DERIVED(
        LibraryConstants, int8_flop_per_s, kFlopPerSecond, kUnset,
        "int8 rate of compilers of whole models, where that of the machine was measured in torch; unset: the "
        "same"),
    DERIVED(LibraryConstants, int8_spread, kRatio, kUnset, "relative spread of times at int8_flop_per_s"),
};
static_assert(is_complete(kLibraryDerived));

// ---- constants from which the loader derives other figures of a machine --------------------------------

inline constexpr Constant kOverheadRows[] = {
    LOADED("dispatch_us", "dispatch_s", kMicroseconds, kNotNegative, kUnset,
           "host time to issue one op in eager execution", kRequired),
    LOADED("launch_gap_us", "launch_gap_s", kMicroseconds, kNotNegative, kUnset,
           "gap between two kernels of a stream", kRequired),
    LOADED("replay_gap_us", "replay_gap_s", kMicroseconds, kNotNegative, kUnset,
           "gap between two kernels of a replayed graph", kRequired),
    LOADED("kernel_minimum_us", "kernel_minimum_s", kMicroseconds, kNotNegative, kUnset,
           "time of the smallest contraction in addition to the gap", kRequired),
    LOADED("kernel_minimum_clocks", "kernel_minimum_core_s", kOverheadClocks, kNotNegative, 0,
           "additional part of kernel_minimum that scales with the core clock"),
};
inline constexpr Constant kCacheRows[] = {
    LOADED("l1_byte_per_clock_per_core", "l1_byte_per_clock_per_core", kBytesAClockPerCore, kPositive, kUnset,
           "bandwidth of the L1 cache, if the data sheet gives none; unset: the level is omitted"),
    LOADED("l2_byte_per_clock_per_core", "l2_byte_per_clock_per_core", kBytesAClockPerCore, kPositive, kUnset,
           "the same for the L2 cache"),
    LOADED("scratchpad_byte_per_clock_per_core", "scratchpad_byte_per_clock_per_core", kBytesAClockPerCore,
           kPositive, kUnset, "the same for a scratchpad"),
    LOADED("llc_byte_per_clock_per_core", "llc_byte_per_clock_per_core", kBytesAClockPerCore, kPositive,
           kUnset, "the same for the last cache"),
    LOADED("scratchpad_over_dram_bandwidth", "scratchpad_over_dram_bandwidth", kRatio, kOneOrMore, kUnset,
           "bandwidth of a scratchpad divided by that of DRAM, if no other figure is known"),
};
inline constexpr Constant kAssumedRows[] = {
    LOADED("clock_ghz", "clock_hz", kGigahertz, kPositive, kUnset, "clock, if the data sheet gives none",
           kRequired),
    LOADED("vector_flop_per_clock_per_core", "vector_flop_per_clock_per_core", kFlopAClockPerCore, kPositive,
           kUnset,
           "fp32 rate of the vector unit, if the data sheet gives none; unset: there is no vector unit"),
    LOADED("scratchpad_kib_per_core", "scratchpad_bytes_per_core", kKibibytes, kPositive, kUnset,
           "scratchpad of one core, if the data sheet gives none; unset: there is none"),
    LOADED("idle_fraction_of_tdp", "idle_fraction_of_tdp", kRatio, kFraction, kUnset,
           "idle power as a share of the power limit, if the data sheet gives none; unset: unknown"),
};
static_assert(has_distinct_keys(kEnergyRows) && has_distinct_keys(kPowerRows) &&
              has_distinct_keys(kOverheadRows) && has_distinct_keys(kCacheRows) &&
              has_distinct_keys(kAssumedRows));

#undef LOADED
#undef DERIVED
#undef ROW

}  // namespace infercost

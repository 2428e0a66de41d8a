// The table of calibration constants: what is known of a family of machines beyond its data sheet.
//
// One row a constant: its key and unit in a calibration file, its field in base units in a machine, the range
// of a file's values, the value that holds where no file sets it, and the mechanism of the model that it
// sets. The loader, the schema of the files and the page of documentation are made of these rows; machine
// models read the structs. To add a constant, add a field and a row: one without the other, and a key that
// stands twice, do not compile.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/dtype.hpp"
#include "core/kinds.hpp"
#include "hardware/constant.hpp"

namespace infercost {

// A field and its name in one word.
#define ROW(key, group, field, unit, range, otherwise, ...)               \
    ConstantField<group> {                                                \
        {key, #field, unit, range, otherwise, __VA_ARGS__}, &group::field \
    }
// A constant that the loader makes other figures of a machine of.
#define LOADED(key, name, unit, range, otherwise, ...) \
    Constant {                                         \
        key, name, unit, range, otherwise, __VA_ARGS__ \
    }
// What the loader derives from constants and from facts of a device.
#define DERIVED(group, field, unit, otherwise, meaning) \
    ROW("", group, field, unit, kNotNegative, otherwise, meaning)

// ---- kernels of GPUs, by class: [kernel.CLASS] ---------------------------------------------------------

struct KernelConstants {
    double dram, compute, minimum_s, issue_byte_per_clock;
};
inline constexpr ConstantField<KernelConstants> kKernelRows[] = {
    ROW("dram", KernelConstants, dram, kRatio, kPositive, 1,
        "DRAM bandwidth that these kernels reach, as a multiple of [achieved] dram"),
    ROW("compute", KernelConstants, compute, kRatio, kPositive, 1,
        "arithmetic that these kernels reach, as a multiple of [achieved] matrix or vector"),
    ROW("minimum_clocks", KernelConstants, minimum_s, kClocks, kNotNegative, kUnset,
        "time of the smallest kernel on top of the gap before it; of contractions, where unset, "
        "kernel_minimum of [overheads]"),
    ROW("issue_byte_per_clock", KernelConstants, issue_byte_per_clock, kBytesAClock, kPositive, kUnset,
        "results that a core issues, a limit beside bytes and FLOPs; unset: no limit"),
};
static_assert(is_complete(kKernelRows));

struct BandConstants {
    double spread;
};
inline constexpr ConstantField<BandConstants> kClassBandRows[] = {
    ROW("spread", BandConstants, spread, kRatio, kNotNegative, kUnset,
        "error band of these kernels: four of five measurements lie within latency / (1 + spread) "
        "and latency x (1 + spread); unset: that of [band]"),
};
static_assert(is_complete(kClassBandRows) && has_distinct_keys(kKernelRows, kClassBandRows));

// [kernel.depthwise], beside its KernelConstants: convolutions with one channel to a group.
struct DepthwiseConstants {
    double grouped, wide, large, channels_last;
};
inline constexpr ConstantField<DepthwiseConstants> kDepthwiseRows[] = {
    ROW("grouped", DepthwiseConstants, grouped, kRatio, kPositive, kUnset,
        "share of the vector unit that direct convolutions in narrow groups reach; unset: compute"),
    ROW("wide", DepthwiseConstants, wide, kRatio, kPositive, kUnset,
        "the same for windows above 7 x 7, which take a general kernel; unset: compute"),
    ROW("large", DepthwiseConstants, large, kRatio, kPositive, kUnset,
        "the same for tensors of more than 2^31 elements, channels innermost; unset: no limit"),
    ROW("channels_last", DepthwiseConstants, channels_last, kRatio, kPositive, 1,
        "rate with channels innermost over the rate with channels outermost"),
};
static_assert(is_complete(kDepthwiseRows) && has_distinct_keys(kKernelRows, kDepthwiseRows));

// ---- memory and launches of GPUs: [stream], [forward], [limits] ----------------------------------------

struct StreamConstants {
    double turnaround, resident, strided, turned, transposed;
};
inline constexpr ConstantField<StreamConstants> kStreamRows[] = {
    ROW("turnaround", StreamConstants, turnaround, kRatio, kNotNegative, 0,
        "pause of DRAM between reading and writing, in bytes for each byte both read and written"),
    ROW("resident", StreamConstants, resident, kRatio, kNotNegative, 1,
        "share of the last cache that keeps a working set until its next use"),
    ROW("strided", StreamConstants, strided, kRatio, kNotNegative, 0,
        "extra bytes for each byte that is read across the order it lies in"),
    ROW("turned", StreamConstants, turned, kRatio, kNotNegative, 0,
        "passes over the bytes of a group norm whose channels lie innermost, to change their order"),
    ROW("transposed", StreamConstants, transposed, kRatio, kNotNegative, 0,
        "passes over the bytes of a convolution whose channels lie outermost, to change their order"),
};
static_assert(is_complete(kStreamRows));

struct ForwardConstants {
    double start_s, compiled_dispatch_s;
};
inline constexpr ConstantField<ForwardConstants> kForwardRows[] = {
    ROW("start_us", ForwardConstants, start_s, kMicroseconds, kNotNegative, 0,
        "time from the call on the host to the first kernel, and from the last one back"),
    ROW("compiled_dispatch_us", ForwardConstants, compiled_dispatch_s, kMicroseconds, kNotNegative, 0,
        "host time to issue one kernel of compiled code, overlapped with the device"),
};
static_assert(is_complete(kForwardRows));

struct LimitConstants {
    double threads_per_core;
};
inline constexpr ConstantField<LimitConstants> kLimitRows[] = {
    ROW("threads_per_core", LimitConstants, threads_per_core, kThreads, kCount, 2048,
        "threads that a core keeps in flight: how many rows it holds at a time"),
};
static_assert(is_complete(kLimitRows));

// ---- products on GPUs, by what is multiplied: [tiles_NAME] ---------------------------------------------

enum class TileTable : std::uint8_t {
    matrix,
    vector,
    convolution,  // on the vector unit; on the matrix unit they are as products
    int8,
    fp8,
    grouped,  // several matrices of weights, as in mixtures of experts
    grouped8,
    weight8,  // weights that are widened to the activations' dtype as they are read
    weight4,
    count_
};
inline constexpr std::size_t kTileTableCount = static_cast<std::size_t>(TileTable::count_);
inline constexpr std::array<std::string_view, kTileTableCount> kTileTables = {
    "tiles_matrix",  "tiles_vector",   "tiles_convolution", "tiles_int8",   "tiles_fp8",
    "tiles_grouped", "tiles_grouped8", "tiles_weight8",     "tiles_weight4"};
// The table whose mechanisms hold where one sets none of its own.
constexpr TileTable general_table(TileTable table) {
    return table == TileTable::convolution ? TileTable::vector : TileTable::matrix;
}

struct TileConstants {
    double compute, with_weights, dram, minimum_s, batched_rows, direct, spread;
    double operand_s_per_element, exposed_operands, round_s, exposed_memory;
    double split_length, most_splits, split_s, split_bytes;
    double page_bytes, page_cost, page_most, depth_overhead, edge, by_rows;
};
inline constexpr ConstantField<TileConstants> kTileRows[] = {
    ROW("compute", TileConstants, compute, kRatio, kPositive, 1,
        "arithmetic that these products reach, as a multiple of what their class reaches"),
    ROW("with_weights", TileConstants, with_weights, kRatio, kPositive, 1,
        "the same for products with weights, whose rows lie along the reduction"),
    ROW("dram", TileConstants, dram, kRatio, kPositive, 1,
        "DRAM bandwidth that they reach, as a multiple of what their class reaches"),
    ROW("minimum_clocks", TileConstants, minimum_s, kClocks, kNotNegative, 0,
        "time of the smallest product on top of that of its class"),
    ROW("batched_rows", TileConstants, batched_rows, kElements, kNotNegative, 0,
        "least rows of a tile in batches of products, whose tiles have 128 columns; 0: any tile"),
    ROW("direct", TileConstants, direct, kRatio, kPositive, kUnset,
        "share of the vector unit that kernels without tiles reach on few rows; unset: there are none"),
    ROW("spread", TileConstants, spread, kRatio, kNotNegative, kUnset,
        "error band of these products; unset: that of their class"),
};
// Of these, a table takes what it does not set from its general_table().
inline constexpr ConstantField<TileConstants> kSharedTileRows[] = {
    ROW("operand_clocks_per_element", TileConstants, operand_s_per_element, kClocksPerElement, kNotNegative,
        0, "latency of fetching operands, for each element of the reduction"),
    ROW("exposed_operands", TileConstants, exposed_operands, kRatio, kNotNegative, 0,
        "share of the shorter of arithmetic and that latency which the longer does not hide"),
    ROW("round_clocks", TileConstants, round_s, kClocks, kNotNegative, 0,
        "time of each further round of tiles on a core: its pipeline drains and fills"),
    ROW("exposed_memory", TileConstants, exposed_memory, kRatio, kNotNegative, 0,
        "share of the shorter of cores and DRAM which the longer does not hide"),
    ROW("split_length", TileConstants, split_length, kElements, kPositive, 512,
        "least length of a part of a split reduction"),
    ROW("most_splits", TileConstants, most_splits, kParts, kPositive, 1e9,
        "most parts that a reduction is split into"),
    ROW("split_clocks", TileConstants, split_s, kClocks, kNotNegative, 0,
        "time of the pass that adds up the parts of a split reduction"),
    ROW("split_bytes", TileConstants, split_bytes, kRatio, kNotNegative, 0,
        "share of the bytes of those parts that DRAM serves"),
    ROW("page_kib", TileConstants, page_bytes, kKibibytes, kNotNegative, 0,
        "distance of operand rows beyond which a core's TLB misses; 0: it never does"),
    ROW("page_cost", TileConstants, page_cost, kRatio, kNotNegative, 0,
        "extra arithmetic time for each multiple of that distance"),
    ROW("page_most", TileConstants, page_most, kRatio, kNotNegative, 0,
        "multiples of that distance above which the time grows no further"),
    ROW("depth_overhead", TileConstants, depth_overhead, kElements, kNotNegative, 0,
        "time to fill the pipeline, as elements of the reduction"),
    ROW("edge", TileConstants, edge, kRatio, kNotNegative, 0,
        "extra time of a result in a tile of 64 x 64 over one of 128 x 128"),
    ROW("by_rows", TileConstants, by_rows, kRatio, kNotNegative, 0,
        "above 0: the number of rows chooses the tile; 0: the fastest tile is taken"),
};
static_assert(is_complete(kTileRows, kSharedTileRows));

// ---- kernels of GPUs along rows, by what they do: [NAME_rows] ------------------------------------------

enum class RowTable : std::uint8_t {
    softmax,
    norm,
    quantize,
    plane,  // interpolation, a thread for each position of a plane
    token,  // of serving engines, a block of threads for each token
    count_
};
inline constexpr std::size_t kRowTableCount = static_cast<std::size_t>(RowTable::count_);
inline constexpr std::array<std::string_view, kRowTableCount> kRowTables = {
    "softmax_rows", "norm_rows", "quantize_rows", "plane_rows", "token_rows"};

struct RowConstants {
    double l1_share, l2_share, width, trip_s, element_s, issue_per_clock, spread;
};
inline constexpr ConstantField<RowConstants> kRowRows[] = {
    ROW("l1_share", RowConstants, l1_share, kRatio, kNotNegative, 1,
        "share of the innermost cache that keeps rows until they are read again"),
    ROW("l2_share", RowConstants, l2_share, kRatio, kPositive, 1, "the same of the L2 cache"),
    ROW("width", RowConstants, width, kRatio, kPositive, 1,
        "how gradually a cache overflows: 1 is from half to one and a half times its size"),
    ROW("trip_clocks", RowConstants, trip_s, kClocks, kNotNegative, 0,
        "time of a block's threads over four elements each"),
    ROW("element_clocks", RowConstants, element_s, kClocks, kNotNegative, 0,
        "time of a block over one element of its row"),
    ROW("issue_per_clock", RowConstants, issue_per_clock, kElementsAClock, kPositive, 1,
        "elements that a core reads or writes, where instructions are the limit"),
    ROW("spread", RowConstants, spread, kRatio, kNotNegative, kUnset,
        "error band of these kernels; unset: that of their class"),
};
static_assert(is_complete(kRowRows));

// ---- attention and Winograd convolutions on GPUs -------------------------------------------------------

struct AttentionConstants {
    double matrix, exponential, tile_s, longest, exposed_memory;
    double decode_s, decode_element_per_clock, decode_dram, narrow, narrow_s, wide_passes;
    double combine_s, combine_split_s;
};
inline constexpr ConstantField<AttentionConstants> kAttentionRows[] = {
    ROW("matrix", AttentionConstants, matrix, kRatio, kPositive, 1,
        "time of the products over the time at the rate of matrix products"),
    ROW("exponential", AttentionConstants, exponential, kRatio, kNotNegative, 0,
        "time of the exponentials over the time at 16 a clock and core"),
    ROW("tile_clocks", AttentionConstants, tile_s, kClocks, kNotNegative, 0,
        "time to start a tile of queries"),
    ROW("longest", AttentionConstants, longest, kRatio, kNotNegative, 0,
        "share of the longest tile that is added to the mean of all"),
    ROW("exposed_memory", AttentionConstants, exposed_memory, kRatio, kNotNegative, 0,
        "share of the shorter of cores and DRAM which the longer does not hide"),
    ROW("decode_clocks", AttentionConstants, decode_s, kClocks, kNotNegative, 0,
        "time to start a block of keys, with few queries"),
    ROW("decode_element_per_clock", AttentionConstants, decode_element_per_clock, kElementsAClock, kPositive,
        kUnset, "elements of keys and values that one block streams; unset: no limit"),
    ROW("decode_dram", AttentionConstants, decode_dram, kRatio, kPositive, 1,
        "share of the DRAM bandwidth that streamed keys and values reach"),
    ROW("narrow", AttentionConstants, narrow, kRatio, kNotNegative, 0,
        "extra arithmetic for keys that are narrower than queries"),
    ROW("narrow_clocks", AttentionConstants, narrow_s, kClocks, kNotNegative, 0,
        "time of the kernel that makes queries as narrow"),
    ROW("wide_passes", AttentionConstants, wide_passes, kRatio, kNotNegative, 0,
        "passes over partial results, where heads are too wide for one kernel"),
    ROW("combine_clocks", AttentionConstants, combine_s, kClocks, kNotNegative, 0,
        "time of the kernel that combines the parts of split keys"),
    ROW("combine_split_clocks", AttentionConstants, combine_split_s, kClocks, kNotNegative, 0,
        "time of that kernel for each part"),
};
static_assert(is_complete(kAttentionRows));

struct WinogradConstants {
    double fused, products, passes;
};
inline constexpr ConstantField<WinogradConstants> kWinogradRows[] = {
    ROW("fused", WinogradConstants, fused, kRatio, kPositive, kUnset,
        "share of the products' peak that one fused kernel reaches; unset: no Winograd kernels"),
    ROW("products", WinogradConstants, products, kRatio, kPositive, 1,
        "share of the peak that products between separate transforms reach"),
    ROW("passes", WinogradConstants, passes, kRatio, kPositive, 1,
        "time of separate transforms over the time of a stream of their bytes"),
};
static_assert(is_complete(kWinogradRows));

// [sparsity]
struct SparsityConstants {
    double gain_2_4;
};
inline constexpr ConstantField<SparsityConstants> kSparsityRows[] = {
    ROW("gain_2_4", SparsityConstants, gain_2_4, kRatio, kHalfToOne, 1,
        "share of a matrix unit's 2:4 factor that libraries reach"),
};
static_assert(is_complete(kSparsityRows));

// ---- CPUs: [cpu] ---------------------------------------------------------------------------------------

struct CpuConstants {
    double special_s, library_s, row_s, softmax_s, window_s, scattered_s, transpose_s, copying_s;
    double compiled_special_s, compiled_row_s, compiled_softmax_s, compiled_window_s, compiled_grain;
    double packing_s, gemv_s;
    double product, pixelwise, convolution, grouped, depthwise, attention;
    double convolution_s, region_s, fault_s_per_byte;
};
inline constexpr ConstantField<CpuConstants> kCpuRows[] = {
    ROW("special_per_clock_per_core", CpuConstants, special_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of exp and kin"),
    ROW("library_per_clock_per_core", CpuConstants, library_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of functions that eager execution takes from a vendor's library"),
    ROW("row_per_clock_per_core", CpuConstants, row_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of rows that are passed over several times"),
    ROW("softmax_per_clock_per_core", CpuConstants, softmax_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of a softmax"),
    ROW("window_per_clock_per_core", CpuConstants, window_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of pooling windows"),
    ROW("scattered_per_clock_per_core", CpuConstants, scattered_s, kElementsPerClockPerCore, kPositive,
        kUnset, "elements of rows that do not lie side by side; unset: as row"),
    ROW("transpose_per_clock_per_core", CpuConstants, transpose_s, kElementsPerClockPerCore, kPositive, 0,
        "elements brought from one order of axes into another"),
    ROW("copying_per_clock_per_core", CpuConstants, copying_s, kElementsPerClockPerCore, kPositive, 0,
        "elements of activations that a library copies into its blocked layout; unset: by bytes"),
    ROW("compiled_special_per_clock_per_core", CpuConstants, compiled_special_s, kElementsPerClockPerCore,
        kPositive, kUnset, "elements of exp and kin in compiled loops; unset: as in eager ones"),
    ROW("compiled_row_per_clock_per_core", CpuConstants, compiled_row_s, kElementsPerClockPerCore, kPositive,
        kUnset, "the same of rows; unset: as in eager loops"),
    ROW("compiled_softmax_per_clock_per_core", CpuConstants, compiled_softmax_s, kElementsPerClockPerCore,
        kPositive, kUnset, "the same of a softmax; unset: as in eager loops"),
    ROW("compiled_window_per_clock_per_core", CpuConstants, compiled_window_s, kElementsPerClockPerCore,
        kPositive, kUnset, "the same of pooling windows; unset: five times as many as in eager loops"),
    ROW("compiled_grain", CpuConstants, compiled_grain, kElements, kPositive, 512,
        "elements for each thread below which compiled loops run on one thread; the default is "
        "cpp.min_chunk_size of torch._inductor.config in PyTorch 2.13"),
    ROW("packing_per_clock", CpuConstants, packing_s, kElementsPerClock, kPositive, 0,
        "elements of weights packed into panels, of the whole machine; unset: by bytes"),
    ROW("gemv_per_clock", CpuConstants, gemv_s, kElementsPerClock, kPositive, 0,
        "elements of weights streamed against a single row, of the whole machine"),
    ROW("product", CpuConstants, product, kRatio, kPositive, 1,
        "arithmetic that matrix products reach, as a multiple of [achieved]"),
    ROW("pixelwise", CpuConstants, pixelwise, kRatio, kPositive, 1, "the same of 1 x 1 convolutions"),
    ROW("convolution", CpuConstants, convolution, kRatio, kPositive, 1, "the same of other convolutions"),
    ROW("grouped", CpuConstants, grouped, kRatio, kPositive, 1, "the same of convolutions in groups"),
    ROW("depthwise", CpuConstants, depthwise, kRatio, kPositive, 1,
        "the same of convolutions with one channel to a group"),
    ROW("attention", CpuConstants, attention, kRatio, kPositive, 1, "the same of attention"),
    ROW("convolution_us", CpuConstants, convolution_s, kMicroseconds, kNotNegative, 0,
        "time of a call of the convolution library on top of another op's"),
    ROW("parallel_region_us_per_thread", CpuConstants, region_s, kMicroseconds, kNotNegative, 0,
        "time to open and close a parallel loop, for each thread"),
    ROW("page_fault_us", CpuConstants, fault_s_per_byte, kMicrosecondsPerPage, kNotNegative, 0,
        "time to map a new page of 4 KiB, for results above 32 MiB"),
};
static_assert(is_complete(kCpuRows));

// ---- what is reached of a data sheet: [achieved] -------------------------------------------------------

// A figure of each engine for each dtype; kUnset where there is none.
struct EngineFigures {
    std::array<double, kDTypeCount> matrix, vector;

    double of(bool on_matrix, DType dtype) const {
        return (on_matrix ? matrix : vector)[static_cast<std::size_t>(dtype)];
    }
};
// Its key in a file and its name in a machine, for an engine and a dtype with a short name.
inline constexpr std::string_view kEngineAndDtype = "{engine}_{dtype}";

struct AchievedConstants {
    double dram, cache, matrix, vector;
};
inline constexpr ConstantField<AchievedConstants> kAchievedRows[] = {
    ROW("dram", AchievedConstants, dram, kRatio, kFraction, 1,
        "share of the DRAM bandwidth that streams reach", kRequired),
    ROW("cache", AchievedConstants, cache, kRatio, kFraction, 1,
        "share of the bandwidth of caches that streams reach", kRequired),
    ROW("matrix", AchievedConstants, matrix, kRatio, kReached, 1,
        "share of the peak that products on the matrix unit reach", kRequired),
    ROW("vector", AchievedConstants, vector, kRatio, kReached, 1,
        "share of the peak that arithmetic on the vector unit reaches", kRequired),
};
inline constexpr Constant kAchievedOfEngine{"{engine}_{dtype}",
                                            "{engine}_{dtype}",
                                            kRatio,
                                            kReached,
                                            kUnset,
                                            "the same for one dtype; unset: that of the engine"};
static_assert(is_complete(kAchievedRows));

// ---- energy: [energy], [sustained], [power] ------------------------------------------------------------

// In a file: what the loader makes a machine's figures of, with the board's limit.
inline constexpr Constant kEnergyRows[] = {
    LOADED("static_fraction", "static_fraction", kRatio, kFraction, kUnset,
           "share of the board's limit that it draws whatever it does; unset: energy is not estimated"),
    LOADED("dram_pj_per_byte", "dram_j_per_byte", kPicojoulesPerByte, kPositive, kUnset,
           "energy of a byte from DRAM, caches and wires included; unset: energy is not estimated"),
    LOADED("cache_pj_per_byte", "cache_j_per_byte", kPicojoulesPerByte, kNotNegative, 0,
           "energy of a byte from the last cache and the way to it; that of DRAM comes on top"),
    LOADED("spread", "spread", kRatio, kNotNegative, 0, "error band of the power, as in [band]"),
    LOADED("pj_per_flop_{engine}_{dtype}", "{engine}_{dtype}", kPicojoulesPerFlop, kPositive, kUnset,
           "energy of a FLOP at full clock; unset: from a known dtype by bits, else the limit over the peak"),
};
inline constexpr Constant kSustainedRows[] = {
    LOADED("static_fraction", "static_fraction", kRatio, kFraction, 0,
           "share of the board's limit that it draws whatever it does, under continuous load"),
    LOADED("dram_pj_per_byte", "dram_j_per_byte", kPicojoulesPerByte, kPositive, kUnset,
           "energy of a byte from DRAM under continuous load; unset: what the board sustains is not known"),
    LOADED("pj_per_flop_{engine}_{dtype}", "{engine}_{dtype}", kPicojoulesPerFlop, kPositive, kUnset,
           "energy of a FLOP under continuous load, at the lower voltage that a board at its limit has"),
};
inline constexpr Constant kPowerRows[] = {
    LOADED("static_fraction", "static_fraction", kRatio, kNotNegative, 0,
           "share of the board's limit that arithmetic does not get"),
    LOADED("static_w", "static_w", kWatts, kNotNegative, 0, "power that arithmetic does not get, on top"),
    LOADED("pj_per_flop_{engine}_{dtype}", "{engine}_{dtype}", kPicojoulesPerFlop, kPositive, kUnset,
           "energy of a FLOP: no rate exceeds what the rest of the limit pays for; unset: no limit"),
};

// In a machine.
struct EnergyConstants {
    double static_w, most_w, cache_j_per_byte, dram_j_per_byte, spread;
};
inline constexpr ConstantField<EnergyConstants> kEnergyDerived[] = {
    DERIVED(EnergyConstants, static_w, kWatts, kUnset, "power of the machine whatever it does"),
    DERIVED(EnergyConstants, most_w, kWatts, 0, "limit of the board"),
    DERIVED(EnergyConstants, cache_j_per_byte, kJoulesPerByte, 0, "energy of a byte from the last cache"),
    DERIVED(EnergyConstants, dram_j_per_byte, kJoulesPerByte, 0, "energy of a byte from DRAM on top"),
    DERIVED(EnergyConstants, spread, kRatio, 0, "error band of the power"),
};
struct SustainedConstants {
    double dram_s_per_byte;
};
inline constexpr ConstantField<SustainedConstants> kSustainedDerived[] = {
    DERIVED(SustainedConstants, dram_s_per_byte, kSecondsPerByte, kUnset,
            "energy of a byte from DRAM over the power that the board has for it; unset: no such limit"),
};
static_assert(is_complete(kEnergyDerived) && is_complete(kSustainedDerived));
inline constexpr Constant kEnergyOfEngine{"", kEngineAndDtype,   kJoulesPerFlop, kNotNegative,
                                          0,  "energy of a FLOP"};
inline constexpr Constant kSustainedOfEngine{"",
                                             kEngineAndDtype,
                                             kSecondsPerFlop,
                                             kNotNegative,
                                             0,
                                             "energy of a FLOP over the power that the board has for it"};
inline constexpr Constant kPowerOfEngine{
    "",     kEngineAndDtype,
    kRatio, kNotNegative,
    1,      "share of its reached rate that the board's limit leaves an engine"};

// ---- links: [collectives], [host_link], [cold_start] ---------------------------------------------------

struct CollectiveConstants {
    double base_s, hop_s, host_hop_s, ll_share, ll128_s, ll128_share, simple_s, simple_share;
    double own_copy, alltoall_step, switch_s, switch_share, switch_devices, host_share, host_sharing;
    double spread, host_spread;
};
inline constexpr ConstantField<CollectiveConstants> kCollectiveRows[] = {
    ROW("base_us", CollectiveConstants, base_s, kMicroseconds, kPositive, kUnset,
        "time of a call before any step"),
    ROW("hop_us", CollectiveConstants, hop_s, kMicroseconds, kPositive, kUnset,
        "time of a step from device to device over their link"),
    ROW("host_hop_us", CollectiveConstants, host_hop_s, kMicroseconds, kPositive, kUnset,
        "time of a step through the host"),
    ROW("ll_share", CollectiveConstants, ll_share, kRatio, kFraction, kUnset,
        "share of the link that protocol LL reaches: half of its bytes are flags, few in flight"),
    ROW("ll128_us", CollectiveConstants, ll128_s, kMicroseconds, kNotNegative, kUnset,
        "how much later protocol LL128 begins"),
    ROW("ll128_share", CollectiveConstants, ll128_share, kRatio, kFraction, kUnset,
        "share of the link that LL128 reaches: 120 of 128 bytes are data"),
    ROW("simple_us", CollectiveConstants, simple_s, kMicroseconds, kNotNegative, kUnset,
        "how much later protocol Simple begins: whole buffers, then a fence"),
    ROW("simple_share", CollectiveConstants, simple_share, kRatio, kFraction, kUnset,
        "share of the link that Simple reaches"),
    ROW("own_copy", CollectiveConstants, own_copy, kRatio, kNotNegative, kUnset,
        "cost of a byte of its own part that a device copies, in bytes over the link"),
    ROW("alltoall_step", CollectiveConstants, alltoall_step, kRatio, kNotNegative, kUnset,
        "cost of a further peer of an all-to-all, in steps"),
    ROW("switch_us", CollectiveConstants, switch_s, kMicroseconds, kNotNegative, kUnset,
        "how much later a reduction in the switch begins"),
    ROW("switch_share", CollectiveConstants, switch_share, kRatio, kPositive, kUnset,
        "share of the link that a reduction in the switch reaches, both directions counted"),
    ROW("switch_devices", CollectiveConstants, switch_devices, kDevices, kCount, kUnset,
        "least number of devices whose reduction the switch does"),
    ROW("host_share", CollectiveConstants, host_share, kRatio, kFraction, kUnset,
        "share of the host's link that two devices reach with Simple; LL reaches half of it"),
    ROW("host_sharing", CollectiveConstants, host_sharing, kRatio, kNotNegative, kUnset,
        "rate ~ flows^-host_sharing: 0 for paths of their own, 1 for one shared root complex"),
    ROW("spread", CollectiveConstants, spread, kRatio, kNotNegative, kUnset,
        "error band of calls over the devices' link, as in [band]"),
    ROW("host_spread", CollectiveConstants, host_spread, kRatio, kNotNegative, kUnset,
        "error band of calls through the host, as in [band]"),
};
static_assert(is_complete(kCollectiveRows));

struct HostLinkConstants {
    double latency_s, pinned_share, pageable_byte_per_s, spread;
};
inline constexpr ConstantField<HostLinkConstants> kHostLinkRows[] = {
    ROW("latency_us", HostLinkConstants, latency_s, kMicroseconds, kNotNegative, kUnset,
        "latency of one copy between host and device"),
    ROW("pinned_share", HostLinkConstants, pinned_share, kRatio, kFraction, kUnset,
        "share of the link's bandwidth that copies from pinned memory reach"),
    ROW("pageable_gb_per_s", HostLinkConstants, pageable_byte_per_s, kGigabytesPerSecond, kPositive, kUnset,
        "most that copies from pageable memory reach, which the host copies first"),
    ROW("spread", HostLinkConstants, spread, kRatio, kNotNegative, kUnset,
        "error band of the time of copies, as in [band]"),
};
static_assert(is_complete(kHostLinkRows));

struct ColdStartConstants {
    double runtime_low_s, runtime_high_s;
};
inline constexpr ConstantField<ColdStartConstants> kColdStartRows[] = {
    ROW("runtime_low_s", ColdStartConstants, runtime_low_s, kSeconds, kNotNegative, 0,
        "least time from the start of a process to the first kernel; weights come after it"),
    ROW("runtime_high_s", ColdStartConstants, runtime_high_s, kSeconds, kNotNegative, 0,
        "most time from the start of a process to the first kernel"),
};
static_assert(is_complete(kColdStartRows));

// How the links of a device's file are wired.
struct LinkConstants {
    double host_shared, host_unified, device_peers, device_reduces;
};
inline constexpr ConstantField<LinkConstants> kLinkDerived[] = {
    DERIVED(LinkConstants, host_shared, kRatio, 0, "1: the host's link is PCIe, and leads to other devices"),
    DERIVED(LinkConstants, host_unified, kRatio, 0, "1: host and device have one memory"),
    DERIVED(LinkConstants, device_peers, kDevices, kUnset,
            "devices that the link divides among; unset: the whole of it leads to any of them"),
    DERIVED(LinkConstants, device_reduces, kRatio, 0, "1: the switch adds up what devices send"),
};
static_assert(is_complete(kLinkDerived));

// ---- constants that the loader makes other figures of a machine of -------------------------------------

inline constexpr Constant kOverheadRows[] = {
    LOADED("dispatch_us", "dispatch_s", kMicroseconds, kNotNegative, kUnset,
           "host time to issue one op in eager execution", kRequired),
    LOADED("launch_gap_us", "launch_gap_s", kMicroseconds, kNotNegative, kUnset,
           "gap between two kernels of a stream", kRequired),
    LOADED("replay_gap_us", "replay_gap_s", kMicroseconds, kNotNegative, kUnset,
           "gap between two kernels of a replayed graph", kRequired),
    LOADED("kernel_minimum_us", "kernel_minimum_s", kMicroseconds, kNotNegative, kUnset,
           "time of the smallest contraction on top of the gap", kRequired),
    LOADED("kernel_minimum_clocks", "kernel_minimum_core_s", kOverheadClocks, kNotNegative, 0,
           "the part of it that passes in instructions of a core, on top"),
};
inline constexpr Constant kCacheRows[] = {
    LOADED("l1_byte_per_clock_per_core", "l1_byte_per_clock_per_core", kBytesAClockPerCore, kPositive, kUnset,
           "bandwidth of the L1 cache, where the sheet gives none; unset: the level is left out"),
    LOADED("l2_byte_per_clock_per_core", "l2_byte_per_clock_per_core", kBytesAClockPerCore, kPositive, kUnset,
           "the same of the L2 cache"),
    LOADED("scratchpad_byte_per_clock_per_core", "scratchpad_byte_per_clock_per_core", kBytesAClockPerCore,
           kPositive, kUnset, "the same of a scratchpad"),
    LOADED("llc_byte_per_clock_per_core", "llc_byte_per_clock_per_core", kBytesAClockPerCore, kPositive,
           kUnset, "the same of the last cache"),
    LOADED("scratchpad_over_dram_bandwidth", "scratchpad_over_dram_bandwidth", kRatio, kOneOrMore, kUnset,
           "bandwidth of a scratchpad over that of DRAM, where no other figure is known"),
};
inline constexpr Constant kDramLimitRows[] = {
    LOADED("dram_gb_per_s_per_core", "dram_byte_per_s_per_core", kGigabytesPerSecondPerCore, kPositive,
           kUnset, "DRAM bandwidth that one core reaches, where few threads are used; unset: no limit"),
};
// Four of five measurements lie between latency / (1 + spread) and latency x (1 + spread).
inline constexpr Constant kMachineBandRows[] = {
    LOADED("spread", "spread", kRatio, kNotNegative, kUnset,
           "error band of latencies, where a class of kernels has none of its own", kRequired),
};
inline constexpr Constant kAssumedRows[] = {
    LOADED("clock_ghz", "clock_hz", kGigahertz, kPositive, kUnset, "clock, where the sheet gives none",
           kRequired),
    LOADED("vector_flop_per_clock_per_core", "vector_flop_per_clock_per_core", kFlopAClockPerCore, kPositive,
           kUnset,
           "fp32 rate of the vector unit, where the sheet gives none; unset: there is no vector unit"),
    LOADED("idle_fraction_of_tdp", "idle_fraction_of_tdp", kRatio, kFraction, kUnset,
           "power at rest as a share of the limit, where the sheet gives none; unset: it is not known"),
};
static_assert(has_distinct_keys(kLimitRows, kDramLimitRows) && has_distinct_keys(kEnergyRows) &&
              has_distinct_keys(kSustainedRows) && has_distinct_keys(kPowerRows) &&
              has_distinct_keys(kOverheadRows) && has_distinct_keys(kCacheRows) &&
              has_distinct_keys(kAssumedRows));

#undef LOADED
#undef DERIVED
#undef ROW

}  // namespace infercost

// CPU: facts that do not depend on sizes. Rates of loops, and the share of the peak that each kind of product
// reaches, are constants of a family or were measured on the machine itself (`cpu.*`). Without constants, a
// loop costs its bytes and FLOPs.
#include <algorithm>
#include <cmath>

#include "hardware/machine.hpp"

namespace infercost {
namespace {

constexpr double kViewShare = 0.6;
constexpr double kOpsInsideNorms = 3.0;
// Threads that stay together synchronize once and need no wake-up.
constexpr double kJoinShare = 0.25;
// Copies into the layout of a library are separate calls: of weights, of an image, and of the result.
// Measured with torch 2.13 on small convolutions: 40 us for a depthwise one with channels innermost, 61 for a
// pointwise one, 77 and 95 with channels outermost.
constexpr double kWeightCall = 0.5;
constexpr double kLayoutCalls = 1.0;
// Channels per block in oneDNN's layouts, with AVX-512. Measured with torch 2.13: 24, 40 and 72 channels
// against 64 and 96.
constexpr double kBlockChannels = 16;
constexpr double kBrokenBlocks = 3.0;
// BLAS packs fp32 and wider weights in each call. Kernels of narrower weights (oneDNN, serving engines) read
// them through blocks that stay in the innermost cache, or have them packed when the model is loaded.
// Measured with torch 2.13 on a Xeon with AMX, one thread, 2048 x 4096 weights, cold: fp32 2.6 ms with 1 row,
// 7.2 with 8 and 8.2 with 32; bf16 1.7, 1.8 and 2.0.
constexpr int kPackedBits = 32;
// Linear layers with 16-bit weights in torch's own layout pass through oneDNN, which arranges them for its
// kernel in each call: 2 MiB that both cores hold in their L2 take 114 us with 1, 2 or 8 rows, and 213 from
// memory, where fp32 weights of 4 MiB take 95 and 230 (torch 2.13, two cores of a Xeon with AMX).
constexpr int kHalfBits = 16;
// Products of 8-bit operands, `torch._int_mm`, read them in place for one row and pack them for others: 1.6
// million weights from memory take 0.15 ms with 1 row and 0.23 with 4, of which 0.03 are arithmetic
// (torch 2.13, one core of an EPYC, Zen 4).
constexpr int kByteBits = 8;

// Whether a compiler generates the kernel instead of calling a library.
bool is_loop(WorkKind kind) {
    switch (kind) {
        case WorkKind::pointwise:
        case WorkKind::reduction:
        case WorkKind::softmax:
        case WorkKind::normalization:
        case WorkKind::pooling:
        case WorkKind::gather:
        case WorkKind::copy:
        case WorkKind::fill:
            return true;
        default:
            return false;
    }
}

// Whether some of a library's blocks of channels are partial: such copies use a general loop.
bool has_broken_blocks(const KernelTerms& terms) {
    const auto broken = [](const Affine& channels) {
        return is_constant(channels) && std::fmod(channels.constant, kBlockChannels) != 0;
    };
    if (is_depthwise(terms)) return broken(terms.batch);
    return broken(terms.n) ||
           (is_constant(terms.k) && std::fmod(terms.k.constant / terms.filter_elements, kBlockChannels) != 0);
}

// The share of the peak that a contraction reaches.
double share_of(const KernelTerms& terms, const CpuConstants& cpu) {
    if (terms.kind == WorkKind::attention) {
        return terms.operand_bits == kHalfBits ? cpu.half_attention : cpu.attention;
    }
    if (terms.kind != WorkKind::convolution) return cpu.product;
    if (is_depthwise(terms)) return cpu.depthwise;
    if (is_batched(terms)) return cpu.grouped;
    return terms.filter_elements > 1 ? cpu.convolution : cpu.pixelwise;
}

// Seconds per element of each loop, on one core.
double eager_s(SlowLoop loop, const CpuConstants& cpu) {
    switch (loop) {
        case SlowLoop::special:
            return cpu.special_s;
        case SlowLoop::library:
            return cpu.library_s;
        case SlowLoop::row:
            return cpu.row_s;
        case SlowLoop::softmax:
            return cpu.softmax_s;
        case SlowLoop::window:
            return cpu.window_s;
        case SlowLoop::scattered:
            return cpu.scattered_s;
        case SlowLoop::score:
            return cpu.score_s;
        case SlowLoop::half:
            return cpu.half_s;
        case SlowLoop::count_:
            break;
    }
    return 0;
}

double compiled_s(SlowLoop loop, const CpuConstants& cpu) {
    switch (loop) {
        case SlowLoop::special:
        case SlowLoop::library:  // a compiler vectorizes every function itself
            return cpu.compiled_special_s;
        case SlowLoop::row:
            return cpu.compiled_row_s;
        case SlowLoop::softmax:
            return cpu.compiled_softmax_s;
        case SlowLoop::window:
            return cpu.compiled_window_s;
        case SlowLoop::half:  // a compiler keeps what it widened in registers
            return 0;
        case SlowLoop::scattered:
        case SlowLoop::score:
        case SlowLoop::count_:
            break;
    }
    return eager_s(loop, cpu);
}

// How fast a product reads weights: from the caches of a core, and from memory relative to a stream.
struct WeightRates {
    double gemv_s;
    double stream;
};

WeightRates weight_rates(int weight_bits, bool frozen, const CpuConstants& cpu) {
    if (!frozen && weight_bits == kHalfBits) return {cpu.half_gemv_s, cpu.half_weight_stream};
    if (!frozen && weight_bits == kByteBits) return {cpu.byte_gemv_s, cpu.byte_weight_stream};
    return {cpu.gemv_s, cpu.weight_stream};
}

}  // namespace

// Bytes of the outermost caches that cores do not share, over all cores.
double Binder::private_capacity() const {
    const std::vector<MemoryLevel>& levels = hardware_.memory;
    if (levels.size() < 2) return 0;
    return levels[levels.size() > 2 ? levels.size() - 3 : 0].capacity_bytes;
}

// Whether weights are constants of the compiled graph, whose copies and conversions are folded when it is
// made. Narrow formats are compiled that way (freezing in torch.compile, graphs of oneDNN, serving engines),
// and compilers of whole models prepare all weights;
// torch.compile takes fp32 weights as arguments, and converts them in every call.
bool Binder::is_frozen(const KernelTerms& terms) const {
    return terms.prepared || (is_fused(execution_) && bits_of(terms.dtype) < kPackedBits);
}

bool Binder::is_folded(const KernelTerms& terms) const {
    const Affine& moved = terms.other_bytes;
    const Affine& written = terms.written_bytes;
    const bool reads_weights_alone = !is_zero(terms.weight_bytes) && moved.constant == written.constant &&
                                     moved.coefficient == written.coefficient &&
                                     moved.column == written.column;
    return hardware_.kind == MachineKind::cpu && is_frozen(terms) && is_loop(terms.kind) &&
           reads_weights_alone;
}

CpuCosts Binder::cpu(const KernelTerms& terms) {
    const Engine& vector = engines(terms.dtype).vector;
    const Engine engine =
        terms.prepared ? compiled_engine(hardware_, terms.dtype) : engines(terms.dtype).contraction;
    const Overheads& over = hardware_.overheads;
    const CpuConstants& cpu = constants_.cpu;
    const bool compiled = execution_ != Execution::eager || terms.prepared;
    CpuCosts costs;
    costs.cores = hardware_.cores;
    if (terms.kind == WorkKind::free) return costs;  // computed when the graph was made
    costs.depthwise = is_depthwise(terms);
    costs.shaped = !is_zero(terms.contraction_flops) && !is_zero(terms.m) && !costs.depthwise;
    costs.matrix = engine.matrix;
    costs.engine_s_per_flop = seconds_per(engine.flop_per_s) / share_of(terms, cpu);
    if (terms.kind == WorkKind::attention) {
        const double key_s = terms.operand_bits == kHalfBits ? cpu.half_key_s : cpu.key_s;
        costs.row_s_per_flop = key_s / 2 / hardware_.cores;
    }
    costs.vector_s_per_flop = seconds_per(vector.flop_per_s);
    costs.element_bytes = std::max(1, bits_of(terms.dtype) / 8);
    const double per_op = !compiled                                   ? over.dispatch_s
                          : is_replayed(execution_) || terms.prepared ? over.replay_gap_s
                                                                      : over.launch_gap_s;
    const bool contracts = is_contraction(terms.kind);
    const bool convolves = terms.kind == WorkKind::convolution;
    costs.launch_s = per_op + (contracts ? over.kernel_minimum_s : 0.0);
    if (convolves) {
        double calls = 1;
        if (!costs.depthwise && !is_frozen(terms)) calls += kWeightCall;
        if (!compiled && terms.channels_first) calls += kLayoutCalls;
        costs.launch_s += calls * cpu.convolution_s;
    }
    // Issuing a view op takes the host half as long as an op with a result. A norm issues several ops that
    // inspect statistics and create results.
    if (!compiled) {
        const double inner = terms.kind == WorkKind::normalization ? kOpsInsideNorms : 0.0;
        costs.launch_s += over.dispatch_s * (inner + kViewShare * terms.views + terms.python);
    }
    // torch's inductor (decide_parallel_depth) runs a loop on all threads or on one.
    if (compiled && is_loop(terms.kind)) {
        costs.least_shared = cpu.compiled_grain * hardware_.cores;
    }
    costs.apart = terms.apart;
    costs.private_capacity = private_capacity();
    // Loops of a compiler are called without torch's dispatcher; products and convolutions still pass through
    // it.
    const bool dispatched = !compiled || (contracts && !terms.prepared);
    costs.cold_s = (dispatched ? cpu.cold_dispatch_s : 0.0) + (contracts ? cpu.cold_product_s : 0.0) +
                   (convolves ? cpu.cold_convolution_s : 0.0);
    costs.cold_s = costs.private_capacity > 0 ? terms.opened * costs.cold_s : 0.0;
    costs.launch_s = terms.opened * costs.launch_s;
    costs.region_s = terms.opened * cpu.region_s + (1.0 - terms.opened) * cpu.region_s * kJoinShare;
    // Results are allocated one by one in eager execution, and by the calls of a compiled graph; its loops
    // write into buffers that it reuses, whose lines are read from memory before they are overwritten if no
    // cache holds them.
    if (!compiled || (contracts && !terms.prepared)) {
        costs.fault_s_per_byte = cpu.fault_s_per_byte;
    }
    if (compiled) {
        costs.allocated_s_per_byte = memory().dram_s_per_byte;
    }

    for (std::size_t i = 0; i < kSlowLoopCount; ++i) {
        const SlowLoop loop = static_cast<SlowLoop>(i);
        const double element_s = compiled ? compiled_s(loop, cpu) : eager_s(loop, cpu);
        costs.loop_s[i] = element_s / static_cast<double>(kSlowLoopUnit);
    }
    const auto has = [&](SlowLoop loop) {
        return !is_zero(terms.slow_loops[static_cast<std::size_t>(loop)]);
    };
    costs.rows =
        has(SlowLoop::row) || has(SlowLoop::softmax) || has(SlowLoop::scattered) || has(SlowLoop::window);
    // BLAS packs a matrix whatever it is: a weight that was dequantized before the product, too.
    if (terms.kind == WorkKind::gemm && is_zero(terms.weight_bytes) && is_one(terms.batch) &&
        terms.operand_bits >= kPackedBits) {
        costs.matrix_packing_s = cpu.packing_s / hardware_.cores;
    }
    if (terms.kind == WorkKind::gemm && !is_zero(terms.weight_bytes)) {
        costs.weights = true;
        const int weight_bits = terms.weight_bits > 0 ? terms.weight_bits : terms.operand_bits;
        const double elements_per_byte = 8.0 / std::max(1, weight_bits);
        costs.shares_per_byte = elements_per_byte / kGrainElements;
        const WeightRates rates = weight_rates(weight_bits, is_frozen(terms), cpu);
        costs.gemv_s_per_byte = rates.gemv_s * elements_per_byte / hardware_.cores;
        costs.weight_passes = 1.0 / rates.stream;
        if (weight_bits >= kPackedBits) {
            costs.packing_s_per_byte = cpu.packing_s * elements_per_byte / hardware_.cores;
        } else if (weight_bits == kByteBits && !is_frozen(terms)) {
            costs.packing_s_per_byte = cpu.byte_packing_s * elements_per_byte / hardware_.cores;
        }
    }
    costs.copies_activations = !compiled;
    costs.copies_results = !compiled && terms.channels_first && terms.kind == WorkKind::convolution;
    costs.copying_s = cpu.copying_s * (has_broken_blocks(terms) ? kBrokenBlocks : 1.0);
    costs.reorder_s = is_frozen(terms) && is_contraction(terms.kind) ? 0 : cpu.transpose_s;
    return costs;
}

}  // namespace infercost

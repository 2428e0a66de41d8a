// The algorithm of a convolution in torch on a CPU, and the copies of oneDNN. The conditions are those of
// `ConvParams::use_mkldnn` in torch's Convolution.cpp; allocations were read from records of its allocator.
#include <algorithm>

#include "lowering/workspace.hpp"

namespace infercost {
namespace {

constexpr std::int64_t kBlock = 16;           // channels in a block, with AVX-512
constexpr std::int64_t kFilterBlock = 8;      // elements in the place of one, of a wide depthwise filter
constexpr std::int64_t kWidestDepthwise = 9;  // 3 by 3

Expr padded(const Expr& channels) {
    return Expr::ceil_div(channels, kBlock) * kBlock;
}

struct Lengths {
    Expr batch = 1;
    Expr in_channels;
    Expr out_channels;
    Expr groups;
    Expr window = 1;
    Expr in_positions;
    Expr out_positions;
    int spatial = 0;
};

// Not computed from the number of elements: a batch may be empty.
Expr positions(const Call& call, TensorIndex t, int spatial) {
    Expr product = 1;
    for (int axis = 1; axis <= spatial; ++axis) product = product * call.dim(t, -axis);
    return product;
}

Lengths lengths_of(const Call& call, TensorIndex input, TensorIndex result, bool transposed) {
    const TensorIndex weight = call.require_tensor("weight");
    Lengths s;
    s.groups = call.integer("groups", 1);
    s.spatial = call.rank(weight) - 2;
    const bool batched = call.rank(input) == s.spatial + 2;
    if (batched) s.batch = call.dim(input, 0);
    for (int axis = 2; axis < call.rank(weight); ++axis) s.window = s.window * call.dim(weight, axis);
    s.in_channels = transposed ? call.dim(weight, 0) : call.dim(weight, 1) * s.groups;
    s.out_channels = transposed ? call.dim(weight, 1) * s.groups : call.dim(weight, 0);
    s.in_positions = positions(call, input, s.spatial);
    s.out_positions = positions(call, result, s.spatial);
    return s;
}

bool is_depthwise(const Lengths& s) {
    return !(s.groups == Expr(1)) && s.in_channels == s.groups && s.out_channels == s.groups;
}

bool all_are(const List<Expr>& values, std::int64_t wanted) {
    for (const Expr& value : values) {
        if (!(value == Expr(wanted))) return false;
    }
    return true;
}

// torch has its own kernel for small float32 convolutions of one image. Open sizes count as large.
bool is_native(const Call& call, const Lengths& s, TensorIndex input) {
    const TensorIndex weight = call.require_tensor("weight");
    if (call.stored_dtype(input) != DType::float32 || !(s.groups == Expr(1)) || !(s.batch == Expr(1)))
        return false;
    const auto wide = [&](int axis) {
        const Expr length = call.dim(weight, axis);
        return length.is_constant() && length.constant() > 3;
    };
    if (s.spatial >= 2 && wide(-1) && wide(-2)) return false;
    // The product of four dimensions, also for a volume.
    Expr numbers = 1;
    for (int axis = 0; axis < std::min(4, call.rank(input)); ++axis)
        numbers = numbers * call.dim(input, axis);
    constexpr std::int64_t kSmall = 20480;
    return numbers.is_constant() && numbers.constant() <= kSmall;
}

Expr columns(const Call& call, const Lengths& s, bool transposed) {
    const TensorIndex input = call.first_operand();
    if (transposed) return call.bytes(input, s.out_channels * s.window * s.in_positions);
    const bool is_product =
        s.window == Expr(1) && all_are(call.integers("stride"), 1) && all_are(call.integers("padding"), 0);
    return is_product ? Expr(0) : call.bytes(input, s.in_channels * s.window * s.out_positions);
}

enum class Layout { blocked, plain_input, columns };

Layout layout_of(const Lengths& s) {
    if (s.groups == Expr(1)) {
        const bool few = s.in_channels.is_constant() && s.in_channels.constant() < kBlock;
        return few && !(s.window == Expr(1)) ? Layout::plain_input : Layout::blocked;
    }
    const Expr in = ratio(s.in_channels, s.groups);
    const Expr out = ratio(s.out_channels, s.groups);
    if (in == Expr(1) && out == Expr(1)) return Layout::blocked;
    const auto divides = [](const Expr& e) { return e.is_constant() && e.constant() % 4 == 0; };
    return divides(in) && divides(out) ? Layout::blocked : Layout::columns;
}

// The layout of an operand determines the algorithm: channels last is not converted.
bool has_channels_last(const Call& call, TensorIndex t) {
    if (call.rank(t) < 4 || call.is_contiguous(t)) return false;
    return call.strides(t)[1] == Expr(1);
}

Expr channels_last(const Call& call, const Lengths& s) {
    const TensorIndex input = call.first_operand();
    const TensorIndex weight = call.require_tensor("weight");
    const Expr bytes = call.bytes(input, call.numel(weight));
    const bool flat = s.window == Expr(1) || call.dim(weight, 1) == Expr(1);
    Expr total = bytes;  // the weight in the layout of the kernel
    if (!flat && !has_channels_last(call, weight)) total += bytes;
    if (!has_channels_last(call, input)) total += call.bytes(input, call.numel(input));
    return total;
}

Expr blocked(const Call& call, const Lengths& s, bool transposed) {
    const TensorIndex input = call.first_operand();
    const TensorIndex result = call.output();
    const auto bytes = [&](const Expr& numbers) { return call.bytes(input, numbers); };
    const bool depthwise = is_depthwise(s);
    const bool pads = s.groups == Expr(1) || depthwise;
    const Expr in = pads ? padded(s.in_channels) : s.in_channels;
    const Expr out = pads ? padded(s.out_channels) : s.out_channels;
    const Expr written = bytes(call.numel(result));
    Expr made = bytes(s.batch * out * s.out_positions);  // the result in blocks
    Expr during = made;
    switch (layout_of(s)) {
        case Layout::columns:  // columns of one group, per thread
            made = written;
            during =
                made + bytes(ratio(s.in_channels, s.groups) * s.window * s.out_positions) * kWorkspaceThreads;
            break;
        case Layout::plain_input:
            during += bytes(out * s.in_channels * s.window);
            break;
        case Layout::blocked:
            during += bytes(s.batch * in * s.in_positions);
            during += depthwise ? bytes(out * s.window) : bytes(out * ratio(in, s.groups) * s.window);
            // A pointwise convolution with a stride first gathers the positions that it uses, per thread.
            if (s.window == Expr(1) && !all_are(call.integers("stride"), 1)) {
                during += bytes(in * s.out_positions) * kWorkspaceThreads;
            }
            break;
    }
    if (!(out == s.out_channels) && call.has("bias")) during += bytes(out);
    // After the blocks are computed, the result is allocated and written; a transposed result is written
    // twice.
    Expr after = made;
    if (transposed || (depthwise && s.spatial == 3)) after += written;
    if (transposed) during += bytes(s.out_channels * s.out_positions);
    return Expr::maximum(during - written, after);
}

// 1 if threads divide the positions of a pointwise convolution for the gradient of its filter, so that each
// has sums of its own; else 0: they divide channels. oneDNN takes what moves fewer bytes, with an element of
// the filter as 12 of the operands; measured with two threads, 32 to 384 channels on both sides of the limit.
Expr divides_positions(const Lengths& s) {
    constexpr std::int64_t kFilterElement = 12;
    const Expr limit = Expr::maximum(s.in_channels, s.out_channels) * kFilterElement;
    return Expr::minimum(1, s.batch * s.out_positions / (limit + 1));
}

}  // namespace

Expr convolution_workspace(const Call& call) {
    const bool transposed =
        call.flag("transposed", false) || call.op().name.find("conv_transpose") != std::string::npos;
    const TensorIndex input = call.first_operand();
    const Lengths s = lengths_of(call, input, call.output(), transposed);
    const bool last =
        has_channels_last(call, input) || has_channels_last(call, call.require_tensor("weight"));
    const bool copied = !last && !call.is_contiguous(input);
    const Expr copy = copied ? call.bytes(input, call.numel(input)) : Expr(0);
    if (is_native(call, s, input)) return copy + columns(call, s, transposed);
    if (last && !transposed) return channels_last(call, s);
    return copy + blocked(call, s, transposed);
}

Expr convolution_backward_workspace(const Call& call) {
    const TensorIndex grad = call.require_tensor("grad_output");
    const TensorIndex input = call.require_tensor("input");
    const TensorIndex weight = call.require_tensor("weight");
    const bool transposed = call.flag("transposed", false);
    Lengths s = lengths_of(call, input, grad, transposed);
    const auto bytes = [&](const Expr& numbers) { return call.bytes(input, numbers); };
    const List<Expr> wanted = call.integers("output_mask");
    const bool of_input = wanted.size() < 2 || !(wanted[0] == Expr(0));
    const bool of_weight = wanted.size() < 2 || !(wanted[1] == Expr(0));
    const Expr input_bytes = bytes(call.numel(input));
    const Expr weight_bytes = bytes(call.numel(weight));
    const bool depthwise = is_depthwise(s);
    const bool strided = !all_are(call.integers("stride"), 1);
    if (is_native(call, s, input)) {
        return bytes(transposed ? s.out_channels * s.window * s.in_positions
                                : s.in_channels * s.window * s.out_positions);
    }
    // Windows wider than 3 have no depthwise kernel for the gradient of the weight.
    const bool wide = depthwise && s.window.is_constant() && s.window.constant() > kWidestDepthwise;
    if (has_channels_last(call, input) && !transposed) {
        // Filters of one channel are padded to blocks on both sides.
        if (wide && of_weight) return bytes(s.groups * s.window * kBlock * kBlock) + weight_bytes;
        return weight_bytes * (strided && !(s.window == Expr(1)) ? 3 : 2);
    }
    const bool pads = s.groups == Expr(1) || depthwise;
    const Expr in = pads ? padded(s.in_channels) : s.in_channels;
    const Expr out = pads ? padded(s.out_channels) : s.out_channels;
    const Expr grad_blocks = bytes(s.batch * out * s.out_positions);
    const Expr input_blocks = bytes(s.batch * in * s.in_positions);
    const Expr weight_blocks =
        depthwise ? bytes(out * s.window) : bytes(out * ratio(in, s.groups) * s.window);
    Expr peak;
    Expr results;
    if (of_input) {
        results += input_bytes;
        // Windows with a step leave out positions, whose gradient is set to zero in a copy.
        const Expr written = strided && !depthwise ? input_bytes * 2 : input_bytes;
        peak = Expr::maximum(grad_blocks + weight_blocks + input_blocks, input_blocks + written);
    }
    if (of_weight) {
        const bool plain = layout_of(s) == Layout::plain_input;
        Expr during = results;
        if (plain) {
            during += grad_blocks + weight_bytes;
        } else if (wide) {
            // A product over columns, by thread, and filters of one channel in blocks.
            during += weight_blocks * kFilterBlock;
            during += bytes(s.window * s.out_positions) * kWorkspaceThreads;
        } else {
            during += grad_blocks + input_blocks + weight_blocks;
            if (s.window == Expr(1)) during += weight_blocks * (kWorkspaceThreads - 1) * divides_positions(s);
        }
        peak = Expr::maximum(peak, during);
        if (!wide) peak = Expr::maximum(peak, results + weight_blocks + weight_bytes);  // out of its blocks
        results += weight_bytes;
    }
    return Expr::maximum(peak - results, 0);
}

}  // namespace infercost

// Recurrent layers in torch on a CPU: oneDNN runs LSTM layers without a projection; torch's own steps run the
// others. Sizes were read from records of its allocator, at eight sizes of layers.
#include "lowering/workspace.hpp"
#include "ops/shapes.hpp"

namespace infercost {
namespace {

constexpr std::int64_t kVector = 16;       // float32 elements of a cache line
constexpr std::int64_t kAliased = 256;     // lines of this many elements share a cache set
constexpr std::int64_t kPages = 3 * 4096;  // each part of the scratchpad begins at a page

// Length of a row in oneDNN's buffers: whole cache lines, and one more where rows would share cache sets.
// Open lengths are not padded.
Expr padded_row(const Expr& length) {
    if (!length.is_constant()) return length;
    const Expr lines = Expr::ceil_div(length, kVector) * kVector;
    return lines.constant() % kAliased == 0 ? lines + kVector : lines;
}

struct Layers {
    TensorIndex input = kNoTensor;
    Expr rows;       // time steps x batch
    Expr sequences;  // of the batch
    Expr width;      // of the input
    Expr units;
    Expr results;  // width of one direction's result: the units, or their projection
    Expr count;
    std::int64_t directions = 1;
    std::int64_t gates = 1;
};

Layers layers_of(const Call& call) {
    Layers l;
    const bool packed = call.tensor("data") != kNoTensor;
    l.input = call.require_tensor(packed ? "data" : "input");
    l.width = call.dim(l.input, -1);
    l.rows = ratio(call.numel(l.input), l.width);
    l.directions = call.flag("bidirectional", false) ? 2 : 1;
    l.count = call.integer("num_layers", 1);
    const std::string_view op = call.op().name;
    l.gates = op == "aten.lstm" ? 4 : op == "aten.gru" ? 3 : 1;
    const List<TensorIndex> weights = call.tensors("params");
    if (weights.empty()) call.fail("has no weights; expected those of its layers");
    l.units = call.dim(weights[0], 0) / l.gates;
    l.results = call.dim(call.output(), -1) / l.directions;
    const List<TensorIndex> states = call.tensors("hx");  // each [layers x directions, batch, width]
    const TensorIndex state = states.empty() ? call.require_tensor("hx") : states[0];
    l.sequences = Expr::ceil_div(call.numel(state), call.dim(state, -1) * l.count * l.directions);
    return l;
}

}  // namespace

Expr recurrent_workspace(const Call& call) {
    const Layers l = layers_of(call);
    const auto bytes = [&](const Expr& numbers) { return call.bytes(l.input, numbers); };
    const bool library = l.gates == 4 && l.results == l.units && call.tensor("data") == kNoTensor &&
                         call.stored_dtype(l.input) == DType::float32;
    const Expr direction = l.rows * l.results;  // results of one direction of a layer
    const Expr layer = direction * l.directions;
    const Expr gates = l.rows * l.units * l.gates;
    // What one layer needs with the results of the layer before it, which a first layer does not have.
    const auto needed = [&](const Expr& width, const Expr& before) {
        if (!library) {
            // Products with the input of all steps; results by step, and these in one tensor.
            return bytes(before + gates * l.directions + layer + direction);
        }
        const Expr states = l.sequences * l.units * 8;
        const Expr weights = (width + l.units) * l.units * l.gates;  // in the layout of the kernel
        Expr copied;  // an input that is wider than the state is copied into rows of its own
        if (width.is_constant() && l.units.is_constant() && width.constant() > l.units.constant()) {
            copied = (l.rows + l.sequences) * padded_row(width) + states;
        }
        const Expr running = bytes(before + layer + weights + gates + states + copied) + kPages;
        // Both directions are joined at last.
        return l.directions == 1 ? running : Expr::maximum(running, bytes(before + layer * 2));
    };
    Expr peak = needed(l.width, 0);
    if (!(l.count == Expr(1))) peak = Expr::maximum(peak, needed(l.results * l.directions, layer));
    if (library && call.flag("batch_first", false)) peak += bytes(call.numel(l.input));  // time first
    return Expr::maximum(peak - bytes(layer), 0);
}

Expr library_layer_workspace(const Call& call) {
    const TensorIndex input = call.require_tensor("input");
    const TensorIndex state = call.tensor("weight1") != kNoTensor && call.tensor("weight0") != kNoTensor
                                  ? call.tensor("weight1")
                                  : call.require_tensor("weight2");
    const Expr width = call.dim(input, -1);
    const Expr units = call.dim(state, 1);
    const Expr rows = ratio(call.numel(input), width);
    const Expr row = padded_row(call.dim(state, 0));  // of all gates
    const auto bytes = [&](const Expr& numbers) { return call.bytes(input, numbers); };
    return bytes((width + units) * row + rows * row) + kPages;
}

}  // namespace infercost

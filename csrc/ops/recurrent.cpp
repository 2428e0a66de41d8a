// Recurrent layers and their cells. A layer is one kernel, as in libraries, although its steps are
// sequential: in `dims`, each step of each direction of each layer is a product of its own.

#include "core/errors.hpp"
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace recurrent_table {

// Operations of a cell per hidden unit, beside its matrix products and additions of biases: the products of
// input and state are added for each gate, followed by the activations and the new state.
struct CellKind {
    int gates;
    int per_unit;
};
// 4 additions, 3 sigmoids of 4, tanh; f * c + i * g; o * tanh(c)
constexpr CellKind kLstm{4, 22};
// 3 additions, 2 sigmoids of 4, r * (...), tanh; (1 - z) * n + z * h
constexpr CellKind kGru{3, 17};
// addition, tanh or max
constexpr CellKind kSimple{1, 2};

struct Recurrence {
    TensorIndex input = kNoTensor;
    List<TensorIndex> weights;  // of each layer and direction: input, state, biases, projection
    Expr rows = 0;              // time steps x batch
    Expr steps = 1;
    Expr layers = 1;
    Expr directions = 1;
};

void recur(const Call& call, Work& work, const CellKind& kind, const Recurrence& r) {
    List<TensorIndex> matrices;
    Expr weights;
    Expr biases;
    for (const TensorIndex t : r.weights) {
        if (t == kNoTensor) continue;
        if (call.rank(t) >= 2) {
            matrices.push_back(t);
            weights += call.numel(t);
        } else {
            biases += call.numel(t);
        }
    }
    const Expr cells = r.layers * r.directions;
    if (matrices.empty() || !cells.is_constant() || cells.constant() < 1 ||
        matrices.size() % static_cast<std::size_t>(cells.constant()) != 0) {
        throw InputError(call.op().full + " has " + std::to_string(matrices.size()) +
                         " weight matrices; expected two or three per layer and direction");
    }
    // The first matrix of each cell has one row per gate and hidden unit.
    const std::size_t each = matrices.size() / static_cast<std::size_t>(cells.constant());
    Expr units;
    for (std::size_t i = 0; i < matrices.size(); i += each) units += call.dim(matrices[i], 0) / kind.gates;
    const Expr n = call.dim(matrices[0], 0);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(r.input), r.steps * cells,
                    Expr::ceil_div(r.rows, r.steps), n, Expr::ceil_div(weights, n * cells));
    work.contraction_flops = r.rows * weights * 2;
    work.causal_flops = work.contraction_flops;
    work.pointwise_flops = r.rows * (biases + units * kind.per_unit);
}

Recurrence layers_of(const Call& call) {
    Recurrence r;
    const bool packed = call.tensor("data") != kNoTensor;
    r.input = call.require_tensor(packed ? "data" : "input");
    r.weights = call.tensors("params");
    r.layers = call.integer("num_layers", 1);
    r.directions = call.flag("bidirectional", false) ? 2 : 1;
    r.rows = ratio(call.numel(r.input), call.dim(r.input, -1));
    // Sequences of different lengths are stored by time step, without padding.
    r.steps = packed ? call.numel(call.require_tensor("batch_sizes"))
                     : call.dim(r.input, call.flag("batch_first", false) ? 1 : 0);
    return r;
}

// Active dropout between layers costs 3 per element, as in the dropout op.
void layers(const Call& call, Work& work, const CellKind& kind) {
    const Recurrence r = layers_of(call);
    recur(call, work, kind, r);
    const Argument* dropout = call.find("dropout");
    if (call.flag("train", false) && dropout && dropout->kind == ArgKind::real && dropout->real > 0) {
        work.pointwise_flops += call.numel(call.output()) * (r.layers - 1) * 3;
    }
}

// One layer writes the tensor between two layers, and the next reads it.
void layer_bytes(const Call& call, Work& work) {
    stream_operands.bytes(call, work);
    const Expr between = call.numel(call.output()) * (call.integer("num_layers", 1) - 1);
    call.write(work, call.output(), between);
    call.read(work, call.output(), between);
}
constexpr TrafficShape layer_traffic{layer_bytes, never};

void lstm(const Call& call, Work& work) {
    layers(call, work, kLstm);
}
void gru(const Call& call, Work& work) {
    layers(call, work, kGru);
}
void simple(const Call& call, Work& work) {
    layers(call, work, kSimple);
}

void cell(const Call& call, Work& work, const CellKind& kind) {
    Recurrence r;
    r.input = call.require_tensor("input");
    for (const char* name : {"w_ih", "w_hh", "b_ih", "b_hh"}) r.weights.push_back(call.tensor(name));
    r.rows = ratio(call.numel(r.input), call.dim(r.input, -1));
    recur(call, work, kind, r);
}
void lstm_cell(const Call& call, Work& work) {
    cell(call, work, kLstm);
}
void gru_cell(const Call& call, Work& work) {
    cell(call, work, kGru);
}
void simple_cell(const Call& call, Work& work) {
    cell(call, work, kSimple);
}

// With int8 weights, input and state of a cell are quantized in each step: 2 per element to choose a scale, 5
// to quantize, and 1 per sum of products to apply the scales. Float16 weights have no scale.
void quantize_cells(const Call& call, Work& work, const Recurrence& r) {
    Expr per_row;
    for (const TensorIndex t : r.weights) {
        if (t == kNoTensor || call.rank(t) < 2 || call.stored_dtype(t) != DType::int8) continue;
        work.dtype = DType::int8;
        per_row += call.dim(t, 1) * 7 + call.dim(t, 0);
    }
    work.pointwise_flops += r.rows * per_row;
}
void quantized_layers(const Call& call, Work& work, const CellKind& kind) {
    layers(call, work, kind);
    quantize_cells(call, work, layers_of(call));
}
void quantized_lstm(const Call& call, Work& work) {
    quantized_layers(call, work, kLstm);
}
void quantized_gru(const Call& call, Work& work) {
    quantized_layers(call, work, kGru);
}
void quantized_cell(const Call& call, Work& work, const CellKind& kind) {
    Recurrence r;
    r.input = call.require_tensor("input");
    for (const char* name : {"w_ih", "w_hh", "b_ih", "b_hh", "bias_ih", "bias_hh"}) {
        r.weights.push_back(call.tensor(name));
    }
    r.rows = ratio(call.numel(r.input), call.dim(r.input, -1));
    recur(call, work, kind, r);
    quantize_cells(call, work, r);
}
void quantized_lstm_cell(const Call& call, Work& work) {
    quantized_cell(call, work, kLstm);
}
void quantized_gru_cell(const Call& call, Work& work) {
    quantized_cell(call, work, kGru);
}
void quantized_simple_cell(const Call& call, Work& work) {
    quantized_cell(call, work, kSimple);
}

// The matrix products are separate calls; these are the operations after them.
void fused_cell(const Call& call, Work& work, const CellKind& kind, const char* state) {
    const TensorIndex units = call.require_tensor(state);
    const Expr rows = ratio(call.numel(units), call.dim(units, -1));
    work.kind = WorkKind::pointwise;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(units) * kind.per_unit;
    for (const char* name : {"input_bias", "hidden_bias"}) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) {
            work.pointwise_flops += rows * call.numel(t);
        }
    }
}
void fused_lstm_cell(const Call& call, Work& work) {
    fused_cell(call, work, kLstm, "cx");
}
void fused_gru_cell(const Call& call, Work& work) {
    fused_cell(call, work, kGru, "hx");
}

// Library-specific calls number the cells: relu, tanh, LSTM, GRU.
const CellKind& numbered(const Call& call) {
    const Expr mode = call.integer("mode", 2);
    if (mode == Expr(2)) return kLstm;
    return mode == Expr(3) ? kGru : kSimple;
}

// One layer and one direction, whatever the values of `num_layers` and `bidirectional`, which describe the
// whole.
void mkldnn_layer(const Call& call, Work& work) {
    Recurrence r;
    r.input = call.require_tensor("input");
    r.weights = {call.require_tensor("weight0"), call.require_tensor("weight1")};
    if (call.flag("has_biases", true)) {
        for (const char* name : {"weight2", "weight3"}) r.weights.push_back(call.tensor(name));
    }
    r.rows = ratio(call.numel(r.input), call.dim(r.input, -1));
    r.steps = call.dim(r.input, 0);
    recur(call, work, numbered(call), r);
}

// Each gradient of a product is a product of the same size: those of input, state and weights. Activations
// and gates are differentiated with as many operations as they have.
void mkldnn_layer_backward(const Call& call, Work& work) {
    Recurrence r;
    r.input = call.require_tensor("input");
    for (const char* name : {"weight1", "weight2"}) r.weights.push_back(call.require_tensor(name));
    if (call.flag("has_biases", true)) {
        for (const char* name : {"weight3", "weight4"}) r.weights.push_back(call.tensor(name));
    }
    r.rows = ratio(call.numel(r.input), call.dim(r.input, -1));
    r.steps = call.dim(r.input, 0);
    recur(call, work, numbered(call), r);
    work.dims.batch = work.dims.batch * 2;
    work.contraction_flops = work.contraction_flops * 2;
    work.causal_flops = work.contraction_flops;
    work.pointwise_flops = work.pointwise_flops * 2;
}

void cudnn_layers(const Call& call, Work& work) {
    Recurrence r;
    r.input = call.require_tensor("input");
    r.weights = call.tensors("weight");
    r.layers = call.integer("num_layers", 1);
    r.directions = call.flag("bidirectional", false) ? 2 : 1;
    r.rows = ratio(call.numel(r.input), call.dim(r.input, -1));
    const List<Expr> lengths = call.integers("batch_sizes");
    r.steps = lengths.empty() ? call.dim(r.input, call.flag("batch_first", false) ? 1 : 0)
                              : Expr(static_cast<std::int64_t>(lengths.size()));
    recur(call, work, numbered(call), r);
}

// The flat buffer shares the memory of the weights; the result that is saved for backward is empty at
// inference, and the last of a layer of oneDNN.
template <bool kBetween>
void library_bytes(const Call& call, Work& work) {
    const TensorIndex flat = call.tensor("weight_buf");
    const TensorIndex dropout_state = call.tensor("dropout_state");
    call.for_each_input([&](TensorIndex t) {
        if (t == flat || t == dropout_state) return;
        if (call.rank(t) >= 2) {
            call.read_operand(work, t);
        } else {
            call.read(work, t);
        }
    });
    const std::size_t results = kBetween ? 3 : 4;
    for (std::size_t i = 0; i < call.output_count() && i < results; ++i) call.write(work, call.output(i));
    if constexpr (kBetween) {
        const Expr between = call.numel(call.output()) * (call.integer("num_layers", 1) - 1);
        call.write(work, call.output(), between);
        call.read(work, call.output(), between);
    }
}
constexpr TrafficShape library_layer{library_bytes<false>, never};
constexpr TrafficShape library_layers{library_bytes<true>, never};

constexpr std::string_view kLstmWords =
    "2 * rows * weights; per unit 22: additions, 3 sigmoids, 2 tanh, products; and the biases";
constexpr std::string_view kGruWords =
    "2 * rows * weights; per unit 17: additions, 2 sigmoids, tanh, products; and the biases";
constexpr std::string_view kSimpleWords = "2 * rows * weights; per unit 2: add, activation; and the biases";
constexpr std::string_view kQuantizedWords =
    "as the float layer; on int8 also 7 per element of input and state, and 1 per sum";
constexpr std::string_view kNumbered = "as the layer of the cell that `mode` names";

constexpr std::string_view kNumberedBackward = "twice the forward, which is as the layer that `mode` names";

constexpr OpRule kTable[] = {
    {"aten.lstm", lstm, layer_traffic, kLstmWords, CastPolicy::lower, WorkspaceRule::recurrent,
     LibraryTrait::recurrent_layer},
    {"aten.gru", gru, layer_traffic, kGruWords, CastPolicy::lower, WorkspaceRule::recurrent,
     LibraryTrait::recurrent_layer},
    {"aten.rnn_tanh", simple, layer_traffic, kSimpleWords, CastPolicy::lower, WorkspaceRule::recurrent,
     LibraryTrait::recurrent_layer},
    {"aten.rnn_relu", simple, layer_traffic, kSimpleWords, CastPolicy::lower, WorkspaceRule::recurrent,
     LibraryTrait::recurrent_layer},
    {"aten.lstm_cell", lstm_cell, stream_operands, kLstmWords, CastPolicy::lower},
    {"aten.gru_cell", gru_cell, stream_operands, kGruWords, CastPolicy::lower},
    {"aten.rnn_tanh_cell", simple_cell, stream_operands, kSimpleWords, CastPolicy::lower},
    {"aten.rnn_relu_cell", simple_cell, stream_operands, kSimpleWords, CastPolicy::lower},
    {"aten._thnn_fused_lstm_cell", fused_lstm_cell, stream_all, "22 per unit and the biases",
     CastPolicy::lower},
    {"aten._thnn_fused_gru_cell", fused_gru_cell, stream_all, "17 per unit and the biases",
     CastPolicy::lower},
    {"aten.quantized_lstm", quantized_lstm, layer_traffic, kQuantizedWords},
    {"aten.quantized_gru", quantized_gru, layer_traffic, kQuantizedWords},
    {"quantized.quantized_lstm_cell_dynamic", quantized_lstm_cell, stream_operands, kQuantizedWords},
    {"quantized.quantized_gru_cell_dynamic", quantized_gru_cell, stream_operands, kQuantizedWords},
    {"quantized.quantized_rnn_tanh_cell_dynamic", quantized_simple_cell, stream_operands, kQuantizedWords},
    {"quantized.quantized_rnn_relu_cell_dynamic", quantized_simple_cell, stream_operands, kQuantizedWords},
    {"aten.mkldnn_rnn_layer", mkldnn_layer, library_layer, kNumbered, WorkspaceRule::library_layer},
    {"aten.mkldnn_rnn_layer_backward", mkldnn_layer_backward, stream_operands, kNumberedBackward,
     WorkspaceRule::library_layer},
    {"aten._cudnn_rnn", cudnn_layers, library_layers, kNumbered, CastPolicy::lower,
     LibraryTrait::recurrent_layer},
    {"aten.miopen_rnn", cudnn_layers, library_layers, kNumbered},
};
constexpr auto kRows = op_rows(kTable, Untied("each step reads all of the state"));

}  // namespace recurrent_table
}  // namespace

std::span<const OpRule> recurrent_rules() {
    return recurrent_table::kRows;
}

}  // namespace infercost

// Whole attention layers and encoder layers as one call, and attention with a score function of the caller.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace transformer_table {

void reads(const Call& call, Work& work) {
    call.for_each_input([&](TensorIndex t) {
        if (call.rank(t) >= 2) {
            call.read_operand(work, t);
        } else {
            call.read(work, t);
        }
    });
}

// One kernel writes the tensor, and the next reads it.
void passes(const Call& call, Work& work, TensorIndex like, const Expr& elements) {
    call.write(work, like, elements);
    call.read(work, like, elements);
}

// Self- or cross-attention with its projections: [batch, length, width].
struct Layer {
    TensorIndex query;
    Expr batch;
    Expr rows;
    Expr columns;
    Expr width;
    Expr heads;
};

Layer layer_of(const Call& call, const char* query, const char* key, const char* heads) {
    const TensorIndex q = call.require_tensor(query);
    const TensorIndex k = call.require_tensor(key);
    return {q, call.dim(q, 0), call.dim(q, 1), call.dim(k, 1), call.dim(q, -1), call.integer(heads, 1)};
}

Expr attention_macs(const Layer& a) {
    const Expr projections = a.batch * a.width * a.width * (2 * a.rows + 2 * a.columns);
    return projections + a.batch * a.rows * a.columns * a.width * 2;
}
// Biases of four projections; scale and softmax are 6 per score, a mask one more.
Expr attention_pointwise(const Call& call, const Layer& a) {
    const Expr biases = a.batch * a.width * (2 * a.rows + 2 * a.columns);
    return biases + a.batch * a.heads * a.rows * a.columns * (call.has("mask") ? 7 : 6);
}
// Tensors between the kernels: three projections, the scores before and after the softmax, and the results of
// the heads.
Expr attention_between(const Layer& a) {
    return a.batch * a.width * (2 * a.rows + 2 * a.columns) + 2 * a.batch * a.heads * a.rows * a.columns;
}

void fill_in(const Call& call, Work& work, const Layer& a, const Expr& macs) {
    const Expr tokens = a.batch * a.rows;
    set_contraction(work, WorkKind::gemm, call.engine_dtype(a.query), 1, tokens, a.width,
                    Expr::ceil_div(macs, tokens * a.width));
    work.contraction_flops = macs * 2;
    work.causal_flops = work.contraction_flops;
}

void attention_layer(const Call& call, Work& work) {
    const Layer a = layer_of(call, "query", "key", "num_head");
    fill_in(call, work, a, attention_macs(a));
    work.pointwise_flops = attention_pointwise(call, a);
}
void attention_layer_bytes(const Call& call, Work& work) {
    const Layer a = layer_of(call, "query", "key", "num_head");
    reads(call, work);
    passes(call, work, a.query, attention_between(a));
    call.write(work, call.output());
    if (call.flag("need_weights", true) && call.output_count() > 1) call.write(work, call.output(1));
}
constexpr TrafficShape attention_layer_traffic{attention_layer_bytes, never};

// Attention, two residual sums, two norms of 7 per element, two products with an activation between them.
void encoder_layer(const Call& call, Work& work) {
    const Layer a = layer_of(call, "src", "src", "num_heads");
    const Expr tokens = a.batch * a.rows;
    const Expr hidden = call.dim(call.require_tensor("ffn_weight_1"), 0);
    fill_in(call, work, a, attention_macs(a) + tokens * a.width * hidden * 2);
    const Expr activation = call.flag("use_gelu", false) ? 5 : 1;
    work.pointwise_flops =
        attention_pointwise(call, a) + tokens * (a.width * (2 + 14 + 1) + hidden * (1 + activation));
}
void encoder_layer_bytes(const Call& call, Work& work) {
    const Layer a = layer_of(call, "src", "src", "num_heads");
    const Expr tokens = a.batch * a.rows;
    const Expr hidden = call.dim(call.require_tensor("ffn_weight_1"), 0);
    reads(call, work);
    // The input of the layer is added once more; two sums, a norm and the hidden units are written and read.
    passes(call, work, a.query, attention_between(a) + tokens * (a.width * 3 + hidden));
    call.read(work, a.query);
    call.write(work, call.output());
}
constexpr TrafficShape encoder_layer_traffic{encoder_layer_bytes, never};

// Scores are computed in full; the blocks that a mask omits are data. If the capture knows the number of
// remaining scores (`seen_scores` of each head), `causal_flops` counts these.
void flexible(const Call& call, Work& work) {
    const TensorIndex query = call.require_tensor("query");
    const TensorIndex key = call.require_tensor("key");
    const Expr rows = call.dim(query, -2);
    const Expr columns = call.dim(key, -2);
    const Expr width = call.dim(query, -1);
    const Expr value_width = call.dim(call.require_tensor("value"), -1);
    const Expr heads = ratio(call.numel(query), rows * width);
    work.kind = WorkKind::attention;
    work.dtype = call.engine_dtype(query);
    work.dims = {heads, rows, columns, width, value_width, 1};
    work.contraction_flops = heads * rows * columns * 2 * (width + value_width);
    work.pointwise_flops = heads * rows * columns * 6;
    work.causal_flops = work.contraction_flops;
    if (call.has("seen_scores")) {
        work.causal_flops = heads * call.integer("seen_scores", 0) * 2 * (width + value_width);
    }
}
void flexible_bytes(const Call& call, Work& work) {
    for (const char* name : {"query", "key", "value"}) call.read_operand(work, call.require_tensor(name));
    call.write(work, call.output());
}
constexpr TrafficShape flexible_traffic{flexible_bytes, never};

constexpr OpRule kTable[] = {
    {"aten._native_multi_head_attention",   attention_layer, attention_layer_traffic,
     "four projections and 2*b*L*S*E; biases, mask and softmax are pointwise",            CastPolicy::lower  },
    {"aten._transformer_encoder_layer_fwd", encoder_layer,   encoder_layer_traffic,
     "attention and two products; norms, residuals, biases and activation are pointwise", CastPolicy::lower  },
    {"higher_order.flex_attention",         flexible,        flexible_traffic,
     "as scaled_dot_product_attention, dense; blocks that a mask leaves out are a figure of their own; the "
     "functions "
     "that change scores are not counted",                                                Relation::attention},
};
constexpr auto kRows = op_rows(kTable, Untied("a whole layer is one call"));

}  // namespace transformer_table
}  // namespace

std::span<const OpRule> transformer_rules() {
    return transformer_table::kRows;
}

}  // namespace infercost

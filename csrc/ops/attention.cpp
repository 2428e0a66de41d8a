// Scaled dot-product attention as one kernel: scores never reach memory.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace attention_table {

constexpr const char* kMasks[] = {"attn_mask", "attn_bias", "bias"};

// Active dropout costs 3 per score, as in the dropout op.
bool drops(const Call& call) {
    const Argument* p = call.find("dropout_p");
    return p && p->kind == ArgKind::real && p->real > 0;
}

// Row i attends to i + 1 keys, counted from the first key or, for `custom_mask_type` 2, so that the last row
// attends to all.
enum class Causal : std::uint8_t { no, from_first, from_last };
Causal causal_of(const Call& call) {
    const Expr type = call.integer("custom_mask_type", 0);
    if (type == Expr(2)) return Causal::from_last;
    return call.flag("is_causal", false) || type == Expr(1) ? Causal::from_first : Causal::no;
}

// Add the cost of the scores of queries and keys, for heads of equal lengths.
void attend(const Call& call, Work& work, const Expr& batch, const Expr& rows, const Expr& columns) {
    const TensorIndex query = call.require_tensor("query");
    const Expr width = call.dim(query, -1);
    const Expr value_width = call.dim(call.require_tensor("value"), -1);
    const Expr scores = batch * rows * columns;
    work.kind = WorkKind::attention;
    work.dtype = call.engine_dtype(query);
    work.dims = {.batch = batch, .m = rows, .n = columns, .k = width, .n_value = value_width};
    const Expr key_elements = columns * width;
    const TensorIndex key = call.require_tensor("key");
    work.dims.shared = key_elements == Expr(0) ? batch : ratio(call.numel(key), key_elements);
    work.contraction_flops = scores * 2 * (width + value_width);
    // Scale, then a softmax (max, subtract, exp, sum, divide); a mask is one more addition.
    bool masked = false;
    for (const char* name : kMasks) masked = masked || call.has(name);
    work.pointwise_flops = scores * ((masked ? 7 : 6) + (drops(call) ? 3 : 0));
    work.causal_flops = work.contraction_flops;
    const Causal causal = causal_of(call);
    if (causal != Causal::no) {
        // Ranks that share the tokens of a prompt have rows that see as many keys.
        const Expr ranks = call.integer("context_parts", 1);
        const Expr all = rows * ranks;
        // A triangle over min(L, S) rows; the other rows attend to all keys or to none.
        const Expr corner = Expr::minimum(all, columns);
        Expr seen = causal == Causal::from_first ? corner * (corner + 1) / 2 + (all - corner) * columns
                                                 : corner * columns - corner * (corner - 1) / 2;
        // Graphs of serving engines: row i attends to the last `window` of its keys.
        if (call.has("window")) {
            const Expr window = Expr::minimum(corner, call.integer("window", 0));
            seen = window * (window + 1) / 2 + (all - window) * window;
        }
        work.causal_flops = batch * seen * 2 * (width + value_width);
        if (!(ranks == Expr(1))) work.causal_flops = work.causal_flops / ranks;
    }
}

// query [..., L, E], key [..., S, E], value [..., S, Ev]. Batch and heads are those of the result.
// Grouped-query attention (fewer key heads) therefore computes all query heads and reads only its own keys.
// The queries of one sample may attend to the keys of several samples.
void scaled_dot_product(const Call& call, Work& work) {
    const TensorIndex query = call.require_tensor("query");
    const Expr rows = call.dim(query, -2);
    const Expr columns = call.dim(call.require_tensor("key"), -2);
    // One sequence may attend to the keys of several. A result without columns gives no information; then
    // assume it does not.
    const Expr value_width = call.dim(call.require_tensor("value"), -1);
    const Expr batch = value_width == Expr(0) ? ratio(call.numel(query), rows * call.dim(query, -1))
                                              : ratio(call.numel(call.output()), rows * value_width);
    attend(call, work, batch, rows, columns);
}

// query [B, L, H, E], or [tokens, H, E] with the bounds of sequences in `cum_seq_q` and `cum_seq_k`. The
// number of sequences is a length of the graph; their lengths are data, and are assumed equal.
void length_before_heads(const Call& call, Work& work) {
    const TensorIndex query = call.require_tensor("query");
    Expr sequences = 1;
    for (const char* name : {"cum_seq_q", "cu_seqlens_q"}) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) sequences = call.numel(t) - 1;
    }
    const Expr tokens = call.dim(query, -3);
    const Expr batch = ratio(call.numel(query), tokens * call.dim(query, -1));
    const Expr rows = Expr::ceil_div(tokens, sequences);
    const Expr columns = Expr::ceil_div(call.dim(call.require_tensor("key"), -3), sequences);
    attend(call, work, batch * sequences, rows, columns);
}

void operands_and_result(const Call& call, Work& work) {
    for (const char* name : {"query", "key", "value"}) call.read_operand(work, call.require_tensor(name));
    for (const char* name : kMasks) {
        if (const TensorIndex mask = call.tensor(name); mask != kNoTensor) call.read(work, mask);
    }
    // Some variants also return statistics for backward; inference keeps one.
    call.write(work, call.output());
}
constexpr TrafficShape flash{operands_and_result, never};

// The variant for training steps: its backward reads the statistics.
void with_statistics(const Call& call, Work& work) {
    operands_and_result(call, work);
    if (call.output_count() > 1) call.write(work, call.output(1));
}
constexpr TrafficShape flash_for_training{with_statistics, never};

constexpr std::string_view kConvention =
    "2*b*L*S*(E+Ev), dense; causal is a figure of its own; scale, mask and softmax are pointwise";

constexpr std::string_view kPacked =
    "as scaled_dot_product_attention; sequences of many lengths are taken as equally long";

constexpr OpRule kTable[] = {
    {"aten.scaled_dot_product_attention", scaled_dot_product, flash, kConvention, Relation::attention,
     CastPolicy::lower, WorkspaceRule::attention},
    {"aten._scaled_dot_product_flash_attention", scaled_dot_product, flash, kConvention, Relation::attention,
     CastPolicy::lower},
    {"aten._scaled_dot_product_flash_attention_for_cpu", scaled_dot_product, flash, kConvention,
     Relation::attention, CastPolicy::lower},
    {"aten._scaled_dot_product_efficient_attention", scaled_dot_product, flash, kConvention,
     Relation::attention, CastPolicy::lower},
    {"aten._scaled_dot_product_cudnn_attention", scaled_dot_product, flash, kConvention, Relation::attention},
    {"aten._scaled_dot_product_fused_attention_overrideable", scaled_dot_product, flash_for_training,
     kConvention, Relation::attention},
    {"aten._scaled_dot_product_attention_math", scaled_dot_product, flash, kConvention, Relation::attention},
    {"aten._scaled_dot_product_attention_math_for_mps", scaled_dot_product, flash, kConvention},
    {"aten._flash_attention_forward", length_before_heads, flash, kPacked},
    {"aten._efficient_attention_forward", length_before_heads, flash, kPacked},
    {"aten._cudnn_attention_forward", scaled_dot_product, flash, kConvention},
};
constexpr auto kRows = op_rows(kTable, Untied("operands are packed as one library reads them"));

}  // namespace attention_table
}  // namespace

std::span<const OpRule> attention_rules() {
    return attention_table::kRows;
}

}  // namespace infercost

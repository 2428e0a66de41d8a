#include "lowering/row_hints.hpp"

#include <array>
#include <string_view>

#include "ops/rule.hpp"

namespace infercost {
namespace {

// ---- vLLM -------------------------------------------------------------------------------------------
// One block of threads traverses the elements of one token: latency follows the number of rounds of tokens,
// not the bytes.

constexpr std::int64_t kTokenThreads = 1024;  // maximum threads of a block

struct TokenKernel {
    std::string_view op;
    int accesses;  // memory accesses per element of a token
};
constexpr std::array<TokenKernel, 5> kActivations = {
    {{"_C.silu_and_mul", 4},
     {"_C.gelu_and_mul", 4},
     {"_C.gelu_tanh_and_mul", 4},
     {"_C.gelu_new", 2},
     {"_C.gelu_fast", 2}}
};

RowHints token_rows(const Expr& tokens, const Expr& length) {
    return {.count = tokens,
            .length = length,
            .schedule = RowSchedule::block_per_row,
            .threads_per_row = kTokenThreads};
}

RowHints along_last_axis(const Call& call, TensorIndex t, int accesses) {
    const Expr width = call.dim(t, -1);
    return token_rows(ratio(call.numel(t), width), width * accesses);
}

// The ops write into an argument; their functional forms return the result.
TensorIndex result_of(const Call& call) {
    if (call.output_count() > 0) return call.output();
    const TensorIndex named = call.tensor("result");
    return named != kNoTensor ? named : call.require_tensor("out");
}

// The heads of a token are contiguous, and the block traverses each of them.
RowHints rotary_rows(const Call& call) {
    Expr elements = 0;
    for (const char* name : {"query", "key"}) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) elements += call.numel(t);
    }
    const Expr width = call.dim(call.require_tensor("query"), -1);
    return token_rows(ratio(elements, width), width * 3);
}

RowHints vllm_rows(const Call& call) {
    const std::string_view op = call.op().name;
    for (const TokenKernel& kernel : kActivations) {
        if (op == kernel.op) return along_last_axis(call, result_of(call), kernel.accesses);
    }
    if (op == "_C.rms_norm" || op == "_C.fused_add_rms_norm") {
        return along_last_axis(call, call.require_tensor("input"), call.has("residual") ? 5 : 4);
    }
    return op == "_C.rotary_embedding" ? rotary_rows(call) : RowHints{};
}

// ---- engines ------------------------------------------------------------------------------------------
// Kernels of the graphs that lowering/engines makes: one block per row, and some accesses per element of it.

RowHints engine_rows(const Call& call, const Work& work) {
    if (call.output_count() == 0 && !call.has("values")) return {};
    // Their blocks of threads go along tokens.
    if (call.op().name == "engine.recurrence" || call.op().name == "engine.causal_conv") return {};
    const std::int64_t accesses = call.integer("accesses", 2).constant();
    const std::int64_t vector = call.integer("vector", 1).constant();
    if (work.kind == WorkKind::normalization) {
        return token_rows(work.dims.m, Expr::ceil_div(work.dims.n * accesses, vector));
    }
    // One row per token: of the first operand, whose last dimension is the features.
    const List<TensorIndex> inputs = call.tensors(call.has("values") ? "values" : "inputs");
    if (inputs.size() == 0 || call.rank(inputs[0]) == 0) return {};
    // A contraction may add a vector, or scale by one, which has no tokens.
    if (is_contraction(work.kind) && !(call.numel(inputs[0]) == call.numel(call.output()))) return {};
    const Expr tokens = ratio(call.numel(inputs[0]), call.dim(inputs[0], -1));
    if (tokens == Expr(0)) return {};
    Expr elements = 0;
    if (call.has("values")) {
        for (const TensorIndex t : inputs) elements += call.numel(t);
    }
    for (std::size_t i = 0; i < call.output_count() && !call.has("values"); ++i) {
        elements += call.numel(call.output(i));
    }
    if (call.op().name == "engine.sample") elements = call.numel(inputs[0]);
    return token_rows(tokens, Expr::ceil_div(elements * accesses, tokens * vector));
}

// ---- torch ------------------------------------------------------------------------------------------

// torch assigns 512 threads to a group of group_norm and 128 to a row of layer_norm: a group is modelled as
// four rows of a quarter of its length.
constexpr std::int64_t kRowsPerGroup = 512 / 128;

RowHints group_norm_rows(const Work& work) {
    if (work.dims.n == Expr(0)) return {};
    return {.count = work.dims.m * kRowsPerGroup, .length = Expr::ceil_div(work.dims.n, kRowsPerGroup)};
}

// In NCHW, one thread per position processes all planes (UpSampleBilinear2d.cu and similar kernels).
RowHints interpolation_rows(const Call& call) {
    const TensorIndex result = call.output();
    const Expr planes = call.dim(result, 0) * call.dim(result, 1);
    return {.count = ratio(call.numel(result), planes),
            .length = planes,
            .schedule = RowSchedule::thread_per_row};
}

}  // namespace

RowHints row_hints(const Call& call, const Work& work) {
    const std::string_view op = call.op().name;
    if (op.starts_with("_C.")) return vllm_rows(call);
    if (op.starts_with("engine.")) return engine_rows(call, work);
    if (work.kind == WorkKind::pooling && traits_of(call).library == LibraryTrait::thread_per_position) {
        return interpolation_rows(call);
    }
    const bool group_norm =
        work.kind == WorkKind::normalization && op.find("group_norm") != std::string_view::npos;
    return group_norm ? group_norm_rows(work) : RowHints{};
}

}  // namespace infercost

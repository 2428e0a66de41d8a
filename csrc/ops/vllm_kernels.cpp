// Fused kernels of vLLM, as registered with torch (`torch.ops._C`). lowering/row_hints.cpp describes how
// their blocks of threads traverse tokens.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace vllm_kernels_table {

// Kernels write into an argument; their functional forms return it.
TensorIndex result_of(const Call& call) {
    if (call.output_count() > 0) return call.output();
    const TensorIndex named = call.tensor("result");
    return named != kNoTensor ? named : call.require_tensor("out");
}

template <int kFlops>
void activation(const Call& call, Work& work) {
    work.kind = WorkKind::pointwise;
    work.dtype = call.operand_dtype(result_of(call));
    work.pointwise_flops = call.numel(result_of(call)) * kFlops;
}

// Square, add; then scale and weight; the residual is added first.
void rms_norm(const Call& call, Work& work) {
    work.kind = WorkKind::normalization;
    const TensorIndex input = call.require_tensor("input");
    work.dtype = call.operand_dtype(input);
    work.pointwise_flops = call.numel(input) * (call.has("residual") ? 5 : 4);
    work.dims.n = call.dim(input, -1);
    work.dims.m = ratio(call.numel(input), work.dims.n);
}

// Each pair of elements is rotated: four products and two sums.
void rotary(const Call& call, Work& work) {
    work.kind = WorkKind::pointwise;
    Expr elements = 0;
    for (const char* name : {"query", "key"}) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) elements += call.numel(t);
    }
    work.dtype = call.operand_dtype(call.require_tensor("query"));
    work.pointwise_flops = elements * 3;
}

void reads_then_writes(const Call& call, Work& work) {
    const TensorIndex result = result_of(call);
    call.for_each_input([&](TensorIndex t) {
        if (t != result) call.read(work, t);
    });
    call.write(work, result);
    if (const TensorIndex sum = call.tensor("residual"); sum != kNoTensor) call.write(work, sum);
}

// Queries and keys are rotated in place; of the table, one row per token is read.
void turns(const Call& call, Work& work) {
    for (const char* name : {"query", "key"}) {
        const TensorIndex t = call.tensor(name);
        if (t == kNoTensor) continue;
        call.read(work, t);
        call.write(work, t);
    }
    const TensorIndex table = call.require_tensor("cos_sin_cache");
    const TensorIndex positions = call.require_tensor("positions");
    call.read(work, positions);
    call.read(work, table, call.numel(positions) * call.dim(table, -1));
}

constexpr TrafficShape kStream{reads_then_writes, never};
constexpr TrafficShape kTurn{turns, never};

constexpr OpRule kTable[] = {
    {"_C.silu_and_mul",       activation<5>,  kStream, "5 per element: sigmoid and two products"      },
    {"_C.gelu_and_mul",       activation<6>,  kStream, "6 per element: as aten.gelu, and a product"   },
    {"_C.gelu_new",           activation<9>,  kStream, "9 per element: as aten.gelu with tanh"        },
    {"_C.gelu_fast",          activation<9>,  kStream, "9 per element: as aten.gelu with tanh"        },
    {"_C.gelu_tanh_and_mul",  activation<10>, kStream, "10 per element: as aten.gelu, and a product"  },
    {"_C.rms_norm",           rms_norm,       kStream, "4 per element: square, add, scale, weight"    },
    {"_C.fused_add_rms_norm", rms_norm,       kStream, "5 per element: a sum, then as rms_norm"       },
    {"_C.rotary_embedding",   rotary,         kTurn,   "3 per element of queries and keys: pairs turn"},
};
constexpr auto kRows = op_rows(kTable, Untied("an engine has it, after layouts divide the captured graph"));

}  // namespace vllm_kernels_table
}  // namespace

std::span<const OpRule> vllm_kernel_rules() {
    return vllm_kernels_table::kRows;
}

}  // namespace infercost

// Fused kernels of engines, in graphs that lowering/engines makes. A kernel reads each operand once
// and writes each result once; what it computes is the sum of the operators that it stands for.
// lowering/row_hints.cpp describes how its blocks of threads traverse tokens.
#include "ops/convolution.hpp"
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace engine_kernels_table {

template <WorkKind kKind>
void fused(const Call& call, Work& work) {
    work.kind = kKind;
    work.pointwise_flops = call.integer("flops", 0);
    for (const TensorIndex t : call.tensors("inputs")) {
        if (is_floating(call.stored_dtype(t))) {
            work.dtype = call.operand_dtype(t);
            break;
        }
    }
    if (kKind != WorkKind::normalization || call.output_count() == 0) return;
    const TensorIndex result = call.output(call.output_count() - 1);
    work.dims.n = call.dim(result, -1);
    work.dims.m = ratio(call.numel(result), work.dims.n);
}

void operands_once(const Call& call, Work& work) {
    for (const TensorIndex t : call.tensors("inputs")) call.read(work, t);
    write_all(call, work);
    if (const List<TensorIndex> caches = call.tensors("caches"); !caches.empty()) {
        call.write(work, caches[0], call.integer("written", 0));
    }
}
constexpr TrafficShape kStream{operands_once, never};

// Values are copied to their places in the pages.
void placed(const Call& call, Work& work) {
    work.kind = WorkKind::scatter;
    work.dtype = call.operand_dtype(call.first_operand());
}
void pages(const Call& call, Work& work) {
    const List<TensorIndex> values = call.tensors("values");
    Expr elements = 0;
    for (const TensorIndex t : values) {
        call.read(work, t);
        elements += call.numel(t);
    }
    const List<TensorIndex> caches = call.tensors("caches");
    if (!caches.empty()) {
        call.write(work, caches[0], elements);
    } else {
        write_all(call, work);
    }
}
constexpr TrafficShape kPages{pages, never};

// ---- of compilers of whole models ----
// Explicit quantization stores operands as integers of either sign.
void set_integers(const Call& call, Work& work) {
    const DType stored = call.stored_dtype(call.require_tensor("input"));
    if (stored == DType::int8 || stored == DType::uint8) work.dtype = DType::int8;
}

// A convolution or a product with the elementwise work that follows it; `inputs` are tensors that it adds.
void fused_convolution(const Call& call, Work& work) {
    convolve(call, work, call.require_tensor("input"), call.require_tensor("weight"),
             call.flag("transposed", false));
    set_integers(call, work);
    work.pointwise_flops += call.integer("flops", 0);
}

// [..., k] times a matrix of n * k elements, in either order of its dimensions.
void fused_product(const Call& call, Work& work) {
    const TensorIndex input = call.require_tensor("input");
    const Expr k = call.dim(input, -1);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(input), 1, ratio(call.numel(input), k),
                    call.dim(call.output(), -1), k);
    set_integers(call, work);
    if (call.has("bias")) work.pointwise_flops = call.numel(call.output());
    work.pointwise_flops += call.integer("flops", 0);
}

void read_others(const Call& call, Work& work) {
    call.read_operand(work, call.require_tensor("weight"));
    if (const TensorIndex bias = call.tensor("bias"); bias != kNoTensor) call.read(work, bias);
    for (const TensorIndex t : call.tensors("inputs")) call.read(work, t);
    write_all(call, work);
}
void windows_once(const Call& call, Work& work) {
    const TensorIndex input = call.require_tensor("input");
    call.read_operand(work, input,
                      elements_in_windows(call, input, call.require_tensor("weight"), call.output()));
    read_others(call, work);
}
void rows_once(const Call& call, Work& work) {
    call.read_operand(work, call.require_tensor("input"));
    read_others(call, work);
}
constexpr TrafficShape kWindows{windows_once, never};
constexpr TrafficShape kRowsOnce{rows_once, never};

// Parts that other kernels cannot write where they belong are copied.
void copied_parts(const Call& call, Work& work) {
    for (const TensorIndex t : call.tensors("copied")) {
        call.read(work, t);
        call.write(work, call.output(), call.numel(t));
    }
}
constexpr TrafficShape kCopied{copied_parts, never};

// A scan over tokens or an update of states, and the convolution before it. What its products multiply are
// intermediate results; its operands and results alone lie in memory.
void scanned(const Call& call, Work& work) {
    fused<WorkKind::pointwise>(call, work);
    work.contraction_flops = call.integer("contraction_flops", 0);
    work.causal_flops = work.contraction_flops;
    if (work.contraction_flops == Expr(0)) return;
    work.kind = WorkKind::gemm;
    work.dims.batch = 1;
}
void convolved(const Call& call, Work& work) {
    fused<WorkKind::pointwise>(call, work);
    work.contraction_flops = call.integer("contraction_flops", 0);
    work.causal_flops = work.contraction_flops;
}

// All heads attend to one set of latents, of which a part holds the values as well. query
// [B, H, L, E], latents [B, 1, S, part] each.
void latent_attention(const Call& call, Work& work) {
    const TensorIndex query = call.require_tensor("query");
    const List<TensorIndex> latents = call.tensors("latents");
    if (latents.empty()) call.fail("has no latents; expected the caches that it reads");
    const Expr rows = call.dim(query, -2);
    const Expr columns = call.dim(latents[0], -2);
    const Expr width = call.dim(query, -1);
    const Expr value_width = call.integer("value_width", 0);
    const Expr heads = ratio(call.numel(query), rows * width);
    const Expr scores = heads * rows * columns;
    work.kind = WorkKind::attention;
    work.dtype = call.engine_dtype(query);
    work.dims = {.batch = heads, .m = rows, .n = columns, .k = width, .n_value = value_width};
    work.dims.shared = call.dim(query, 0);
    work.contraction_flops = scores * 2 * (width + value_width);
    work.causal_flops = work.contraction_flops;
    work.pointwise_flops = scores * 6;
}
void query_and_latents(const Call& call, Work& work) {
    call.read_operand(work, call.require_tensor("query"));
    for (const TensorIndex t : call.tensors("latents")) call.read_operand(work, t);
    call.write(work, call.output());
}
constexpr TrafficShape kLatents{query_and_latents, never};

constexpr std::string_view kSum = "the sum of the operators in it; operands and results once";

constexpr OpRule kTable[] = {
    {"engine.norm",             fused<WorkKind::normalization>, kStream,       kSum                                              },
    {"engine.add_norm",         fused<WorkKind::normalization>, kStream,       kSum                                              },
    {"engine.rotary",           fused<WorkKind::pointwise>,     kStream,       kSum                                              },
    {"engine.activation",       fused<WorkKind::pointwise>,     kStream,       kSum                                              },
    {"engine.route",            fused<WorkKind::pointwise>,     kStream,       kSum                                              },
    {"engine.align",            fused<WorkKind::pointwise>,     kStream,       kSum                                              },
    {"engine.combine",          fused<WorkKind::pointwise>,     kStream,       kSum                                              },
    {"engine.causal_conv",      convolved,                      kStream,       kSum                                              },
    {"engine.recurrence",       scanned,                        kStream,       kSum                                              },
    {"engine.pointwise",        fused<WorkKind::pointwise>,     kStream,       kSum                                              },
    {"engine.sample",           fused<WorkKind::pointwise>,     kStream,       "5 per logit: a softmax, then a choice"           },
    {"engine.cache_write",      placed,                         kPages,        "moves new keys and values"                       },
    {"engine.latent_attention", latent_attention,               kLatents,      "2*b*L*S*(E+Ev); keys and values are one cache"   },
    {"engine.convolution",      fused_convolution,              kWindows,      "as conv, and the sum of the operators after it"  },
    {"engine.product",          fused_product,                  kRowsOnce,     "as linear, and the sum of the operators after it"},
    {"engine.join",             moves<WorkKind::copy>,          kCopied,       "moves the parts that no kernel writes in place"  },
    {"engine.parts",            no_work,                        view_of_first, "metadata only"                                   },
};
constexpr auto kRows = op_rows(kTable, Untied("an engine has it, after layouts divide the captured graph"));

}  // namespace engine_kernels_table
}  // namespace

std::span<const OpRule> engine_kernel_rules() {
    return engine_kernels_table::kRows;
}

}  // namespace infercost

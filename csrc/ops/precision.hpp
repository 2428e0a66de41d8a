// A precision is a mapping of dtypes that is applied to a captured graph, without a new trace. Precisions
// with kernels of their own (casts, quantization) rewrite the graph before it is planned:
// lowering/lowered_graph.hpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"

namespace infercost {

struct Precision {
    std::string_view name = "native";
    bool native = true;              // keep the captured dtypes, and torch's default arithmetic on them
    DType stored = DType::float32;   // floating tensors between ops
    DType operand = DType::float32;  // floating operands of contractions, in memory
    DType engine = DType::float32;   // the arithmetic of contractions
    // Mixed precision by torch's autocast, with this lower dtype. The captured dtypes are those of the model
    // in memory.
    std::optional<DType> autocast = std::nullopt;

    // Integers, booleans, complex numbers and floats of at most 8 bits keep their captured dtype: a quantized
    // tensor already has its width.
    DType storage_of(DType captured) const { return keeps(captured) ? captured : stored; }
    DType operand_of(DType captured) const { return keeps(captured) ? captured : operand; }
    DType engine_of(DType captured) const { return keeps(captured) ? captured : engine; }
    bool keeps(DType captured) const { return native || !is_floating(captured) || bits_of(captured) <= 8; }
};

// native, fp64, fp32, tf32, fp16, bf16, amp_fp16, amp_bf16, fp8 or int8. Throws InputError for any
// other name. "fp32" is strict: nothing is rounded to TF32, which "native" leaves to torch's defaults
// (lowering/library_precision.hpp) and "tf32" allows everywhere.
Precision parse_precision(std::string_view name);
std::vector<std::string> precision_names();

}  // namespace infercost

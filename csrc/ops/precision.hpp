// A precision is a rule for dtypes, applied to the captured graph: nothing is traced again. Those that add
// kernels of their own (casts, quantisation) rewrite the graph before it is planned: plan/lowering.hpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"

namespace infercost {

struct Precision {
    std::string_view name = "native";
    bool native = true;              // keep the captured dtypes
    DType stored = DType::float32;   // floating tensors between ops
    DType operand = DType::float32;  // floating operands of contractions, as they lie in memory
    DType engine = DType::float32;   // the arithmetic of contractions
    // Mixed precision by torch's autocast, with this as the lower one. The captured dtypes are those of the
    // model in memory.
    std::optional<DType> autocast = std::nullopt;

    // Integers, booleans and complex numbers keep their captured dtype, and so do floats of 8 bits and
    // fewer: who has quantised a tensor has chosen its width.
    DType storage_of(DType captured) const { return keeps(captured) ? captured : stored; }
    DType operand_of(DType captured) const { return keeps(captured) ? captured : operand; }
    DType engine_of(DType captured) const { return keeps(captured) ? captured : engine; }
    bool keeps(DType captured) const { return native || !is_floating(captured) || bits_of(captured) <= 8; }
};

// native, fp64, fp32, tf32, fp16, bf16, amp_fp16, amp_bf16, fp8, int8; throws std::invalid_argument listing
// them.
Precision parse_precision(std::string_view name);
std::vector<std::string> precision_names();

}  // namespace infercost

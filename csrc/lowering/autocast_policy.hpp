// The policy of torch's autocast for CUDA: the casts of the operands of an op.
#pragma once

#include <cstdint>

#include "core/graph.hpp"

namespace infercost {

enum class CastPolicy : std::uint8_t {
    none,          // runs in the dtypes of its operands
    lower,         // operands are cast to the lower precision
    full,          // operands are cast to float32
    full_result,   // runs in float32 unless its `dtype` argument is given; the kernel converts as it reads
    full_softmax,  // the same, but the kernel reads only float16; bfloat16 is cast before
    full_scan,     // the same, but operands are cast before
    widest,        // operands are cast to the widest dtype among them
    restored,      // runs in float32, and its result is cast back to the dtype of the first operand
};

CastPolicy cast_policy(const OpName& op);

}  // namespace infercost

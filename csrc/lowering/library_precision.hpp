// Kernels whose library may round fp32 operands to TF32 by default.
#pragma once

#include "ops/rule.hpp"

namespace infercost {

// Whether torch allows its library to use TF32 for this kernel in float32: convolutions and recurrent layers
// of cuDNN (`torch.backends.cudnn.allow_tf32` is True by default). Matrix products stay in float32
// (`torch.get_float32_matmul_precision()` is "highest"), and depthwise convolutions are torch's own kernels.
// A precision other than the native one states its engine, so that nothing is rounded without being asked.
bool may_round_to_tf32(const Call& call, const Work& work);

}  // namespace infercost

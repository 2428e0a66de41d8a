#include "lowering/library_precision.hpp"

namespace infercost {
namespace {

bool is_depthwise(const Work& work) {
    return !(work.dims.batch == Expr(1)) && work.dims.k == Expr(work.dims.filter_elements);
}

}  // namespace

bool may_round_to_tf32(const Call& call, const Work& work) {
    if (!call.precision().native || work.dtype != DType::float32) return false;
    if (work.kind == WorkKind::convolution) return !is_depthwise(work);
    return work.kind == WorkKind::gemm && traits_of(call).library == LibraryTrait::recurrent_layer;
}

}  // namespace infercost

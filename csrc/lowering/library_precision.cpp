#include "lowering/library_precision.hpp"

namespace infercost {
namespace {

bool is_recurrent_layer(const Call& call) {
    const std::string_view name = call.op().name;
    for (const char* layer : {"aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu", "aten._cudnn_rnn"}) {
        if (name == layer) return true;
    }
    return false;
}

bool is_depthwise(const Work& work) {
    return !(work.dims.batch == Expr(1)) && work.dims.k == Expr(work.dims.filter_elements);
}

}  // namespace

bool may_round_to_tf32(const Call& call, const Work& work) {
    if (!call.precision().native || work.dtype != DType::float32) return false;
    if (work.kind == WorkKind::convolution) return !is_depthwise(work);
    return work.kind == WorkKind::gemm && is_recurrent_layer(call);
}

}  // namespace infercost

// Collective operations between the ranks of a group, in graphs of one rank: `devices` ranks on `nodes`
// machines exchange the operand `input`. Bytes of device memory are the operand and the result, each once;
// bytes of the links are figures of their own. Additions of a reduction count as pointwise FLOPs: each rank
// adds its share of the n - 1 additions of every element.
#include <algorithm>

#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace collective_table {

constexpr std::int64_t kScaleGroup = 128;  // elements of a token with one scale, where they have one byte
constexpr std::int64_t kScaleBytes = 4;
constexpr std::int64_t kTokenBytes = 16;  // that travel with a narrow token: its source and its experts

std::int64_t number(const Call& call, std::string_view name, std::int64_t otherwise) {
    const Expr value = call.integer(name, otherwise);
    if (value.is_constant()) return value.constant();
    call.fail("has an argument '" + std::string(name) + "' that depends on a size; expected a number");
}

// Expert imbalance, or the busiest rank of another all-to-all: its bytes over the mean.
Expr of_busiest(const Expr& bytes, const ExchangeGroup& group) {
    return group.share == kBalanced ? bytes : bytes * group.share / kBalanced;
}

// Bytes of one token on the link. Narrow elements have scales.
std::int64_t token_bytes(const Call& call, TensorIndex tokens) {
    const Expr width = call.dim(tokens, -1);
    if (!width.is_constant()) {
        call.fail("has tokens of a width that depends on a size; expected a number of elements");
    }
    const std::int64_t bits = bits_of(call.stored_dtype(tokens));
    const std::int64_t bytes = width.constant() * bits / 8;
    if (bits > 8) return bytes;
    return bytes + (width.constant() + kScaleGroup - 1) / kScaleGroup * kScaleBytes + kTokenBytes;
}

// Experts of a token: given, or the number of its copies in the other tensor. 0: neither tells it.
std::int64_t experts_of_token(const Call& call, TensorIndex tokens, TensorIndex copies) {
    if (call.has("top_k")) return number(call, "top_k", 1);
    const Expr each = ratio(call.numel(copies), call.numel(tokens));
    return each.is_constant() && each.constant() >= 1 ? each.constant() : 0;
}

template <Collective kOp>
void exchanged(const Call& call, Work& work) {
    const TensorIndex input = call.require_tensor("input");
    const TensorIndex result = call.output();
    work.kind = WorkKind::collective;
    work.dtype = call.stored_dtype(input);
    ExchangeGroup& group = work.exchange.group;
    group.op = kOp;
    group.devices = number(call, "devices", 1);
    group.nodes = number(call, "nodes", 1);
    group.share = number(call, "share", kBalanced);
    if (exchanges_tokens(kOp)) group.kernel = ExchangeKernel::engine;
    if (const std::string_view kernel = call.text("kernel"); !kernel.empty()) {
        group.kernel = parse_exchange_kernel(kernel);
    }
    const std::int64_t n = group.devices;
    Expr& message = work.exchange.message_bytes;
    Expr& sent = work.exchange.sent_bytes;
    if constexpr (exchanges_tokens(kOp)) {
        TensorIndex tokens = kOp == Collective::dispatch ? input : result;
        const TensorIndex copies = kOp == Collective::dispatch ? result : input;
        group.top_k = experts_of_token(call, tokens, copies);
        if (group.top_k == 0) {  // then each copy counts as a token with one expert
            group.top_k = 1;
            tokens = copies;
        }
        group.experts = number(call, "experts", std::max<std::int64_t>(group.experts, group.top_k));
        group.cores = number(call, "sms", group.cores);
        group.token_bytes = token_bytes(call, tokens);
        check(group);
        message = ratio(call.numel(tokens), call.dim(tokens, -1)) * group.token_bytes;
        sent = of_busiest(message * group.top_k * (n - 1) / n, group);
        // The weighted sum of what the experts of a token return.
        if (kOp == Collective::combine) {
            work.pointwise_flops = call.numel(tokens) * (2 * group.top_k - 1);
        }
        return;
    }
    check(group);
    message = call.bytes(kOp == Collective::all_gather ? result : input);
    if (kOp == Collective::send || kOp == Collective::broadcast) {
        sent = n > 1 ? message : Expr(0);
    } else {
        sent = message * ((kOp == Collective::all_reduce ? 2 : 1) * (n - 1)) / n;
        if (kOp == Collective::alltoall) sent = of_busiest(sent, group);
    }
    if (kOp == Collective::all_reduce || kOp == Collective::reduce_scatter) {
        work.pointwise_flops = call.numel(input) * (n - 1) / n;
    }
}

constexpr std::string_view kSums = "(n - 1) / n per element: the additions of one of n ranks";
constexpr std::string_view kMoves = "only moves data";

constexpr OpRule kTable[] = {
    {"collective.all_reduce",     exchanged<Collective::all_reduce>,     stream_all, kSums },
    {"collective.reduce_scatter", exchanged<Collective::reduce_scatter>, stream_all, kSums },
    {"collective.all_gather",     exchanged<Collective::all_gather>,     stream_all, kMoves},
    {"collective.all_to_all",     exchanged<Collective::alltoall>,       stream_all, kMoves},
    {"collective.broadcast",      exchanged<Collective::broadcast>,      stream_all, kMoves},
    {"collective.send",           exchanged<Collective::send>,           stream_all, kMoves},
    {"collective.dispatch",       exchanged<Collective::dispatch>,       stream_all, kMoves},
    {"collective.combine",        exchanged<Collective::combine>,        stream_all,
     "2 * k - 1 per element of a token: the weighted sum of what its k experts return"     },
};
constexpr auto kRows = op_rows(kTable, Untied("a rank has it, whose axes are divided"));

}  // namespace collective_table
}  // namespace

std::span<const OpRule> collective_rules() {
    return collective_table::kRows;
}

}  // namespace infercost

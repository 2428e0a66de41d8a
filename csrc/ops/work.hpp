// The work of one node on any machine: operations by kind, bytes by role and direction.
// lowering/kernel_hints.hpp describes how a library or a compiler runs the node.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "core/exchange.hpp"
#include "core/expr.hpp"
#include "core/kinds.hpp"

namespace infercost {

enum class Traffic : std::uint8_t { weight, activation, kv_cache, index, count_ };
inline constexpr std::size_t kTrafficCount = static_cast<std::size_t>(Traffic::count_);
std::string_view name_of(Traffic traffic);

// A matrix product (possibly batched, grouped or implicit): `batch` times [m, k] x [k, n]. For attention, it
// is the score product (m queries, n keys, k head width), and `n_value` is the width of a value. If rows are
// reduced (norms, softmax, sums), m is the number of rows and n their length. For a convolution, m is batch x
// output positions, n the output channels, and k the reduction of one group.
struct Dimensions {
    Expr batch = 0;
    Expr m = 0;
    Expr n = 0;
    Expr k = 0;
    Expr n_value = 0;
    std::int64_t filter_elements = 1;  // convolution: positions of the filter (9 for 3 x 3)
    int weight_bits = 0;               // bits of weights that are narrower than the activations
    bool semi_structured = false;      // weights with two of four zeros along k, which are not stored (2:4)
    bool block_scales = false;         // both operands are narrow, and parts of their rows have scales
    Expr shared = 0;                   // attention: sets of keys, fewer than `batch` if heads share them
    Expr images = 0;                   // convolution: samples in the batch
    bool operator==(const Dimensions&) const = default;
};

// What the ranks of a group exchange.
struct Exchange {
    ExchangeGroup group;
    Expr message_bytes = 0;  // as nccl-tests counts it; of tokens of experts: the tokens of a rank, each once
    Expr sent_bytes = 0;     // that leave one device over its links, with the ring's share for reductions
    bool operator==(const Exchange&) const = default;
};

struct Work {
    WorkKind kind = WorkKind::unknown;
    DType dtype = DType::float32;  // dtype of the arithmetic's operands
    bool modelled = true;
    Expr contraction_flops;  // 2 x dense multiply-accumulates of matmul, convolution and attention
    Expr causal_flops;       // the same without the masked half of causal attention
    Expr pointwise_flops;    // all other FLOPs, by the convention of the op's row
    EnumArray<Traffic, Expr> read;
    EnumArray<Traffic, Expr> written;
    Dimensions dims;
    Exchange exchange;

    Expr bytes_read() const;
    Expr bytes_written() const;
    std::vector<Expr*> quantities();  // all of them
    Work substitute(const Sizes& sizes) const;
    bool operator==(const Work&) const = default;
    std::size_t hash() const;
};

}  // namespace infercost

// The work of one node on any machine: operations by kind, bytes by role and direction. How a library or a
// compiler runs the node is in lowering/kernel_hints.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "core/expr.hpp"
#include "core/kinds.hpp"

namespace infercost {

enum class Traffic : std::uint8_t { weight, activation, kv_cache, index, count_ };
inline constexpr std::size_t kTrafficCount = static_cast<std::size_t>(Traffic::count_);
std::string_view name_of(Traffic traffic);

// A (possibly batched, grouped or implicit) matrix product: `batch` times [m, k] x [k, n].
// For attention it is the score product (m queries, n keys, k head width); `n_value` is the width of a value.
// Where rows are reduced (norms, softmax, sums), m is the number of rows and n their length.
// For a convolution m is batch x output positions, n the output channels and k the reduction of one group.
struct Dimensions {
    Expr batch = 0;
    Expr m = 0;
    Expr n = 0;
    Expr k = 0;
    Expr n_value = 0;
    std::int64_t filter_elements = 1;  // convolution: positions of the filter (9 for 3 x 3)
    int weight_bits = 0;               // of weights that are narrower than the activations they meet
    bool semi_structured = false;      // of weights: two of four along k are zero and not stored (2:4)
    Expr shared = 0;                   // attention: sets of keys, fewer than `batch` where heads share them
    Expr images = 0;                   // convolution: samples in the batch
    bool operator==(const Dimensions&) const = default;
};

struct Work {
    WorkKind kind = WorkKind::unknown;
    DType dtype = DType::float32;  // of the operands of the arithmetic
    bool modelled = true;
    Expr contraction_flops;  // 2 x multiply-accumulates of matmul, convolution and attention, dense
    Expr causal_flops;       // the same when masked-out halves of causal attention are skipped
    Expr pointwise_flops;    // everything else, by the convention of the op's row
    std::array<Expr, kTrafficCount> read;
    std::array<Expr, kTrafficCount> written;
    Dimensions dims;

    Expr bytes_read() const;
    Expr bytes_written() const;
    std::vector<Expr*> quantities();  // all of them
    Work substitute(const Sizes& sizes) const;
    bool operator==(const Work&) const = default;
    std::size_t hash() const;
};

}  // namespace infercost

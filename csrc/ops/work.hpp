// What one node asks of any machine: how many operations of what kind, and how many bytes of what role.
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
// Where rows are reduced (norms, softmax, sums), m is how many and n is their length.
// For a convolution m is batch x output positions, n the output channels and k the reduction of one group.
struct Dimensions {
    Expr batch = 0;
    Expr m = 0;
    Expr n = 0;
    Expr k = 0;
    Expr n_value = 0;
    std::int64_t window = 1;  // elements of the convolution kernel; where rows are gone along, threads to one
    int weight_bits = 0;      // of weights that are narrower than the activations they are widened to
    bool semi_structured = false;  // of weights: two of four along k are zero and not stored (2:4)
    Expr shared = 0;               // attention: sets of keys, fewer than `batch` where heads share them
    // A 3 x 3 convolution of stride 1: how many squares of 2 x 2 and of 4 x 4 cover its result. Winograd's
    // algorithms work on these; 0 where they do not apply.
    Expr squares_2 = 0;
    Expr squares_4 = 0;
    Expr images = 0;  // of a convolution: how many it is given
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
    // How the kernel meets memory; filled in by plans (plan/access.hpp).
    Expr strided_bytes;  // of those read: across the order in which the result is written
    bool channels_first = false;
    bool turned = false;
    bool broadcast = false;
    bool mixed = false;
    // What vector units and libraries of a CPU do beyond that: loops by what they cost, in hundredths of an
    // element, and bytes that are copied into a layout of the library's own before the kernel and out of it.
    std::array<Expr, kSlowLoopCount> slow_loops;
    Expr copied_bytes;

    Expr& slow_loop(SlowLoop kind_of_loop) { return slow_loops[static_cast<std::size_t>(kind_of_loop)]; }
    Expr bytes_read() const;
    Expr bytes_written() const;
    std::vector<Expr*> quantities();  // all of them
    Work substitute(const Sizes& sizes) const;
    bool operator==(const Work&) const = default;
    std::size_t hash() const;
};

}  // namespace infercost

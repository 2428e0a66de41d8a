// Execution of a kernel's work by a library, a framework or a compiler. Machine models read hints in addition
// to Work; counts do not.
#pragma once

#include <array>
#include <cstdint>

#include "core/kinds.hpp"
#include "ops/call.hpp"
#include "ops/work.hpp"

namespace infercost {

// Memory access (memory_access.cpp).
struct MemoryAccess {
    Expr strided_bytes = 0;  // part of the bytes read: read across the order in which the result is written
    bool channels_first = false;       // convolution, pooling: operand or result is NCHW
    bool needs_layout_change = false;  // group norm on NHWC input; the kernel needs NCHW
    bool broadcast = false;            // elementwise: an operand is smaller than the result
    bool mixed_dtypes = false;         // elementwise: the kernel casts an operand to the dtype of the result
    bool operator==(const MemoryAccess&) const = default;
};

// Number of 2 x 2 and 4 x 4 tiles that cover the result of a convolution; 0 if Winograd's algorithms do not
// apply (winograd.cpp).
struct WinogradTiles {
    Expr of_2 = 0;
    Expr of_4 = 0;
    bool operator==(const WinogradTiles&) const = default;
};

// Rows that a GPU kernel traverses, if they differ from the dimensions of the work (row_hints.cpp).
struct RowHints {
    Expr count = 0;   // rows; 0: m of the work
    Expr length = 0;  // accesses along a row; 0: n of the work
    RowSchedule schedule = RowSchedule::by_kind;
    std::int64_t threads_per_row = 0;  // of schedule block_per_row
    bool operator==(const RowHints&) const = default;
};

// Loops of a CPU kernel that cost more than their FLOPs, in hundredths of an element (slow_loops.cpp).
struct SlowLoops {
    EnumArray<SlowLoop, Expr> elements;

    Expr& operator[](SlowLoop kind) { return elements[kind]; }
    const Expr& operator[](SlowLoop kind) const { return elements[kind]; }
    SlowLoops& operator+=(const SlowLoops& other);
    bool operator==(const SlowLoops&) const = default;
};

struct KernelHints {
    MemoryAccess access = {};
    WinogradTiles winograd_tiles = {};
    RowHints rows = {};
    SlowLoops slow_loops = {};
    Expr copied_bytes = 0;  // convolution on a CPU: operands copied into the library's layout
    Expr kept_bytes = 0;    // results of the graph: they live on, so that no later one takes their place
    bool may_round_to_tf32 = false;  // the library may use TF32 for float32 (library_precision.hpp)
    // Nanoseconds that the device waits for an engine's host: scheduling, inputs and results of a step.
    Expr host_ns = 0;
    // A kernel of a compiled model: its call was prepared when the model was loaded, and its weights lie as
    // it reads them.
    bool prepared = false;
    bool copies_input = false;  // into the memory of a recorded graph, on a GPU (input_copies.hpp)
    bool operator==(const KernelHints&) const = default;
    std::size_t hash() const;
};

// Rows that the kernel traverses, and accesses along each.
inline const Expr& row_count(const Work& work, const KernelHints& hints) {
    return hints.rows.count == Expr(0) ? work.dims.m : hints.rows.count;
}
inline const Expr& row_length(const Work& work, const KernelHints& hints) {
    return hints.rows.length == Expr(0) ? work.dims.n : hints.rows.length;
}

}  // namespace infercost

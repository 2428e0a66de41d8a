// What a plan hands to machine models: the quantities of a kernel, each a constant plus a coefficient times a
// column. Columns are what depends on sizes; there are few of them, and they are computed once per block of
// points.
#pragma once

#include "core/dtype.hpp"
#include "core/exchange.hpp"
#include "core/kinds.hpp"

namespace infercost {

// constant + coefficient * columns[column][point]. Plain data: it crosses into code for other instruction
// sets.
struct Affine {
    double constant = 0;
    double coefficient = 0;
    int column = 0;
};

inline bool is_constant(const Affine& a) {
    return a.coefficient == 0;
}
// A quantity that is nothing at every point.
inline bool is_zero(const Affine& a) {
    return a.coefficient == 0 && a.constant == 0;
}

inline bool is_one(const Affine& a) {
    return a.coefficient == 0 && a.constant == 1;
}

struct KernelTerms {
    WorkKind kind;
    DType dtype;
    int operand_bits;        // width of a contraction's operands
    int weight_bits;         // of weights that are widened as they are read; 0: of operand_bits
    bool semi_structured;    // two of four weights are zero and not stored
    bool block_scales;       // both operands are narrow, and parts of their rows have scales
    double filter_elements;  // convolution: positions of the filter
    double launches;         // how often the plan runs it
    double views;            // eager: ops that only make views, issued before it; the mean over its launches
    double python;           // eager: Python code before it, in calls of ops; the mean over its launches
    double opened;           // compiled: share of launches that do not continue the loop nest before them
    double apart;            // launches from one of the same op to the next; the mean over its launches
    Affine contraction_flops;
    Affine pointwise_flops;
    Affine weight_bytes;  // read, and the same in every call
    Affine other_bytes;   // activations, caches and indices, read and written
    Affine written_bytes;
    Affine cached_bytes;  // of other_bytes: read from the cache of keys and values of the step before
    Affine kept_bytes;    // of written_bytes: results of the graph, which lie in memory of their own
    Affine batch;
    Affine m;  // of a product; the rows that a kernel goes along
    Affine n;  // of a product; the length of these rows
    Affine k;
    Affine n_value;
    Affine causal_flops;  // of the contraction, where masked-out halves are skipped
    Affine shared;
    Affine images;  // convolution: samples in the batch
    // How a library runs it (lowering/kernel_hints.hpp).
    Affine winograd_tiles_2;  // convolution: 2 x 2 tiles of the result; 0 where Winograd does not apply
    Affine winograd_tiles_4;  // 4 x 4 tiles
    RowSchedule row_schedule;
    double threads_per_row;             // of a serving engine's kernel (block_per_row)
    Affine strided_bytes;               // read across the order in which the result is written
    bool channels_first;                // convolution, pooling: NCHW
    bool needs_layout_change;           // group norm on NHWC input; the kernel needs NCHW
    Affine slow_loops[kSlowLoopCount];  // CPU: in hundredths of an element
    Affine copied_bytes;                // CPU: into the layout of a library and out of it
    bool may_round_to_tf32;             // float32 that a library may compute in TF32
    Affine host_ns;                     // that the device waits for an engine's host
    bool prepared;                      // of a compiled model: weights and the call were prepared at loading
    bool copies_input;                  // into the memory of a recorded graph, which only GPUs have
    ExchangeGroup exchange;             // of a collective
    Affine message_bytes;
    Affine sent_bytes;
};

// Several products at once, or a convolution in groups.
inline bool is_batched(const KernelTerms& terms) {
    return !is_one(terms.batch);
}
// A convolution with one channel per group: only the window is reduced.
inline bool is_depthwise(const KernelTerms& terms) {
    return terms.kind == WorkKind::convolution && is_constant(terms.k) &&
           terms.k.constant == terms.filter_elements && is_batched(terms);
}

}  // namespace infercost

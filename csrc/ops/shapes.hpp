// The named shapes of rows. An op with a function of its own has it above its table.
#pragma once

#include "ops/rule.hpp"

namespace infercost {

// ---- work -------------------------------------------------------------------------------------------

inline void no_work(const Call&, Work& work) {
    work.kind = WorkKind::free;
}

// A kernel of this kind that only moves data.
template <WorkKind kKind>
void moves(const Call&, Work& work) {
    work.kind = kKind;
}

DType arithmetic_dtype(const Call& call);

// Real operations per operation in this dtype: an operation on a complex number is one on each of its two
// parts.
inline std::int64_t parts_of(DType dtype) {
    return is_complex(dtype) ? 2 : 1;
}

int complex_operands(const Call& call);

// N operations per element of the (first) result.
template <int N, WorkKind kKind = WorkKind::pointwise>
void per_output(const Call& call, Work& work) {
    work.kind = kKind;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.output()) * (N * parts_of(work.dtype));
}

// N operations per element of the first operand.
template <int N, WorkKind kKind = WorkKind::reduction>
void per_input(const Call& call, Work& work) {
    work.kind = kKind;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.first_operand()) * (N * parts_of(work.dtype));
}

// Fill in a dense contraction: 2*batch*m*n*k. A complex product is four real ones.
void set_contraction(Work& work, WorkKind kind, DType operand, const Expr& batch, const Expr& m,
                     const Expr& n, const Expr& k);

// ---- traffic ----------------------------------------------------------------------------------------

bool never(const Call& call);
bool always(const Call& call);
bool in_place_only(const Call& call);

// Whether `shape` is a view of `t`, without a copy: each run of dimensions that is dense in memory must be
// divided into whole dimensions of the new shape. Lengths of 1 do not matter.
bool is_viewable(const Call& call, TensorIndex t, const List<Expr>& shape);
bool is_viewable(const List<Expr>& lengths, const List<Expr>& strides, const List<Expr>& shape);

void read_all_write_all(const Call& call, Work& work);
void read_operands_write_all(const Call& call, Work& work);
void write_all(const Call& call, Work& work);
void nothing(const Call& call, Work& work);

// Every operand is read once and every result written once; results of in-place ops share the storage of
// their operand.
inline constexpr TrafficShape stream_all{read_all_write_all, in_place_only};
// As stream_all, for contractions: operands at the precision's operand width, biases and indices as stored.
inline constexpr TrafficShape stream_operands{read_operands_write_all, in_place_only};
// The results are views of the first operand.
inline constexpr TrafficShape view_of_first{nothing, always};
// Each result is a view of the operand at its position.
inline constexpr TrafficShape view_of_each{nothing, always, true};
inline constexpr TrafficShape only_written{write_all, in_place_only};
inline constexpr TrafficShape no_traffic{nothing, in_place_only};

}  // namespace infercost

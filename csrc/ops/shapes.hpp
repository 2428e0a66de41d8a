// The named shapes that rows are made of. An op that needs its own function has it above its table.
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

// Real operations for one on numbers of this dtype: what is done to a complex number is done to two parts.
inline int parts_of(DType dtype) {
    return is_complex(dtype) ? 2 : 1;
}

int complex_operands(const Call& call);

// N operations for each element of the (first) result.
template <int N, WorkKind kKind = WorkKind::pointwise>
void per_output(const Call& call, Work& work) {
    work.kind = kKind;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.output()) * (N * parts_of(work.dtype));
}

// N operations for each element of the first operand.
template <int N, WorkKind kKind = WorkKind::reduction>
void per_input(const Call& call, Work& work) {
    work.kind = kKind;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.first_operand()) * (N * parts_of(work.dtype));
}

// Fills in a contraction: 2*batch*m*n*k, all of it needed. A product of complex numbers is four of real ones.
void set_contraction(Work& work, WorkKind kind, DType operand, const Expr& batch, const Expr& m,
                     const Expr& n, const Expr& k);

// ---- traffic ----------------------------------------------------------------------------------------

bool never(const Call& call);
bool always(const Call& call);
bool in_place_only(const Call& call);

// Whether `shape` can be laid over the strides of `t` without moving bytes: each run of dimensions that
// lies dense in memory must be cut into whole dimensions of the new shape. Lengths of 1 never matter.
bool is_viewable(const Call& call, TensorIndex t, const std::vector<Expr>& shape);
bool is_viewable(const std::vector<Expr>& lengths, const std::vector<Expr>& strides,
                 const std::vector<Expr>& shape);

void read_all_write_all(const Call& call, Work& work);
void read_operands_write_all(const Call& call, Work& work);
void write_all(const Call& call, Work& work);
void nothing(const Call& call, Work& work);

// Every operand is read once and every result written once; results of in-place ops lie on their operand.
inline constexpr TrafficShape stream_all{read_all_write_all, in_place_only};
// The same for contractions: operands at the precision's operand width, biases and indices as stored.
inline constexpr TrafficShape stream_operands{read_operands_write_all, in_place_only};
// The results are new names for the first operand's storage.
inline constexpr TrafficShape view_of_first{nothing, always};
// Each result is a new name for the storage of the operand at its place.
inline constexpr TrafficShape view_of_each{nothing, always, true};
inline constexpr TrafficShape only_written{write_all, in_place_only};
inline constexpr TrafficShape no_traffic{nothing, in_place_only};

}  // namespace infercost

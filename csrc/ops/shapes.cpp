#include "ops/shapes.hpp"

namespace infercost {

DType arithmetic_dtype(const Call& call) {
    // The first floating or complex operand determines the dtype: a comparison of floats is float work with a
    // boolean result.
    DType found = call.output_count() ? call.stored_dtype(call.output()) : DType::float32;
    bool done = false;
    call.for_each_input([&](TensorIndex t) {
        const DType dtype = call.stored_dtype(t);
        if (done || (!is_floating(dtype) && !is_complex(dtype))) return;
        found = dtype;
        done = true;
    });
    return found;
}

int complex_operands(const Call& call) {
    int count = 0;
    call.for_each_input([&](TensorIndex t) { count += is_complex(call.stored_dtype(t)) ? 1 : 0; });
    return count;
}

void set_contraction(Work& work, WorkKind kind, DType operand, const Expr& batch, const Expr& m,
                     const Expr& n, const Expr& k) {
    work.kind = kind;
    work.dtype = operand;
    const Expr depth = is_complex(operand) ? k * 4 : k;
    work.dims = {batch, m, n, depth, 0, 1};
    work.contraction_flops = batch * m * n * depth * 2;
    work.causal_flops = work.contraction_flops;
}

bool never(const Call&) {
    return false;
}
bool always(const Call&) {
    return true;
}
bool in_place_only(const Call& call) {
    return call.in_place();
}

bool is_viewable(const Call& call, TensorIndex t, const List<Expr>& shape) {
    return call.is_contiguous(t) || is_viewable(call.shape(t), call.strides(t), shape);
}

bool is_viewable(const List<Expr>& lengths, const List<Expr>& strides, const List<Expr>& shape) {
    std::vector<std::pair<Expr, Expr>> old_axes;  // length, stride
    for (std::size_t i = 0; i < lengths.size(); ++i) {
        if (!(lengths[i] == Expr(1))) old_axes.emplace_back(lengths[i], strides[i]);
    }
    List<Expr> wanted;
    for (const Expr& length : shape) {
        if (!(length == Expr(1))) wanted.push_back(length);
    }
    std::size_t next = wanted.size();
    Expr run = 1;
    for (std::size_t i = old_axes.size(); i-- > 0;) {
        run = run * old_axes[i].first;
        const bool dense = i > 0 && old_axes[i - 1].second == old_axes[i].first * old_axes[i].second;
        if (dense) continue;
        Expr covered = 1;
        while (next > 0 && !(covered == run)) covered = covered * wanted[--next];
        if (!(covered == run)) return false;
        run = 1;
    }
    return next == 0;
}

void nothing(const Call&, Work&) {}

void write_all(const Call& call, Work& work) {
    for (std::size_t i = 0; i < call.output_count(); ++i) call.write(work, call.output(i));
}

void read_all_write_all(const Call& call, Work& work) {
    call.for_each_input([&](TensorIndex t) { call.read(work, t); });
    write_all(call, work);
}

void read_operands_write_all(const Call& call, Work& work) {
    call.for_each_input([&](TensorIndex t) {
        if (call.rank(t) >= 2) {
            call.read_operand(work, t);
        } else {
            call.read(work, t);
        }
    });
    write_all(call, work);
}

}  // namespace infercost

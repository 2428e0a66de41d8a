#include "ops/call.hpp"

#include <functional>
#include <stdexcept>

namespace infercost {

std::string Call::text() const {
    const std::span<const Node> nodes = graph().nodes();
    if (std::less<>()(&node_, nodes.data()) || !std::less<>()(&node_, nodes.data() + nodes.size())) {
        return "the graph";  // a call for quantities of tensors alone
    }
    std::string text = "node " + std::to_string(&node_ - nodes.data()) + " (" + op().full;
    const std::string& module = graph().name(node_.module);
    return text + (module.empty() ? "" : " in '" + module + "'") + ")";
}

void Call::fail(const std::string& what) const {
    throw NodeError(text() + " " + what);
}

const Argument* Call::find(std::string_view name) const {
    for (const Argument& argument : graph().arguments(node_)) {
        if (argument.kind != ArgKind::none && graph().name(argument.name) == name) return &argument;
    }
    return nullptr;
}

TensorIndex Call::tensor(std::string_view name) const {
    const Argument* found = find(name);
    return found && found->kind == ArgKind::tensor ? static_cast<TensorIndex>(found->value) : kNoTensor;
}

TensorIndex Call::require_tensor(std::string_view name) const {
    const TensorIndex found = tensor(name);
    if (found != kNoTensor) return found;
    std::string got;
    for (const Argument& argument : graph().arguments(node_)) {
        got += (got.empty() ? "" : ", ") + graph().name(argument.name);
    }
    fail("needs a tensor argument '" + std::string(name) + "'; it has: " + got);
}

Expr Call::integer(std::string_view name, std::int64_t otherwise) const {
    const Argument* found = find(name);
    if (!found) return {otherwise};
    switch (found->kind) {
        case ArgKind::integer:
        case ArgKind::boolean:
            return {found->value};
        case ArgKind::expression:
            return pass_.expr(found->value);
        default:
            return {otherwise};
    }
}

bool Call::flag(std::string_view name, bool otherwise) const {
    const Argument* found = find(name);
    return found && found->kind == ArgKind::boolean ? found->value != 0 : otherwise;
}

std::string_view Call::text(std::string_view name) const {
    const Argument* found = find(name);
    if (!found || found->kind != ArgKind::text) return {};
    return graph().name(static_cast<std::uint32_t>(found->value));
}

List<Expr> Call::integers(std::string_view name) const {
    const Argument* found = find(name);
    List<Expr> result;
    if (!found) return result;
    if (found->kind == ArgKind::integer_list) {
        for (const std::int64_t value : graph().integers(found->range)) result.emplace_back(value);
    } else if (found->kind == ArgKind::expression_list) {
        for (const std::int64_t value : graph().integers(found->range)) result.push_back(pass_.expr(value));
    } else {
        result.push_back(integer(name, 0));
    }
    return result;
}

List<TensorIndex> Call::tensors(std::string_view name) const {
    const Argument* found = find(name);
    List<TensorIndex> result;
    if (!found || found->kind != ArgKind::tensor_list) return result;
    for (const std::int64_t t : graph().integers(found->range)) result.push_back(static_cast<TensorIndex>(t));
    return result;
}

TensorIndex Call::first_operand() const {
    for (const Argument& argument : graph().arguments(node_)) {
        if (argument.kind == ArgKind::tensor) return static_cast<TensorIndex>(argument.value);
        if (argument.kind == ArgKind::tensor_list) {
            for (const std::int64_t t : graph().integers(argument.range)) {
                if (t != kNoTensor) return static_cast<TensorIndex>(t);
            }
        }
    }
    fail("has no tensor operand; expected at least one");
}

TensorIndex Call::output(std::size_t i) const {
    if (i >= node_.outputs.count) {
        fail("has " + std::to_string(node_.outputs.count) + " results; expected more than " +
             std::to_string(i));
    }
    return static_cast<TensorIndex>(graph().node_outputs(node_)[i]);
}

Expr Call::dim(TensorIndex t, int axis) const {
    const Range shape = at(t).shape;
    const int index = axis < 0 ? axis + static_cast<int>(shape.count) : axis;
    if (index < 0 || index >= static_cast<int>(shape.count)) {
        fail("needs dimension " + std::to_string(axis) + " of a tensor with " + std::to_string(shape.count) +
             " dimensions");
    }
    return pass_.expr(graph().dim(shape, index));
}

List<Expr> Call::bound(Range range) const {
    List<Expr> result;
    result.reserve(range.count);
    for (const Dim d : graph().dims(range)) result.push_back(pass_.expr(d));
    return result;
}

Expr Call::numel(TensorIndex t) const {
    Expr total = 1;
    for (const Dim d : graph().dims(at(t).shape)) total = total * pass_.expr(d);
    return total;
}

Expr Call::distinct(TensorIndex t) const {
    Expr total = 1;
    const std::span<const Dim> shape = graph().dims(at(t).shape);
    const std::span<const Dim> strides = graph().dims(at(t).strides);
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (strides[i] != 0 || shape[i] == 0) total = total * pass_.expr(shape[i]);
    }
    return total;
}

DType Call::stored_dtype(TensorIndex t) const {
    return pass_.precision.storage_of(at(t).dtype);
}

namespace {

Expr bytes_of(DType dtype, const Expr& elements) {
    const int bits = bits_of(dtype);
    return bits % 8 == 0 ? elements * (bits / 8) : Expr::ceil_div(elements * bits, 8);
}

}  // namespace

Expr Call::bytes(TensorIndex t, const Expr& elements) const {
    return bytes_of(stored_dtype(t), elements);
}

Expr Call::storage_bytes(TensorIndex t) const {
    const std::int64_t elements = at(t).storage_elements;
    return elements < 0 ? bytes(t) : bytes_of(stored_dtype(t), elements);
}

Expr Call::weight_bytes(TensorIndex t) const {
    // The scales of a packed weight are not an operand, whatever their shape.
    return bytes_of(rank(t) >= 2 && at(t).logical_numel != 0 ? operand_dtype(t) : stored_dtype(t),
                    distinct(t));
}

Traffic Call::traffic(TensorIndex t) const {
    const TensorIndex root = pass_.storage.root(t);
    switch (at(root).role) {
        case Role::parameter:
        case Role::buffer:
            return Traffic::weight;
        case Role::kv_cache:
            return Traffic::kv_cache;
        default:
            break;
    }
    const DType dtype = at(t).dtype;
    return dtype == DType::int64 || dtype == DType::int32 ? Traffic::index : Traffic::activation;
}

bool Call::is_contiguous(TensorIndex t) const {
    const List<Expr> lengths = shape(t);
    const List<Expr> steps = strides(t);
    Expr expected = 1;
    for (std::size_t i = lengths.size(); i-- > 0;) {
        if (lengths[i] == Expr(1)) continue;
        if (!(steps[i] == expected)) return false;
        expected = expected * lengths[i];
    }
    return true;
}

bool Call::same_shape(TensorIndex a, TensorIndex b) const {
    return shape(a) == shape(b);
}

void Call::read(Work& work, TensorIndex t, const Expr& elements) const {
    Expr& slot = work.read[traffic(t)];
    slot = slot + bytes(t, elements);
}

void Call::read_operand(Work& work, TensorIndex t, const Expr& elements) const {
    Expr& slot = work.read[traffic(t)];
    slot = slot + bytes_of(operand_dtype(t), elements);
}

void Call::write(Work& work, TensorIndex t, const Expr& elements) const {
    Expr& slot = work.written[traffic(t)];
    slot = slot + bytes(t, elements);
}

}  // namespace infercost

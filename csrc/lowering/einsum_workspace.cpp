// Workspace of torch's einsum: copies of operands, and results between the products of several operands.
#include <algorithm>
#include <string>
#include <vector>

#include "lowering/workspace.hpp"
#include "ops/einsum.hpp"
#include "ops/shapes.hpp"

namespace infercost {
namespace {

// The letters of a product of two operands, grouped as in torch: in the order of the result, and then of the
// alphabet.
struct Roles {
    std::string batch, left, right, summed;

    Roles(const EinsumOperand& a, const EinsumOperand& b, const std::string& result,
          const std::string& later) {
        std::string order = a.letters;
        for (const char c : b.letters) order += a.has(c) ? "" : std::string(1, c);
        const auto place = [&](char c) {
            const std::size_t at = result.find(c);
            return at == std::string::npos ? result.size() + static_cast<std::size_t>(c) : at;
        };
        std::sort(order.begin(), order.end(), [&](char x, char y) { return place(x) < place(y); });
        for (const char c : order) {
            const bool kept = later.find(c) != std::string::npos;
            const bool both = a.is_long(c) && b.is_long(c);
            if (!kept && !both) continue;
            (!kept ? summed : both ? batch : a.is_long(c) || !b.has(c) ? left : right) += c;
        }
    }
};

Expr product_of(const EinsumOperand& part, const std::string& letters) {
    Expr total = 1;
    for (const char c : letters) total = total * part.lengths.at(c);
    return total;
}

// Elements of a copy, which is necessary if an operand of a batched product is not one matrix per batch in
// memory.
Expr copied_for(const EinsumOperand& part, const std::vector<std::string>& axes) {
    List<Expr> lengths, strides, shape;
    for (const std::string& letters : axes) {
        for (const char c : letters) {
            lengths.push_back(part.lengths.at(c));
            strides.push_back(part.strides.at(c));
        }
        shape.push_back(product_of(part, letters));
    }
    return is_viewable(lengths, strides, shape) ? Expr(0) : part.size();
}

EinsumOperand joined_of(const EinsumOperand& a, const EinsumOperand& b, const Roles& roles) {
    EinsumOperand joined;
    joined.letters = roles.batch + roles.left + roles.right;
    Expr step = 1;
    for (std::size_t i = joined.letters.size(); i-- > 0;) {
        const char c = joined.letters[i];
        joined.lengths[c] = a.is_long(c) || !b.has(c) ? a.lengths.at(c) : b.lengths.at(c);
        joined.strides[c] = step;
        step = step * joined.lengths[c];
    }
    return joined;
}

}  // namespace

Expr einsum_workspace(const Call& call) {
    const EinsumEquation equation = read_einsum(call);
    if (equation.operands.size() < 2) return {0};
    const Expr result = call.numel(call.output());
    EinsumOperand left = equation.operands[0];
    Expr before, most;
    for (std::size_t i = 1; i < equation.operands.size(); ++i) {
        EinsumOperand right = equation.operands[i];
        std::string later = equation.result;
        for (std::size_t j = i + 1; j < equation.operands.size(); ++j) later += equation.operands[j].letters;
        const EinsumOperand whole = left;
        Expr needed = before;
        if (!(sum_alone(left, right, later) == Expr(0))) needed += left.size();
        if (!(sum_alone(right, whole, later) == Expr(0))) needed += right.size();
        const Roles roles(left, right, equation.result, later);
        if (!roles.summed.empty()) {
            needed += copied_for(left, {roles.batch, roles.left, roles.summed});
            needed += copied_for(right, {roles.batch, roles.summed, roles.right});
        }
        left = joined_of(left, right, roles);
        const bool last = i + 1 == equation.operands.size();
        before = left.size();
        // The result is already part of the timeline while its operands are computed.
        most = Expr::maximum(most, last ? needed : needed + before - result);
    }
    return call.bytes(call.output(), most);
}

}  // namespace infercost

#include "ops/einsum.hpp"

#include <algorithm>

#include "core/errors.hpp"
#include "ops/contraction.hpp"
#include "ops/shapes.hpp"

namespace infercost {

EinsumEquation read_einsum(const Call& call) {
    const std::string equation(call.text("equation"));
    const List<TensorIndex> operands = call.tensors("tensors");
    std::string letters;
    for (const char c : equation) letters += c == ' ' ? "" : std::string(1, c);
    const std::size_t arrow = letters.find("->");
    std::vector<std::string> parts(1);
    for (const char c : letters.substr(0, arrow)) {
        if (c == ',') {
            parts.emplace_back();
        } else {
            parts.back() += c;
        }
    }
    const auto unreadable = [&] {
        return InputError("einsum '" + equation + "' with " + std::to_string(operands.size()) +
                          " operands cannot be parsed; expected one letter per dimension of each operand");
    };
    if (parts.size() != operands.size()) throw unreadable();
    // "..." matches the dimensions without a letter, aligned at their ends; they are named 9, 8, ... from the
    // right.
    const auto digits = [](std::size_t count) {
        return count <= 10 ? std::string("0123456789").substr(10 - count) : "";
    };
    std::size_t widest = 0;
    EinsumEquation read;
    std::map<char, int> uses;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto rank = static_cast<std::size_t>(call.rank(operands[i]));
        if (const std::size_t dots = parts[i].find("..."); dots != std::string::npos) {
            const std::size_t unnamed = rank + 3 >= parts[i].size() ? rank + 3 - parts[i].size() : 0;
            parts[i].replace(dots, 3, digits(unnamed));
            widest = std::max(widest, unnamed);
        }
        if (parts[i].size() != rank) throw unreadable();
        EinsumOperand part;
        for (std::size_t axis = 0; axis < rank; ++axis) {
            const char c = parts[i][axis];
            ++uses[c];
            if (!part.has(c)) part.letters += c;
            part.lengths[c] = call.dim(operands[i], static_cast<int>(axis));
            part.strides[c] = part.strides[c] + call.strides(operands[i])[axis];
        }
        read.operands.push_back(std::move(part));
    }
    if (arrow != std::string::npos) {
        read.result = letters.substr(arrow + 2);
        if (const std::size_t dots = read.result.find("..."); dots != std::string::npos) {
            read.result.replace(dots, 3, digits(widest));
        }
        return read;
    }
    for (const auto& [letter, count] : uses) {
        const bool unnamed = letter >= '0' && letter <= '9';
        read.result += count == 1 || unnamed ? std::string(1, letter) : "";
    }
    return read;
}

Expr sum_alone(EinsumOperand& operand, const EinsumOperand& other, const std::string& later) {
    std::string kept;
    for (const char c : operand.letters) {
        const bool alone = later.find(c) == std::string::npos && operand.is_long(c) && !other.is_long(c);
        if (!alone) kept += c;
    }
    if (kept.size() == operand.letters.size()) return 0;
    const Expr added = operand.size();
    operand.letters = kept;
    return added;
}

namespace {

bool only_moves(const EinsumEquation& equation) {
    if (equation.operands.size() != 1) return false;
    const std::string& letters = equation.operands[0].letters;
    return std::all_of(letters.begin(), letters.end(),
                       [&](char c) { return equation.result.find(c) != std::string::npos; });
}

}  // namespace

// Every distinct letter is a loop. More than two operands are contracted from left to right, as in torch
// without opt_einsum. Letters that no later operand needs are summed; a product without a summed letter is
// pointwise.
void einsum(const Call& call, Work& work) {
    const DType dtype = call.engine_dtype(call.tensors("tensors").at(0));
    EinsumEquation equation = read_einsum(call);
    if (equation.operands.size() == 1) {  // a sum, or a new view: transposed, or a diagonal
        work.kind = only_moves(equation) ? WorkKind::free : WorkKind::reduction;
        work.dtype = dtype;
        if (!only_moves(equation)) work.pointwise_flops = equation.operands[0].size() * parts_of(dtype);
        return;
    }
    EinsumOperand left = equation.operands[0];
    Expr total;
    Expr pointwise;
    work.kind = WorkKind::pointwise;
    work.dtype = dtype;
    for (std::size_t i = 1; i < equation.operands.size(); ++i) {
        EinsumOperand right = equation.operands[i];
        std::string later = equation.result;
        for (std::size_t j = i + 1; j < equation.operands.size(); ++j) later += equation.operands[j].letters;
        const EinsumOperand whole = left;
        const Expr added = sum_alone(left, right, later) + sum_alone(right, whole, later);
        pointwise += added * parts_of(dtype);
        EinsumOperand joined;
        Expr batch = 1, m = 1, n = 1, k = 1;
        std::string loop = left.letters;
        for (const char c : right.letters) loop += left.has(c) ? "" : std::string(1, c);
        for (const char c : loop) {
            const Expr length = left.is_long(c) || !right.has(c) ? left.lengths.at(c) : right.lengths.at(c);
            const bool kept = later.find(c) != std::string::npos;
            if (kept) {
                joined.letters += c;
                joined.lengths[c] = length;
            }
            const bool both = left.is_long(c) && right.is_long(c);
            Expr& axis = !kept ? k : (both ? batch : (left.is_long(c) ? m : n));
            axis = axis * length;
        }
        // Without a summed letter, it is a product of elements.
        const bool summed = std::any_of(loop.begin(), loop.end(), [&](char c) {
            return !joined.has(c) && left.is_long(c) && right.is_long(c);
        });
        if (summed) {
            set_contraction(work, WorkKind::gemm, dtype, batch, m, n, k);
            total += work.contraction_flops;
        } else {
            pointwise += batch * m * n * k * (is_complex(dtype) ? 6 : 1);
        }
        left = std::move(joined);
    }
    work.contraction_flops = total;
    work.causal_flops = total;
    work.pointwise_flops = pointwise;
}

bool einsum_aliases(const Call& call) {
    return only_moves(read_einsum(call));
}

void einsum_bytes(const Call& call, Work& work) {
    if (!einsum_aliases(call)) read_operands_write_all(call, work);
}

}  // namespace infercost

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "ops/contraction.hpp"
#include "ops/shapes.hpp"

namespace infercost {
namespace {

using Lengths = std::map<char, Expr>;

// An operand with its diagonals taken: every letter once.
struct Part {
    std::string letters;
    Lengths lengths;
    Lengths strides;

    bool has(char c) const { return letters.find(c) != std::string::npos; }
    bool is_long(char c) const { return has(c) && !(lengths.at(c) == Expr(1)); }
    Expr size() const {
        Expr total = 1;
        for (const char c : letters) total = total * lengths.at(c);
        return total;
    }
};

struct Equation {
    std::vector<Part> parts;
    std::string result;
};

Equation read_equation(const Call& call) {
    const std::string equation(call.text("equation"));
    const std::vector<TensorIndex> operands = call.tensors("tensors");
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
        return std::invalid_argument(
            "einsum '" + equation + "' with " + std::to_string(operands.size()) +
            " operands cannot be read; expected a letter for each of their dimensions");
    };
    if (parts.size() != operands.size()) throw unreadable();
    // "..." stands for the dimensions without a letter, aligned at their ends: they are called 9, 8, ... from
    // the right.
    const auto digits = [](std::size_t count) {
        return count <= 10 ? std::string("0123456789").substr(10 - count) : "";
    };
    std::size_t widest = 0;
    Equation read;
    std::map<char, int> uses;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto rank = static_cast<std::size_t>(call.rank(operands[i]));
        if (const std::size_t dots = parts[i].find("..."); dots != std::string::npos) {
            const std::size_t unnamed = rank + 3 >= parts[i].size() ? rank + 3 - parts[i].size() : 0;
            parts[i].replace(dots, 3, digits(unnamed));
            widest = std::max(widest, unnamed);
        }
        if (parts[i].size() != rank) throw unreadable();
        Part part;
        for (std::size_t axis = 0; axis < rank; ++axis) {
            const char c = parts[i][axis];
            ++uses[c];
            if (!part.has(c)) part.letters += c;
            part.lengths[c] = call.dim(operands[i], static_cast<int>(axis));
            part.strides[c] = part.strides[c] + call.strides(operands[i])[axis];
        }
        read.parts.push_back(std::move(part));
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

// Letters that only one of two operands has and nothing later needs are summed before the product.
Expr sum_alone(Part& part, const Part& other, const std::string& later) {
    std::string kept;
    for (const char c : part.letters) {
        const bool alone = later.find(c) == std::string::npos && part.is_long(c) && !other.is_long(c);
        if (!alone) kept += c;
    }
    if (kept.size() == part.letters.size()) return 0;
    const Expr added = part.size();
    part.letters = kept;
    return added;
}

bool only_moves(const Equation& equation) {
    if (equation.parts.size() != 1) return false;
    const std::string& letters = equation.parts[0].letters;
    return std::all_of(letters.begin(), letters.end(),
                       [&](char c) { return equation.result.find(c) != std::string::npos; });
}

// The letters of one product of two operands, as torch groups them: all in the order of the result, and then
// of the alphabet.
struct Roles {
    std::string batch, left, right, summed;

    Roles(const Part& a, const Part& b, const std::string& result, const std::string& later) {
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

Expr product_of(const Part& part, const std::string& letters) {
    Expr total = 1;
    for (const char c : letters) total = total * part.lengths.at(c);
    return total;
}

// Elements that are copied where an operand of a batched product cannot be seen as one matrix for each batch.
Expr copied_for(const Part& part, const std::vector<std::string>& axes) {
    std::vector<Expr> lengths, strides, shape;
    for (const std::string& letters : axes) {
        for (const char c : letters) {
            lengths.push_back(part.lengths.at(c));
            strides.push_back(part.strides.at(c));
        }
        shape.push_back(product_of(part, letters));
    }
    return is_viewable(lengths, strides, shape) ? Expr(0) : part.size();
}

Part joined_of(const Part& a, const Part& b, const Roles& roles) {
    Part joined;
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

// Copies of operands whose letters do not fold into a batch, rows and columns as they lie in memory, and what
// several operands leave between them.
Expr einsum_workspace(const Call& call) {
    const Equation equation = read_equation(call);
    if (equation.parts.size() < 2) return {0};
    const Expr result = call.numel(call.output());
    Part left = equation.parts[0];
    Expr before, most;
    for (std::size_t i = 1; i < equation.parts.size(); ++i) {
        Part right = equation.parts[i];
        std::string later = equation.result;
        for (std::size_t j = i + 1; j < equation.parts.size(); ++j) later += equation.parts[j].letters;
        const Part whole = left;
        Expr needed = before;
        if (!(sum_alone(left, right, later) == Expr(0))) needed += left.size();
        if (!(sum_alone(right, whole, later) == Expr(0))) needed += right.size();
        const Roles roles(left, right, equation.result, later);
        if (!roles.summed.empty()) {
            needed += copied_for(left, {roles.batch, roles.left, roles.summed});
            needed += copied_for(right, {roles.batch, roles.summed, roles.right});
        }
        left = joined_of(left, right, roles);
        const bool last = i + 1 == equation.parts.size();
        before = left.size();
        // The result stands in the timeline already, also while what leads to it is made.
        most = Expr::maximum(most, last ? needed : needed + before - result);
    }
    return call.bytes(call.output(), most);
}

// "bij,bjk->bik" and all its kin: every distinct letter is a loop. More than two operands are contracted
// from left to right, as torch does without opt_einsum; letters that no later operand needs are summed, and a
// product in which none is summed is pointwise.
void einsum(const Call& call, Work& work) {
    const DType dtype = call.engine_dtype(call.tensors("tensors").at(0));
    Equation equation = read_equation(call);
    if (equation.parts.size() == 1) {  // a sum, or a new view: turned around, or a diagonal
        work.kind = only_moves(equation) ? WorkKind::free : WorkKind::reduction;
        work.dtype = dtype;
        if (!only_moves(equation)) work.pointwise_flops = equation.parts[0].size() * parts_of(dtype);
        return;
    }
    Part left = equation.parts[0];
    Expr total;
    Expr pointwise;
    work.kind = WorkKind::pointwise;
    work.dtype = dtype;
    for (std::size_t i = 1; i < equation.parts.size(); ++i) {
        Part right = equation.parts[i];
        std::string later = equation.result;
        for (std::size_t j = i + 1; j < equation.parts.size(); ++j) later += equation.parts[j].letters;
        const Part whole = left;
        const Expr added = sum_alone(left, right, later) + sum_alone(right, whole, later);
        pointwise += added * parts_of(dtype);
        Part joined;
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
        // Where nothing is summed it is a product of elements.
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
    return only_moves(read_equation(call));
}

void einsum_bytes(const Call& call, Work& work) {
    if (!einsum_aliases(call)) read_operands_write_all(call, work);
}

}  // namespace infercost

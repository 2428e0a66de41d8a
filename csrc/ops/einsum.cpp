#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>

#include "ops/contraction.hpp"
#include "ops/shapes.hpp"

namespace infercost {

// "bij,bjk->bik" and all its kin: every distinct letter is a loop. More than two operands are contracted
// from left to right, as torch does without opt_einsum; letters that no later operand needs are summed.
void einsum(const Call& call, Work& work) {
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
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto rank = static_cast<std::size_t>(call.rank(operands[i]));
        if (const std::size_t dots = parts[i].find("..."); dots != std::string::npos) {
            const std::size_t unnamed = rank + 3 >= parts[i].size() ? rank + 3 - parts[i].size() : 0;
            parts[i].replace(dots, 3, digits(unnamed));
            widest = std::max(widest, unnamed);
        }
        if (parts[i].size() != rank) throw unreadable();
    }
    std::map<char, Expr> length;
    std::map<char, int> uses;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        for (std::size_t axis = 0; axis < parts[i].size(); ++axis) {
            const Expr size = call.dim(operands[i], static_cast<int>(axis));
            Expr& known = length[parts[i][axis]];
            if (!(size == Expr(1)) || known == Expr(0)) known = size;
            ++uses[parts[i][axis]];
        }
    }
    std::string result;
    if (arrow != std::string::npos) {
        result = letters.substr(arrow + 2);
        if (const std::size_t dots = result.find("..."); dots != std::string::npos) {
            result.replace(dots, 3, digits(widest));
        }
    } else {
        for (const auto& [letter, count] : uses) {
            const bool unnamed = letter >= '0' && letter <= '9';
            result += count == 1 || unnamed ? std::string(1, letter) : "";
        }
    }
    std::string left;  // a letter twice in one operand is its diagonal
    for (const char c : parts[0]) left += left.find(c) == std::string::npos ? std::string(1, c) : "";
    Expr total;
    for (std::size_t i = 1; i < parts.size(); ++i) {
        std::string loop = left;
        for (const char c : parts[i]) loop += loop.find(c) == std::string::npos ? std::string(1, c) : "";
        std::string later = result;
        for (std::size_t j = i + 1; j < parts.size(); ++j) later += parts[j];
        std::string next;
        Expr batch = 1, m = 1, n = 1, k = 1, size = 1;
        for (const char c : loop) {
            size = size * length[c];
            const bool kept = later.find(c) != std::string::npos;
            const bool in_left = left.find(c) != std::string::npos;
            const bool in_right = parts[i].find(c) != std::string::npos;
            if (kept) next += c;
            Expr& axis = !kept ? k : (in_left && in_right ? batch : (in_left ? m : n));
            axis = axis * length[c];
        }
        total += size * 2;
        set_contraction(work, WorkKind::gemm, call.engine_dtype(operands[0]), batch, m, n, k);
        left = next;
    }
    if (parts.size() == 1) {
        work.kind = WorkKind::reduction;
        work.pointwise_flops = call.numel(operands[0]);
        return;
    }
    work.contraction_flops = total;
    work.causal_flops = total;
}

}  // namespace infercost

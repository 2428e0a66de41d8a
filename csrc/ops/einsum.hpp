// The parsed equation of an einsum: operands with lengths and strides by letter.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ops/call.hpp"

namespace infercost {

// An operand with its diagonals extracted: every letter occurs once.
struct EinsumOperand {
    std::string letters;
    std::map<char, Expr> lengths;
    std::map<char, Expr> strides;

    bool has(char c) const { return letters.find(c) != std::string::npos; }
    bool is_long(char c) const { return has(c) && !(lengths.at(c) == Expr(1)); }
    Expr size() const {
        Expr total = 1;
        for (const char c : letters) total = total * lengths.at(c);
        return total;
    }
};

struct EinsumEquation {
    std::vector<EinsumOperand> operands;
    std::string result;
};

// Throws InputError if the letters do not match the operands.
EinsumEquation read_einsum(const Call& call);

// Remove the letters that only `operand` has and `later` does not need; they are summed before the product.
// Return the number of summed elements.
Expr sum_alone(EinsumOperand& operand, const EinsumOperand& other, const std::string& later);

}  // namespace infercost

// One step of a tape.
#pragma once

namespace infercost {

// Plain data: it is run by code for other instruction sets (evaluate/tape_run.hpp).
struct TapeStep {
    enum class Kind : unsigned char {
        one,
        size,
        product,
        sum,
        floor_div,
        modulo,
        maximum,
        minimum,
        scalar
    } kind;
    bool gcd;           // of a scalar step: a greatest common divisor, else n log2 n
    int size;           // of a size: its place in size_names()
    double constant;    // of a sum
    int first_operand;  // into operands(); those of products have coefficient 1
    int operand_count;
};

// A scalar step at one point.
double tape_scalar(bool gcd, const double* operands);

}  // namespace infercost

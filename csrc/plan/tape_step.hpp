// One step of a tape.
#pragma once

namespace infercost {

// Plain data: code for other instruction sets runs it (evaluate/tape_run.hpp).
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
    bool gcd;           // scalar step: a greatest common divisor, otherwise n log2 n
    int size;           // size step: index into size_names()
    double constant;    // constant of a sum
    int first_operand;  // index into operands(); operands of products have coefficient 1
    int operand_count;
};

// A scalar step at one point.
double tape_scalar(bool gcd, const double* operands);

}  // namespace infercost

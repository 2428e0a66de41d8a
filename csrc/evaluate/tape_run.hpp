// Evaluates a tape over one block of points, for one instruction set.
#pragma once

#include "evaluate/run.hpp"
#include "simd/vec.hpp"

namespace infercost::INFERCOST_ISA {

struct TapeRunner {
    const TapeInput& tape;
    double* columns;
    int points;  // rounded up to kLanes

    INFERCOST_INLINE double* column(int c) const { return columns + static_cast<long>(c) * tape.stride; }
    INFERCOST_INLINE const Affine& operand(const TapeStep& step, int n) const {
        return tape.operands[step.first_operand + n];
    }

    // out[i] = f(out[i], operand at i), for each operand from `first` on.
    template <class Function>
    INFERCOST_INLINE void fold(const TapeStep& step, int first, double* out, Function f) const {
        for (int n = first; n < step.operand_count; ++n) {
            const Affine& a = operand(step, n);
            const Vec constant = splat(a.constant);
            const Vec coefficient = splat(a.coefficient);
            const double* in = column(a.column);
            for (int i = 0; i < points; i += Vec::lanes) {
                store(out + i, f(load(out + i), constant + coefficient * load(in + i)));
            }
        }
    }

    INFERCOST_INLINE void fill(double* out, double value) const {
        for (int i = 0; i < points; i += Vec::lanes) store(out + i, splat(value));
    }

    // Functions without a vector form, point by point.
    void scalar(const TapeStep& step, double* out) const {
        for (int i = 0; i < points; ++i) {
            double operands[2] = {0, 0};
            for (int n = 0; n < step.operand_count && n < 2; ++n) {
                const Affine& a = operand(step, n);
                operands[n] = a.constant + a.coefficient * column(a.column)[i];
            }
            out[i] = tape_scalar(step.gcd, operands);
        }
    }

    INFERCOST_INLINE void step(const TapeStep& step, double* out) const {
        const auto first = [](Vec, Vec b) INFERCOST_LAMBDA { return b; };
        switch (step.kind) {
            case TapeStep::Kind::one:
                return fill(out, 1.0);
            case TapeStep::Kind::size: {
                const double* in = tape.sizes[step.size];
                for (int i = 0; i < points; i += Vec::lanes) store(out + i, load(in + i));
                return;
            }
            case TapeStep::Kind::product:
                fill(out, 1.0);
                return fold(step, 0, out, [](Vec a, Vec b) INFERCOST_LAMBDA { return a * b; });
            case TapeStep::Kind::sum:
                fill(out, step.constant);
                return fold(step, 0, out, [](Vec a, Vec b) INFERCOST_LAMBDA { return a + b; });
            case TapeStep::Kind::floor_div:
                fold_first(step, out, first);
                return fold(step, 1, out, [](Vec a, Vec b) INFERCOST_LAMBDA { return floor(a / b); });
            case TapeStep::Kind::modulo:
                fold_first(step, out, first);
                return fold(step, 1, out, [](Vec a, Vec b) INFERCOST_LAMBDA { return a - b * floor(a / b); });
            case TapeStep::Kind::maximum:
                fold_first(step, out, first);
                return fold(step, 1, out, [](Vec a, Vec b) INFERCOST_LAMBDA { return max(a, b); });
            case TapeStep::Kind::minimum:
                fold_first(step, out, first);
                return fold(step, 1, out, [](Vec a, Vec b) INFERCOST_LAMBDA { return min(a, b); });
            case TapeStep::Kind::scalar:
                return scalar(step, out);
        }
    }

    template <class Function>
    INFERCOST_INLINE void fold_first(const TapeStep& step, double* out, Function f) const {
        TapeStep one = step;
        one.operand_count = 1;
        fold(one, 0, out, f);
    }

    // Fill all columns, and the minimum of each.
    void run(double* least) const {
        for (int s = 0; s < tape.step_count; ++s) {
            double* out = column(s);
            step(tape.steps[s], out);
            Vec low = load(out);
            for (int i = Vec::lanes; i < points; i += Vec::lanes) low = min(low, load(out + i));
            double lanes[Vec::lanes];
            store(lanes, low);
            least[s] = lanes[0];
            for (int i = 1; i < Vec::lanes; ++i) least[s] = lanes[i] < least[s] ? lanes[i] : least[s];
        }
    }
};

}  // namespace infercost::INFERCOST_ISA

// Elementary functions whose last bit is the same everywhere. Those of C libraries differ: glibc's own
// depends on whether the processor has a fused multiply-add. These compute in pairs of doubles with
// additions, multiplications and divisions alone, and round once, so that results are the nearest doubles but
// for arguments that no test will meet.
#pragma once

namespace infercost::portable {

// NaN below 0, -inf at 0.
double log(double x);
double log2(double x);
double exp(double x);
// Of a base that is not negative; NaN for others.
double pow(double base, double exponent);

}  // namespace infercost::portable

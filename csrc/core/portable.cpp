#include "core/portable.hpp"

#include <array>
#include <cmath>
#include <limits>

namespace infercost::portable {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// An unevaluated sum of two doubles, with |low| at most half of the last place of `high` (Dekker 1971).
struct Pair {
    double high;
    double low;
};

constexpr Pair kLn2 = {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
constexpr Pair kPerLn2 = {0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56};

Pair ordered_sum(double larger, double smaller) {
    const double high = larger + smaller;
    return {high, smaller - (high - larger)};
}

// Knuth 1969: of any two doubles.
Pair sum(double a, double b) {
    const double high = a + b;
    const double of_b = high - a;
    return {high, (a - (high - of_b)) + (b - of_b)};
}

// Veltkamp's halves of 26 bits, whose products are exact.
Pair product(double a, double b) {
    constexpr double kSplit = 134'217'729;  // 2^27 + 1
    const double wide_a = kSplit * a;
    const double wide_b = kSplit * b;
    const double a1 = wide_a - (wide_a - a);
    const double b1 = wide_b - (wide_b - b);
    const double a2 = a - a1;
    const double b2 = b - b1;
    const double high = a * b;
    return {high, ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2};
}

Pair operator+(Pair a, Pair b) {
    const Pair high = sum(a.high, b.high);
    const Pair low = sum(a.low, b.low);
    const Pair most = ordered_sum(high.high, high.low + low.high);
    return ordered_sum(most.high, most.low + low.low);
}

Pair operator*(Pair a, Pair b) {
    const Pair high = product(a.high, b.high);
    return ordered_sum(high.high, high.low + (a.high * b.low + a.low * b.high));
}

Pair operator/(Pair a, Pair b) {
    const double first = a.high / b.high;
    const Pair exact = product(first, b.high);
    const double rest = ((a.high - exact.high) - exact.low + a.low) - first * b.low;
    return ordered_sum(first, rest / b.high);
}

Pair times(Pair a, double b) {
    return a * Pair{b, 0};
}

// The sum of coefficients[i] * x^i.
template <std::size_t N>
Pair polynomial(const std::array<Pair, N>& coefficients, Pair x) {
    Pair value = coefficients[N - 1];
    for (std::size_t i = N - 1; i > 0; --i) value = value * x + coefficients[i - 1];
    return value;
}

struct Logarithm {
    Pair fraction;  // of a number from sqrt(1/2) to sqrt(2), natural
    double exponent;
};

// With x = m 2^e and s = (m - 1) / (m + 1), log(m) = 2 (s + s^3 / 3 + s^5 / 5 + ...), where s^2 < 0.03.
Logarithm logarithm(double x) {
    constexpr std::size_t kTerms = 20;
    static const std::array<Pair, kTerms> kOdd = [] {
        std::array<Pair, kTerms> made{};
        for (std::size_t i = 0; i < kTerms; ++i)
            made[i] = Pair{1, 0} / Pair{2.0 * static_cast<double>(i) + 1, 0};
        return made;
    }();
    constexpr double kRootHalf = 0x1.6a09e667f3bcdp-1;
    int exponent = 0;
    double m = std::frexp(x, &exponent);  // 1/2 to 1
    if (m < kRootHalf) {
        m *= 2;
        --exponent;
    }
    const Pair s = Pair{m - 1, 0} / sum(m, 1);  // m - 1 is exact
    return {times(s * polynomial(kOdd, s * s), 2), static_cast<double>(exponent)};
}

// e^z for |z| < 0.35, as the sum of z^i / i!.
Pair small_exponential(Pair z) {
    constexpr std::size_t kTerms = 24;
    static const std::array<Pair, kTerms> kInverse = [] {
        std::array<Pair, kTerms> made{};
        made[0] = {1, 0};
        for (std::size_t i = 1; i < kTerms; ++i) made[i] = made[i - 1] / Pair{static_cast<double>(i), 0};
        return made;
    }();
    return polynomial(kInverse, z);
}

// 2^y.
double power_of_two(Pair y) {
    constexpr double kLargest = 1100;  // 2^1100 is no double, nor is 2^-1100
    if (y.high > kLargest) return kInfinity;
    if (y.high < -kLargest) return 0;
    const double whole = std::nearbyint(y.high);
    const Pair rest = sum(y.high - whole, y.low);
    const Pair value = small_exponential(rest * kLn2);
    return std::ldexp(value.high + value.low, static_cast<int>(whole));
}

bool is_regular(double x) {
    return x > 0 && x < kInfinity;
}

// The logarithm of an argument that has no finite one.
double irregular(double x) {
    if (x == 0) return -kInfinity;
    return x > 0 ? x : kNaN;
}

Pair pair_log2(double x) {
    const Logarithm found = logarithm(x);
    return Pair{found.exponent, 0} + found.fraction * kPerLn2;
}

}  // namespace

double log(double x) {
    if (!is_regular(x)) return irregular(x);
    const Logarithm found = logarithm(x);
    return (times(kLn2, found.exponent) + found.fraction).high;
}

double log2(double x) {
    return is_regular(x) ? pair_log2(x).high : irregular(x);
}

double exp(double x) {
    if (std::isnan(x)) return x;
    constexpr double kLargest = 800;  // e^800 is no double, nor is e^-800
    if (x > kLargest) return kInfinity;
    return x < -kLargest ? 0 : power_of_two(times(kPerLn2, x));
}

double pow(double base, double exponent) {
    if (exponent == 0 || base == 1) return 1;
    if (std::isnan(exponent) || !(base >= 0)) return kNaN;
    if (base == 0 || base == kInfinity) return (base == 0) == (exponent > 0) ? 0 : kInfinity;
    if (std::isinf(exponent)) return (base > 1) == (exponent > 0) ? kInfinity : 0;
    return power_of_two(times(pair_log2(base), exponent));
}

}  // namespace infercost::portable

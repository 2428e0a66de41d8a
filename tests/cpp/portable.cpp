#include "core/portable.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

#include "check.hpp"

namespace portable = infercost::portable;

namespace {

// Arguments from 2^-40 to 2^40.
double argument(std::uint64_t number) {
    std::uint64_t x = number * 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 31)) * 0xbf58476d1ce4e5b9;
    x ^= x >> 29;
    return std::ldexp(1 + static_cast<double>(x >> 12) * 0x1p-52, static_cast<int>(number % 80) - 40);
}

// The C library is within one place of the nearest double.
bool is_near(double found, double library) {
    return found == library || found == std::nextafter(library, found);
}

}  // namespace

TEST(values_of_the_c_library_are_next_to_them) {
    int different = 0;
    constexpr int kCount = 20'000;
    for (int i = 1; i <= kCount; ++i) {
        const double x = argument(static_cast<std::uint64_t>(i));
        const double y = std::ldexp(argument(static_cast<std::uint64_t>(i + kCount)), -35);
        CHECK(is_near(portable::log(x), std::log(x)));
        CHECK(is_near(portable::log2(x), std::log2(x)));
        CHECK(is_near(portable::log2(i), std::log2(i)));
        CHECK(is_near(portable::exp(y), std::exp(y)));
        CHECK(is_near(portable::exp(-y), std::exp(-y)));
        CHECK(is_near(portable::pow(x, y), std::pow(x, y)));
        CHECK(is_near(portable::pow(i, -0.7), std::pow(i, -0.7)));
        different += portable::log2(i) != std::log2(i);
    }
    CHECK(different < kCount / 100);
}

TEST(powers_of_two_are_exact) {
    for (int i = -1000; i < 1000; ++i) {
        CHECK(portable::log2(std::ldexp(1, i)) == i);
        CHECK(portable::pow(2, i) == std::ldexp(1, i));
    }
    for (int i = 1; i < 1000; ++i) CHECK(portable::pow(i, 2) == static_cast<double>(i) * i);
}

TEST(limits_are_those_of_the_c_library) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    CHECK(portable::log(0) == -kInfinity);
    CHECK(portable::log2(kInfinity) == kInfinity);
    CHECK(std::isnan(portable::log2(-1)));
    CHECK(portable::exp(-kInfinity) == 0);
    CHECK(portable::exp(1000) == kInfinity);
    CHECK(std::isnan(portable::exp(std::nan(""))));
    for (const double base : {0.0, 0.5, 1.0, 2.0, kInfinity}) {
        for (const double exponent : {-kInfinity, -2.0, 0.0, 3.0, kInfinity}) {
            CHECK(portable::pow(base, exponent) == std::pow(base, exponent));
        }
    }
    CHECK(portable::pow(0.5, 1074) == std::pow(0.5, 1074));
    CHECK(portable::pow(0.5, 1e9) == 0);
}

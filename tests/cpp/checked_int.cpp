#include "core/checked_int.hpp"

#include <array>

#include "check.hpp"

using infercost::OverflowError;
using infercost::portable::kMax;
using infercost::portable::kMin;

namespace {

// The edges of the range, of its square root and of signs.
constexpr std::array<std::int64_t, 17> kEdges = {
    kMin, kMin + 1, kMin / 2, kMin / 2 - 1, -3037000500, -3037000499, -2,       -1,  0,
    1,    2,        3,        3037000499,   3037000500,  kMax / 2,    kMax - 1, kMax};

using Operation = bool (*)(std::int64_t, std::int64_t, std::int64_t&);

void check_agreement(Operation portable, Operation fast) {
    for (const std::int64_t a : kEdges) {
        for (const std::int64_t b : kEdges) {
            std::int64_t x = 0;
            std::int64_t y = 0;
            const bool overflows = portable(a, b, x);
            CHECK(overflows == fast(a, b, y));
            CHECK(overflows || x == y);
        }
    }
}

}  // namespace

TEST(the_portable_checks_agree_with_the_compilers) {
    check_agreement(infercost::portable::add_overflows, infercost::add_overflows);
    check_agreement(infercost::portable::sub_overflows, infercost::sub_overflows);
    check_agreement(infercost::portable::mul_overflows, infercost::mul_overflows);
}

TEST(results_at_the_edges_are_exact) {
    CHECK(infercost::checked_add(kMax, kMin) == -1);
    CHECK(infercost::checked_sub(-1, kMax) == kMin);
    CHECK(infercost::checked_mul(3037000499, 3037000499) == 9223372030926249001);
    CHECK(infercost::checked_mul(kMin, 1) == kMin);
}

TEST(results_beyond_64_bits_are_errors) {
    CHECK_THROWS(OverflowError, "9223372036854775807 + 1 does not fit 64 bits",
                 infercost::checked_add(kMax, 1));
    CHECK_THROWS(OverflowError, "- 1 does not fit", infercost::checked_sub(kMin, 1));
    CHECK_THROWS(OverflowError, "3037000500 * 3037000500", infercost::checked_mul(3037000500, 3037000500));
    CHECK_THROWS(OverflowError, "* -1 does not fit", infercost::checked_mul(kMin, -1));
    CHECK_THROWS(OverflowError, "0 - -9223372036854775808", infercost::floor_div(kMin, -1));
    CHECK_THROWS(OverflowError, "* log2 of", infercost::n_log2_n(kMax));
}

TEST(divisions_round_down) {
    CHECK(infercost::floor_div(7, 2) == 3);
    CHECK(infercost::floor_div(-7, 2) == -4);
    CHECK(infercost::floor_div(7, -2) == -4);
    CHECK(infercost::floor_div(-7, -2) == 3);
    CHECK(infercost::floor_mod(-7, 2) == 1);   // -7 = 2*-4 + 1
    CHECK(infercost::floor_mod(7, -2) == -1);  // 7 = -2*-4 - 1
    CHECK_THROWS(std::invalid_argument, "division by zero", infercost::floor_div(1, 0));
}

#include "core/expr.hpp"

#include "check.hpp"

using infercost::Expr;
using infercost::OverflowError;
using infercost::Sizes;

TEST(sums_that_cancel_are_constants) {
    const Expr batch = Expr::size("batch");
    const Expr nothing = batch * 3 - batch - batch * 2;
    CHECK(nothing.is_constant());
    CHECK(nothing == Expr(0));
    CHECK(((batch + 1) * (batch - 1) - batch * batch) == Expr(-1));
}

TEST(equal_polynomials_are_equal_whatever_their_order) {
    const Expr a = Expr::size("a");
    const Expr b = Expr::size("b");
    const Expr one = a * b * 2 + a / 3 + 7;
    const Expr other = 7 + Expr::size("a") / 3 + b * 2 * a;
    CHECK(one == other);
    CHECK(one.hash() == other.hash());
    CHECK(one.text() == other.text());
    CHECK(!(one == a * b * 2 + a / 3 + 8));
}

TEST(text_reads_back_as_the_same_expression) {
    for (const char* text :
         {"0", "-9223372036854775807", "2*batch*sequence + (batch//3) - 1", "max(batch, 7*sequence)",
          "min(a, b, c)", "((a%3)//2)", "gcd(a, 6)", "n_log2_n(a + b)", "roi_heads.nms*4"}) {
        const Expr e = Expr::parse(text);
        CHECK(Expr::parse(e.text()) == e);
    }
}

TEST(text_that_is_no_expression_is_refused) {
    CHECK_THROWS(std::invalid_argument, "expected a number, a size or '(' at position 0", Expr::parse(""));
    CHECK_THROWS(std::invalid_argument, "expected ')'", Expr::parse("(batch"));
    CHECK_THROWS(std::invalid_argument, "expected an operator at position 6", Expr::parse("batch batch"));
    CHECK_THROWS(std::invalid_argument, "expected one of max, min", Expr::parse("sqrt(batch)"));
    CHECK_THROWS(std::invalid_argument, "division by zero", Expr::parse("1//0"));
    CHECK_THROWS(OverflowError, "does not fit 64 bits", Expr::parse("99999999999999999999"));
    CHECK_THROWS(OverflowError, "does not fit 64 bits", Expr::parse("9223372036854775807*2"));
}

TEST(deep_nesting_is_refused_before_the_stack_ends) {
    const std::string open(1'000'000, '(');
    CHECK_THROWS(std::invalid_argument, "nested more than",
                 Expr::parse(open + "a" + std::string(open.size(), ')')));
    CHECK_THROWS(std::invalid_argument, "nested more than", Expr::parse(std::string(1'000'000, '-') + "a"));
    std::string deep = "a";
    for (int i = 0; i < 100; ++i) deep = "((" + deep + " + 1)//2)";
    CHECK(Expr::parse(deep).evaluate({
              {"a", 1}
    }) == 1);
}

TEST(values_beyond_64_bits_are_errors) {
    const Expr square = Expr::size("a") * Expr::size("a");
    CHECK(square.evaluate({
              {"a", 3037000499}
    }) == 9223372030926249001);
    CHECK_THROWS(OverflowError, "does not fit 64 bits",
                 square.evaluate({
                     {"a", 3037000500}
    }));
    CHECK_THROWS(std::invalid_argument, "size 'a' is not given",
                 square.evaluate({
                     {"b", 1}
    }));
}

TEST(signs_are_proven_only_where_they_hold) {
    const Expr a = Expr::size("a");      // at least 1
    const Expr d = Expr::size("nms.d");  // depends on data: at least 0
    CHECK((a - 1).is_nonnegative());
    CHECK(!(a - 2).is_nonnegative());
    CHECK(d.is_nonnegative());
    CHECK(!(d - 1).is_nonnegative());
    CHECK((a * d).is_nonnegative());
    CHECK(Expr::maximum(a - 5, 0).is_nonnegative());
    CHECK(!Expr::minimum(a - 5, 0).is_nonnegative());
}

TEST(extrema_drop_what_another_operand_covers) {
    const Expr a = Expr::size("a");
    CHECK(Expr::maximum(a, a + 3) == a + 3);
    CHECK(Expr::minimum(a, a + 3) == a);
    CHECK(Expr::maximum(Expr::maximum(a, 8), Expr::size("b")) ==
          Expr::maximum(a, Expr::maximum(Expr::size("b"), 8)));
}

// Expressions as text, and back: how they are printed, and how graphs in JSON carry them.
#include <algorithm>
#include <cctype>

#include "core/errors.hpp"
#include "core/expr.hpp"

namespace infercost {
namespace {

// An operand is printed inside its function: a text may double with each level of nesting.
void require_length(std::size_t characters) {
    constexpr std::size_t kLongest = 1'000'000;
    if (characters <= kLongest) return;
    throw InputError("a size expression has more than " + std::to_string(kLongest) +
                     " characters; expected fewer");
}

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    Expr whole() {
        const Expr result = sum();
        if (peek() != '\0') fail("an operator");
        return result;
    }

  private:
    [[noreturn]] void fail(const std::string& expected) const {
        throw InputError("size expression '" + std::string(text_) + "': expected " + expected +
                         " at position " + std::to_string(at_));
    }

    char peek() {
        while (at_ < text_.size() && text_[at_] == ' ') ++at_;
        return at_ < text_.size() ? text_[at_] : '\0';
    }

    bool take(std::string_view token) {
        peek();
        if (text_.substr(at_, token.size()) != token) return false;
        at_ += token.size();
        return true;
    }

    Expr sum() {
        ExprSum parts;
        parts.add(product());
        while (true) {
            if (take("+")) {
                parts.add(product());
            } else if (take("-")) {
                parts.add(Expr(0) - product());
            } else {
                return parts.total();
            }
        }
    }

    Expr product() {
        Expr result = unary();
        while (true) {
            if (take("//")) {
                result = result / unary();
            } else if (take("*")) {
                result = result * unary();
            } else if (take("%")) {
                result = result % unary();
            } else {
                return result;
            }
        }
    }

    // Every level of nesting passes here once.
    Expr unary() {
        if (++depth_ > kDeepest) {
            throw InputError("a size expression is nested more than " + std::to_string(kDeepest) +
                             " levels deep; expected fewer");
        }
        const Expr result = take("-") ? Expr(0) - unary() : operand();
        --depth_;
        return result;
    }

    Expr operand() {
        const char c = peek();
        if (take("(")) {
            const Expr result = sum();
            if (!take(")")) fail("')'");
            return result;
        }
        if (std::isdigit(static_cast<unsigned char>(c))) {
            std::int64_t value = 0;
            while (at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_]))) {
                value = checked_add(checked_mul(value, 10), text_[at_++] - '0');
            }
            return {value};
        }
        const std::size_t start = at_;
        while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) ||
                                      text_[at_] == '_' || text_[at_] == '.')) {
            ++at_;
        }
        if (at_ == start) fail("a number, a size or '('");
        const std::string_view name = text_.substr(start, at_ - start);
        if (!take("(")) return Expr::size(name);
        return function(name);
    }

    Expr function(std::string_view name) {
        std::vector<Expr> operands = {sum()};
        while (take(",")) operands.push_back(sum());
        if (!take(")")) fail("')'");
        if (name == "ceil_div" && operands.size() == 2) return Expr::ceil_div(operands[0], operands[1]);
        if (name == "gcd" && operands.size() == 2) return Expr::gcd(operands[0], operands[1]);
        if (name == "n_log2_n" && operands.size() == 1) return Expr::n_log2_n(operands[0]);
        if (name != "max" && name != "min") fail("one of max, min, ceil_div, gcd, n_log2_n before '('");
        Expr result = operands[0];
        for (std::size_t i = 1; i < operands.size(); ++i) {
            result = name == "max" ? Expr::maximum(result, operands[i]) : Expr::minimum(result, operands[i]);
        }
        return result;
    }

    static constexpr int kDeepest = 1000;  // so that no text can exhaust the stack

    std::string_view text_;
    std::size_t at_ = 0;
    int depth_ = 0;
};

}  // namespace

std::string Expr::text() const {
    if (is_constant()) return std::to_string(value_);
    std::size_t length = 0;
    // Highest degree first, then by name: the order people write polynomials in.
    std::vector<std::pair<std::string, const Term*>> parts;
    for (const Term& term : *terms_) {
        std::vector<std::string> factors;
        for (const Factor& factor : term.monomial) {
            const bool composite =
                factor.atom->kind == Atom::Kind::floor_div || factor.atom->kind == Atom::Kind::modulo;
            const std::string name = composite ? "(" + factor.atom->text + ")" : factor.atom->text;
            length += name.size() * static_cast<std::size_t>(factor.power);
            require_length(length);
            for (int i = 0; i < factor.power; ++i) factors.push_back(name);
        }
        std::sort(factors.begin(), factors.end());
        std::string text;
        for (const std::string& factor : factors) text += (text.empty() ? "" : "*") + factor;
        parts.emplace_back(std::move(text), &term);
    }
    const auto degree = [](const Term& t) {
        int total = 0;
        for (const Factor& f : t.monomial) total += f.power;
        return total;
    };
    std::sort(parts.begin(), parts.end(), [&](const auto& a, const auto& b) {
        const int x = degree(*a.second);
        const int y = degree(*b.second);
        return x != y ? x > y : a.first < b.first;
    });
    std::string result;
    for (const auto& [factors, term] : parts) {
        const bool negative = term->coefficient < 0;
        if (result.empty()) {
            if (negative) result += '-';
        } else {
            result += negative ? " - " : " + ";
        }
        std::string magnitude = std::to_string(term->coefficient);
        if (negative) magnitude.erase(0, 1);
        if (factors.empty() || magnitude != "1") result += magnitude;
        if (!factors.empty() && magnitude != "1") result += '*';
        result += factors;
    }
    return result;
}

Expr Expr::parse(std::string_view text) {
    return Parser(text).whole();
}

}  // namespace infercost

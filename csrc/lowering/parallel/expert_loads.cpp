#include "lowering/parallel/expert_loads.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>

#include "core/errors.hpp"
#include "core/portable.hpp"

namespace infercost {
namespace {

constexpr std::int64_t kThousandths = 1000;
constexpr std::int64_t kUnit = 1 << 20;  // of slopes
constexpr double kMostRows = 1 << 18;    // beyond which the last line goes on
constexpr double kFull = 0.998;          // of what a function approaches
constexpr double kFine = 1.5;  // distance of lengths, as a ratio: 1 % between them for a number of experts
constexpr double kCoarse = 2;  // 0.5 % for rows

// A concave function of a length, through its values at some lengths: the least of the lines between
// neighbors. The first of these is 0, and the next is `unit`.
Expr interpolated(const Expr& length, double unit, double ratio, double limit,
                  const std::function<double(double)>& value) {
    std::vector<Expr> lines;
    double x = 0;
    for (double next = unit; x < kMostRows && value(x) < kFull * limit; next *= ratio) {
        const double slope = (value(next) - value(x)) / (next - x);
        const std::int64_t start = std::llround((value(x) - slope * x) * kUnit);
        lines.push_back((length * std::llround(slope * kUnit) + start + kUnit / 2) / Expr(kUnit));
        x = next;
    }
    if (std::isfinite(limit)) lines.emplace_back(std::llround(limit));
    Expr least = lines.front();
    for (const Expr& line : lines) least = Expr::minimum(least, line);
    return Expr::maximum(least, 1);
}

// The part of all tokens that each expert gets, where the experts of a token differ from each other.
std::vector<double> chosen_parts(const std::vector<double>& shares, std::int64_t top_k) {
    std::vector<double> parts(shares.size(), 0.0);
    double left = static_cast<double>(top_k);
    std::vector<bool> full(shares.size(), false);
    for (bool again = true; again;) {
        again = false;
        double open = 0;
        for (std::size_t i = 0; i < shares.size(); ++i) open += full[i] ? 0.0 : shares[i];
        if (open <= 0) break;
        for (std::size_t i = 0; i < shares.size(); ++i) {
            if (full[i]) continue;
            parts[i] = left * shares[i] / open;
            if (parts[i] >= 1) {
                parts[i] = 1;
                full[i] = again = true;
            }
        }
        left = static_cast<double>(top_k) - static_cast<double>(std::count(full.begin(), full.end(), true));
    }
    return parts;
}

std::vector<double> shares_of(const Layout& layout, std::int64_t experts) {
    std::vector<double> shares(static_cast<std::size_t>(experts), 1.0);
    if (layout.routing == Routing::power) {
        for (std::size_t i = 0; i < shares.size(); ++i) {
            shares[i] = portable::pow(static_cast<double>(i + 1), -layout.exponent);
        }
    } else if (layout.routing == Routing::measured) {
        if (layout.loads.size() != shares.size()) {
            throw InputError("expert_load has " + std::to_string(layout.loads.size()) +
                             " loads, and this model has " + std::to_string(experts) +
                             " experts in a layer; expected one load for each expert");
        }
        shares = layout.loads;
    }
    const double all = std::accumulate(shares.begin(), shares.end(), 0.0);
    for (double& share : shares) share /= all;
    return shares;
}

}  // namespace

ExpertLoads::ExpertLoads(const Layout& layout, std::int64_t experts, std::int64_t top_k)
    : routing_(layout.routing),
      ranks_(layout.expert),
      parts_(sends_tokens(layout) ? layout.with_same_tokens() : layout.expert),
      top_k_(top_k) {
    const std::vector<double> parts = chosen_parts(shares_of(layout, experts), top_k);
    const std::int64_t on_rank = (experts + ranks_ - 1) / ranks_;
    double most = -1;
    for (std::int64_t rank = 0; rank < ranks_; ++rank) {
        std::vector<double> own;
        for (std::int64_t i = 0; i < experts; ++i) {
            // By number on neighbors, as engines place them; of a power law, whose experts have no numbers,
            // in turn.
            const std::int64_t place = routing_ == Routing::measured ? i / on_rank : i % ranks_;
            if (place == rank) own.push_back(parts[static_cast<std::size_t>(i)]);
        }
        const double rows = std::accumulate(own.begin(), own.end(), 0.0);
        if (rows <= most) continue;
        most = rows;
        chosen_ = std::move(own);
    }
    if (routing_ != Routing::power && routing_ != Routing::measured) return;
    const double mean = static_cast<double>(top_k_) / static_cast<double>(ranks_);
    share_ = std::max(kThousandths, static_cast<std::int64_t>(std::llround(most / mean * kThousandths)));
}

Expr ExpertLoads::rows(const Expr& all) const {
    if (routing_ == Routing::random && ranks_ > 1) {
        // The busiest of many ranks is above the mean by about sqrt(2 m ln n), for the mean m of n ranks. A
        // token sends no more than one row to each expert.
        const double mean = 1.0 / static_cast<double>(parts_);
        const auto ranks = static_cast<double>(ranks_);
        const double most = ranks * mean / static_cast<double>(top_k_) *
                            std::min(static_cast<double>(top_k_), static_cast<double>(chosen_.size()));
        constexpr double kNoLimit = std::numeric_limits<double>::infinity();
        return interpolated(all, static_cast<double>(top_k_), kCoarse, kNoLimit, [=](double rows) {
            return std::min(rows * mean + std::sqrt(2 * rows * mean * portable::log(ranks)), rows * most);
        });
    }
    return share_ == kThousandths ? Expr::ceil_div(all, parts_)
                                  : Expr::ceil_div(all * share_, parts_ * kThousandths);
}

Expr ExpertLoads::experts(const Expr& all) const {
    const double tokens = static_cast<double>(ranks_) / static_cast<double>(parts_ * top_k_);
    const auto limit = static_cast<double>(
        std::count_if(chosen_.begin(), chosen_.end(), [](double part) { return part > 0; }));
    return interpolated(all, static_cast<double>(top_k_), kFine, limit, [this, tokens](double rows) {
        double found = 0;
        for (const double part : chosen_) found += 1 - portable::pow(1 - part, rows * tokens);
        return found;
    });
}

bool sends_tokens(const Layout& layout) {
    return layout.expert > layout.tensor;
}

}  // namespace infercost

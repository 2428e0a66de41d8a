#include "lowering/parallel/token_splits.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/errors.hpp"

namespace infercost {
namespace {

class TokenSplitter {
  public:
    TokenSplitter(Relations& relations, const Layout& layout)
        : relations_(relations), axes_(relations.axes()), ranks_(layout.context) {}

    void run() {
        require_no_order();
        find_tokens();
        for (const auto& [axis, node] : tokens_) require_separate(axis, node);
        for (const auto& [axis, node] : tokens_) {
            if (divide(axis, ranks_, true)) continue;
            std::string fitting;
            for (std::int64_t ranks = 1; ranks <= kMostDevicesTried; ++ranks) {
                const bool all = std::all_of(tokens_.begin(), tokens_.end(), [&](const auto& each) {
                    return divide(each.first, ranks, false);
                });
                if (all) fitting += (fitting.empty() ? "" : ", ") + std::to_string(ranks);
            }
            throw InputError("context=" + std::to_string(ranks_) + " does not divide the " +
                             std::to_string(axes_.length(axis)) + " tokens of '" +
                             relations_.flow().module(node) + "'; expected context to be one of " + fitting);
        }
        require_no_masks();
    }

  private:
    [[noreturn]] void refuse(const std::string& why) const {
        throw InputError("context=" + std::to_string(ranks_) + " cannot divide this model: " + why +
                         "; expected context=1, and tensor=, pipeline= or data=");
    }

    // Tokens that see those before them are divided by the named size of their number, which caches have,
    // too.
    void require_no_order() const {
        for (const Attended& each : relations_.attended()) {
            if (relations_.flow().call(each.node).flag("is_causal", false)) {
                refuse("it has no size 'sequence', and must be captured with it as a named size");
            }
        }
    }

    // Sections of queries that are keys as well: of images, and of texts that attend with them.
    void find_tokens() {
        for (const Attended& each : relations_.attended()) {
            const std::vector<AxisId> keys = axes_.leaves(each.keys);
            const std::set<AxisId> read(keys.begin(), keys.end());
            for (const AxisId section : axes_.sections(each.queries)) {
                const std::vector<AxisId> leaves = axes_.leaves(section);
                const bool own = std::any_of(leaves.begin(), leaves.end(),
                                             [&](AxisId leaf) { return read.contains(leaf); });
                const bool known = std::any_of(tokens_.begin(), tokens_.end(), [&](const auto& other) {
                    return axes_.root(other.first) == axes_.root(section);
                });
                if (own && !known) tokens_.emplace_back(section, each.node);
            }
        }
        if (tokens_.empty()) {
            refuse(
                "it has no size 'sequence', 'height' or 'frames', and no attention kernel whose queries are "
                "its keys, "
                "too");
        }
    }

    void require_separate(AxisId axis, NodeIndex node) const {
        for (const AxisId leaf : axes_.leaves(axis)) {
            const int why = axes_.info(leaf).mixed;
            if (why == 0) continue;
            refuse("of the " + std::to_string(axes_.length(axis)) + " tokens of '" +
                   relations_.flow().module(node) + "', " + axes_.reason(why));
        }
    }

    // Outer factors first: neighbors stay together. Tokens in one row are padded to equal parts.
    bool divide(AxisId axis, std::int64_t ranks, bool write) {
        std::int64_t left = ranks;
        const bool padded = axes_.is_leaf(axis) && axes_.length(axis) >= ranks;
        for (const AxisId factor : axes_.factors(axis)) {
            if (!axes_.is_leaf(factor)) continue;
            const std::int64_t common = padded ? left : std::gcd(axes_.length(factor), left);
            if (common == 1) continue;
            Axes::Leaf& leaf = axes_.info(factor);
            if (leaf.splits > 1) {  // of other tokens
                if (!leaf.tokens || leaf.splits != common) return false;
            } else if (write) {
                leaf.splits = common;
                leaf.tokens = true;
            }
            left /= common;
        }
        return left == 1;
    }

    // A mask has a column for each key, of which a rank would need other rows than columns.
    void require_no_masks() const {
        for (const Attended& each : relations_.attended()) {
            if (!axes_.is_split(each.keys)) continue;
            const Call call = relations_.flow().call(each.node);
            for (const char* name : {"attn_mask", "attn_bias"}) {
                const TensorIndex mask = call.tensor(name);
                if (mask == kNoTensor || relations_.known(mask).empty()) continue;
                if (axes_.is_split(relations_.known(mask).back())) {
                    refuse("the attention of '" + relations_.flow().module(each.node) +
                           "' has a mask over the tokens");
                }
            }
        }
    }

    Relations& relations_;
    Axes& axes_;
    std::int64_t ranks_;
    std::vector<std::pair<AxisId, NodeIndex>> tokens_;  // and an attention of them
};

}  // namespace

void split_tokens(Relations& relations, const Layout& layout) {
    if (layout.context > 1) TokenSplitter(relations, layout).run();
}

}  // namespace infercost

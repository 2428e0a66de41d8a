#include "lowering/parallel/splits.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>

#include "lowering/parallel/partial_sums.hpp"

namespace infercost {
namespace {

constexpr std::int64_t kMost = 64;  // devices of a group that messages try
constexpr std::int64_t kSmallShare =
    100;  // products with less than a hundredth of the weights may stay whole

class Splitter {
  public:
    Splitter(Relations& relations, const Layout& layout)
        : relations_(relations), axes_(relations.axes()), layout_(layout) {}

    void run() {
        find_made();
        split_experts();
        split_products();
        split_vocabularies();
        require_some();
    }

  private:
    struct Candidate {
        const Summed* product;
        std::int64_t parts;  // ranks that share it
        bool heads;
        std::int64_t weights;
    };

    // Leaves that products of weights make.
    void find_made() {
        for (const Summed& product : relations_.products()) {
            for (const AxisId leaf : axes_.leaves(product.outer)) made_.insert(leaf);
            total_ += product.elements;
        }
        for (const AxisId axis : relations_.vocabularies()) {
            for (const AxisId leaf : axes_.leaves(axis)) vocabulary_.insert(leaf);
        }
    }

    bool is_eligible(AxisId leaf) const {
        const Axes::Leaf& known = axes_.info(leaf);
        return known.why == 0 && known.weights > 0 && (!known.norm || known.heads) && made_.contains(leaf) &&
               !vocabulary_.contains(leaf);
    }
    bool has_eligible(AxisId axis) const {
        const std::vector<AxisId> leaves = axes_.leaves(axis);
        return std::any_of(leaves.begin(), leaves.end(), [&](AxisId leaf) { return is_eligible(leaf); });
    }
    // Whether every section could be split, lengths aside.
    bool is_candidate(AxisId axis) const {
        const std::vector<AxisId> sections = axes_.sections(axis);
        return std::all_of(sections.begin(), sections.end(),
                           [&](AxisId section) { return has_eligible(section); });
    }

    // Parts that an axis can be split into: outer factors first. `take` gets leaves and their numbers of
    // parts.
    template <class Take>
    bool fits(AxisId axis, std::int64_t parts, Take&& take) const {
        for (const AxisId section : axes_.sections(axis)) {
            std::int64_t left = parts;
            for (const AxisId factor : axes_.factors(section)) {
                if (!axes_.is_leaf(factor)) {
                    if (axes_.is_split(factor)) return false;
                    continue;
                }
                const Axes::Leaf& known = axes_.info(factor);
                if (known.splits > 1) {
                    if (left % known.splits != 0) return false;
                    left /= known.splits;
                    continue;
                }
                if (left == 1 || !is_eligible(factor)) continue;
                const std::int64_t common = std::gcd(axes_.length(factor), left);
                // Heads of keys are divided, or each rank of a group has the same.
                if (common != left && common != axes_.length(factor)) return false;
                if (common == 1) continue;
                take(factor, common);
                left /= common;
            }
            if (left != 1) return false;
        }
        return true;
    }

    // A product cannot be split along its rows and its columns.
    bool conflicts(const std::set<AxisId>& leaves) const {
        const auto has = [&](AxisId axis) {
            const std::vector<AxisId> own = axes_.leaves(axis);
            return std::any_of(own.begin(), own.end(), [&](AxisId leaf) { return leaves.contains(leaf); });
        };
        return std::any_of(relations_.products().begin(), relations_.products().end(),
                           [&](const Summed& each) {
                               const bool inner = has(each.inner);
                               const bool outer = has(each.outer);
                               return (inner && outer) || (inner && axes_.is_split(each.outer)) ||
                                      (outer && axes_.is_split(each.inner));
                           });
    }

    const Experts* experts_of(NodeIndex node) const {
        for (const Experts& each : relations_.experts()) {
            if (each.node == node && !is_of_heads(each.experts)) return &each;
        }
        return nullptr;
    }
    bool is_of_heads(AxisId axis) const {
        const std::vector<AxisId> leaves = axes_.leaves(axis);
        return std::any_of(leaves.begin(), leaves.end(), [&](AxisId leaf) { return axes_.info(leaf).heads; });
    }

    std::string place_of(NodeIndex node) const {
        const std::string& module = relations_.flow().module(node);
        return module.empty() ? "a product" : module;
    }

    // Each rank has some experts, and the rows that are sent to them.
    void split_experts() {
        if (layout_.expert == 1) return;
        bool any = false;
        for (const Experts& each : relations_.experts()) {
            if (is_of_heads(each.experts)) continue;
            if (!axes_.is_leaf(each.experts) || axes_.is_fixed(each.experts) ||
                (axes_.length(each.rows) > 1 && (!axes_.is_leaf(each.rows) || axes_.is_fixed(each.rows)))) {
                throw std::invalid_argument("expert=" + std::to_string(layout_.expert) +
                                            " cannot divide the experts of " + place_of(each.node) + ": " +
                                            why_whole(each) + "; expected expert=1");
            }
            split_rounded(each.experts, layout_.expert);
            // Where tokens are sent to their experts, a rank gets as many rows as it sends.
            split_rounded(each.rows, sends_tokens(layout_) ? layout_.tensor : layout_.expert);
            any = true;
        }
        if (!any) {
            throw std::invalid_argument("expert=" + std::to_string(layout_.expert) +
                                        ", and this model has no experts; expected expert=1");
        }
    }
    void split_rounded(AxisId axis, std::int64_t parts) {
        if (axes_.length(axis) == 1) return;
        axes_.info(axis).splits = parts;
        axes_.info(axis).rounded = true;
    }
    std::string why_whole(const Experts& experts) const {
        const std::string why = axes_.why(experts.experts);
        if (!why.empty()) return why;
        const std::string rows = axes_.why(experts.rows);
        return rows.empty() ? "its rows are not followed" : rows;
    }

    void split_products() {
        if (layout_.tensor == 1) return;
        std::vector<Candidate> candidates;
        for (const Summed& product : relations_.products()) {
            if (!is_candidate(product.inner)) continue;
            std::int64_t weights = 0;
            bool heads = false;
            for (const AxisId leaf : axes_.leaves(product.inner)) {
                if (!is_eligible(leaf)) continue;
                weights = std::max(weights, axes_.info(leaf).weights);
                heads = heads || axes_.info(leaf).heads;
            }
            const std::int64_t parts = experts_of(product.node)
                                           ? std::max<std::int64_t>(1, layout_.tensor / layout_.expert)
                                       : heads ? layout_.of_attention()
                                               : layout_.tensor;
            if (parts == 1) continue;
            candidates.push_back({&product, parts, heads, weights});
        }
        std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
            return a.heads != b.heads ? a.heads : a.weights > b.weights;
        });
        for (const Candidate& candidate : candidates) split_one(candidate, candidates);
    }

    void split_one(const Candidate& candidate, const std::vector<Candidate>& all) {
        const AxisId inner = candidate.product->inner;
        std::vector<std::pair<AxisId, std::int64_t>> taken;
        const bool fit = fits(inner, candidate.parts,
                              [&](AxisId leaf, std::int64_t parts) { taken.emplace_back(leaf, parts); });
        if (!fit) {
            if (!candidate.heads && candidate.product->elements < total_ / kSmallShare) return;
            refuse(candidate, all);
        }
        std::set<AxisId> leaves;
        for (const auto& [leaf, parts] : taken) leaves.insert(leaf);
        if (conflicts(leaves)) return;
        for (const auto& [leaf, parts] : taken) axes_.info(leaf).splits = parts;
    }

    [[noreturn]] void refuse(const Candidate& candidate, const std::vector<Candidate>& all) const {
        std::int64_t units = 1;
        for (const AxisId leaf : axes_.leaves(candidate.product->inner)) {
            if (is_eligible(leaf)) units *= axes_.length(leaf);
        }
        std::string fitting;
        for (std::int64_t parts = 1; parts <= kMost; ++parts) {
            const bool fit = std::all_of(all.begin(), all.end(), [&](const Candidate& each) {
                const std::int64_t own = std::max<std::int64_t>(1, parts * each.parts / layout_.tensor);
                return is_divisible(each.product->inner, own);
            });
            if (fit) fitting += (fitting.empty() ? "" : ", ") + std::to_string(parts);
        }
        throw std::invalid_argument("tensor=" + std::to_string(layout_.tensor) + " does not divide the " +
                                    std::to_string(units) + (candidate.heads ? " heads" : " columns") +
                                    " before " + place_of(candidate.product->node) +
                                    "; expected tensor to be one of " + fitting);
    }
    // As fits(), of axes that nothing has split yet.
    bool is_divisible(AxisId axis, std::int64_t parts) const {
        for (const AxisId section : axes_.sections(axis)) {
            std::int64_t left = parts;
            for (const AxisId factor : axes_.factors(section)) {
                if (left == 1 || !axes_.is_leaf(factor) || !is_eligible(factor)) continue;
                const std::int64_t common = std::gcd(axes_.length(factor), left);
                if (common != left && common != axes_.length(factor)) return false;
                left /= common;
            }
            if (left != 1) return false;
        }
        return true;
    }

    // Rows of embeddings and columns of logits; the last rank has fewer.
    void split_vocabularies() {
        const std::int64_t parts = layout_.of_attention();
        if (parts == 1) return;
        Axes::Length words = 0;
        for (const AxisId axis : relations_.vocabularies()) words = std::max(words, axes_.length(axis));
        for (const AxisId axis : relations_.vocabularies()) {
            if (2 * axes_.length(axis) <= words || !axes_.is_leaf(axis) || axes_.is_fixed(axis)) continue;
            if (axes_.length(axis) >= parts) split_rounded(axis, parts);
        }
    }

    // A layout that divides no product is not one of this model.
    void require_some() const {
        if (layout_.tensor == 1) return;
        std::string why;
        for (const Summed& product : relations_.products()) {
            if (axes_.is_split(product.inner)) return;
            const std::string own = axes_.why(product.inner);
            if (why.empty() && !own.empty()) why = ": at " + place_of(product.node) + ", " + own;
        }
        throw std::invalid_argument("tensor=" + std::to_string(layout_.tensor) +
                                    " divides no product of this model" + why +
                                    "; expected tensor=1, or data=, copies of the whole model");
    }

    Relations& relations_;
    Axes& axes_;
    const Layout& layout_;
    std::set<AxisId> made_;
    std::set<AxisId> vocabulary_;
    std::int64_t total_ = 0;
};

}  // namespace

void split_axes(Relations& relations, const Layout& layout) {
    Splitter(relations, layout).run();
}

}  // namespace infercost

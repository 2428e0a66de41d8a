#include "lowering/parallel/splits.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "core/errors.hpp"
#include "lowering/parallel/partial_sums.hpp"

namespace infercost {
namespace {

// Weights of one sort that have less than a hundredth of all weights may stay whole.
constexpr std::int64_t kSmallShare = 100;
// Weights that stay whole because an operator is not followed are less than a tenth of all.
constexpr std::int64_t kFewNotFollowed = 10;

// Why a layout does not fit, without the layouts that do.
struct Refusal {
    std::string why;
    bool of_number = false;  // another number of ranks may fit
};

// Weights of all layers with one name are of one sort.
class WeightSorts {
  public:
    explicit WeightSorts(Relations& relations) : relations_(relations) {
        const Graph& graph = relations_.flow().graph();
        for (std::size_t i = 0; i < graph.tensors().size(); ++i) {
            const auto t = static_cast<TensorIndex>(i);
            if (graph.tensors()[i].role != Role::parameter) continue;
            std::int64_t elements = 1;
            for (const Axes::Length length : relations.lengths(t)) elements *= length;
            sorts_[sort_of(t)] += elements;
            total_ += elements;
        }
    }

    std::int64_t elements() const { return total_; }
    bool is_small(const Summed& product) const {
        const auto found = sorts_.find(sort_of(relations_.origin_of(product.weight)));
        return found == sorts_.end() || found->second < total_ / kSmallShare;
    }

  private:
    std::string sort_of(TensorIndex t) const {
        std::string sort;
        for (const char letter : relations_.flow().graph().name(relations_.flow().tensor(t).name)) {
            const bool digit = letter >= '0' && letter <= '9';
            if (!digit || sort.empty() || sort.back() != '#') sort += digit ? '#' : letter;
        }
        return sort;
    }

    const Relations& relations_;
    std::map<std::string, std::int64_t> sorts_;  // and the elements of its weights
    std::int64_t total_ = 0;
};

using Taken = std::vector<std::pair<AxisId, std::int64_t>>;  // leaves, and their numbers of parts

// Which axes the products of a graph let ranks divide.
class Divisible {
  public:
    explicit Divisible(const Relations& relations) : axes_(relations.axes()) {
        for (const Summed& product : relations.products()) {
            for (const AxisId leaf : axes_.leaves(product.inner)) {
                products_of_.insert({
                    leaf, {&product, false}
                });
            }
            for (const AxisId leaf : axes_.leaves(product.outer)) {
                products_of_.insert({
                    leaf, {&product, true}
                });
                made_.insert(leaf);
            }
        }
        for (const AxisId axis : relations.vocabularies()) {
            for (const AxisId leaf : axes_.leaves(axis)) vocabulary_.insert(leaf);
        }
    }

    bool is_eligible(AxisId leaf) const {
        const Axes::Leaf& known = axes_.info(leaf);
        return known.why == 0 && known.weights > 0 && (!known.norm || known.heads) && made_.contains(leaf) &&
               !vocabulary_.contains(leaf);
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
                const std::int64_t taken = parts_of(factor, left, take);
                if (taken == 0) return false;
                left /= taken;
            }
            if (left != 1) return false;
        }
        return true;
    }

    // A product cannot be split along its rows and its columns, or into more parts than it has ranks.
    bool conflicts(const Taken& taken, std::int64_t parts_at_most) const {
        std::map<const Summed*, std::array<bool, 2>> hit;  // by inner and outer leaves
        for (const auto& [leaf, parts] : taken) {
            const auto [first, last] = products_of_.equal_range(leaf);
            for (auto each = first; each != last; ++each) {
                hit[each->second.product][each->second.outer ? 1 : 0] = true;
            }
        }
        return std::any_of(hit.begin(), hit.end(), [&](const auto& each) {
            const auto& [product, sides] = each;
            return (sides[0] && (sides[1] || axes_.is_split(product->outer))) ||
                   (sides[1] && axes_.is_split(product->inner)) ||
                   (sides[1] && parts_with(product->outer, taken) > parts_at_most);
        });
    }

  private:
    bool has_eligible(AxisId axis) const {
        const std::vector<AxisId> leaves = axes_.leaves(axis);
        return std::any_of(leaves.begin(), leaves.end(), [&](AxisId leaf) { return is_eligible(leaf); });
    }
    // Into how many of `left` parts a factor is split; 0 if that does not fit.
    template <class Take>
    std::int64_t parts_of(AxisId factor, std::int64_t left, Take&& take) const {
        if (!axes_.is_leaf(factor)) return parts_of_sections(factor, left, take);
        const Axes::Leaf& known = axes_.info(factor);
        if (known.splits > 1) return left % known.splits == 0 ? known.splits : 0;
        if (left == 1 || !is_eligible(factor)) return 1;
        if (known.unit > 1) {  // whole blocks, of which the last part has fewer
            if (axes_.blocks(factor) < left) return 0;
            take(factor, left);
            return left;
        }
        const std::int64_t common = std::gcd(axes_.length(factor), left);
        // Heads of keys are divided, or each rank of a group has the same.
        if (common != left && common != axes_.length(factor)) return 0;
        if (common > 1) take(factor, common);
        return common;
    }
    // All sections of a factor are split into as many parts.
    template <class Take>
    std::int64_t parts_of_sections(AxisId sequence, std::int64_t left, Take&& take) const {
        std::int64_t taken = 0;
        for (const AxisId section : axes_.sections(sequence)) {
            std::int64_t own = 1;
            for (const AxisId factor : axes_.factors(section)) {
                const std::int64_t of_factor = parts_of(factor, left / own, take);
                if (of_factor == 0) return 0;
                own *= of_factor;
            }
            if (taken != 0 && taken != own) return 0;
            taken = own;
        }
        return taken;
    }

    // The parts of the section that has most, once leaves are split.
    std::int64_t parts_with(AxisId axis, const Taken& taken) const {
        std::int64_t most = 1;
        for (const AxisId section : axes_.sections(axis)) {
            std::int64_t own = 1;
            for (const AxisId factor : axes_.factors(section)) {
                if (!axes_.is_leaf(factor)) {
                    own *= parts_with(factor, taken);
                    continue;
                }
                own *= axes_.info(factor).splits;
                for (const auto& [leaf, parts] : taken) {
                    if (axes_.root(leaf) == axes_.root(factor)) own *= parts;
                }
            }
            most = std::max(most, own);
        }
        return most;
    }

    // A product that sums over a leaf, or has it in its columns.
    struct Side {
        const Summed* product;
        bool outer;
    };

    const Axes& axes_;
    std::unordered_multimap<AxisId, Side> products_of_;
    std::set<AxisId> made_;
    std::set<AxisId> vocabulary_;
};

bool is_of_heads(const Axes& axes, AxisId axis) {
    const std::vector<AxisId> leaves = axes.leaves(axis);
    return std::any_of(leaves.begin(), leaves.end(), [&](AxisId leaf) { return axes.info(leaf).heads; });
}

const Experts* experts_of(const Relations& relations, NodeIndex node) {
    for (const Experts& each : relations.experts()) {
        if (each.node == node && !is_of_heads(relations.axes(), each.experts)) return &each;
    }
    return nullptr;
}

std::string place_of(const Flow& flow, NodeIndex node) {
    const std::string& module = flow.module(node);
    return module.empty() ? "a product" : module;
}

void split_rounded(Axes& axes, AxisId axis, std::int64_t parts) {
    if (axes.length(axis) == 1) return;
    axes.info(axis).splits = parts;
}

std::string why_whole(const Axes& axes, const Experts& experts) {
    const std::string why = axes.why(experts.experts);
    if (!why.empty()) return why;
    const std::string rows = axes.why(experts.rows);
    return rows.empty() ? "its rows are not followed" : rows;
}

std::set<TensorIndex> weights_of_products(const Relations& relations) {
    std::set<TensorIndex> found;
    const Flow& flow = relations.flow();
    for (NodeIndex node = 0; node < flow.count(); ++node) {
        if (flow.kind(node) != WorkKind::gemm) continue;
        for (const Operand& operand : flow.operands(node)) {
            const TensorIndex t = relations.origin_of(operand.tensor);
            if (flow.tensor(t).role == Role::parameter && flow.tensor(t).shape.count > 1) found.insert(t);
        }
    }
    return found;
}

class Splitter {
  public:
    Splitter(Relations& relations, const Layout& layout)
        : relations_(relations),
          axes_(relations.axes()),
          layout_(layout),
          sorts_(relations),
          divisible_(relations) {}

    // Divides the axes of the relations; what was divided before a refusal stays so.
    std::optional<Refusal> run() {
        using Step = std::optional<Refusal> (Splitter::*)();
        constexpr Step kSteps[] = {&Splitter::split_experts,      &Splitter::split_products,
                                   &Splitter::split_vocabularies, &Splitter::require_some,
                                   &Splitter::require_blocks,     &Splitter::require_followed};
        for (const Step step : kSteps) {
            if (std::optional<Refusal> refusal = (this->*step)()) return refusal;
        }
        return std::nullopt;
    }

    // Whether the lengths of all products can be divided, with nothing divided yet.
    bool may_fit() const {
        const std::vector<Candidate> all = candidates();
        return std::all_of(all.begin(), all.end(), [&](const Candidate& each) {
            return sorts_.is_small(*each.product) ||
                   divisible_.fits(each.product->inner, each.parts, [](AxisId, auto) {});
        });
    }

  private:
    struct Candidate {
        const Summed* product;
        std::int64_t parts;  // ranks that share it
        bool heads;
        std::int64_t weights;
    };

    // Each rank has some experts, and the rows that are sent to them.
    std::optional<Refusal> split_experts() {
        if (layout_.expert == 1) return std::nullopt;
        const std::map<AxisId, ExpertLoads> loads = loads_by_rows(relations_, layout_);
        bool any = false;
        for (const Experts& each : relations_.experts()) {
            if (is_of_heads(axes_, each.experts)) continue;
            if (!axes_.is_leaf(each.experts) || axes_.is_fixed(each.experts) ||
                (axes_.length(each.rows) > 1 && (!axes_.is_leaf(each.rows) || axes_.is_fixed(each.rows)))) {
                return Refusal{"expert=" + std::to_string(layout_.expert) + " cannot divide the experts of " +
                               place_of(relations_.flow(), each.node) + ": " + why_whole(axes_, each) +
                               "; expected expert=1"};
            }
            split_rounded(axes_, each.experts, layout_.expert);
            // Where tokens are sent to their experts, a rank gets as many rows as it sends.
            split_rounded(axes_, each.rows,
                          sends_tokens(layout_) ? layout_.with_same_tokens() : layout_.expert);
            if (const auto found = loads.find(axes_.root(each.rows));
                found != loads.end() && layout_.loads_differ()) {
                axes_.info(each.rows).busiest = found->second.rows(axes_.length(each.rows)).constant();
            }
            any = true;
        }
        // What each expert adds to its rows lies with the expert.
        for (const auto& [axis, rows] : relations_.look_ups()) {
            for (const Experts& each : relations_.experts()) {
                if (axes_.root(each.rows) != axes_.root(rows) || axes_.length(rows) == 1) continue;
                if (axes_.length(axis) != axes_.length(each.experts) || !axes_.is_leaf(axis)) continue;
                if (!axes_.is_fixed(axis)) split_rounded(axes_, axis, layout_.expert);
                break;
            }
        }
        if (!any) {
            return Refusal{"expert=" + std::to_string(layout_.expert) +
                           ", and this model has no experts; expected expert=1"};
        }
        return std::nullopt;
    }
    // Products to divide among the ranks, in the order of their claims.
    std::vector<Candidate> candidates() const {
        std::vector<Candidate> candidates;
        for (const Summed& product : relations_.products()) {
            if (!divisible_.is_candidate(product.inner)) continue;
            std::int64_t weights = 0;
            bool heads = false;
            for (const AxisId leaf : axes_.leaves(product.inner)) {
                if (!divisible_.is_eligible(leaf)) continue;
                weights = std::max(weights, axes_.info(leaf).weights);
                heads = heads || axes_.info(leaf).heads;
            }
            const std::int64_t parts = experts_of(relations_, product.node)
                                           ? std::max<std::int64_t>(1, layout_.tensor / layout_.expert)
                                       : heads ? layout_.of_attention()
                                               : layout_.tensor;
            if (parts == 1) continue;
            candidates.push_back({&product, parts, heads, weights});
        }
        std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
            return a.heads != b.heads ? a.heads : a.weights > b.weights;
        });
        return candidates;
    }

    std::optional<Refusal> split_products() {
        if (layout_.tensor == 1) return std::nullopt;
        for (const Candidate& candidate : candidates()) {
            if (std::optional<Refusal> refusal = split_one(candidate)) return refusal;
        }
        return std::nullopt;
    }

    std::optional<Refusal> split_one(const Candidate& candidate) {
        const AxisId inner = candidate.product->inner;
        Taken taken;
        const bool fit = divisible_.fits(inner, candidate.parts, [&](AxisId leaf, std::int64_t parts) {
            taken.emplace_back(leaf, parts);
        });
        if (!fit) {
            if (!candidate.heads && sorts_.is_small(*candidate.product)) return std::nullopt;
            return refusal_of(candidate);
        }
        if (divisible_.conflicts(taken, candidate.parts)) return std::nullopt;
        for (const auto& [leaf, parts] : taken) axes_.info(leaf).splits = parts;
        return std::nullopt;
    }

    std::string tensor() const { return "tensor=" + std::to_string(layout_.tensor); }

    Refusal refusal_of(const Candidate& candidate) const {
        std::int64_t units = 0;   // of the section that has fewest ...
        std::int64_t groups = 0;  // ... and its outermost ones, which are divided first
        for (const AxisId section : axes_.sections(candidate.product->inner)) {
            std::int64_t own = 1;
            std::int64_t outer = 0;
            for (const AxisId leaf : axes_.leaves(section)) {
                const bool counts =
                    divisible_.is_eligible(leaf) && (!candidate.heads || axes_.info(leaf).heads);
                if (!counts) continue;
                if (outer == 0) outer = axes_.blocks(leaf);
                own *= axes_.blocks(leaf);
            }
            if (units != 0 && own >= units) continue;
            units = own;
            groups = outer;
        }
        const bool shared = candidate.heads && units % layout_.tensor == 0 && groups < units;
        const std::string of_groups =
            shared ? std::to_string(groups) + " key-value heads that serve the " : std::string();
        return {tensor() + " does not divide the " + of_groups + std::to_string(units) +
                    (candidate.heads ? " heads" : " columns") + " before " +
                    place_of(relations_.flow(), candidate.product->node),
                true};
    }

    // Rows of embeddings and columns of logits; the last rank has fewer.
    std::optional<Refusal> split_vocabularies() {
        const std::int64_t parts = layout_.of_attention();
        if (parts == 1) return std::nullopt;
        Axes::Length words = 0;
        for (const AxisId axis : relations_.vocabularies()) words = std::max(words, axes_.length(axis));
        for (const AxisId axis : relations_.vocabularies()) {
            if (2 * axes_.length(axis) <= words || !axes_.is_leaf(axis) || axes_.is_fixed(axis)) continue;
            if (axes_.length(axis) >= parts) split_rounded(axes_, axis, parts);
        }
        return std::nullopt;
    }

    // A layout that divides neither products nor experts is not one of this model.
    std::optional<Refusal> require_some() {
        if (layout_.tensor == 1 || layout_.expert > 1) return std::nullopt;
        std::string why;
        for (const Summed& product : relations_.products()) {
            if (axes_.is_split(product.inner)) return std::nullopt;
            const std::string own = axes_.why(product.inner);
            if (why.empty() && !own.empty())
                why = ": at " + place_of(relations_.flow(), product.node) + ", " + own;
        }
        return Refusal{"tensor=" + std::to_string(layout_.tensor) + " divides no product of this model" +
                       why + "; expected tensor=1, or data=, copies of the whole model"};
    }

    // A block has one scale, so all of it is on one rank.
    std::optional<Refusal> require_blocks() {
        for (const Blocks& each : relations_.blocks()) {
            for (const AxisId section : axes_.sections(each.axis)) {
                if (!axes_.is_split(section) || axes_.local(section) % each.unit == 0) continue;
                return Refusal{tensor() + " gives a device " + std::to_string(axes_.local(section)) + " of " +
                                   std::to_string(axes_.length(section)) + " elements of the weights of " +
                                   place_of(relations_.flow(), each.node) + ", whose blocks of " +
                                   std::to_string(each.unit) + " cannot be divided",
                               true};
            }
        }
        return std::nullopt;
    }

    // Weights of products stay whole where a model needs it. Where an operator is not followed, they are few.
    std::optional<Refusal> require_followed() {
        if (layout_.tensor == 1) return std::nullopt;
        std::int64_t lost = 0;
        std::string why;
        for (const TensorIndex t : weights_of_products(relations_)) {
            const AxisId axis = axis_not_followed(t);
            if (axis == Axes::kOne) continue;
            std::int64_t elements = 1;
            for (const Axes::Length length : relations_.lengths(t)) elements *= length;
            lost += elements;
            if (why.empty()) {
                const Graph& graph = relations_.flow().graph();
                why = graph.name(relations_.flow().tensor(t).name) + ": " + axes_.why(axis);
            }
        }
        if (lost > sorts_.elements() / kFewNotFollowed)
            return Refusal{tensor() + " does not divide " + why, true};
        return std::nullopt;
    }
    // The axis of a whole weight that an operator might need whole; kOne if there is none.
    AxisId axis_not_followed(TensorIndex weight) const {
        const AxisList& axes = relations_.known(weight);
        if (std::any_of(axes.begin(), axes.end(), [&](AxisId axis) { return axes_.is_split(axis); }))
            return Axes::kOne;
        // Ranks that share the batch of an attention have all of its heads.
        if (layout_.of_attention() == 1 &&
            std::any_of(axes.begin(), axes.end(), [&](AxisId axis) { return is_of_heads(axes_, axis); }))
            return Axes::kOne;
        for (const AxisId axis : axes) {
            for (const AxisId leaf : axes_.leaves(axis)) {
                const Axes::Leaf& known = axes_.info(leaf);
                if (known.unknown && !(known.norm && !known.heads)) return leaf;
            }
        }
        return Axes::kOne;
    }

    Relations& relations_;
    Axes& axes_;
    const Layout& layout_;
    WeightSorts sorts_;
    Divisible divisible_;
};

// Numbers of ranks that fit, with the other fields of a layout.
std::string fitting(Relations& relations, Layout layout) {
    const bool sends = sends_tokens(layout);
    std::string found;
    for (layout.tensor = 1; layout.tensor <= kMostDevicesTried; ++layout.tensor) {
        if (sends) layout.expert = layout.tensor * layout.data;
        if (layout.tensor % layout.attention_data != 0) continue;
        if (layout.tensor % layout.expert != 0 && !sends) continue;
        relations.axes().undivide();
        Splitter splitter(relations, layout);
        if (!splitter.may_fit() || splitter.run()) continue;
        found += (found.empty() ? "" : ", ") + std::to_string(layout.tensor);
    }
    return found;
}

}  // namespace

void split_axes(Relations& relations, const Layout& layout) {
    const std::optional<Refusal> refusal = Splitter(relations, layout).run();
    if (!refusal) return;
    if (!refusal->of_number) throw InputError(refusal->why);
    std::string expected = fitting(relations, layout);
    if (expected.empty()) {
        Layout other = layout;
        other.expert = 1;
        other.attention_data = 1;
        expected = fitting(relations, other) + ", with expert=1 and attention_data=1";
    }
    throw InputError(refusal->why + "; expected " +
                     (expected == "1" ? "tensor=1, or data=, copies of the whole model"
                                      : "tensor to be one of " + expected));
}

}  // namespace infercost
